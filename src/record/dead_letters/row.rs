//! A dead letter as a row, written and read back. Nobody downstream checks what is read, so it is checked here; what does
//! not hold is told in words, and costs that letter only.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::FromSql;
use rusqlite::{Row, Transaction};

use super::{Cursor, DeadLetter, Summary};
use crate::model::{
    Body, DeathReason, Delivery, DeliveryId, Event, EventId, EventType, IdError, LastFailure, Outcome, Source,
    Timestamp, UserId, WebhookId,
};

/// The columns of a [`Summary`].
pub(super) const SUMMARY_COLUMNS: &str = "delivery_id, generation, webhook, reason, died_at, event_id, type, user_id, \
    source, server, created_at, accepted_at, attempts, last_outcome, last_status, last_error, since, \
    length(body) AS body_bytes";

/// Adds a letter, unless its delivery and generation are there.
pub(super) fn insert(transaction: &Transaction<'_>, letter: &DeadLetter) -> rusqlite::Result<usize> {
    let sql = "INSERT OR IGNORE INTO dead_letters (delivery_id, generation, webhook, reason, died_at, event_id, type, \
        user_id, source, server, created_at, accepted_at, body, attempts, last_outcome, last_status, last_error, since) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let (event, delivery) = (&letter.event, &letter.delivery);
    let last = delivery.last.as_ref();
    transaction.prepare_cached(sql)?.execute(rusqlite::params![
        letter.id.as_str(),
        delivery.generation,
        delivery.webhook.as_str(),
        letter.reason.as_str(),
        letter.died_at.as_millis(),
        event.id.as_str(),
        event.kind.as_str(),
        event.user.as_ref().map(UserId::as_str),
        event.source.as_str(),
        event.server,
        event.created_at.as_millis(),
        event.accepted_at.as_millis(),
        &event.body.bytes()[..],
        delivery.attempts,
        last.map(|last| last.outcome.as_str()),
        last.and_then(|last| last.status),
        last.map(|last| &last.error),
        delivery.since.as_millis(),
    ])
}

/// Where a row stands in the listing.
pub(super) fn cursor(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    Ok(Cursor { died_at: Timestamp::from_millis(row.get("died_at")?), id: row.get("delivery_id")? })
}

/// Reads a row of [`SUMMARY_COLUMNS`].
pub(super) fn read_summary(row: &Row<'_>) -> Result<Summary, String> {
    let event_id = text(row, "event_id", EventId::new)?;
    let webhook = text(row, "webhook", WebhookId::new)?;
    let id = DeliveryId::of(&event_id, &webhook);
    if id.as_str() != column::<String>(row, "delivery_id")? {
        return Err(format!("delivery_id: of its event_id and webhook it would be {id}"));
    }
    let user: Option<String> = column(row, "user_id")?;
    Ok(Summary {
        id,
        webhook,
        generation: column(row, "generation")?,
        attempts: column(row, "attempts")?,
        since: moment(row, "since")?,
        last: read_last(row)?,
        reason: name(row, "reason", DeathReason::from_name)?,
        died_at: moment(row, "died_at")?,
        event_id,
        kind: text(row, "type", EventType::new)?,
        user: user.map(|user| UserId::new(&user)).transpose().map_err(|error| format!("user_id: {error}"))?,
        source: text(row, "source", Source::new)?,
        server: column(row, "server")?,
        created_at: moment(row, "created_at")?,
        accepted_at: moment(row, "accepted_at")?,
        body_bytes: column(row, "body_bytes")?,
    })
}

/// Reads a row of [`SUMMARY_COLUMNS`] and `body`.
pub(super) fn read_letter(row: &Row<'_>) -> Result<DeadLetter, String> {
    let summary = read_summary(row)?;
    let body: Vec<u8> = column(row, "body")?;
    Ok(DeadLetter {
        id: summary.id,
        event: Arc::new(Event {
            id: summary.event_id,
            kind: summary.kind,
            user: summary.user,
            source: summary.source,
            server: summary.server,
            created_at: summary.created_at,
            accepted_at: summary.accepted_at,
            body: Body::from_checked(Bytes::from(body)),
        }),
        delivery: Delivery {
            webhook: summary.webhook,
            generation: summary.generation,
            attempts: summary.attempts,
            parks: 0,
            since: summary.since,
            last: summary.last,
        },
        reason: summary.reason,
        died_at: summary.died_at,
    })
}

fn read_last(row: &Row<'_>) -> Result<Option<LastFailure>, String> {
    if column::<Option<String>>(row, "last_outcome")?.is_none() {
        return Ok(None);
    }
    let error: Option<String> = column(row, "last_error")?;
    let outcome = name(row, "last_outcome", Outcome::from_name)?;
    Ok(Some(LastFailure::new(outcome, column(row, "last_status")?, &error.unwrap_or_default())))
}

fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, String> {
    row.get(name).map_err(|error| format!("{name}: {error}"))
}

fn moment(row: &Row<'_>, name: &str) -> Result<Timestamp, String> {
    column(row, name).map(Timestamp::from_millis)
}

fn text<T>(row: &Row<'_>, name: &str, make: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    make(&column::<String>(row, name)?).map_err(|error| format!("{name}: {error}"))
}

fn name<T>(row: &Row<'_>, column_name: &str, find: fn(&str) -> Option<T>) -> Result<T, String> {
    let text: String = column(row, column_name)?;
    find(&text).ok_or_else(|| format!("{column_name}: {text:?} is unknown here; a newer hikyaku may have written it"))
}
