//! Dead letters to look at: a listing, and one with its event, its attempts, and who put it back to work before. From what the
//! operators' API tells of them too, so that a listing is the same wherever it comes from.

use serde_json::{Value, json};

use crate::cli::deliveries::{attempts_in_words, attempts_of, replays_in_words, text};
use crate::cli::listing::{self, Look, Rows};
use crate::cli::{CliError, Output, Table};
use crate::model::DeliveryId;
use crate::record::{DeadLetters, Filter, HistoryReader, KeptAttempt, Replayed, Summary};

const LOOK: Look<Value> = Look {
    heads: &["DIED", "DELIVERY", "GEN", "WEBHOOK", "TYPE", "REASON", "ATTEMPTS", "LAST ERROR"],
    cells: |letter| {
        ["diedAt", "id", "generation", "webhookId", "type", "reason", "attempts", "lastError"]
            .map(|name| text(letter, name))
            .to_vec()
    },
    json: Value::clone,
};

pub(super) async fn list(
    letters: &DeadLetters,
    filter: &Filter,
    limit: u64,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let page = async |limit, after| {
        let page = letters.list(filter, limit, after).await?;
        let rows = page.letters.iter().map(|letter: &Summary| json!(letter.to_shape())).collect();
        Ok(Rows { rows, next: page.next, problems: page.problems })
    };
    list_pages(limit, json, output, page).await
}

/// Lists letters that come by pages.
pub(in crate::cli) async fn list_pages<C>(
    limit: u64,
    json: bool,
    output: &mut Output,
    page: impl AsyncFnMut(u32, Option<C>) -> Result<Rows<Value, C>, CliError>,
) -> Result<(), CliError> {
    if listing::list(&LOOK, limit, json, output, page).await? && !json {
        output.note(&format!("the newest {limit} of more; --limit shows more, --until earlier ones"));
    }
    Ok(())
}

pub(super) async fn show(
    letters: &DeadLetters,
    history: &HistoryReader,
    id: &DeliveryId,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let Some(letter) = letters.show(id).await? else {
        return Err(CliError::NotFound(format!(
            "no dead letter has the delivery id {id}; `hikyaku dead list` shows them"
        )));
    };
    let replays: Vec<_> = letters.replays(id).await?.iter().map(|replay: &Replayed| json!(replay.to_shape())).collect();
    let attempts: Vec<Value> = attempts_of(history, id).await.iter().map(KeptAttempt::to_json).collect();
    if json {
        let last_response = attempts.last().map(|attempt| attempt["response"].clone());
        let rest = json!({ "attempts": attempts, "lastResponse": last_response, "replays": replays }).to_string();
        // The letter goes in as text, with its body as it came.
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        return output.line(&format!("{{\"deadLetter\":{},{rest}", letter.to_json()));
    }
    tell(&json!(letter.to_shape()), &letter.body_json(), &attempts, &replays, output)
}

/// Tells a letter in words: its fields, what became of it, and its event's body as it came.
pub(in crate::cli) fn tell(
    letter: &Value,
    body: &str,
    attempts: &[Value],
    replays: &[Value],
    output: &mut Output,
) -> Result<(), CliError> {
    let mut table = Table::new(&[]);
    for (name, value) in letter.as_object().into_iter().flatten() {
        table.row([name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    replays_in_words(replays, output)?;
    attempts_in_words(attempts, output)?;
    output.line("\nbody")?;
    output.line(body)
}
