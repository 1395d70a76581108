//! `hikyaku deliveries ...`: what became of deliveries, for a person at a shell. Read from the history's file, whether or not
//! hikyaku serves meanwhile; nothing is changed.

use serde_json::{Value, json};

use super::dead::{delivery_id, moment, usage};
use super::delivery_args::DeliveryFilterArgs;
use super::listing::{self, Look, Rows};
use super::{CliError, DeliveriesCommand, LimitArgs, Output, Table};
use crate::clock::SharedClock;
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, WebhookId};
use crate::record::{DeadLetters, HistoryFilter, HistoryReader, KeptAttempt, Replayed};

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
        DeliveriesCommand::List { filter, limit: LimitArgs { limit }, json } => {
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

const LOOK: Look<Value> = Look {
    heads: &["ACCEPTED", "DELIVERY", "WEBHOOK", "TYPE", "STATE", "REASON", "ATTEMPTS", "LAST", "DUE"],
    cells: |delivery| {
        let last = &delivery["lastAttempt"];
        let mut cells = ["acceptedAt", "id", "webhookId", "type", "state", "reason", "attempts", "", "dueAt"]
            .map(|name| text(delivery, name))
            .to_vec();
        cells[7] = if last.is_null() { String::new() } else { outcome_of(last) };
        cells
    },
    json: Value::clone,
};

/// A field's text; nothing for null.
pub(super) fn text(of: &Value, name: &str) -> String {
    match &of[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

async fn list(
    history: &HistoryReader,
    filter: &HistoryFilter,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let page = async |limit, after| {
        let page = history.list(filter, limit, after).await?;
        let rows = page.deliveries.iter().map(|(delivery, last)| delivery.to_json_with(last.as_ref())).collect();
        Ok(Rows { rows, next: page.next, problems: page.problems })
    };
    list_pages(limit, json, output, page).await
}

/// Lists deliveries that come by pages.
pub(super) async fn list_pages<C>(
    limit: u64,
    json: bool,
    output: &mut Output,
    page: impl AsyncFnMut(u32, Option<C>) -> Result<Rows<Value, C>, CliError>,
) -> Result<(), CliError> {
    if listing::list(&LOOK, limit, json, output, page).await? && !json {
        output.note(&format!("those taken in last, {limit} of more; --limit shows more, --until earlier ones"));
    }
    Ok(())
}

/// The outcome, and the status if there was one.
fn outcome_of(attempt: &Value) -> String {
    let status = attempt["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status}", text(attempt, "outcome"))
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
    let attempts: Vec<Value> = attempts.iter().map(KeptAttempt::to_json).collect();
    let replays: Vec<_> = replays.iter().map(Replayed::to_shape).collect();
    tell(&json!({ "delivery": delivery.to_json(), "attempts": attempts, "replays": replays }), json, output)
}

/// Tells a delivery, which is as `GET /v1/deliveries/{id}` answers it.
pub(super) fn tell(shown: &Value, json: bool, output: &mut Output) -> Result<(), CliError> {
    if json {
        return output.line(&shown.to_string());
    }
    let mut table = Table::new(&[]);
    for (name, value) in shown["delivery"].as_object().into_iter().flatten() {
        table.whole_row([name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    replays_in_words(items(&shown["replays"]), output)?;
    attempts_in_words(items(&shown["attempts"]), output)
}

/// What a list has; nothing when it is none.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The attempts of a delivery; none when there is no history, or it cannot be read: what else is known is worth showing without.
pub(super) async fn attempts_of(history: &HistoryReader, id: &DeliveryId) -> Vec<KeptAttempt> {
    history.show(id).await.ok().flatten().map(|(_, attempts)| attempts).unwrap_or_default()
}

/// Who put a delivery back to work.
pub(super) fn replays_in_words(replays: &[Value], output: &mut Output) -> Result<(), CliError> {
    replays.iter().try_for_each(|replay| {
        let [generation, at, how, by] = ["generation", "at", "how", "by"].map(|name| text(replay, name));
        output.line(&format!("\ngeneration {generation} began {at}: {how} by {by}"))
    })
}

/// How attempts went.
pub(super) fn attempts_in_words(attempts: &[Value], output: &mut Output) -> Result<(), CliError> {
    for attempt in attempts {
        let of = |name| text(attempt, name);
        let took_ms = attempt["tookMs"].as_f64().map_or(0.0, f64::trunc);
        let [number, generation, started, worker] = ["attempt", "generation", "startedAt", "worker"].map(of);
        output.line(&format!("\nattempt {number} of generation {generation}, {started}, {took_ms} ms, by {worker}"))?;
        output.line(&format!("  {}", outcome_of(attempt)))?;
        for name in ["error", "response"] {
            let words = of(name);
            if !words.is_empty() {
                output.line(&format!("  {name}: {words}"))?;
            }
        }
    }
    Ok(())
}
