//! `hikyaku dead ...`: dead letters, for a person at a shell.
//!
//! What changes something goes in steps ([`crate::operate`]): interrupted at any moment, nothing is lost, and doing it again
//! does the rest. Letters come by pages, so a million cost no memory.

pub(super) mod files;
pub(super) mod showing;
pub(super) mod writing;

use std::fmt::Display;

use super::delivery_args::FilterArgs;
use super::{CliError, DeadCommand, LimitArgs, Output, operator};
use crate::clock::SharedClock;
use crate::incoming::shortened;
use crate::model::{DeathReason, DeliveryId, EventId, EventType, Timestamp, WebhookId};
use crate::operate::{Operations, Until};
use crate::record::{Filter, HistoryReader};

pub(super) const REPLAYED: &str = "put back to work";
pub(super) const WOULD_BE_REPLAYED: &str = "would be replayed";
pub(super) const PURGED: &str = "deleted";
pub(super) const WOULD_BE_PURGED: &str = "would be deleted";

/// What the command works on.
#[derive(Debug)]
pub struct DeadParts {
    /// The dead letters and the queue.
    pub operations: Operations,
    /// What became of deliveries.
    pub history: HistoryReader,
    /// Bytes that an event may have.
    pub event_bytes_max: usize,
}

/// Does what `command` says, and tells whether all of it went well.
///
/// # Errors
/// When an argument is not allowed, or the store or the queue does not do it. What was done before stays done.
pub async fn dead(command: DeadCommand, parts: &DeadParts, output: &mut Output) -> Result<bool, CliError> {
    let DeadParts { operations, history, event_bytes_max } = parts;
    let clock = &operations.clock;
    match command {
        DeadCommand::List { filter, limit: LimitArgs { limit }, json } => {
            showing::list(&operations.letters, &filter_of(&filter, clock)?, limit, json, output).await?;
        }
        DeadCommand::Show { id, json } => {
            showing::show(&operations.letters, history, &delivery_id(&id)?, json, output).await?;
        }
        DeadCommand::Replay { filter, all, dry_run } => {
            let filter = operations.as_of_now(&chosen(&filter, all, clock)?);
            if dry_run {
                let run = operations.would_replay(&filter).await?;
                return ended(run.count, &run.problems, WOULD_BE_REPLAYED, output);
            }
            let mut so_far = 0;
            let run = operations.replay(&filter, &operator(), Until::DONE, |count| so_far = count).await;
            let run = run.inspect_err(|_| tell_so_far(so_far, REPLAYED, output))?;
            return ended(run.count, &run.problems, REPLAYED, output);
        }
        DeadCommand::Purge { filter, all, dry_run } => {
            let filter = operations.as_of_now(&chosen(&filter, all, clock)?);
            if dry_run {
                tell_count(operations, &filter, WOULD_BE_PURGED, output).await?;
                return Ok(true);
            }
            let run = operations.purge(&filter, Until::DONE, |_| {}).await?;
            return ended(run.count, &run.problems, PURGED, output);
        }
        DeadCommand::Export { filter, output: to } => {
            return files::export(operations, filter_of(&filter, clock)?, to.as_deref(), output).await;
        }
        DeadCommand::Import { file, dry_run, json } => {
            let import = files::Import { file: file.as_deref(), is_dry: dry_run, json };
            return files::import(operations, &import, *event_bytes_max, output).await;
        }
    }
    Ok(true)
}

pub(super) fn counted(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

async fn tell_count(operations: &Operations, filter: &Filter, what: &str, output: &mut Output) -> Result<(), CliError> {
    let count = operations.letters.count(filter).await?;
    output.line(&format!("{} {what}", counted(count)))
}

/// Tells what was done before it could not be gone on with.
pub(super) fn tell_so_far(count: u64, what: &str, output: &mut Output) {
    if count > 0 {
        output.note(&format!("{} {what} before that; the same command goes on", counted(count)));
    }
}

/// Tells what was done, and whether all was.
pub(super) fn ended(count: u64, problems: &[String], what: &str, output: &mut Output) -> Result<bool, CliError> {
    problems.iter().for_each(|problem| output.note(problem));
    output.line(&format!("{} {what}", counted(count)))?;
    Ok(problems.is_empty())
}

pub(super) fn usage(flag: &str, why: &dyn Display) -> CliError {
    CliError::Usage(format!("{flag}: {why}"))
}

/// The delivery id that is given by itself, without the name of an option.
pub(super) fn delivery_id(text: &str) -> Result<DeliveryId, CliError> {
    DeliveryId::from_text(text).map_err(|error| usage(&quoted(text), &error))
}

fn delivery_id_of(flag: &str, text: &str) -> Result<DeliveryId, CliError> {
    DeliveryId::from_text(text).map_err(|error| usage(flag, &format!("{}: {error}", quoted(text))))
}

/// What somebody gave, as much of it as is told.
fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// The filter of a command that changes things: it says which, or `--all`.
pub(super) fn chosen(args: &FilterArgs, all: bool, clock: &SharedClock) -> Result<Filter, CliError> {
    let filter = filter_of(args, clock)?;
    match (filter == Filter::default(), all) {
        (false, true) => Err(CliError::Usage("give either --all or which dead letters, not both".to_owned())),
        (true, false) => Err(CliError::Usage(
            "say which dead letters (--webhook, --event, --type, --reason, --status, --since, --until, --id), or --all"
                .to_owned(),
        )),
        _ => Ok(filter),
    }
}

pub(super) fn filter_of(args: &FilterArgs, clock: &SharedClock) -> Result<Filter, CliError> {
    let reason = args.reason.as_deref().map(|text| {
        let names = || DeathReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
        DeathReason::from_name(text).ok_or_else(|| usage("--reason", &format!("{text:?} is none of {}", names())))
    });
    Ok(Filter {
        webhook: args.webhook.as_deref().map(WebhookId::new).transpose().map_err(|error| usage("--webhook", &error))?,
        event: args.event.as_deref().map(EventId::new).transpose().map_err(|error| usage("--event", &error))?,
        kind: args.kind.as_deref().map(EventType::new).transpose().map_err(|error| usage("--type", &error))?,
        reason: reason.transpose()?,
        status: args.status,
        since: args.since.as_deref().map(|text| moment("--since", text, clock)).transpose()?,
        until: args.until.as_deref().map(|text| moment("--until", text, clock)).transpose()?,
        ids: args.id.iter().map(|id| delivery_id_of("--id", id)).collect::<Result<_, _>>()?,
    })
}

/// A moment: RFC 3339, or an age such as `2h`.
pub(super) fn moment(flag: &str, text: &str, clock: &SharedClock) -> Result<Timestamp, CliError> {
    Timestamp::parse(text, clock.now()).map_err(|error| usage(flag, &format!("{text:?}: {error}")))
}
