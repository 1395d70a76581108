//! The tables of the queue file, and messages as rows.
//!
//! An event and a delivery have columns of their own, so that a person with the `sqlite3` shell can see what waits. Rows were
//! checked when they came in; a row that does not read back (an edited file) is reported and left alone.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::model::{DeathReason, Delivery, Event, Message, Target, Timestamp, TraceContext, WebhookId};
use crate::queue::{Death, Depths, Lane};
use crate::sqlite::columns::{
    EVENT_COLUMNS, event_values, failure_values, read_body, read_column, read_event, read_failure, read_moment,
    read_name, read_text,
};
use crate::sqlite::receipts::RECEIPTS_SCHEMA;

/// The schema, step by step; a step is never edited after a release.
pub(super) const SCHEMA: &[&str] = &[
    "
    CREATE TABLE work (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL, type TEXT NOT NULL, user_id TEXT, source TEXT NOT NULL, server TEXT,
        created_ms INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE delay (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL, type TEXT NOT NULL, user_id TEXT, source TEXT NOT NULL, server TEXT,
        created_ms INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, body BLOB NOT NULL,
        webhook TEXT NOT NULL, generation INTEGER NOT NULL, attempts INTEGER NOT NULL, parks INTEGER NOT NULL,
        since_ms INTEGER NOT NULL, last_outcome TEXT, last_status INTEGER, last_error TEXT,
        due_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX delay_due ON delay (due_ms, id);
    CREATE TABLE dead (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL, type TEXT NOT NULL, user_id TEXT, source TEXT NOT NULL, server TEXT,
        created_ms INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, body BLOB NOT NULL,
        webhook TEXT NOT NULL, generation INTEGER NOT NULL, attempts INTEGER NOT NULL, parks INTEGER NOT NULL,
        since_ms INTEGER NOT NULL, last_outcome TEXT, last_status INTEGER, last_error TEXT,
        reason TEXT NOT NULL, died_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE depth (lane TEXT PRIMARY KEY, messages INTEGER NOT NULL) STRICT;
    INSERT INTO depth VALUES ('work', 0), ('delay', 0), ('dead', 0);
    CREATE TABLE probe (filler BLOB NOT NULL) STRICT;
",
    RECEIPTS_SCHEMA,
    // Behind all other columns, whose places are known.
    "
    ALTER TABLE work ADD COLUMN trace TEXT;
    ALTER TABLE delay ADD COLUMN trace TEXT;
    ALTER TABLE dead ADD COLUMN trace TEXT;
",
];

const INSERT_WORK: &str = "INSERT INTO work (event_id, type, user_id, source, server, created_ms, accepted_ms, body,
    trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_DELAY: &str = "INSERT INTO delay (event_id, type, user_id, source, server, created_ms, accepted_ms, body,
    webhook, generation, attempts, parks, since_ms, last_outcome, last_status, last_error, due_ms,
    trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
const INSERT_DEAD: &str = "INSERT INTO dead (event_id, type, user_id, source, server, created_ms, accepted_ms, body,
    webhook, generation, attempts, parks, since_ms, last_outcome, last_status, last_error, reason, died_ms,
    trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

/// Where in a row the event, the delivery and the death begin: behind the row's number, and each behind the one before.
const EVENT: usize = 1;
const DELIVERY: usize = EVENT + EVENT_COLUMNS;
const DEATH: usize = DELIVERY + 8;

/// Where in a row of `lane` the trace is: behind all the rest.
const fn trace_place(lane: Lane) -> usize {
    match lane {
        Lane::Work => DELIVERY,
        Lane::Retry => DELIVERY + 9,
        Lane::Dead => DEATH + 2,
    }
}

/// What one message counts against a prefetch beside its body.
const BYTES_PER_MESSAGE: usize = 512;

/// A row as it comes out of the file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) bytes: usize,
    /// The message, or why it cannot be read.
    pub(super) message: Result<(Message, Option<Death>), String>,
}

pub(super) fn insert_work(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    connection
        .prepare_cached(INSERT_WORK)?
        .execute(params_from_iter(event_values(event).into_iter().chain([trace_value(event)])))?;
    Ok(())
}

pub(super) fn insert_delay(
    connection: &Connection,
    event: &Event,
    delivery: &Delivery,
    due: Timestamp,
) -> rusqlite::Result<()> {
    let values = event_values(event).into_iter().chain(delivery_values(delivery)).chain([due.as_millis().into()]);
    let values = values.chain([trace_value(event)]);
    connection.prepare_cached(INSERT_DELAY)?.execute(params_from_iter(values))?;
    Ok(())
}

pub(super) fn insert_dead(
    connection: &Connection,
    event: &Event,
    delivery: &Delivery,
    death: Death,
) -> rusqlite::Result<()> {
    let death = [death.reason.as_str().into(), death.at.as_millis().into()];
    let values =
        event_values(event).into_iter().chain(delivery_values(delivery)).chain(death).chain([trace_value(event)]);
    connection.prepare_cached(INSERT_DEAD)?.execute(params_from_iter(values))?;
    Ok(())
}

/// The column of an event's trace.
fn trace_value(event: &Event) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(event.trace.map_or(Value::Null, |trace| Value::Text(trace.to_string())))
}

/// A delivery's columns, which follow its event's.
fn delivery_values(delivery: &Delivery) -> impl Iterator<Item = ToSqlOutput<'_>> {
    let own = [
        delivery.webhook.as_str().into(),
        delivery.generation.into(),
        delivery.attempts.into(),
        delivery.parks.into(),
        delivery.since.as_millis().into(),
    ];
    own.into_iter().chain(failure_values(delivery.last.as_ref()))
}

/// Removes a settled message; `false` when it was not there.
pub(super) fn delete(connection: &Connection, lane: Lane, id: i64) -> rusqlite::Result<bool> {
    let sql = match lane {
        Lane::Work => "DELETE FROM work WHERE id = ?1",
        Lane::Retry => "DELETE FROM delay WHERE id = ?1",
        Lane::Dead => "DELETE FROM dead WHERE id = ?1",
    };
    Ok(connection.prepare_cached(sql)?.execute([id])? == 1)
}

/// Bytes of a probe: as much as many an event, for a disk that is nearly full still takes a few.
const PROBE_BYTES: u32 = 64 * 1024;

/// Leaves nothing but proof that the file can be written: what a probe writes, the next one removes.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM probe")?.execute([])?;
    connection.prepare_cached("INSERT INTO probe VALUES (zeroblob(?1))")?.execute([PROBE_BYTES])?;
    Ok(())
}

pub(super) fn add_depth(connection: &Connection, lane: Lane, change: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE depth SET messages = messages + ?2 WHERE lane = ?1")?
        .execute(params![lane.as_str(), change])?;
    Ok(())
}

/// Rows of `lane` with a number over `after`, in order, while there is room.
pub(super) fn read_after(connection: &Connection, lane: Lane, after: i64, room: Room) -> rusqlite::Result<Vec<Found>> {
    let sql = match lane {
        Lane::Work => "SELECT * FROM work WHERE id > ?1 ORDER BY id",
        Lane::Retry => "SELECT * FROM delay WHERE id > ?1 ORDER BY id",
        Lane::Dead => "SELECT * FROM dead WHERE id > ?1 ORDER BY id",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([after])?;
    let (mut found, mut room) = (Vec::new(), room);
    while room.is_left()
        && let Some(row) = rows.next()?
    {
        let row = read(lane, row)?;
        room.take(row.bytes);
        found.push(row);
    }
    Ok(found)
}

/// The row of `lane` with the number `id`, if it is still there.
pub(super) fn read_one(connection: &Connection, lane: Lane, id: i64) -> rusqlite::Result<Option<Found>> {
    let sql = match lane {
        Lane::Work => "SELECT * FROM work WHERE id = ?1",
        Lane::Retry => "SELECT * FROM delay WHERE id = ?1",
        Lane::Dead => "SELECT * FROM dead WHERE id = ?1",
    };
    connection.prepare_cached(sql)?.query_row([id], |row| read(lane, row)).optional()
}

/// The place of a delayed row in the order of due times.
pub(super) type DuePlace = (i64, i64);

/// Up to `count` places after `after`, due by `until` and wanted, in order.
pub(super) fn due_places(
    connection: &Connection,
    after: DuePlace,
    until: Timestamp,
    mut wanted: impl FnMut(i64) -> bool,
    count: usize,
) -> rusqlite::Result<Vec<DuePlace>> {
    let sql = "SELECT due_ms, id FROM delay WHERE (due_ms, id) > (?1, ?2) AND due_ms <= ?3 ORDER BY due_ms, id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![after.0, after.1, until.as_millis()])?;
    let mut places = Vec::new();
    while places.len() < count
        && let Some(row) = rows.next()?
    {
        let place = (row.get(0)?, row.get(1)?);
        if wanted(place.1) {
            places.push(place);
        }
    }
    Ok(places)
}

/// When the next delayed row after `now` is due.
pub(super) fn next_due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(due_ms) FROM delay WHERE due_ms > ?1")?
        .query_row([now.as_millis()], |row| row.get::<_, Option<i64>>(0))
        .map(|due| due.map(Timestamp::from_millis))
}

/// Changes when another connection has written to the file.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Bytes of the pages that hold something: free ones are used again, and do not count.
pub(super) fn bytes_in_use(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0));
    let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
    Ok(pages.saturating_mul(number("PRAGMA page_size")?))
}

pub(super) fn depths(connection: &Connection, now: Timestamp) -> rusqlite::Result<Depths> {
    let mut depths = Depths::default();
    let mut statement = connection.prepare_cached("SELECT lane, messages FROM depth")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let messages = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        match row.get_ref(0)?.as_str().unwrap_or("") {
            "work" => depths.work = messages,
            "delay" => depths.delay = messages,
            "dead" => depths.dead = messages,
            _ => {}
        }
    }
    let first = |sql: &str| -> rusqlite::Result<Option<i64>> {
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
    };
    let fresh = first("SELECT accepted_ms FROM work ORDER BY id LIMIT 1")?;
    let due = first("SELECT due_ms FROM delay ORDER BY due_ms, id LIMIT 1")?.filter(|due| *due <= now.as_millis());
    depths.oldest = fresh.into_iter().chain(due).min().map(Timestamp::from_millis);
    Ok(depths)
}

/// What a read may still bring in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Room {
    pub(super) fn is_left(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn read(lane: Lane, row: &Row<'_>) -> rusqlite::Result<Found> {
    let id = row.get("id")?;
    let body_bytes = row.get_ref(EVENT + EVENT_COLUMNS - 1)?.as_blob().map_or(0, <[u8]>::len);
    Ok(Found { id, bytes: body_bytes + BYTES_PER_MESSAGE, message: read_message(lane, row) })
}

fn read_message(lane: Lane, row: &Row<'_>) -> Result<(Message, Option<Death>), String> {
    let mut event = read_event(row, EVENT, read_body)?;
    // What cannot be read there is no context: an event does not wait for it.
    event.trace = row.get_ref(trace_place(lane)).ok().and_then(|trace| TraceContext::parse(trace.as_str().ok()?));
    let target = match lane {
        Lane::Work => Target::Subscribers,
        Lane::Retry | Lane::Dead => Target::One(read_delivery(row)?),
    };
    let death = match lane {
        Lane::Work | Lane::Retry => None,
        Lane::Dead => {
            Some(Death { reason: read_name(row, DEATH, DeathReason::from_name)?, at: read_moment(row, DEATH + 1)? })
        }
    };
    Ok((Message { event: Arc::new(event), target }, death))
}

fn read_delivery(row: &Row<'_>) -> Result<Delivery, String> {
    Ok(Delivery {
        webhook: read_text(row, DELIVERY, WebhookId::new)?,
        generation: read_column(row, DELIVERY + 1)?,
        attempts: read_column(row, DELIVERY + 2)?,
        parks: read_column(row, DELIVERY + 3)?,
        since: read_moment(row, DELIVERY + 4)?,
        last: read_failure(row, DELIVERY + 5)?,
    })
}
