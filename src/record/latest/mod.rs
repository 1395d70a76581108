//! How each webhook's latest attempt went (Misskey's `latestSentAt` and `latestStatus`), and since when it is failing.
//!
//! The worker notes every attempt ([`Latest::note_course`]; tests [`Latest::note`]): that touches a map in memory and nothing
//! else. A task of ours writes
//! the map to the store, in one transaction, at most every [`WRITE_EVERY`] and only when something was noted. While the
//! store cannot be written, the map keeps the latest of each webhook, up to [`WEBHOOKS_MAX`] of them, and the task tries
//! again. A crash loses what was noted since the last writing; [`Latest::flush`] at shutdown loses nothing.

mod postgres;
mod sqlite;
mod waiting;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::postgres::PostgresLatest;
use self::sqlite::SqliteLatest;
use self::waiting::Noted;
use super::RecordError;
use crate::decide::Course;
use crate::model::{Status, Streak, Timestamp, Webhook, WebhookId};
use crate::store::{SchemaPart, Store};

/// Its tables, as they are migrated.
pub(super) const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "latest", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// Webhooks of which the latest attempt waits to be written, at most; beyond them it is dropped and counted.
pub const WEBHOOKS_MAX: usize = 100_000;

/// How often the map is written, at most.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// A webhook's latest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestAttempt {
    /// When it was made.
    pub sent_at: Timestamp,
    /// The HTTP status; 1 when there was no answer, as Misskey writes it.
    pub status: u16,
    /// Since when no attempt has succeeded; none when the latest has, and before the first.
    pub failing: Option<Streak>,
}

/// The latest attempt of each webhook. See the module's head for what it promises.
#[derive(Debug)]
pub struct Latest {
    shared: Arc<Shared>,
    /// The writing task; it ends with this.
    _writer: JoinSet<()>,
}

/// Where they lie.
#[derive(Debug)]
enum Backend {
    Sqlite(SqliteLatest),
    Postgres(PostgresLatest),
}

#[derive(Debug)]
struct Shared {
    store: Backend,
    /// What the store does not have yet.
    waiting: Mutex<HashMap<WebhookId, Noted>>,
    noted: Notify,
    dropped: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Held while writing, so that a flush waits for the writing under way.
    turn: tokio::sync::Mutex<()>,
}

impl Latest {
    /// Opens the latest attempts in the SQLite file at `path`, made if absent; at once, on the caller's thread. Starts the
    /// task that writes, which ends when this is dropped.
    ///
    /// # Errors
    /// What the store says; the file is as it was.
    pub async fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self::of_store(Backend::Sqlite(SqliteLatest::open(path)?)))
    }

    /// Opens the latest attempts in `store`, as [`Self::open`] does in a file. While PostgreSQL is away, they are opened when it is
    /// there.
    ///
    /// # Errors
    /// When they are of a newer version, or the store is there and does not do it; it is as it was.
    pub async fn in_store(store: &Store) -> Result<Self, RecordError> {
        match store {
            Store::Sqlite(path) => Self::open(path).await,
            Store::Postgres(postgres) => Ok(Self::of_store(Backend::Postgres(PostgresLatest::open(postgres).await?))),
        }
    }

    fn of_store(store: Backend) -> Self {
        let shared = Arc::new(Shared {
            store,
            waiting: Mutex::default(),
            noted: Notify::new(),
            dropped: AtomicU64::new(0),
            trouble: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        });
        let mut writer = JoinSet::new();
        writer.spawn(Arc::clone(&shared).keep_writing());
        Self { shared, _writer: writer }
    }

    /// Notes an attempt made at `at` that was answered with `status` (1: not answered). Of one webhook's attempts the
    /// latest counts, in whatever order they are noted. Since when it is failing stays as it is: of a test. Does no I/O and
    /// never waits.
    pub fn note(&self, webhook: &WebhookId, at: Timestamp, status: u16) {
        self.note_course(webhook, at, status, Course::Unmoved);
    }

    /// As [`Self::note`], with how the webhook does since; of that the one noted last counts.
    pub fn note_course(&self, webhook: &WebhookId, at: Timestamp, status: u16, course: Course) {
        let noted = Noted::of(at, status, course);
        let mut waiting = locked(&self.shared.waiting);
        if let Some(known) = waiting.get_mut(webhook) {
            *known = known.then(noted);
        } else if waiting.len() < WEBHOOKS_MAX {
            waiting.insert(webhook.clone(), noted);
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.shared.noted.notify_one();
    }

    /// Writes what was noted so far. `Ok` promises that it is on the disk.
    ///
    /// # Errors
    /// What the store says; what was noted is still kept in memory.
    pub async fn flush(&self) -> Result<(), RecordError> {
        self.shared.write().await
    }

    /// The latest attempt for `webhook`, if any was noted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn of(&self, webhook: &WebhookId) -> Result<Option<LatestAttempt>, RecordError> {
        // In this order: what is written meanwhile is then seen twice rather than not at all.
        let waiting = locked(&self.shared.waiting).get(webhook).copied();
        let stored = ask!(self.shared.store => of(webhook))?;
        Ok(match waiting {
            Some(noted) => Some(noted.over(stored)),
            None => stored,
        })
    }

    /// The latest attempt of every webhook for which one was noted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn all(&self) -> Result<HashMap<WebhookId, LatestAttempt>, RecordError> {
        let waiting = locked(&self.shared.waiting).clone();
        let mut all = ask!(self.shared.store => all())?;
        for (webhook, noted) in waiting {
            let known = all.get(&webhook).copied();
            all.insert(webhook, noted.over(known));
        }
        Ok(all)
    }

    /// Forgets a webhook that was deleted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget(&self, webhook: &WebhookId) -> Result<(), RecordError> {
        let _turn = self.shared.turn.lock().await;
        locked(&self.shared.waiting).remove(webhook);
        ask!(self.shared.store => forget(webhook))
    }

    /// Attempts that were not noted because too many webhooks waited to be written.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// What keeps the map from being written, in words; nothing when it was written last time.
    pub fn health(&self) -> Option<String> {
        locked(&self.shared.trouble).clone()
    }
}

impl Shared {
    /// Writes whenever something was noted, and again while it cannot.
    async fn keep_writing(self: Arc<Self>) {
        loop {
            self.noted.notified().await;
            while self.write().await.is_err() {
                tokio::time::sleep(WRITE_EVERY).await;
            }
            tokio::time::sleep(WRITE_EVERY).await;
        }
    }

    /// Writes the map and forgets of it what has not changed meanwhile.
    async fn write(&self) -> Result<(), RecordError> {
        let _turn = self.turn.lock().await;
        let batch: Vec<_> = locked(&self.waiting).iter().map(|(webhook, at)| (webhook.clone(), *at)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let batch = Arc::new(batch);
        let written = ask!(self.store => write(Arc::clone(&batch)));
        *locked(&self.trouble) = written.as_ref().err().map(|error| {
            format!(
                "the latest attempts of {} webhooks wait in memory to be written: {}",
                batch.len(),
                error.of_store()
            )
        });
        written?;
        let mut waiting = locked(&self.waiting);
        for (webhook, noted) in batch.iter() {
            if waiting.get(webhook) == Some(noted) {
                waiting.remove(webhook);
            }
        }
        Ok(())
    }
}

/// Since when no attempt for `webhook` has succeeded, when its latest went as `latest` says; of one that was deactivated, since
/// when none had succeeded then.
pub fn failing_since(webhook: &Webhook, latest: Option<LatestAttempt>) -> Option<Timestamp> {
    match &webhook.status {
        Status::Deactivated(deactivation) => deactivation.failing_since,
        Status::Active | Status::Paused => latest.and_then(|latest| latest.failing).map(|streak| streak.since),
    }
}

/// What was held is whole at every moment, so a panic elsewhere has not broken it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
