//! The dead letters: deliveries that were given up, with why, until they are replayed, purged or past retention.
//!
//! Letters come from the queue's drainer ([`DeadLetters::add`]), go out to replay, CLI and console, and are named by
//! delivery id and generation.
//!
//! Contract, for every store (held by `tests/it/record_conformance/`):
//! - `add` is all or nothing and on the disk when it returns; a letter added again changes nothing.
//! - Of a delivery only the latest generation is kept: a newer one removes the older, an older one that comes late is
//!   ignored. Removing names the generation, so a replay that has died again meanwhile stays.
//! - Listing is by pages, newest first, each letter once however many come and go meanwhile; memory is bounded by the page.
//! - Large removals go in steps of [`STEP_ROWS`], with rests between them, so that adding never waits for more than a few of
//!   them, in whichever process.
//! - A row that cannot be read is told in [`Page::problems`] and hides no other.

mod page;
mod postgres;
mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use page::{Cursor, CursorError, Filter, Page};

use self::postgres::PostgresDeadLetters;
use self::sqlite::SqliteDeadLetters;
use super::RecordError;
use crate::clock::SharedClock;
use crate::model::{Body, DeathReason, Delivery, DeliveryId, Event, Timestamp};
use crate::postgres::Session;
use crate::sqlite::FileLock;
use crate::store::Store;

/// Letters removed in one transaction at most.
pub const STEP_ROWS: u32 = 1000;

/// Letters of one page at most, whatever is asked for.
pub const PAGE_MAX: u32 = 1000;

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<B = Body> {
    /// The delivery's id, which is that of `event` and `delivery.webhook`.
    pub id: DeliveryId,
    /// What was to be delivered.
    pub event: Arc<Event<B>>,
    /// How far it came. Of its parks nothing is kept.
    pub delivery: Delivery,
    /// Why it was given up.
    pub reason: DeathReason,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// A dead letter whose body was not read.
pub type Summary = DeadLetter<BodySize>;

/// The bytes that a body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySize(pub u64);

/// How long, and how many, letters are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Letters that died longer ago go.
    pub age: Duration,
    /// Of more than these the oldest go.
    pub count_max: u64,
}

/// What [`DeadLetters::prune`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Letters that were too old.
    pub by_age: u64,
    /// Letters that were too many.
    pub by_count: u64,
}

/// The turn to replay, until this is dropped.
#[derive(Debug)]
pub struct ReplayTurn {
    _held: Held,
}

/// What keeps others from replaying: a lock beside the file, or one of PostgreSQL's that ends with its connection.
#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "to hold it is the turn")] FileLock),
    Connection(#[expect(dead_code, reason = "to hold it is the turn")] Box<Session>),
}

/// Where they lie.
#[derive(Debug)]
enum Backend {
    Sqlite(SqliteDeadLetters),
    Postgres(PostgresDeadLetters),
}

/// The dead letters of a store. See the module's head for what it promises.
#[derive(Debug)]
pub struct DeadLetters {
    store: Backend,
    retention: Retention,
    clock: SharedClock,
}

impl DeadLetters {
    /// Opens the dead letters in the SQLite file at `path`, made if absent; at once, on the caller's thread.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub async fn open(path: &Path, retention: Retention, clock: SharedClock) -> Result<Self, RecordError> {
        Ok(Self { store: Backend::Sqlite(SqliteDeadLetters::open(path).await?), retention, clock })
    }

    /// Opens the dead letters in `store`. While PostgreSQL is away, they are opened when it is there.
    ///
    /// # Errors
    /// When they are of a newer version, or the store is there and does not do it; it is as it was.
    pub async fn in_store(store: &Store, retention: Retention, clock: SharedClock) -> Result<Self, RecordError> {
        let store = match store {
            Store::Sqlite(path) => return Self::open(path, retention, clock).await,
            Store::Postgres(postgres) => Backend::Postgres(PostgresDeadLetters::open(postgres).await?),
        };
        Ok(Self { store, retention, clock })
    }

    /// The turn to replay: one process at a time, since two would put the same letters back to work, and so send them twice.
    ///
    /// # Errors
    /// [`RecordError::ReplayPresent`] while another process has it.
    pub async fn replay_turn(&self) -> Result<ReplayTurn, RecordError> {
        ask!(self.store => replay_turn())
    }

    /// Keeps `letters`. `Ok` promises that all are on the disk, or superseded by what is there.
    ///
    /// # Errors
    /// What the store says; none of them was added.
    pub async fn add(&self, letters: Vec<DeadLetter>) -> Result<(), RecordError> {
        ask!(self.store => add(letters))
    }

    /// A page of what `filter` lets through, newest first, without bodies: at most `limit` and [`PAGE_MAX`] letters, those
    /// after `after`. The page's `next` leads on; none: this was the last.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self, filter: &Filter, limit: u32, after: Option<Cursor>) -> Result<Page<Summary>, RecordError> {
        ask!(self.store => list(filter.clone(), limit, after))
    }

    /// As [`Self::list`], with the bodies; a page also ends once its bodies exceed 16 MiB.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read(
        &self,
        filter: &Filter,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<Page<DeadLetter>, RecordError> {
        ask!(self.store => read(filter.clone(), limit, after))
    }

    /// The letter of the delivery `id`, with its body.
    ///
    /// # Errors
    /// [`RecordError::Damaged`], or what the store says.
    pub async fn show(&self, id: &DeliveryId) -> Result<Option<DeadLetter>, RecordError> {
        let letter = ask!(self.store => show(id))?.transpose();
        letter.map_err(|why| RecordError::Damaged { what: "dead letter", id: id.clone(), why })
    }

    /// How many letters `filter` lets through; it reads an index, so not for a scrape.
    ///
    /// # Errors
    /// What the store says.
    pub async fn count(&self, filter: &Filter) -> Result<u64, RecordError> {
        ask!(self.store => count(filter.clone()))
    }

    /// Removes the letter of that delivery and generation, and no other; tells whether there was one.
    ///
    /// # Errors
    /// What the store says; nothing was removed.
    pub async fn remove(&self, id: &DeliveryId, generation: u32) -> Result<bool, RecordError> {
        Ok(self.remove_many(vec![(id.clone(), generation)]).await? > 0)
    }

    /// Removes the letters of those deliveries and generations, and tells how many there were.
    ///
    /// # Errors
    /// What the store says; a part, in steps of [`STEP_ROWS`] from the front, may be removed.
    pub async fn remove_many(&self, letters: Vec<(DeliveryId, u32)>) -> Result<u64, RecordError> {
        ask!(self.store => remove(letters))
    }

    /// Removes what `filter` lets through of the letters that are there now (an empty filter: all), and tells how many.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn purge(&self, filter: &Filter) -> Result<u64, RecordError> {
        ask!(self.store => purge(filter.clone()))
    }

    /// Removes what is past retention, the oldest first, and brings [`Self::total`] up to date.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn prune(&self) -> Result<Pruned, RecordError> {
        let oldest = self.clock.now().minus(self.retention.age);
        let by_age = ask!(self.store => prune_older(oldest))?;
        let by_count = ask!(self.store => prune_beyond(self.retention.count_max))?;
        Ok(Pruned { by_age, by_count })
    }

    /// How many letters there are, from memory: as of this process's last change or prune.
    pub fn total(&self) -> u64 {
        match &self.store {
            Backend::Sqlite(store) => store.total(),
            Backend::Postgres(store) => store.total(),
        }
    }
}
