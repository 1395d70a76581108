//! Writing entries: one transaction for many, each idempotent.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter};

use super::bodies::{add_bytes, put_body};
use crate::model::{EventId, Outcome};
use crate::record::history::sink::Rows;
use crate::record::history::{Attempted, Entry};

/// A delivery comes further: by generation, attempts spent, whether it has ended, and how often it was parked since its last
/// attempt. What is as far is written again, since it is the same.
const PUT_DELIVERY: &str = "
    INSERT INTO deliveries (delivery_id, event_id, type, user_id, source, webhook, accepted_at, generation, attempts, parks,
        state, reason, changed_at, due_at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (delivery_id) DO UPDATE SET
        generation = excluded.generation, attempts = excluded.attempts, parks = excluded.parks, state = excluded.state,
        reason = excluded.reason, changed_at = excluded.changed_at, due_at = excluded.due_at,
        body = coalesce(body, excluded.body)
    WHERE (excluded.generation, excluded.attempts, excluded.state <> 'waiting', excluded.parks)
        >= (generation, attempts, state <> 'waiting', parks)
    RETURNING number
";

const NUMBER_OF: &str = "SELECT number FROM deliveries WHERE delivery_id = ?1";

const PUT_ATTEMPT: &str = "
    INSERT INTO attempts (delivery, generation, attempt, started_at, took_us, outcome, status, error, response, worker)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT DO NOTHING
";

/// Of a number that was tried twice, the try that delivered is kept.
const DELIVERED_AFTER_ALL: &str = "
    UPDATE attempts SET started_at = ?4, took_us = ?5, outcome = ?6, status = ?7, error = ?8, response = ?9, worker = ?10
    WHERE delivery = ?1 AND generation = ?2 AND attempt = ?3 AND outcome <> ?6
";

/// Writes `entries`, all or none, and tells how many rows there are then.
pub(super) fn write(connection: &mut Connection, entries: &[Entry], worker: &str) -> rusqlite::Result<Rows> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut newest: i64 =
        transaction.query_row("SELECT coalesce(max(number), 0) FROM deliveries", [], |row| row.get(0))?;
    let (mut added, mut body_bytes) = (Rows::default(), 0);
    // Of the event before: the deliveries of an event come one after the other.
    let mut body: Option<(&EventId, i64)> = None;
    for entry in entries {
        if let Some(kept) = &entry.body {
            let (number, bytes) = put_body(&transaction, entry, kept)?;
            (body, body_bytes) = (Some((&entry.event, number)), body_bytes + bytes);
        }
        let its_body = body.filter(|(event, _)| *event == &entry.event).map(|(_, number)| number);
        let number = put_delivery(&transaction, entry, its_body)?;
        // A new row's number is one more than the highest.
        if number > newest {
            newest = number;
            added.deliveries += 1;
        }
        if let Some(attempt) = &entry.attempt {
            added.attempts += put_attempt(&transaction, number, entry.generation, attempt, worker)?;
        }
    }
    if body_bytes > 0 {
        add_bytes(&transaction, body_bytes)?;
    }
    let sql = "UPDATE history_rows SET deliveries = deliveries + ?1, attempts = attempts + ?2
        RETURNING deliveries, attempts";
    let rows = transaction.query_row(sql, (added.deliveries, added.attempts), |row| {
        Ok(Rows { deliveries: row.get(0)?, attempts: row.get(1)? })
    })?;
    transaction.commit()?;
    Ok(rows)
}

/// Writes how far the delivery has come, unless it is known to have come further, and tells its number.
fn put_delivery(transaction: &Transaction<'_>, entry: &Entry, body: Option<i64>) -> rusqlite::Result<i64> {
    let values: [ToSqlOutput<'_>; 15] = [
        entry.id.as_str().into(),
        entry.event.as_str().into(),
        entry.kind.as_str().into(),
        entry.user.as_ref().map_or(ToSqlOutput::from(rusqlite::types::Null), |user| user.as_str().into()),
        entry.source.as_str().into(),
        entry.webhook.as_str().into(),
        entry.accepted_at.as_millis().into(),
        entry.generation.into(),
        entry.attempts.into(),
        entry.parks.into(),
        entry.state.as_str().into(),
        entry.reason.map_or(ToSqlOutput::from(rusqlite::types::Null), ToSqlOutput::from),
        entry.changed_at.as_millis().into(),
        entry.due.map_or(ToSqlOutput::from(rusqlite::types::Null), |due| due.as_millis().into()),
        body.map_or(ToSqlOutput::from(rusqlite::types::Null), ToSqlOutput::from),
    ];
    let mut put = transaction.prepare_cached(PUT_DELIVERY)?;
    match put.query_row(params_from_iter(values), |row| row.get(0)).optional()? {
        Some(number) => Ok(number),
        None => transaction.prepare_cached(NUMBER_OF)?.query_row([entry.id.as_str()], |row| row.get(0)),
    }
}

/// Writes the attempt unless it is there, and tells how many rows that adds.
fn put_attempt(
    transaction: &Transaction<'_>,
    delivery: i64,
    generation: u32,
    attempt: &Attempted,
    worker: &str,
) -> rusqlite::Result<u64> {
    let values = (
        delivery,
        generation,
        attempt.number,
        attempt.started_at.as_millis(),
        i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX),
        attempt.outcome.as_str(),
        attempt.status,
        attempt.error.as_str(),
        attempt.response.as_str(),
        worker,
    );
    let added = transaction.prepare_cached(PUT_ATTEMPT)?.execute(values)? as u64;
    if added == 0 && attempt.outcome == Outcome::Delivered {
        transaction.prepare_cached(DELIVERED_AFTER_ALL)?.execute(values)?;
    }
    Ok(added)
}
