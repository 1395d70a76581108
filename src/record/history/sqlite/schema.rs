//! The history's tables in its file.
//!
//! What is noted for a delivery costs as little as can be, since it is noted for each: a row, in the order of time, with the latest
//! attempt in it, and hardly anything beside it.
//! - A delivery's number is its place ([`super::place`]): the moment at which its event was taken in, then some bits of its id. So
//!   rows lie in the order of listings, every index has that order too, as all of SQLite's end in the row's number, and who
//!   knows a delivery finds its row without an index.
//! - Where deliveries to a webhook, and events of a type, lie is marked for each slot of some milliseconds ([`super::marks`]).
//! - In which rows ids are is packed, some thousand at a time ([`super::packs`]).
//! - Indexed are only those that are few: what is not delivered, by its state, and what changed long after its event was taken in, by
//!   when ([`super::retention`]).
//! - `attempts` are all attempts; those before the latest have a table of their own.
//! - `history_rows` counts, so that nobody has to.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::bodies;
use crate::sqlite::{self, SqliteError};

/// The name of the part.
pub(super) const PART: &str = "history";

/// Rows with their bodies have a kilobyte or more, and are written one behind the other: on larger pages less is left empty, and
/// writing takes a fifth less of the processor. A file of before keeps its pages of 4 KiB.
const PAGE_BYTES: u32 = 16_384;

/// Bytes of the log, about, after which it is copied into the file. Whoever syncs something on that disk waits for it, so this is
/// little at a time.
const LOG_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// How long a statement waits for another's lock. Less than for other files: what waits is in memory.
const BUSY_MAX: Duration = Duration::from_secs(1);

pub(in crate::record::history) const STEPS: &[&str] = &[FIRST_STEP, bodies::STEP, BY_PLACE_STEP, SPARSE_STEP];

const FIRST_STEP: &str = "
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY,
        delivery_id TEXT NOT NULL UNIQUE,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        user_id TEXT,
        source TEXT NOT NULL,
        webhook TEXT NOT NULL,
        accepted_at INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        parks INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        changed_at INTEGER NOT NULL,
        due_at INTEGER
    ) STRICT;
    CREATE INDEX deliveries_by_time ON deliveries (accepted_at);
    CREATE INDEX deliveries_by_event ON deliveries (event_id, accepted_at);
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook, accepted_at);
    CREATE INDEX deliveries_by_type ON deliveries (type, accepted_at);
    CREATE INDEX deliveries_by_state ON deliveries (state, accepted_at);
    CREATE INDEX deliveries_by_change ON deliveries (changed_at);
    CREATE TABLE attempts (
        delivery INTEGER NOT NULL, -- the number of its row in deliveries
        generation INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        took_us INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        status INTEGER,
        error TEXT NOT NULL,
        response TEXT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (delivery, generation, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE history_rows (one INTEGER PRIMARY KEY CHECK (one = 1), deliveries INTEGER NOT NULL, attempts INTEGER NOT NULL)
        STRICT;
    INSERT INTO history_rows VALUES (1, 0, 0);
";

/// Deliveries by their place, with their latest attempt. The bits of an id are those of [`super::place`]; of two deliveries at one
/// place the later one takes the next.
const BY_PLACE_STEP: &str = "
    CREATE TABLE placed (
        number INTEGER PRIMARY KEY,
        delivery_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        user_id TEXT,
        source TEXT NOT NULL,
        webhook TEXT NOT NULL,
        accepted_at INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        parks INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        changed_at INTEGER NOT NULL,
        due_at INTEGER,
        body INTEGER,
        block INTEGER NOT NULL,
        last_generation INTEGER, -- of the latest attempt; null: none was made
        last_attempt INTEGER,
        started_at INTEGER,
        took_us INTEGER,
        outcome TEXT,
        status INTEGER,
        error TEXT,
        response TEXT,
        worker TEXT
    ) STRICT;
    WITH bits (letters) AS (VALUES ('abcdefghijklmnopqrstuvwxyz234567')),
    wanted AS (
        SELECT *, (min(max(accepted_at, 0), (1 << 43) - 1) << 20) + ((instr(letters, substr(delivery_id, 5, 1)) - 1) << 15)
            + ((instr(letters, substr(delivery_id, 6, 1)) - 1) << 10) + ((instr(letters, substr(delivery_id, 7, 1)) - 1) << 5)
            + instr(letters, substr(delivery_id, 8, 1)) - 1 AS place
        FROM deliveries, bits
    )
    INSERT OR IGNORE INTO placed
    SELECT place + row_number() OVER (PARTITION BY place ORDER BY d.number) - 1, d.delivery_id, d.event_id, d.type, d.user_id,
        d.source, d.webhook, d.accepted_at, d.generation, d.attempts, d.parks, d.state, d.reason, d.changed_at, d.due_at, d.body,
        d.number / 8192, a.generation, a.attempt, a.started_at, a.took_us, a.outcome, a.status, a.error, a.response, a.worker
    FROM wanted d LEFT JOIN attempts a ON a.delivery = d.number AND (a.generation, a.attempt)
        = (SELECT generation, attempt FROM attempts WHERE delivery = d.number ORDER BY generation DESC, attempt DESC LIMIT 1);
    CREATE TABLE earlier_attempts (
        delivery INTEGER NOT NULL, -- the number of its row in deliveries
        generation INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        took_us INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        status INTEGER,
        error TEXT NOT NULL,
        response TEXT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (delivery, generation, attempt)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO earlier_attempts
    SELECT p.number, a.generation, a.attempt, a.started_at, a.took_us, a.outcome, a.status, a.error, a.response, a.worker
    FROM attempts a JOIN deliveries d ON d.number = a.delivery JOIN placed p ON p.delivery_id = d.delivery_id
    WHERE (a.generation, a.attempt) <> (p.last_generation, p.last_attempt);
    DROP TABLE attempts;
    DROP TABLE deliveries;
    ALTER TABLE placed RENAME TO deliveries;
    CREATE INDEX deliveries_by_id ON deliveries (block, delivery_id);
    CREATE INDEX deliveries_by_event ON deliveries (block, event_id);
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook);
    CREATE INDEX deliveries_by_type ON deliveries (type);
    CREATE INDEX deliveries_by_state ON deliveries (state) WHERE state <> 'delivered';
    CREATE INDEX deliveries_by_change ON deliveries (changed_at);
    CREATE VIEW attempts AS
        SELECT number AS delivery, last_generation AS generation, last_attempt AS attempt, started_at, took_us, outcome, status, error,
            response, worker FROM deliveries WHERE last_attempt IS NOT NULL
        UNION ALL SELECT delivery, generation, attempt, started_at, took_us, outcome, status, error, response, worker
        FROM earlier_attempts;
    ALTER TABLE history_rows ADD COLUMN ever INTEGER NOT NULL DEFAULT 0; -- deliveries that were ever added
    UPDATE history_rows SET ever = (SELECT coalesce(max(block) + 1, 0) FROM deliveries) * 8192,
        deliveries = (SELECT count(*) FROM deliveries), attempts = (SELECT count(*) FROM attempts);
";

/// Marks and packs in place of indexes that have an entry for each row. The numbers are those of [`super::marks`] and
/// [`super::retention`]. Rows that are there wait to be packed by whoever writes.
const SPARSE_STEP: &str = "
    CREATE TABLE webhook_marks (
        marked TEXT NOT NULL, -- a webhook
        slot INTEGER NOT NULL, -- the number of a delivery to it, without its last 22 bits
        PRIMARY KEY (marked, slot)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO webhook_marks SELECT DISTINCT webhook, number >> 22 FROM deliveries ORDER BY 1, 2;
    CREATE TABLE type_marks (marked TEXT NOT NULL, slot INTEGER NOT NULL, PRIMARY KEY (marked, slot)) STRICT, WITHOUT ROWID;
    INSERT INTO type_marks SELECT DISTINCT type, number >> 22 FROM deliveries ORDER BY 1, 2;
    CREATE TABLE id_packs (
        number INTEGER PRIMARY KEY,
        entries BLOB NOT NULL -- of deliveries, in order: 4 bytes FNV-1a of the id, 8 bytes number
    ) STRICT;
    CREATE TABLE event_packs (number INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT; -- the same of events' ids
    CREATE TABLE unpacked (number INTEGER PRIMARY KEY) STRICT; -- of deliveries that are in no pack yet
    INSERT INTO unpacked SELECT number FROM deliveries;
    DROP INDEX deliveries_by_id;
    DROP INDEX deliveries_by_event;
    DROP INDEX deliveries_by_webhook;
    DROP INDEX deliveries_by_type;
    DROP INDEX deliveries_by_change;
    CREATE INDEX deliveries_changed_late ON deliveries (changed_at) WHERE changed_at > accepted_at + 60000;
    ALTER TABLE deliveries DROP COLUMN block;
    ALTER TABLE history_rows DROP COLUMN ever;
";

/// Opens the file to write, making it and the tables where they are absent.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, SqliteError> {
    let mut connection = sqlite::open_with_pages(path, PAGE_BYTES)?;
    let settle = |connection: &Connection| {
        connection.busy_timeout(BUSY_MAX)?;
        // No fsync for each transaction: the machine's crash may cost the latest seconds, never the file's soundness.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_BYTES_MAX / page_bytes)?;
        connection.pragma_update(None, "cache_size", -8192)
    };
    settle(&connection).map_err(|error| SqliteError::new(path, error))?;
    sqlite::migrate(&mut connection, path, PART, STEPS)?;
    Ok(connection)
}

/// Opens the file to read; nothing when nobody has written a history there.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, SqliteError> {
    // Opening would make it.
    if !path.exists() {
        return Ok(None);
    }
    let connection = sqlite::open(path)?;
    let failed = |error| SqliteError::new(path, error);
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    match sqlite::version_of(&connection, PART).map_err(failed)? {
        found if found > STEPS.len() => {
            Err(SqliteError::Newer { path: path.to_owned(), part: PART, found, known: STEPS.len() })
        }
        0 => Ok(None),
        found if found < STEPS.len() => {
            Err(SqliteError::Older { path: path.to_owned(), part: PART, found, known: STEPS.len() })
        }
        _ => Ok(Some(connection)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_large_pages_and_a_small_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = open_to_write(&folder.path().join("history.db")).expect("made");
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).expect("a number");
        assert_eq!((pragma("page_size"), pragma("wal_autocheckpoint")), (16_384, 256));
    }

    #[test]
    fn what_was_written_before_deliveries_had_their_place_is_kept() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS[..2].iter().for_each(|step| connection.execute_batch(step).expect("older schema"));
        connection
            .execute_batch(
                "CREATE TEMP TABLE n AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 8) SELECT n FROM n;
                 INSERT INTO deliveries
                 SELECT n, 'msg_' || substr('abcdefgh7777', 1 + 4 * ((n - 1) % 3), 4) || printf('%028d', n), 'e1', 'note', 'u1',
                     'default', 'wh1', 1000 + n / 5, 0, 2, 0, 'delivered', NULL, 9, NULL, NULL FROM n;
                 INSERT INTO attempts SELECT n.n, 0, a.n, 5, 6, 'server_error', 500 + a.n, '', '', 'here/1'
                 FROM n JOIN n a ON a.n <= 2 WHERE n.n <> 3;
                 UPDATE history_rows SET deliveries = 8, attempts = 14;",
            )
            .expect("written");

        connection.execute_batch(BY_PLACE_STEP).expect("migrated");

        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).expect("asked");
            statement.query_map([], |row| row.get(0)).expect("asked").map(|row| row.expect("a row")).collect()
        };
        let rows = texts(
            "SELECT (number >> 20) || ' ' || (number & 0xfffff) || ' ' || coalesce(last_attempt || ' ' || status, 'none')
             FROM deliveries ORDER BY number",
        );
        // In base32 abcd is 0, 1, 2, 3, so 1 << 10 | 2 << 5 | 3. The fourth wants the place of the first, the eighth that of the fifth.
        let expected = [
            "1000 1091 2 502",
            "1000 1092 2 502",
            "1000 136391 2 502",
            "1000 1048575 none",
            "1001 1091 2 502",
            "1001 136391 2 502",
            "1001 136392 2 502",
            "1001 1048575 2 502",
        ];
        assert_eq!(rows, expected);
        assert_eq!(
            texts(
                "SELECT count(*) || ' ' || max(delivery = number) FROM attempts JOIN deliveries ON number = delivery"
            ),
            ["14 1"]
        );
        assert_eq!(texts("SELECT deliveries || ' ' || attempts || ' ' || ever FROM history_rows"), ["8 14 8192"]);
    }

    #[test]
    fn what_had_indexes_is_marked_and_waits_to_be_packed() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS[..3].iter().for_each(|step| connection.execute_batch(step).expect("older schema"));
        connection
            .execute_batch(
                "INSERT INTO deliveries (number, delivery_id, event_id, type, source, webhook, accepted_at, generation, attempts, parks,
                     state, changed_at, block)
                 SELECT (value << 20) + value % 3, 'msg_' || value, 'e' || value, iif(value % 2, 'note', 'mention'), 'default',
                     'wh' || (value % 3), value, 0, 1, 0, 'delivered', value + iif(value = 7, 60001, 60000), 0
                 FROM json_each('[1,2,3,4,5,6,7,8]');",
            )
            .expect("written");

        connection.execute_batch(SPARSE_STEP).expect("migrated");

        let text = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).expect("asked") };
        // The slots are of 4 milliseconds.
        let marks = "SELECT group_concat(marked || ' ' || slot) FROM";
        assert_eq!(text(&format!("{marks} webhook_marks")), "wh0 0,wh0 1,wh1 0,wh1 1,wh2 0,wh2 1,wh2 2");
        assert_eq!(text(&format!("{marks} type_marks")), "mention 0,mention 1,mention 2,note 0,note 1");
        assert_eq!(text("SELECT count(*) || '' FROM deliveries JOIN unpacked USING (number)"), "8");
        let late = "SELECT group_concat(delivery_id) FROM deliveries INDEXED BY deliveries_changed_late
            WHERE changed_at > accepted_at + 60000";
        assert_eq!(text(late), "msg_7");
    }
}
