//! `hikyaku dead ...`: dead letters, for a person at a shell.
//!
//! Replaying publishes the next generation first, and removes that dead letter only once the queue has it: interrupted at
//! any moment, nothing is lost, and doing it again does the rest. Letters come by pages, so a million cost no memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::FilterArgs;
use super::{CliError, DeadCommand, Output, Table};
use crate::clock::SharedClock;
use crate::model::{DeathReason, DeliveryId, EventType, Message, Target, Timestamp, WebhookId};
use crate::queue::Queue;
use crate::record::{DeadLetter, DeadLetters, Filter, Summary};

/// Letters read, and replayed, at a time.
const PAGE: u32 = 500;

/// Does what `command` says.
///
/// # Errors
/// When an argument is not allowed, or the store or the queue does not do it. What was done before stays done.
pub async fn dead(
    command: DeadCommand,
    letters: &DeadLetters,
    queue: &Queue,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<(), CliError> {
    match command {
        DeadCommand::List { filter, limit, json } => {
            list(letters, &filter_of(&filter, clock)?, limit, json, output).await
        }
        DeadCommand::Show { id, json } => show(letters, &delivery_id(&id)?, json, output).await,
        DeadCommand::Replay { filter, all, dry_run } => {
            let filter = chosen(&filter, all, clock)?;
            if dry_run {
                return tell_count(letters, &filter, "would be replayed", output).await;
            }
            replay(letters, queue, clock, &filter, output).await
        }
        DeadCommand::Purge { filter, all, dry_run } => {
            let filter = chosen(&filter, all, clock)?;
            if dry_run {
                return tell_count(letters, &filter, "would be deleted", output).await;
            }
            let deleted = letters.purge(&filter).await?;
            output.line(&format!("{} deleted", counted(deleted)))
        }
    }
}

fn counted(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

async fn tell_count(letters: &DeadLetters, filter: &Filter, what: &str, output: &mut Output) -> Result<(), CliError> {
    let count = letters.count(filter).await?;
    output.line(&format!("{} {what}", counted(count)))
}

pub(super) fn usage(flag: &str, why: &dyn std::fmt::Display) -> CliError {
    CliError::Usage(format!("{flag}: {why}"))
}

pub(super) fn delivery_id(text: &str) -> Result<DeliveryId, CliError> {
    DeliveryId::from_text(text).map_err(|error| usage("delivery id", &error))
}

/// The filter of a command that changes things: it says which, or `--all`.
fn chosen(args: &FilterArgs, all: bool, clock: &SharedClock) -> Result<Filter, CliError> {
    let FilterArgs { webhook, kind, reason, since, until, id } = args;
    let says_which = webhook.is_some() || kind.is_some() || reason.is_some() || since.is_some() || until.is_some();
    match (says_which || !id.is_empty(), all) {
        (true, true) => Err(CliError::Usage("give either --all or which dead letters, not both".to_owned())),
        (false, false) => Err(CliError::Usage(
            "say which dead letters (--webhook, --type, --reason, --since, --until, --id), or --all".to_owned(),
        )),
        _ => filter_of(args, clock),
    }
}

fn filter_of(args: &FilterArgs, clock: &SharedClock) -> Result<Filter, CliError> {
    let reason = args.reason.as_deref().map(|text| {
        let names = || DeathReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
        DeathReason::from_name(text).ok_or_else(|| usage("--reason", &format!("{text:?} is none of {}", names())))
    });
    Ok(Filter {
        webhook: args.webhook.as_deref().map(WebhookId::new).transpose().map_err(|error| usage("--webhook", &error))?,
        kind: args.kind.as_deref().map(EventType::new).transpose().map_err(|error| usage("--type", &error))?,
        reason: reason.transpose()?,
        since: args.since.as_deref().map(|text| moment("--since", text, clock)).transpose()?,
        until: args.until.as_deref().map(|text| moment("--until", text, clock)).transpose()?,
        ids: args.id.iter().map(|id| delivery_id(id)).collect::<Result<_, _>>()?,
    })
}

/// A moment: RFC 3339, or an age such as `2h`.
pub(super) fn moment(flag: &str, text: &str, clock: &SharedClock) -> Result<Timestamp, CliError> {
    Timestamp::parse(text, clock.now()).ok_or_else(|| {
        usage(flag, &format!("{text:?} is neither a moment like 2026-11-22T10:00:00Z nor an age like 2h"))
    })
}

async fn list(
    letters: &DeadLetters,
    filter: &Filter,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let (mut left, mut after, mut any) = (limit, None, false);
    let mut table = Table::new(&["DIED", "DELIVERY", "GEN", "WEBHOOK", "TYPE", "REASON", "ATTEMPTS", "LAST ERROR"]);
    while left > 0 {
        let page = letters.list(filter, u32::try_from(left).unwrap_or(u32::MAX).min(PAGE), after).await?;
        page.problems.iter().for_each(|problem| output.note(problem));
        left = left.saturating_sub(page.letters.len() as u64);
        for letter in &page.letters {
            if json {
                output.line(&format!("{}{}", if any { "," } else { "[" }, json_of(letter, letter.event.body.0)))?;
            } else {
                table.row(cells_of(letter));
            }
            any = true;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return output.line(if any { "]" } else { "[]" });
    }
    table.lines().try_for_each(|line| output.line(&line))?;
    if after.is_some() {
        let all = letters.count(filter).await?;
        output.note(&format!("the newest {limit} of {all}; --limit shows more"));
    }
    Ok(())
}

fn cells_of(letter: &Summary) -> [String; 8] {
    let DeadLetter { id, event, delivery, reason, died_at } = letter;
    [
        died_at.to_rfc3339(),
        id.to_string(),
        delivery.generation.to_string(),
        delivery.webhook.to_string(),
        event.kind.to_string(),
        reason.to_string(),
        delivery.attempts.to_string(),
        delivery.last.as_ref().map(|last| last.error.clone()).unwrap_or_default(),
    ]
}

/// All of a letter but its body, of which it tells the size.
fn json_of<B>(letter: &DeadLetter<B>, body_bytes: u64) -> Value {
    let DeadLetter { id, event, delivery, reason, died_at } = letter;
    let last = delivery.last.as_ref();
    json!({
        "id": id.as_str(),
        "generation": delivery.generation,
        "webhook": delivery.webhook,
        "reason": reason.as_str(),
        "diedAt": died_at.to_rfc3339(),
        "since": delivery.since.to_rfc3339(),
        "attempts": delivery.attempts,
        "lastOutcome": last.map(|last| last.outcome.as_str()),
        "lastStatus": last.and_then(|last| last.status),
        "lastError": last.map(|last| &last.error),
        "eventId": event.id,
        "type": event.kind,
        "userId": event.user,
        "source": event.source,
        "server": event.server,
        "createdAt": event.created_at.as_millis(),
        "acceptedAt": event.accepted_at.to_rfc3339(),
        "bodyBytes": body_bytes,
    })
}

async fn show(letters: &DeadLetters, id: &DeliveryId, json: bool, output: &mut Output) -> Result<(), CliError> {
    let Some(letter) = letters.show(id).await? else {
        return Err(CliError::NotFound(format!(
            "no dead letter has the delivery id {id}; `hikyaku dead list` shows them"
        )));
    };
    let bytes = letter.event.body.bytes();
    let body = String::from_utf8_lossy(bytes);
    let Value::Object(fields) = json_of(&letter, bytes.len() as u64) else { return Ok(()) };
    if json {
        // The body goes in as it came: it may hold what a JSON value of ours cannot.
        let head = Value::Object(fields).to_string();
        return output.line(&format!("{},\"body\":{body}}}", head.strip_suffix('}').unwrap_or(&head)));
    }
    let mut table = Table::new(&[]);
    for (name, value) in fields {
        table.row([name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    output.line("body")?;
    output.line(&body)
}

async fn replay(
    letters: &DeadLetters,
    queue: &Queue,
    clock: &SharedClock,
    filter: &Filter,
    output: &mut Output,
) -> Result<(), CliError> {
    let _turn = letters.replay_turn().await?;
    // Only what is dead now: what dies again while this runs is not replayed a second time.
    let began = clock.now().plus(Duration::from_millis(1));
    let filter = Filter { until: Some(filter.until.map_or(began, |until| until.min(began))), ..filter.clone() };
    let (mut replayed, mut after) = (0_u64, None);
    loop {
        let page = letters.read(&filter, PAGE, after).await?;
        page.problems.iter().for_each(|problem| output.note(problem));
        let now = clock.now();
        let messages: Vec<Message> = page.letters.iter().map(|letter| message_of(letter, now)).collect();
        let done: Vec<(DeliveryId, u32)> =
            page.letters.iter().map(|letter| (letter.id.clone(), letter.delivery.generation)).collect();
        if !messages.is_empty() {
            replayed += messages.len() as u64;
            queue.publish(messages).await?;
            letters.remove_many(done).await?;
        }
        after = page.next;
        if after.is_none() {
            return output.line(&format!("{} put back to work", counted(replayed)));
        }
    }
}

fn message_of(letter: &DeadLetter, now: Timestamp) -> Message {
    Message { event: Arc::clone(&letter.event), target: Target::One(letter.delivery.replayed(now)) }
}
