//! The dead letters: deliveries that were given up, with why, until they are replayed, purged or past retention.
//!
//! Letters come from the queue's drainer ([`DeadLetters::add`]), go out to replay, CLI and console, and are named by
//! delivery id and generation.
//!
//! Contract, for every store (held by `tests/it/record_conformance/`):
//! - `add` is all or nothing and on the disk when it returns; a letter added again changes nothing.
//! - Of a delivery only the latest generation is kept: a newer one removes the older, an older one that comes late is
//!   ignored, and so is one whose next generation was put to work ([`DeadLetters::replayed`]). Removing names the generation,
//!   so a replay that has died again meanwhile stays.
//! - Who put what back to work, and when, is kept as long as letters are, and at most as many times.
//! - Listing is by pages, newest first, each letter once however many come and go meanwhile; memory is bounded by the page.
//!   Every page is soon there, whatever the filter: where few of many fit, it is short, and tells where to go on.
//! - Large removals go in steps of [`STEP_ROWS`], with rests between them, so that adding never waits for more than a few of
//!   them, in whichever process.
//! - A row that cannot be read is told in [`Page::problems`] and hides no other.

mod page;
mod postgres;
mod shape;
mod sqlite;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use page::{Cursor, CursorError, Filter, Page, Purged};
pub use shape::{LetterError, LetterShape, ReplayedShape};

use self::postgres::PostgresDeadLetters;
use self::sqlite::SqliteDeadLetters;
use super::RecordError;
use crate::clock::SharedClock;
use crate::model::{
    Body, DeathReason, Delivery, DeliveryId, Event, Person, ReplayKind, Source, Timestamp, UserId, WebhookId,
};
use crate::postgres::Session;
use crate::sqlite::FileLock;
use crate::store::{SchemaPart, Store};

/// Its tables, as they are migrated.
pub(super) const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "dead_letters", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// Letters removed in one transaction at most.
pub const STEP_ROWS: u32 = 1000;

/// Letters of one page at most, whatever is asked for.
pub const PAGE_MAX: u32 = 1000;

/// How long it is known that a person is forgotten: as long as that a webhook was deleted, far longer than a delivery lives.
const FORGOTTEN_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

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

/// That a delivery was put back to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The generation that began with it.
    pub generation: u32,
    /// How.
    pub how: ReplayKind,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// How, by whom and when deliveries are put back to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayMark {
    /// How.
    pub how: ReplayKind,
    /// Who does it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

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
    retention: watch::Sender<Retention>,
    clock: SharedClock,
}

impl DeadLetters {
    /// Opens the dead letters in the SQLite file at `path`, made if absent; at once, on the caller's thread.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub async fn open(path: &Path, retention: Retention, clock: SharedClock) -> Result<Self, RecordError> {
        let retention = watch::Sender::new(retention);
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
        Ok(Self { store, retention: watch::Sender::new(retention), clock })
    }

    /// Keeps letters so long, and so many, from the next [`Self::prune`] on.
    pub fn keep(&self, retention: Retention) {
        self.retention.send_replace(retention);
    }

    /// Tells of each [`Self::keep`].
    pub fn kept_anew(&self) -> watch::Receiver<Retention> {
        self.retention.subscribe()
    }

    /// The turn to replay: one process at a time, since two would put the same letters back to work, and so send them twice.
    ///
    /// # Errors
    /// [`RecordError::ReplayPresent`] while another process has it.
    pub async fn replay_turn(&self) -> Result<ReplayTurn, RecordError> {
        ask!(self.store => replay_turn())
    }

    /// Keeps `letters`, and tells how many of them were not there. `Ok` promises that all are on the disk, or superseded.
    ///
    /// # Errors
    /// What the store says; none of them was added.
    pub async fn add(&self, letters: Vec<DeadLetter>) -> Result<u64, RecordError> {
        ask!(self.store => add(letters))
    }

    /// How many of those deliveries and generations [`Self::add`] would not add, since the same or a later one is there or was put
    /// back to work.
    ///
    /// # Errors
    /// What the store says.
    pub async fn known(&self, letters: Vec<(DeliveryId, u32)>) -> Result<u64, RecordError> {
        ask!(self.store => known(letters))
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

    /// The same, by webhook.
    ///
    /// # Errors
    /// What the store says.
    pub async fn count_by_webhook(&self, filter: &Filter) -> Result<Vec<(WebhookId, u64)>, RecordError> {
        ask!(self.store => count_by_webhook(filter.clone()))
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

    /// Removes the letters of those deliveries and generations, whose next generation is in the queue, and notes of each how, by
    /// whom and when that began; also of deliveries that are no dead letters.
    ///
    /// # Errors
    /// What the store says; a part, in steps of [`STEP_ROWS`] from the front, may be done.
    pub async fn replayed(&self, letters: Vec<(DeliveryId, u32)>, mark: ReplayMark) -> Result<(), RecordError> {
        ask!(self.store => replayed(letters, mark))
    }

    /// When and by whom the delivery was put back to work, the first time first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn replays(&self, id: &DeliveryId) -> Result<Vec<Replayed>, RecordError> {
        ask!(self.store => replays(id))
    }

    /// When and by whom each of those deliveries was put back to work last, if it was.
    ///
    /// # Errors
    /// What the store says.
    pub async fn latest_replays(&self, ids: Vec<DeliveryId>) -> Result<HashMap<DeliveryId, Replayed>, RecordError> {
        ask!(self.store => latest_replays(ids))
    }

    /// Removes what `filter` lets through (an empty filter: all), and tells how many.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn purge(&self, filter: &Filter) -> Result<u64, RecordError> {
        let (mut removed, mut after) = (0, None);
        loop {
            let began = Instant::now();
            let purged = self.purge_page(filter, after).await?;
            removed += purged.removed;
            after = purged.next;
            if after.is_none() {
                return Ok(removed);
            }
            rest(began).await;
        }
    }

    /// A step of [`Self::purge`]: removes at most [`STEP_ROWS`] letters of those behind `after`. Who goes on rests in between.
    ///
    /// # Errors
    /// What the store says; none of them was removed.
    pub async fn purge_page(&self, filter: &Filter, after: Option<Cursor>) -> Result<Purged, RecordError> {
        ask!(self.store => purge_page(filter.clone(), after))
    }

    /// Notes that a person is forgotten from now on, and tells every process that follows the store: letters of events that were
    /// taken in before are not kept any more. It is known for [`FORGOTTEN_FOR`], longer than a delivery lives.
    ///
    /// # Errors
    /// What the store says; it is not noted.
    pub async fn note_forgotten(&self, source: &Source, user: &UserId) -> Result<(), RecordError> {
        let now = self.clock.now();
        ask!(self.store => note_forgotten(Person::of(source, user), now, now.minus(FORGOTTEN_FOR)))
    }

    /// Who is forgotten, and since when.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forgotten(&self) -> Result<HashMap<Person, Timestamp>, RecordError> {
        ask!(self.store => forgotten())
    }

    /// Removes the letters of a person, in steps, and tells how many there were.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn forget(&self, source: &Source, user: &UserId) -> Result<u64, RecordError> {
        ask!(self.store => forget(source, user))
    }

    /// Removes what is past retention, the oldest first, and brings [`Self::total`] up to date.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn prune(&self) -> Result<Pruned, RecordError> {
        let Retention { age, count_max } = *self.retention.borrow();
        let oldest = self.clock.now().minus(age);
        let by_age = ask!(self.store => prune_older(oldest))?;
        let by_count = ask!(self.store => prune_beyond(count_max))?;
        ask!(self.store => prune_replays(oldest, count_max))?;
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

/// The longest rest between two steps of a large removal.
const REST_MAX: Duration = Duration::from_millis(250);

/// Rests after a step that `began` then for as long as it took: another process, which looks only now and then whether the file
/// is free, gets to write between two of them.
pub async fn rest(began: Instant) {
    tokio::time::sleep(began.elapsed().min(REST_MAX)).await;
}
