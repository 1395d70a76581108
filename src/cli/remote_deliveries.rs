//! `hikyaku deliveries --url ...`: what a running hikyaku has in its history, shown as if it were read from the file here.

use serde_json::Value;

use super::delivery_args::DeliveryFilterArgs;
use super::{CliError, DeliveriesCommand, Output, Remote, Table};

/// Deliveries asked for at a time.
const PAGE: u64 = 500;
const HEADS: [&str; 9] = ["ACCEPTED", "DELIVERY", "WEBHOOK", "TYPE", "STATE", "REASON", "ATTEMPTS", "LAST", "DUE"];

/// Does what `command` says.
///
/// # Errors
/// When hikyaku does not answer, or refuses it.
pub async fn deliveries_of(remote: &Remote, command: DeliveriesCommand, output: &mut Output) -> Result<(), CliError> {
    match command {
        DeliveriesCommand::List { filter, limit, json } => list(remote, &filter, limit, json, output).await,
        DeliveriesCommand::Resend(_) => Err(CliError::Usage(
            "resend is not done over --url; POST /v1/deliveries/resend does it, or this command beside queue and store"
                .to_owned(),
        )),
        DeliveriesCommand::Show { id, json } => {
            let shown = remote.get(&format!("/v1/deliveries/{id}"), &[]).await?;
            if json { output.line(&shown.to_string()) } else { show(&shown, output) }
        }
    }
}

fn query_of(filter: &DeliveryFilterArgs) -> Vec<(&'static str, String)> {
    let DeliveryFilterArgs { webhook, event, kind, state, since, until } = filter;
    let given =
        [("webhook", webhook), ("event", event), ("type", kind), ("state", state), ("since", since), ("until", until)];
    given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

async fn list(
    remote: &Remote,
    filter: &DeliveryFilterArgs,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let (mut left, mut cursor, mut any) = (limit, None::<String>, false);
    let mut table = Table::new(&HEADS);
    while left > 0 {
        let mut query = query_of(filter);
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = remote.get("/v1/deliveries", &query).await?;
        items(&page["problems"]).iter().filter_map(Value::as_str).for_each(|problem| output.note(problem));
        let rows = items(&page["deliveries"]);
        left = left.saturating_sub(rows.len() as u64);
        for row in rows {
            if json {
                output.line(&format!("{}{row}", if any { "," } else { "[" }))?;
            } else {
                table.row(cells_of(row));
            }
            any = true;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if json {
        return output.line(if any { "]" } else { "[]" });
    }
    table.lines().try_for_each(|line| output.line(&line))?;
    if cursor.is_some() {
        output.note(&format!("those taken in last, {limit} of more; --limit shows more, --until earlier ones"));
    }
    Ok(())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field's text; nothing for null.
fn text(of: &Value, name: &str) -> String {
    match &of[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn cells_of(delivery: &Value) -> [String; 9] {
    let last = &delivery["lastAttempt"];
    let of = |name| text(delivery, name);
    [
        of("acceptedAt"),
        of("id"),
        of("webhookId"),
        of("type"),
        of("state"),
        of("reason"),
        of("attempts"),
        if last.is_null() { String::new() } else { outcome_of(last) },
        of("dueAt"),
    ]
}

/// The outcome, and the status if there was one.
fn outcome_of(attempt: &Value) -> String {
    let status = attempt["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status}", text(attempt, "outcome"))
}

fn show(shown: &Value, output: &mut Output) -> Result<(), CliError> {
    let mut table = Table::new(&[]);
    for (name, value) in shown["delivery"].as_object().into_iter().flatten() {
        table.whole_row([name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    for replay in items(&shown["replays"]) {
        let [generation, at, how, by] = ["generation", "at", "how", "by"].map(|name| text(replay, name));
        output.line(&format!("\ngeneration {generation} began {at}: {how} by {by}"))?;
    }
    for attempt in items(&shown["attempts"]) {
        let of = |name| text(attempt, name);
        let took = attempt["tookMs"].as_f64().map_or(0.0, f64::trunc);
        let [number, generation, started, worker] = ["attempt", "generation", "startedAt", "worker"].map(of);
        output.line(&format!("\nattempt {number} of generation {generation}, {started}, {took} ms, by {worker}"))?;
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
