//! Dead letters to look at: a listing, and one with its event, its attempts, and who put it back to work before.

use serde_json::{Value, json};

use crate::cli::deliveries::{attempts_in_words, attempts_of, replays_in_words};
use crate::cli::listing::{self, Look, Rows};
use crate::cli::{CliError, Output, Table};
use crate::model::DeliveryId;
use crate::record::{DeadLetters, Filter, HistoryReader, KeptAttempt, Replayed, Summary};

pub(super) const LOOK: Look<Summary> = Look {
    heads: &["DIED", "DELIVERY", "GEN", "WEBHOOK", "TYPE", "REASON", "ATTEMPTS", "LAST ERROR"],
    cells: |Summary { id, event, delivery, reason, died_at }| {
        vec![
            died_at.to_rfc3339(),
            id.to_string(),
            delivery.generation.to_string(),
            delivery.webhook.to_string(),
            event.kind.to_string(),
            reason.to_string(),
            delivery.attempts.to_string(),
            delivery.last.as_ref().map(|last| last.error.clone()).unwrap_or_default(),
        ]
    },
    json: |letter| json!(letter.to_shape()),
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
        Ok(Rows { rows: page.letters, next: page.next, problems: page.problems })
    };
    let is_more = listing::list(&LOOK, limit, json, output, page).await?;
    if is_more && !json {
        let all = letters.count(filter).await?;
        output.note(&format!("the newest {limit} of {all}; --limit shows more"));
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
    let replays = letters.replays(id).await?;
    let attempts = attempts_of(history, id).await;
    if json {
        let attempts: Vec<Value> = attempts.iter().map(KeptAttempt::to_json).collect();
        let last_response = attempts.last().map(|attempt| attempt["response"].clone());
        let replays: Vec<_> = replays.iter().map(Replayed::to_shape).collect();
        let rest = json!({ "attempts": attempts, "lastResponse": last_response, "replays": replays }).to_string();
        // The letter goes in as text, with its body as it came.
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        return output.line(&format!("{{\"deadLetter\":{},{rest}", letter.to_json()));
    }
    let mut table = Table::new(&[]);
    if let Value::Object(fields) = json!(letter.to_shape()) {
        for (name, value) in fields {
            table.row([name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    replays_in_words(&replays, output)?;
    attempts_in_words(&attempts, output)?;
    output.line("\nbody")?;
    output.line(&letter.body_json())
}
