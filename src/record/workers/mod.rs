//! Which workers there are on this store: each tells of itself every few seconds, and whoever looks sees all of them.
//!
//! Contract, for every backend:
//! - A worker has one row, by its name; telling again replaces what it told before, leaving removes it.
//! - What was last told longer than [`FORGOTTEN_AFTER`] ago is removed when somebody tells; a killed worker is seen until then.
//! - Moments are by the clock of the worker that tells.
//! - A report is the worker's own affair: text, of at most [`REPORT_BYTES_MAX`] bytes.

mod postgres;
mod sqlite;

use std::path::Path;
use std::time::Duration;

use self::postgres::PostgresWorkers;
use self::sqlite::SqliteWorkers;
use super::RecordError;
use crate::model::Timestamp;
use crate::store::{SchemaPart, Store};

/// Its tables, as they are migrated.
pub(super) const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "workers", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// After how long without a word a worker is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a report.
pub(super) const REPORT_BYTES_MAX: usize = 16 * 1024;
/// Workers that are told of at most.
pub const WORKERS_MAX: u32 = 1000;

/// What a worker has told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorker {
    /// Its name: the machine's and the process's.
    pub name: String,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// When it told this.
    pub seen_at: Timestamp,
    /// What it told.
    pub report: String,
}

/// Where they lie.
#[derive(Debug)]
enum Backend {
    Sqlite(SqliteWorkers),
    Postgres(PostgresWorkers),
}

/// The workers of a store. See the module's head for what it promises.
#[derive(Debug)]
pub struct Workers {
    store: Backend,
}

impl Workers {
    /// Opens the workers in the SQLite file at `path`, made if absent; at once, on the caller's thread.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self { store: Backend::Sqlite(SqliteWorkers::open(path)?) })
    }

    /// Opens the workers in `store`. While PostgreSQL is away, they are opened when it is there.
    ///
    /// # Errors
    /// When they are of a newer version, or the store is there and does not do it; it is as it was.
    pub async fn in_store(store: &Store) -> Result<Self, RecordError> {
        match store {
            Store::Sqlite(path) => Self::open(path),
            Store::Postgres(postgres) => Ok(Self { store: Backend::Postgres(PostgresWorkers::open(postgres).await?) }),
        }
    }

    /// Notes what `worker` tells of itself.
    ///
    /// # Errors
    /// What the store says; what it told before stays.
    pub async fn tell(&self, worker: KnownWorker) -> Result<(), RecordError> {
        debug_assert!(worker.report.len() <= REPORT_BYTES_MAX);
        ask!(self.store => tell(worker))
    }

    /// The worker `name` has ended.
    ///
    /// # Errors
    /// What the store says; it is seen until it is forgotten.
    pub async fn leave(&self, name: &str) -> Result<(), RecordError> {
        ask!(self.store => leave(name.to_owned()))
    }

    /// Every worker, by name; at most [`WORKERS_MAX`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<Vec<KnownWorker>, RecordError> {
        ask!(self.store => list())
    }
}
