//! The store behind the registry, of either kind. What each method means is said here once; the contract is the module's head.
//!
//! A change is one transaction, which also counts it and tells other processes. What is read is of one moment.

use std::sync::Arc;

use super::cache::{Loaded, Step};
use super::postgres::PostgresRegistry;
use super::seal::Seals;
use super::sqlite::SqliteStore;
use super::{Announcement, Change};
use crate::model::{Deactivation, Timestamp, Webhook, WebhookId};
use crate::postgres::Listening;
use crate::sqlite::Bell;
use crate::store::{Store, StoreError};

/// What became of a webhook to be created.
pub(super) enum Created {
    Done(Step),
    Taken,
    Deleted,
    Full,
}

/// What became of a webhook to be changed.
pub(super) enum Updated {
    Done(Box<Webhook>, Option<Deactivation>, Step),
    Absent,
    Damaged(String),
}

/// The tables.
#[derive(Debug)]
pub(super) enum Backend {
    Sqlite(SqliteStore),
    Postgres(PostgresRegistry),
}

/// Hears of other processes' changes until it is dropped.
pub(super) enum Hearing {
    Bell(#[expect(dead_code, reason = "to hold it is to hear")] Bell),
    Listening(#[expect(dead_code, reason = "to hold it is to hear")] Listening),
}

/// `ask!(self => count(filter))` awaits the method of whichever kind it is.
macro_rules! ask {
    ($backend:expr => $method:ident($($argument:expr),*)) => {
        match $backend {
            Backend::Sqlite(store) => store.$method($($argument),*).await.map_err(StoreError::from),
            Backend::Postgres(store) => store.$method($($argument),*).await,
        }
    };
}

impl Backend {
    /// Opens the store, making the tables where they are absent, and seals anew what `seals` would seal otherwise.
    pub(super) async fn open(store: &Store, seals: Seals) -> Result<Self, StoreError> {
        Ok(match store {
            Store::Sqlite(path) => Self::Sqlite(SqliteStore::open(path, seals)?),
            Store::Postgres(postgres) => Self::Postgres(PostgresRegistry::open(postgres.clone(), seals).await?),
        })
    }

    /// Whether the registry is known still to be at the revision `known`; of a file that is not asked. It is not waited for longer
    /// than `LOOK_WAIT_MAX`.
    pub(super) async fn is_at(&self, known: i64) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(false),
            Self::Postgres(store) => store.is_at(known).await,
        }
    }

    /// Reads everything, unless the registry is still at the revision `known`.
    pub(super) async fn load_unless(&self, known: Option<i64>) -> Result<Option<Loaded>, StoreError> {
        ask!(self => load_unless(known))
    }

    /// Forgets the webhooks that were deleted before `before`.
    pub(super) async fn prune_tombstones(&self, before: Timestamp) -> Result<(), StoreError> {
        ask!(self => prune_tombstones(before))
    }

    /// Adds a webhook, if its owner has fewer than `max`.
    pub(super) async fn create(&self, webhook: Arc<Webhook>, max: usize) -> Result<Created, StoreError> {
        ask!(self => create(webhook, max))
    }

    /// Changes a webhook. What was not readable may be so afterwards; if it is not, nothing is changed.
    pub(super) async fn update(&self, id: &WebhookId, change: Change, now: Timestamp) -> Result<Updated, StoreError> {
        ask!(self => update(id, change, now))
    }

    /// Deletes a webhook and leaves a tombstone; nothing when there is no such webhook.
    pub(super) async fn delete(&self, id: &WebhookId, now: Timestamp) -> Result<Option<Step>, StoreError> {
        ask!(self => delete(id, now))
    }

    /// Notes that we stopped a webhook, and that this is to be told; nothing when we had, or when it is neither in the store
    /// nor `declared`, or was changed after `seen`.
    pub(super) async fn deactivate(
        &self,
        id: &WebhookId,
        stopped: Deactivation,
        declared: bool,
        seen: Timestamp,
    ) -> Result<Option<Step>, StoreError> {
        ask!(self => deactivate(id, stopped, declared, seen))
    }

    /// Forgets that we stopped a webhook; nothing when we had not.
    pub(super) async fn reactivate(&self, id: &WebhookId) -> Result<Option<Step>, StoreError> {
        ask!(self => reactivate(id))
    }

    /// What is still to be told, the oldest first, at most `max`.
    pub(super) async fn announcements(&self, max: usize) -> Result<Vec<Announcement>, StoreError> {
        ask!(self => announcements(max))
    }

    /// Forgets what was told.
    pub(super) async fn announced(&self, told: Announcement) -> Result<(), StoreError> {
        ask!(self => announced(told))
    }

    /// Calls `heard` when a process has changed something, this one too. What changed while nobody could tell is not heard.
    pub(super) fn hear(&self, heard: impl Fn() + Send + Sync + 'static) -> Option<Hearing> {
        match self {
            Self::Sqlite(store) => Bell::hang_among(store.path(), heard).ok().map(Hearing::Bell),
            Self::Postgres(store) => Some(Hearing::Listening(store.listen(heard))),
        }
    }
}
