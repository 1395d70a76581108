//! `hikyaku deliveries ...`: what became of deliveries, for a person at a shell. Read from the history's file, whether or not
//! hikyaku serves meanwhile; nothing is changed.

use serde_json::Value;

use super::dead::{delivery_id, moment, usage};
use super::delivery_args::DeliveryFilterArgs;
use super::listing::{self, Look, Rows};
use super::{CliError, DeliveriesCommand, Output, Table};
use crate::clock::SharedClock;
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Timestamp, WebhookId};
use crate::record::{DeadLetters, HistoryFilter, HistoryReader, KeptAttempt, KeptDelivery, Replayed};

/// Does what `command` says.
///
/// # Errors
/// When an argument is not allowed, or there is no history, or it cannot be read.
pub async fn deliveries(
    command: DeliveriesCommand,
    history: &HistoryReader,
    letters: Option<&DeadLetters>,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<(), CliError> {
    match command {
        DeliveriesCommand::List { filter, limit, json } => {
            list(history, &filter_of(&filter, clock)?, limit, json, output).await
        }
        // That needs the queue, and is a command of its own ([`super::resend`]).
        DeliveriesCommand::Resend(_) => Ok(()),
        DeliveriesCommand::Show { id, json } => show(history, letters, &id, json, output).await,
    }
}

pub(super) fn filter_of(args: &DeliveryFilterArgs, clock: &SharedClock) -> Result<HistoryFilter, CliError> {
    let state = args.state.as_deref().map(|text| {
        let names = || DeliveryState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
        DeliveryState::from_name(text).ok_or_else(|| usage("--state", &format!("{text:?} is none of {}", names())))
    });
    Ok(HistoryFilter {
        webhook: args.webhook.as_deref().map(WebhookId::new).transpose().map_err(|error| usage("--webhook", &error))?,
        event: args.event.as_deref().map(EventId::new).transpose().map_err(|error| usage("--event", &error))?,
        kind: args.kind.as_deref().map(EventType::new).transpose().map_err(|error| usage("--type", &error))?,
        state: state.transpose()?,
        since: args.since.as_deref().map(|text| moment("--since", text, clock)).transpose()?,
        until: args.until.as_deref().map(|text| moment("--until", text, clock)).transpose()?,
    })
}

/// A delivery with its latest attempt.
type LineOf = (KeptDelivery, Option<KeptAttempt>);

const LOOK: Look<LineOf> = Look {
    heads: &["ACCEPTED", "DELIVERY", "WEBHOOK", "TYPE", "STATE", "REASON", "ATTEMPTS", "LAST", "DUE"],
    cells: |(delivery, last)| {
        vec![
            delivery.accepted_at.to_rfc3339(),
            delivery.id.to_string(),
            delivery.webhook.to_string(),
            delivery.kind.to_string(),
            delivery.state.to_string(),
            delivery.reason.clone().unwrap_or_default(),
            delivery.attempts.to_string(),
            last.as_ref().map(outcome_of).unwrap_or_default(),
            delivery.due.map(Timestamp::to_rfc3339).unwrap_or_default(),
        ]
    },
    json: |(delivery, last)| delivery.to_json_with(last.as_ref()),
};

async fn list(
    history: &HistoryReader,
    filter: &HistoryFilter,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let page = async |limit, after| {
        let page = history.list(filter, limit, after).await?;
        Ok(Rows { rows: page.deliveries, next: page.next, problems: page.problems })
    };
    let is_more = listing::list(&LOOK, limit, json, output, page).await?;
    if is_more && !json {
        output.note(&format!("those taken in last, {limit} of more; --limit shows more, --until earlier ones"));
    }
    Ok(())
}

/// The outcome, and the status if there was one.
fn outcome_of(attempt: &KeptAttempt) -> String {
    let status = attempt.made.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status}", attempt.made.outcome)
}

async fn show(
    history: &HistoryReader,
    letters: Option<&DeadLetters>,
    id: &str,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let id = delivery_id(id)?;
    let Some((delivery, attempts)) = history.show(&id).await? else {
        return Err(CliError::NotFound(format!(
            "the history has no delivery {id}: it was not begun yet, is past history.retention_s or history.count_max, or could \
             not be noted; `hikyaku deliveries list` shows what there is"
        )));
    };
    let replays = match letters {
        Some(letters) => letters.replays(&id).await?,
        None => Vec::new(),
    };
    if json {
        let attempts: Vec<Value> = attempts.iter().map(KeptAttempt::to_json).collect();
        let replays: Vec<_> = replays.iter().map(Replayed::to_shape).collect();
        let shown = serde_json::json!({ "delivery": delivery.to_json(), "attempts": attempts, "replays": replays });
        return output.line(&shown.to_string());
    }
    let mut table = Table::new(&[]);
    if let Value::Object(fields) = delivery.to_json() {
        for (name, value) in fields {
            table.whole_row([name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    replays_in_words(&replays, output)?;
    attempts_in_words(&attempts, output)
}

/// The attempts of a delivery; none when there is no history, or it cannot be read: what else is known is worth showing without.
pub(super) async fn attempts_of(history: &HistoryReader, id: &DeliveryId) -> Vec<KeptAttempt> {
    history.show(id).await.ok().flatten().map(|(_, attempts)| attempts).unwrap_or_default()
}

/// Who put a delivery back to work.
pub(super) fn replays_in_words(replays: &[Replayed], output: &mut Output) -> Result<(), CliError> {
    replays.iter().try_for_each(|Replayed { generation, how, by, at }| {
        output.line(&format!("\ngeneration {generation} began {}: {how} by {by}", at.to_rfc3339()))
    })
}

/// How attempts went.
pub(super) fn attempts_in_words(attempts: &[KeptAttempt], output: &mut Output) -> Result<(), CliError> {
    for KeptAttempt { generation, made, worker } in attempts {
        output.line(&format!(
            "\nattempt {} of generation {generation}, {}, {} ms, by {worker}",
            made.number,
            made.started_at.to_rfc3339(),
            made.took.as_millis(),
        ))?;
        let status = made.status.map(|status| format!(" {status}")).unwrap_or_default();
        output.line(&format!("  {}{status}", made.outcome))?;
        for (name, text) in [("error", &made.error), ("response", &made.response)] {
            if !text.is_empty() {
                output.line(&format!("  {name}: {text}"))?;
            }
        }
    }
    Ok(())
}
