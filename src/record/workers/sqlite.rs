//! The workers in a SQLite file.

use std::path::Path;

use crate::model::Timestamp;
use crate::sqlite::{self, SqliteError, SqliteThread};

use super::{FORGOTTEN_AFTER, KnownWorker, WORKERS_MAX};

pub(super) const STEPS: &[&str] = &["CREATE TABLE workers (
    name TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, report TEXT NOT NULL
) STRICT, WITHOUT ROWID"];

/// The table in a file.
#[derive(Debug)]
pub(super) struct SqliteWorkers {
    thread: SqliteThread,
}

impl SqliteWorkers {
    /// Opens the file, making it and the table where they are absent.
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let mut connection = sqlite::open(path)?;
        sqlite::migrate(&mut connection, path, "workers", STEPS)?;
        Ok(Self { thread: SqliteThread::start("workers", path, connection)? })
    }

    pub(super) async fn tell(&self, worker: KnownWorker) -> Result<(), SqliteError> {
        self.thread
            .call(move |connection| {
                let KnownWorker { name, started_at, seen_at, report } = worker;
                let sql = "INSERT INTO workers VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE
                    SET started_ms = excluded.started_ms, seen_ms = excluded.seen_ms, report = excluded.report";
                connection.prepare_cached(sql)?.execute((name, started_at.as_millis(), seen_at.as_millis(), report))?;
                let forgotten = seen_at.minus(FORGOTTEN_AFTER).as_millis();
                connection.prepare_cached("DELETE FROM workers WHERE seen_ms < ?1")?.execute([forgotten])?;
                Ok(())
            })
            .await
    }

    pub(super) async fn leave(&self, name: String) -> Result<(), SqliteError> {
        self.thread
            .call(move |connection| {
                connection.execute("DELETE FROM workers WHERE name = ?1", [name])?;
                Ok(())
            })
            .await
    }

    pub(super) async fn list(&self) -> Result<Vec<KnownWorker>, SqliteError> {
        self.thread
            .call(|connection| {
                let sql = "SELECT name, started_ms, seen_ms, report FROM workers ORDER BY name LIMIT ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([WORKERS_MAX], |row| {
                    Ok(KnownWorker {
                        name: row.get(0)?,
                        started_at: Timestamp::from_millis(row.get(1)?),
                        seen_at: Timestamp::from_millis(row.get(2)?),
                        report: row.get(3)?,
                    })
                })?;
                rows.collect()
            })
            .await
    }
}
