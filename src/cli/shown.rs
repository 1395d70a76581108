//! A webhook as `hikyaku webhooks` shows it, in a table's cells and whole, from the shape that the operators' API answers too: so
//! what is shown is the same whether it comes from the store or over `--url`.

use serde_json::Value;
use url::Url;

use super::{CliError, Output, Table};

/// The heads of the columns of [`cells_of`].
pub(super) const HEADS: [&str; 7] = ["ID", "OWNER", "STATUS", "ON", "FORMAT", "LATEST", "URL"];

/// A line of a listing.
pub(super) fn cells_of(webhook: &Value) -> [String; 7] {
    let text = |name: &str| webhook[name].as_str().unwrap_or_default().to_owned();
    let owner = webhook["userId"].as_str().map_or_else(|| "system".to_owned(), |user| format!("user {user}"));
    [
        text("id"),
        owner,
        text("status"),
        types_text(webhook),
        text("format"),
        latest_text(webhook),
        shown_url(&text("url")),
    ]
}

/// The URL as it may be shown in a list: a query can hold a token.
fn shown_url(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.query().is_some() => {
            url.set_query(Some("..."));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

/// The latest attempt's status in words where it is no HTTP status, and the day since which none has succeeded.
fn latest_text(webhook: &Value) -> String {
    let status = match webhook["latestStatus"].as_u64() {
        None => return "never sent".to_owned(),
        Some(1) => "no answer".to_owned(),
        Some(status) => status.to_string(),
    };
    match webhook["failingSince"].as_str() {
        Some(since) => format!("{status}, failing since {}", since.split('T').next().unwrap_or_default()),
        None => status,
    }
}

/// The event types, and whether they are all that decides.
fn types_text(webhook: &Value) -> String {
    let types = webhook["on"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    match webhook["filters"].as_array().map_or(0, Vec::len) {
        0 => types,
        1 => format!("{types} (1 filter)"),
        count => format!("{types} ({count} filters)"),
    }
}

/// All of a webhook.
pub(super) fn show(webhook: &Value, json: bool, output: &mut Output) -> Result<(), CliError> {
    if json {
        return output.line(&webhook.to_string());
    }
    let mut table = Table::new(&[]);
    for (name, value) in webhook.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => table.whole_row([name.clone(), text.clone()]),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let row =
                    |(index, item): (usize, &Value)| table.whole_row([format!("{name}[{index}]"), item.to_string()]);
                items.iter().enumerate().for_each(row);
            }
            Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                table.whole_row([name.clone(), texts.collect::<Vec<_>>().join(",")]);
            }
            other => table.whole_row([name.clone(), other.to_string()]),
        }
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))
}

/// A listing, as JSON or as a table.
pub(super) fn list(webhooks: Vec<Value>, json: bool, output: &mut Output) -> Result<(), CliError> {
    if json {
        return output.line(&Value::from(webhooks).to_string());
    }
    if webhooks.is_empty() {
        output.note("there are no such webhooks; is it the right settings file, and the right folder?");
    }
    let mut table = Table::new(&HEADS);
    webhooks.iter().for_each(|webhook| table.row(cells_of(webhook)));
    table.lines().try_for_each(|line| output.line(&line))
}
