//! The history's tables in its file.
//!
//! A listing walks one index that has it in order; each ends in `accepted_at` and, as all SQLite's indexes do, in the row's
//! number. `history_rows` counts both tables, so that nobody has to.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::bodies;
use crate::sqlite::{self, SqliteError};

/// The name of the part.
pub(super) const PART: &str = "history";

/// How long a statement waits for another's lock. Less than for other files: what waits is in memory.
const BUSY_MAX: Duration = Duration::from_secs(1);

pub(in crate::record::history) const STEPS: &[&str] = &[FIRST_STEP, bodies::STEP];

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

/// Opens the file to write, making it and the tables where they are absent.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, SqliteError> {
    let mut connection = sqlite::open(path)?;
    let settle = |connection: &Connection| {
        connection.busy_timeout(BUSY_MAX)?;
        // No fsync for each transaction: the machine's crash may cost the latest seconds, never the file's soundness.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
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
        found if found < STEPS.len() => Ok(None),
        _ => Ok(Some(connection)),
    }
}
