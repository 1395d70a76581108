//! Bodies of events, in a table of their own: what a delivery can be sent again with.
//!
//! A body is written with the first entry that has it, and the deliveries of that event name its row. Rows are added at the end and
//! removed from the front, so that none costs a search; a delivery whose body is gone names a row that is none, or another
//! event's, which tells itself by the event's id.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::place::places_of;
use crate::model::{Body, Event, Timestamp};
use crate::record::history::sink::STEP_ROWS;
use crate::record::history::{Entry, KeptBody, KeptDelivery};
use crate::sqlite::columns::{read_column, read_moment};

/// The step of the schema. `body` of a delivery is the number of a row here.
pub(super) const STEP: &str = "
    ALTER TABLE deliveries ADD COLUMN body INTEGER;
    CREATE TABLE bodies (
        number INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL,
        user_id TEXT,
        source TEXT NOT NULL,
        server TEXT,
        created_at INTEGER NOT NULL,
        kept_at INTEGER NOT NULL,
        body BLOB NOT NULL -- last, so that the other columns are read without walking over it
    ) STRICT;
    ALTER TABLE history_rows ADD COLUMN body_bytes INTEGER NOT NULL DEFAULT 0;
";

/// What a row takes beside its body, about.
pub(super) const ROW_BYTES: u64 = 150;

/// An event's body that any of its deliveries names. All of an event were taken in at once, so their rows lie together.
const OF_EVENT: &str = "SELECT b.server, b.created_at, b.body FROM deliveries d JOIN bodies b ON b.number = d.body
    WHERE d.number BETWEEN ?1 AND ?2 AND d.event_id = ?3 AND b.event_id = d.event_id LIMIT 1";

/// Whether the body of the entry's event is there already; asked only for what was noted before.
pub(super) fn has_body(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<bool> {
    let (first, last) = places_of(entry.accepted_at);
    transaction.prepare_cached(OF_EVENT)?.exists((first, last, entry.names.event()))
}

/// Writes the entry's body, and tells its number and the bytes that it takes.
pub(super) fn put_body(transaction: &Transaction<'_>, entry: &Entry, body: &KeptBody) -> rusqlite::Result<(i64, u64)> {
    let sql = "INSERT INTO bodies (event_id, user_id, source, server, created_at, kept_at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    transaction.prepare_cached(sql)?.execute(params![
        entry.names.event(),
        entry.names.user(),
        entry.names.source(),
        body.server,
        body.created_at.as_millis(),
        entry.changed_at.as_millis(),
        body.bytes,
    ])?;
    Ok((transaction.last_insert_rowid(), body.bytes.len() as u64 + ROW_BYTES))
}

/// Adds to the bytes that bodies take.
pub(super) fn add_bytes(transaction: &Transaction<'_>, bytes: u64) -> rusqlite::Result<()> {
    transaction.prepare_cached("UPDATE history_rows SET body_bytes = body_bytes + ?1")?.execute([bytes])?;
    Ok(())
}

/// Subtracts from them.
pub(super) fn subtract_bytes(transaction: &Transaction<'_>, bytes: u64) -> rusqlite::Result<()> {
    if bytes > 0 {
        let sql = "UPDATE history_rows SET body_bytes = max(body_bytes - ?1, 0)";
        transaction.prepare_cached(sql)?.execute([bytes])?;
    }
    Ok(())
}

/// A delivery that named a body is gone: another of its event has it from now on, or it goes too. Tells how many bytes that took.
pub(super) fn leave(
    transaction: &Transaction<'_>,
    body: i64,
    event: &str,
    accepted_at: Timestamp,
) -> rusqlite::Result<u64> {
    let others = "SELECT number, body FROM deliveries WHERE number BETWEEN ?1 AND ?2 AND event_id = ?3 LIMIT 1";
    let (first, last) = places_of(accepted_at);
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
    let heir = transaction.prepare_cached(others)?.query_row((first, last, event), read).optional()?;
    let Some((heir, named)) = heir else {
        let sql = "DELETE FROM bodies WHERE number = ?1 AND event_id = ?2 RETURNING length(body)";
        let bytes = transaction.prepare_cached(sql)?.query_row((body, event), |row| row.get::<_, u64>(0)).optional()?;
        return Ok(bytes.map_or(0, |bytes| bytes + ROW_BYTES));
    };
    if named.is_none() {
        transaction.prepare_cached("UPDATE deliveries SET body = ?2 WHERE number = ?1")?.execute([heir, body])?;
    }
    Ok(0)
}

/// Removes of the oldest bodies at most [`STEP_ROWS`]: those from before `oldest`, and while all take more than `bytes_max`.
/// Tells how many.
pub(super) fn prune_step(connection: &mut Connection, oldest: Timestamp, bytes_max: u64) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut held: u64 = transaction.query_row("SELECT max(body_bytes, 0) FROM history_rows", [], |row| row.get(0))?;
    let sql = "SELECT number, kept_at, length(body) FROM bodies ORDER BY number LIMIT ?1";
    let (mut gone, mut last) = (0, None);
    let mut oldest_first = transaction.prepare_cached(sql)?;
    let mut rows = oldest_first.query([STEP_ROWS])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= oldest.as_millis() && held <= bytes_max {
            break;
        }
        held = held.saturating_sub(row.get::<_, u64>(2)? + ROW_BYTES);
        (gone, last) = (gone + 1, Some(row.get::<_, i64>(0)?));
    }
    drop(rows);
    drop(oldest_first);
    if let Some(last) = last {
        transaction.prepare_cached("DELETE FROM bodies WHERE number <= ?1")?.execute([last])?;
        transaction.execute("UPDATE history_rows SET body_bytes = ?1", [held])?;
    }
    transaction.commit()?;
    Ok(gone)
}

/// The event of the delivery in the row of that number, with its body if that is still there.
pub(super) fn event_of(connection: &Connection, number: i64, kept: &KeptDelivery) -> Result<Option<Event>, String> {
    let sql = "SELECT b.server, b.created_at, b.body FROM deliveries d JOIN bodies b ON b.number = d.body
        WHERE d.number = ?1 AND b.event_id = d.event_id";
    // Others of its event may name it where this does not, since they were written apart.
    let (first, last) = places_of(kept.accepted_at);
    let read = |row: &Row<'_>| Ok(read_event(row, kept));
    let found = || -> rusqlite::Result<Option<Result<Event, String>>> {
        match connection.prepare_cached(sql)?.query_row([number], read).optional()? {
            Some(found) => Ok(Some(found)),
            None => connection.prepare_cached(OF_EVENT)?.query_row((first, last, kept.event.as_str()), read).optional(),
        }
    };
    found().map_err(|error| format!("its body: {error}"))?.transpose()
}

fn read_event(row: &Row<'_>, kept: &KeptDelivery) -> Result<Event, String> {
    Ok(Event {
        id: kept.event.clone(),
        kind: kept.kind.clone(),
        user: kept.user.clone(),
        source: kept.source.clone(),
        server: read_column(row, 0)?,
        created_at: read_moment(row, 1)?,
        accepted_at: kept.accepted_at,
        trace: None,
        body: Body::from_checked(Bytes::from(read_column::<Vec<u8>>(row, 2)?)),
    })
}
