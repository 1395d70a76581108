//! What was taken in once, for queues that do not remember it themselves: RabbitMQ.
//!
//! Ingest asks ([`Receipts::knows`]) before it publishes, and notes ([`Receipts::note`]) when RabbitMQ has confirmed, so that
//! every worker of the host knows. Between the two a crash can be, and then what is sent again is taken in again: a repeat is
//! better than a loss. All that wait to be noted go into one transaction and one fsync. A receipt counts for 8 days, and the
//! table is bounded (`sqlite::receipts`).

mod sqlite;

use std::path::Path;

use self::sqlite::SqliteReceipts;
use super::RecordError;
use crate::clock::SharedClock;
use crate::model::ReceiptKey;

/// Where they lie.
#[derive(Debug)]
enum Store {
    Sqlite(SqliteReceipts),
}

/// The receipts of a store. See the module's head for what it promises.
#[derive(Debug)]
pub struct Receipts {
    store: Store,
    clock: SharedClock,
}

impl Receipts {
    /// Opens the receipts in the SQLite file at `path`, made if absent; at once, on the caller's thread.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, RecordError> {
        Ok(Self { store: Store::Sqlite(SqliteReceipts::open(path)?), clock })
    }

    /// Whether `key` was noted, by whatever process, and still counts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn knows(&self, key: ReceiptKey) -> Result<bool, RecordError> {
        ask!(self.store => knows(key, self.clock.now()))
    }

    /// Notes `key`. `Ok` promises that it is on the disk. A caller that goes away does not stop it.
    ///
    /// # Errors
    /// What the store says; it is not noted.
    pub async fn note(&self, key: ReceiptKey) -> Result<(), RecordError> {
        ask!(self.store => note(key, self.clock.now()))
    }
}
