//! `hikyaku deliveries resend`: sends again what was sent before, some deliveries by their ids, or those that a filter lets through.
//!
//! It goes in steps ([`crate::operate`]). Broken off and typed again with `--before` as it was told, it does the rest.

use super::dead::{delivery_id, moment};
use super::deliveries::filter_of;
use super::{CliError, Output, ResendArgs, operator};
use crate::clock::SharedClock;
use crate::model::Timestamp;
use crate::operate::{Operations, Resend, Resent, ResentOne, Until};
use crate::record::{HistoryFilter, HistoryReader};

/// Does it, and tells whether everything that was meant is sent, or on its way.
///
/// # Errors
/// When an argument is not allowed, or history, store or queue do not do it. What was sent before stays sent.
pub async fn resend(
    args: &ResendArgs,
    operations: &Operations,
    history: &HistoryReader,
    output: &mut Output,
) -> Result<bool, CliError> {
    let clock = &operations.clock;
    let filter = filter_of(&args.filter, clock)?;
    check(args, &filter)?;
    if !args.ids.is_empty() {
        return by_ids(args, operations, history, output).await;
    }
    let before = moment_of(args, clock)?;
    note_beginning(args, before, output);
    let resend = Resend { filter, before, after: None, is_dry: args.dry_run };
    let Resent { count, under_way, without_body, problems, .. } =
        operations.resend(history, &resend, &operator(), Until::DONE).await?;
    tell(&ResentCounts { count, under_way, without_body, problems }, args.dry_run, output)
}

/// Checks that `args`, with `filter`, say in one way which deliveries are meant.
pub(super) fn check(args: &ResendArgs, filter: &HistoryFilter) -> Result<(), CliError> {
    let ways = [!args.ids.is_empty(), *filter != HistoryFilter::default(), args.all];
    match ways.iter().filter(|way| **way).count() {
        0 => {
            let words = "say which deliveries: ids, or --webhook, --event, --type, --state, --since, --until, or --all";
            Err(CliError::Usage(words.to_owned()))
        }
        1 if !args.ids.is_empty() && (args.before.is_some() || args.dry_run) => {
            Err(CliError::Usage("--before and --dry-run are for a filter, not for ids".to_owned()))
        }
        1 => Ok(()),
        _ => Err(CliError::Usage("give either ids, or a filter, or --all".to_owned())),
    }
}

/// When it began: what was put back to work since is left alone.
pub(super) fn moment_of(args: &ResendArgs, clock: &SharedClock) -> Result<Timestamp, CliError> {
    let before = args.before.as_deref().map(|text| moment("--before", text, clock)).transpose()?;
    Ok(before.unwrap_or_else(|| clock.now()))
}

/// Says how to go on with it.
pub(super) fn note_beginning(args: &ResendArgs, before: Timestamp, output: &mut Output) {
    if !args.dry_run {
        output.note(&format!("should this be broken off, --before {} goes on with it", before.to_rfc3339()));
    }
}

/// What became of the deliveries.
#[derive(Default)]
pub(super) struct ResentCounts {
    pub(super) count: u64,
    pub(super) under_way: u64,
    pub(super) without_body: u64,
    pub(super) problems: Vec<String>,
}

pub(super) fn tell(resent: &ResentCounts, is_dry: bool, output: &mut Output) -> Result<bool, CliError> {
    let ResentCounts { count, under_way, without_body, problems } = resent;
    problems.iter().for_each(|problem| output.note(problem));
    let deliveries = if *count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") };
    let what = if is_dry { "would be sent again" } else { "sent again" };
    output.line(&format!("{deliveries} {what}; {under_way} on their way already; {without_body} without a body"))?;
    if *without_body > 0 {
        output.note("bodies are kept as history.bodies, history.bodies_retention_s and history.bodies_bytes_max say");
    }
    Ok(problems.is_empty() && *without_body == 0)
}

async fn by_ids(
    args: &ResendArgs,
    operations: &Operations,
    history: &HistoryReader,
    output: &mut Output,
) -> Result<bool, CliError> {
    let ids = args.ids.iter().map(|id| delivery_id(id)).collect::<Result<Vec<_>, _>>()?;
    let mut all = true;
    for id in ids {
        match operations.resend_one(history, &id, &operator()).await? {
            ResentOne::Sent(generation) => output.line(&format!("{id} sent again, as generation {generation}"))?,
            ResentOne::UnderWay => output.line(&format!("{id} is on its way already"))?,
            ResentOne::WithoutBody => {
                all = false;
                output.note(&format!(
                    "{id} cannot be sent again: its event's body is not kept any more, or never was (history.bodies)"
                ));
            }
            ResentOne::ToDeleted(webhook) => {
                all = false;
                output.note(&format!(
                    "{id} cannot be sent again: its webhook {webhook} is deleted, and it would be dropped"
                ));
            }
            ResentOne::Unknown => {
                all = false;
                output.note(&format!("{id} is neither in the history nor a dead letter; `hikyaku deliveries list` shows what is in the history"));
            }
        }
    }
    Ok(all)
}
