//! What is kept of deliveries: the dead letters, how each webhook's latest attempt went, and the history; and what was taken in.
//!
//! [`DeadLetters`] is the store's half of the hand-over from the queue: a letter that it has added is on the disk, and the
//! queue may let go of it. [`Receipts`] are for queues that do not remember what they took in. [`Latest`] is a courtesy to people looking at a webhook, and may lose half a second in a crash.
//! Both lie in the store, each in tables of its own, on connections of its own. [`History`], every delivery and attempt for a
//! while, lies in a file beside it, so that its writing and pruning hold nobody up.
//!
//! Each is a front, whose module has the contract, over a store that may be of several kinds (`ask!`). What all of them promise
//! is held by one suite, `tests/it/record_conformance/`.

/// Asks the store behind a front, of whichever kind it is: `ask!(self.store => count(filter))` awaits the method `count` of that
/// kind, and makes a [`RecordError`] of its error.
macro_rules! ask {
    ($store:expr => $method:ident($($argument:expr),*)) => {
        match &$store {
            Backend::Sqlite(store) => store.$method($($argument),*).await.map_err($crate::record::RecordError::from),
            Backend::Postgres(store) => store.$method($($argument),*).await.map_err($crate::record::RecordError::from),
        }
    };
}

mod dead_letters;
mod forgotten;
mod history;
mod latest;
mod postgres;
mod receipts;
mod workers;

pub use dead_letters::{
    BodySize, Cursor, CursorError, DeadLetter, DeadLetters, Filter, LetterError, LetterShape, PAGE_MAX, Page, Pruned,
    Purged, ReplayMark, ReplayTurn, Replayed, ReplayedShape, Retention, STEP_ROWS, Summary, rest,
};
pub use forgotten::{Forgotten, ForgottenChanges};
pub use history::{
    ATTEMPTS_MAX, AttemptShape, Attempted, BodiesPolicy, DeliveryLineShape, DeliveryShape, Entry, Erased,
    HISTORY_PAGE_MAX, History, HistoryCursor, HistoryCursorError, HistoryFilter, HistoryPage, HistoryPolicy,
    HistoryReader, HistoryRetention, KeptAttempt, KeptDelivery, WAITING_BYTES_MAX, WRITE_EVERY, WithEvent,
};
pub use latest::{Latest, LatestAttempt, WEBHOOKS_MAX, failing_since};
pub use receipts::{CLAIM_LEASE, Claim, Receipts};
pub use workers::{FORGOTTEN_AFTER, KnownWorker, WORKERS_MAX, Workers};

use std::sync::Arc;

use crate::model::DeliveryId;
use crate::postgres::PostgresError;
use crate::sqlite::SqliteError;
use crate::store::{SchemaPart, StoreError};

/// What is in the store of it, part by part; in a file the history's has one of its own.
pub const SCHEMA_PARTS: [SchemaPart; 4] =
    [dead_letters::SCHEMA_PART, latest::SCHEMA_PART, receipts::SCHEMA_PART, workers::SCHEMA_PART];
/// The history's.
pub const HISTORY_SCHEMA_PART: SchemaPart = history::SCHEMA_PART;

/// Why the record did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The store does not answer, or cannot write. Ours to mend; what was asked can be asked again.
    #[error("the record's store did not do what was asked of it")]
    Store(#[source] StoreError),
    /// Another process is replaying.
    #[error("another process is putting dead letters back to work; let it finish, then do the rest")]
    ReplayPresent,
    /// The lock of replaying cannot be used.
    #[error("the file beside the store that keeps two from replaying at once cannot be used")]
    ReplayLock(#[source] Arc<std::io::Error>),
    /// The system has no thread left.
    #[error("the system has no thread left for the history")]
    NoThread(#[source] Arc<std::io::Error>),
    /// The thread that writes the history has ended.
    #[error("the history has been closed")]
    HistoryClosed,
    /// Nobody has written a history.
    #[error(
        "there is no history in {place} yet: hikyaku writes it while it serves, unless history.enabled is false; it lies with \
         the store that store.url names"
    )]
    NoHistory {
        /// Where it would be.
        place: String,
    },
    /// It is of an older hikyaku, and the thread of this process that writes it cannot bring it up to date.
    #[error("the history cannot be read until it is brought up to date, which is tried again all the time: {why}")]
    OldHistory {
        /// Why it is not.
        why: String,
    },
    /// A dead letter, or what the history has of a delivery, cannot be read.
    #[error("the {what} {id} is kept, but cannot be read: {why}{way_out}", way_out = way_out(what))]
    Damaged {
        /// `dead letter` or `delivery`.
        what: &'static str,
        /// The delivery.
        id: DeliveryId,
        /// What cannot be read.
        why: String,
    },
}

impl From<SqliteError> for RecordError {
    fn from(error: SqliteError) -> Self {
        Self::Store(error.into())
    }
}

impl From<PostgresError> for RecordError {
    fn from(error: PostgresError) -> Self {
        Self::Store(error.into())
    }
}

impl RecordError {
    /// Whether the store is of a newer version.
    fn is_newer(&self) -> bool {
        let Self::Store(error) = self else { return false };
        matches!(
            error,
            StoreError::Sqlite(SqliteError::Newer { .. }) | StoreError::Postgres(PostgresError::Newer { .. })
        )
    }

    /// Whether the store is of an older version, and was not brought up to date yet.
    fn is_older(&self) -> bool {
        let Self::Store(error) = self else { return false };
        matches!(
            error,
            StoreError::Sqlite(SqliteError::Older { .. }) | StoreError::Postgres(PostgresError::Older { .. })
        )
    }

    /// What the store itself says, for words that have told what was asked of it.
    pub(crate) fn of_store(&self) -> String {
        match self {
            Self::Store(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}

fn way_out(what: &str) -> &'static str {
    if what == "dead letter" { ". All that can be done with it is to purge it" } else { "" }
}
