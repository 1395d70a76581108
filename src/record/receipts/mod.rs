//! What was taken in once, for queues that do not remember it themselves: RabbitMQ.
//!
//! Ingest claims ([`Receipts::claim`]) what it is about to publish, and notes it ([`Receipts::note`]) when RabbitMQ has confirmed, so
//! that everyone who shares the store knows. Between the two a crash can be, and then what is sent again is taken in again: a repeat
//! is better than a loss. A receipt counts for 8 days, and the table is bounded (`sqlite::receipts`).
//!
//! In PostgreSQL a claim keeps the others out until it is noted, let go, or half a minute old and not renewed: two machines that
//! are sent the same at once take it in once. A file serves one process that takes in, which keeps its own from each other
//! (`ingest`); there a claim only asks.

mod postgres;
mod sqlite;

use std::path::Path;
use std::time::Duration;

use self::postgres::PostgresReceipts;
use self::sqlite::SqliteReceipts;
use super::RecordError;
use crate::clock::SharedClock;
use crate::model::ReceiptKey;
use crate::store::{SchemaPart, Store};

/// Its tables, as they are migrated.
pub(super) const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "receipts", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// How long a claim counts that is not renewed.
pub const CLAIM_LEASE: Duration = Duration::from_secs(30);

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was noted before, and still counts.
    Known,
    /// It is for us to store.
    Ours,
    /// Someone else is storing it.
    Others,
}

/// Where they lie.
#[derive(Debug)]
enum Backend {
    Sqlite(SqliteReceipts),
    Postgres(PostgresReceipts),
}

/// The receipts of a store. See the module's head for what it promises.
#[derive(Debug)]
pub struct Receipts {
    store: Backend,
    clock: SharedClock,
}

impl Receipts {
    /// Opens the receipts in the SQLite file at `path`, made if absent; at once, on the caller's thread.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, RecordError> {
        Ok(Self { store: Backend::Sqlite(SqliteReceipts::open(path)?), clock })
    }

    /// Opens the receipts in `store`. While PostgreSQL is away, they are opened when it is there.
    ///
    /// # Errors
    /// When they are of a newer version, or the store is there and does not do it; it is as it was.
    pub async fn in_store(store: &Store, clock: SharedClock) -> Result<Self, RecordError> {
        match store {
            Store::Sqlite(path) => Self::open(path, clock),
            Store::Postgres(postgres) => {
                Ok(Self { store: Backend::Postgres(PostgresReceipts::open(postgres).await?), clock })
            }
        }
    }

    /// Whether `key` was noted, by whatever process, and still counts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn knows(&self, key: ReceiptKey) -> Result<bool, RecordError> {
        ask!(self.store => knows(key, self.clock.now()))
    }

    /// Claims `key`, unless it is known or another's. What is ours already is claimed for longer.
    ///
    /// # Errors
    /// What the store says.
    pub async fn claim(&self, key: ReceiptKey) -> Result<Claim, RecordError> {
        let now = self.clock.now();
        match &self.store {
            Backend::Sqlite(store) => Ok(if store.knows(key, now).await? { Claim::Known } else { Claim::Ours }),
            Backend::Postgres(store) => Ok(store.claim(key, now, CLAIM_LEASE).await?),
        }
    }

    /// Makes our claim count from now on as long as a new one.
    ///
    /// # Errors
    /// What the store says.
    pub async fn renew(&self, key: ReceiptKey) -> Result<(), RecordError> {
        match &self.store {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(store) => Ok(store.renew(key, self.clock.now(), CLAIM_LEASE).await?),
        }
    }

    /// Ends our claim, since it was not stored.
    ///
    /// # Errors
    /// What the store says; the claim ends by itself.
    pub async fn let_go(&self, key: ReceiptKey) -> Result<(), RecordError> {
        match &self.store {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(store) => Ok(store.let_go(key).await?),
        }
    }

    /// Notes `key`, and ends our claim. `Ok` promises that it is on the disk. A caller that goes away does not stop it.
    ///
    /// # Errors
    /// What the store says; it is not noted.
    pub async fn note(&self, key: ReceiptKey) -> Result<(), RecordError> {
        ask!(self.store => note(key, self.clock.now()))
    }
}
