//! The embedded queue: one SQLite file, nothing to install.
//!
//! ```text
//!  publish, settle --> writer thread --(one transaction for all that wait: group commit, fsync)--> file
//!  consume <-- lane task <-- reader thread <-- file
//!                 ^-- woken by the writer, by due times, and by the bell that producers in other processes ring
//! ```
//!
//! Three tables are the three lanes: `work`, `delay` (rows become leases when they are due) and `dead`. Which rows are leased
//! is known in memory only: there is one worker per file (a lock sees to it), so a restart simply finds every unsettled row
//! again. `depth` counts each lane in the same transactions, and `receipts` remembers in them what is to be taken in once.

mod batch;
mod bound;
mod feeder;
mod health;
mod lane;
mod rows;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::rejected::{Visit, Walked};
use super::{Access, Backend, Consumer, Depths, FileOptions, Lane, Once, Prefetch, QueueError, Unsettled};
use crate::clock::SharedClock;
use crate::model::{Message, ReceiptKey};
use crate::sqlite::receipts::has_receipt;
use crate::sqlite::{self, Bell, FileLock, SqliteError, SqliteThread};
use crate::telemetry::SharedTelemetry;

/// Steps that the file's tables, the part `queue`, go through.
pub(super) const SCHEMA_STEPS: usize = rows::SCHEMA.len();

use bound::Bound;
use feeder::Feeder;
use health::Health;
use lane::{LaneState, Lanes};
use writer::Writer;

/// An open queue file.
#[derive(Debug)]
pub(super) struct SqliteQueue {
    path: PathBuf,
    writer: Writer,
    reader: SqliteThread,
    lanes: Arc<Lanes>,
    health: Arc<Health>,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    worker: Option<WorkerParts>,
}

/// What only the worker's process has; dropping it ends its tasks and frees the lock.
#[derive(Debug)]
struct WorkerParts {
    _lock: FileLock,
    _bell: Option<Bell>,
}

impl SqliteQueue {
    pub(super) async fn open(
        options: FileOptions,
        access: Access,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, QueueError> {
        let FileOptions { path, bytes_max } = options;
        let path = path.as_path();
        let lock = match access {
            Access::Worker => Some(worker_lock(path)?),
            Access::Producer | Access::Ingest => None,
        };
        let (write, read) = open_connections(path.to_owned()).await?;
        let lanes = Arc::new(Lanes::default());
        let health = Arc::new(Health::default());
        let bound = Bound::new(path, bytes_max);
        let writer = Writer::start(path, write, bound, Arc::clone(&lanes), Arc::clone(&health), access, &telemetry)?;
        let reader = SqliteThread::start("hikyaku-queue-read", path, read)?;
        let worker = lock.map(|lock| WorkerParts { _lock: lock, _bell: bell(path, Arc::clone(&lanes), &telemetry) });
        Ok(Self { path: path.to_owned(), writer, reader, lanes, health, clock, telemetry, worker })
    }
}

impl SqliteQueue {
    fn rejects_nothing<'a, T: Send + 'a>(&self) -> BoxFuture<'a, Result<T, QueueError>> {
        let path = self.path.display().to_string();
        futures_util::future::ready(Err(QueueError::RejectsNothing { path })).boxed()
    }
}

impl Drop for SqliteQueue {
    fn drop(&mut self) {
        // The lanes hold the writer, and the writer's thread the lanes.
        self.lanes.close();
    }
}

/// The lock of the worker: one per queue file.
fn worker_lock(path: &Path) -> Result<FileLock, QueueError> {
    // The file must be there before it is locked: a link to it must lead to the same lock.
    drop(sqlite::open(path)?);
    let unusable = |error: std::io::Error| QueueError::Lock {
        path: format!("{}.lock", path.display()),
        why: format!("{error}. Check that its folder exists, and that hikyaku may write there"),
    };
    let lock = FileLock::take(path, "lock").map_err(unusable)?;
    lock.ok_or_else(|| QueueError::WorkerPresent { path: path.display().to_string() })
}

/// The bell that producers in other processes ring. Without one, what they publish is found by the lanes' safety net.
fn bell(path: &Path, lanes: Arc<Lanes>, telemetry: &SharedTelemetry) -> Option<Bell> {
    let hung = Bell::hang(path, move || lanes.changed_elsewhere());
    hung.inspect_err(|error| {
        telemetry.trouble("the pipe that tells of events published by other processes; they are found later", error);
    })
    .ok()
}

/// A connection for the writer and one for reading, on the migrated file.
async fn open_connections(path: PathBuf) -> Result<(rusqlite::Connection, rusqlite::Connection), SqliteError> {
    let open = {
        let path = path.clone();
        move || {
            let mut write = sqlite::open(&path)?;
            // What is settled leaves nothing in free pages, for weeks perhaps, of who is forgotten.
            sqlite::overwrite_what_is_deleted(&write, true).map_err(|error| SqliteError::new(&path, error))?;
            sqlite::migrate(&mut write, &path, "queue", rows::SCHEMA)?;
            Ok((write, sqlite::open(&path)?))
        }
    };
    match tokio::task::spawn_blocking(open).await {
        Ok(connections) => connections,
        Err(error) => Err(SqliteError::Other { path, why: error.to_string() }),
    }
}

impl Backend for SqliteQueue {
    fn publish(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        async move {
            self.writer.publish(messages, self.clock.now()).await?;
            if self.worker.is_none() {
                sqlite::ring(&self.path);
            }
            Ok(())
        }
        .boxed()
    }

    fn remembers(&self) -> bool {
        true
    }

    fn publish_once(&self, message: Message, key: ReceiptKey) -> BoxFuture<'_, Result<Once, QueueError>> {
        async move {
            let once = self.writer.publish_once(message, key, self.clock.now()).await?;
            if self.worker.is_none() && once == Once::Stored {
                sqlite::ring(&self.path);
            }
            Ok(once)
        }
        .boxed()
    }

    fn knows(&self, key: ReceiptKey) -> BoxFuture<'_, Result<bool, QueueError>> {
        let now = self.clock.now();
        async move { Ok(self.reader.call(move |connection| has_receipt(connection, &key, now)).await?) }.boxed()
    }

    fn consume(&self, lane: Lane, prefetch: Prefetch) -> BoxFuture<'_, Result<Consumer, QueueError>> {
        async move {
            if self.worker.is_none() {
                return Err(QueueError::ProducerOnly);
            }
            let state = Arc::new(LaneState::new(lane, prefetch, self.writer.clone()));
            self.lanes.add(Arc::clone(&state))?;
            Ok(feeder::feed(Feeder {
                lane: state,
                reader: self.reader.clone(),
                health: Arc::clone(&self.health),
                clock: self.clock.clone(),
                telemetry: self.telemetry.clone(),
            }))
        }
        .boxed()
    }

    fn unsettled(&self) -> Unsettled {
        self.lanes.unsettled()
    }

    fn depths(&self) -> BoxFuture<'_, Result<Depths, QueueError>> {
        let now = self.clock.now();
        async move { Ok(self.reader.call(move |connection| rows::depths(connection, now)).await?) }.boxed()
    }

    fn walk_rejected<'a>(&'a self, _visit: &'a mut Visit<'_>) -> BoxFuture<'a, Result<Walked, QueueError>> {
        self.rejects_nothing()
    }

    fn purge_rejected(&self) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.rejects_nothing()
    }

    fn health(&self) -> Vec<String> {
        self.health.troubles()
    }

    fn stop_consuming(&self) {
        self.lanes.close();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        // What was settled is durable already.
        self.lanes.close();
        futures_util::future::ready(()).boxed()
    }
}
