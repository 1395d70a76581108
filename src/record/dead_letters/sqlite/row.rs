//! A dead letter as a row, written and read back. Nobody downstream checks what is read, so it is checked here; what does
//! not hold is told in words, and costs that letter only.

use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Row, Transaction, params_from_iter};

use crate::model::{DeathReason, Delivery, DeliveryId, Timestamp, WebhookId};
use crate::record::dead_letters::{BodySize, Cursor, DeadLetter, Summary};
use crate::sqlite::columns::{
    EVENT_COLUMNS, event_values, failure_values, read_body, read_column, read_event, read_failure, read_moment,
    read_name, read_text,
};

/// The columns of a [`Summary`].
pub(super) const SUMMARY_COLUMNS: &str = "event_id, type, user_id, source, server, created_at, accepted_at, \
    length(body) AS body_bytes, delivery_id, generation, webhook, reason, died_at, attempts, since, \
    last_outcome, last_status, last_error";

/// The columns of a [`DeadLetter`], and how many bytes its body has.
pub(super) const LETTER_COLUMNS: &str = "event_id, type, user_id, source, server, created_at, accepted_at, \
    body, delivery_id, generation, webhook, reason, died_at, attempts, since, \
    last_outcome, last_status, last_error, length(body) AS body_bytes";

/// Where in such a row what follows the event begins.
const REST: usize = EVENT_COLUMNS;

/// Adds a letter, unless its delivery and generation are there.
pub(super) fn insert(transaction: &Transaction<'_>, letter: &DeadLetter) -> rusqlite::Result<usize> {
    let sql = "INSERT OR IGNORE INTO dead_letters (event_id, type, user_id, source, server, created_at, accepted_at, body, \
        delivery_id, generation, webhook, reason, died_at, attempts, since, last_outcome, last_status, last_error) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let delivery = &letter.delivery;
    let rest: [ToSqlOutput<'_>; 7] = [
        letter.id.as_str().into(),
        delivery.generation.into(),
        delivery.webhook.as_str().into(),
        letter.reason.as_str().into(),
        letter.died_at.as_millis().into(),
        delivery.attempts.into(),
        delivery.since.as_millis().into(),
    ];
    let values = event_values(&letter.event).into_iter().chain(rest).chain(failure_values(delivery.last.as_ref()));
    transaction.prepare_cached(sql)?.execute(params_from_iter(values))
}

/// Where a row stands in the listing.
pub(super) fn cursor(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    Ok(Cursor { died_at: Timestamp::from_millis(row.get("died_at")?), id: row.get("delivery_id")? })
}

/// Reads a row of [`SUMMARY_COLUMNS`].
pub(super) fn read_summary(row: &Row<'_>) -> Result<Summary, String> {
    read(row, |row, column| read_column(row, column).map(BodySize))
}

/// Reads a row of [`LETTER_COLUMNS`].
pub(super) fn read_letter(row: &Row<'_>) -> Result<DeadLetter, String> {
    read(row, read_body)
}

fn read<B>(row: &Row<'_>, body: impl FnOnce(&Row<'_>, usize) -> Result<B, String>) -> Result<DeadLetter<B>, String> {
    let event = read_event(row, 0, body)?;
    let webhook = read_text(row, REST + 2, WebhookId::new)?;
    let id = DeliveryId::of(&event.id, &webhook);
    if id.as_str() != read_column::<String>(row, REST)? {
        return Err(format!("delivery_id: of its event_id and webhook it would be {id}"));
    }
    Ok(DeadLetter {
        id,
        event: Arc::new(event),
        delivery: Delivery {
            webhook,
            generation: read_column(row, REST + 1)?,
            attempts: read_column(row, REST + 5)?,
            parks: 0,
            since: read_moment(row, REST + 6)?,
            last: read_failure(row, REST + 7)?,
        },
        reason: read_name(row, REST + 3, DeathReason::from_name)?,
        died_at: read_moment(row, REST + 4)?,
    })
}
