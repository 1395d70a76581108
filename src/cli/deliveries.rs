//! `hikyaku deliveries ...`: what became of deliveries, for a person at a shell. Read from the history's file, whether or not
//! hikyaku serves meanwhile; nothing is changed.

use serde_json::Value;

use super::args::DeliveryFilterArgs;
use super::dead::{delivery_id, moment, usage};
use super::{CliError, DeliveriesCommand, Output, Table};
use crate::clock::SharedClock;
use crate::model::{DeliveryState, EventId, EventType, Timestamp, WebhookId};
use crate::record::{HistoryFilter, HistoryReader, KeptAttempt, KeptDelivery};

/// Deliveries read at a time.
const PAGE: u32 = 500;

/// Does what `command` says.
///
/// # Errors
/// When an argument is not allowed, or there is no history, or it cannot be read.
pub async fn deliveries(
    command: DeliveriesCommand,
    history: &HistoryReader,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<(), CliError> {
    match command {
        DeliveriesCommand::List { filter, limit, json } => {
            list(history, &filter_of(&filter, clock)?, limit, json, output).await
        }
        DeliveriesCommand::Show { id, json } => show(history, &id, json, output).await,
    }
}

fn filter_of(args: &DeliveryFilterArgs, clock: &SharedClock) -> Result<HistoryFilter, CliError> {
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

async fn list(
    history: &HistoryReader,
    filter: &HistoryFilter,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let (mut left, mut after, mut any) = (limit, None, false);
    let heads = ["ACCEPTED", "DELIVERY", "WEBHOOK", "TYPE", "STATE", "REASON", "ATTEMPTS", "LAST", "DUE"];
    let mut table = Table::new(&heads);
    while left > 0 {
        let page = history.list(filter, u32::try_from(left).unwrap_or(u32::MAX).min(PAGE), after).await?;
        page.problems.iter().for_each(|problem| output.note(problem));
        left = left.saturating_sub(page.deliveries.len() as u64);
        for (delivery, last) in &page.deliveries {
            if json {
                let line = delivery.to_json_with(last.as_ref());
                output.line(&format!("{}{line}", if any { "," } else { "[" }))?;
            } else {
                table.row(cells_of(delivery, last.as_ref()));
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
        output.note(&format!("those taken in last, {limit} of more; --limit shows more, --until earlier ones"));
    }
    Ok(())
}

fn cells_of(delivery: &KeptDelivery, last: Option<&KeptAttempt>) -> [String; 9] {
    [
        delivery.accepted_at.to_rfc3339(),
        delivery.id.to_string(),
        delivery.webhook.to_string(),
        delivery.kind.to_string(),
        delivery.state.to_string(),
        delivery.reason.clone().unwrap_or_default(),
        delivery.attempts.to_string(),
        last.map(outcome_of).unwrap_or_default(),
        delivery.due.map(Timestamp::to_rfc3339).unwrap_or_default(),
    ]
}

/// The outcome, and the status if there was one.
fn outcome_of(attempt: &KeptAttempt) -> String {
    let status = attempt.made.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status}", attempt.made.outcome)
}

async fn show(history: &HistoryReader, id: &str, json: bool, output: &mut Output) -> Result<(), CliError> {
    let id = delivery_id(id)?;
    let Some((delivery, attempts)) = history.show(&id).await? else {
        return Err(CliError::NotFound(format!(
            "the history has no delivery {id}: it was not begun yet, is past history.retention_s or history.count_max, or could \
             not be noted; `hikyaku deliveries list` shows what there is"
        )));
    };
    if json {
        let attempts: Vec<Value> = attempts.iter().map(KeptAttempt::to_json).collect();
        return output.line(&serde_json::json!({ "delivery": delivery.to_json(), "attempts": attempts }).to_string());
    }
    let mut table = Table::new(&[]);
    if let Value::Object(fields) = delivery.to_json() {
        for (name, value) in fields {
            table.whole_row([name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    for KeptAttempt { generation, made, worker } in &attempts {
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
