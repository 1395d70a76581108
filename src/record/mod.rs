//! What is kept of deliveries: the dead letters, how each webhook's latest attempt went, and the history; and what was taken in.
//!
//! [`DeadLetters`] is the store's half of the hand-over from the queue: a letter that it has added is on the disk, and the
//! queue may let go of it. [`Receipts`] are for queues that do not remember what they took in. [`Latest`] is a courtesy to people looking at a webhook, and may lose half a second in a crash.
//! Both lie in the store, each in tables of its own, on connections of its own. [`History`], every delivery and attempt for a
//! while, lies in a file beside it, so that its writing and pruning hold nobody up.

mod dead_letters;
mod history;
mod latest;
mod receipts;

pub use dead_letters::{
    BodySize, Cursor, CursorError, DeadLetter, DeadLetters, Filter, PAGE_MAX, Page, Pruned, ReplayTurn, Retention,
    STEP_ROWS, Summary,
};
pub use history::{
    ATTEMPTS_MAX, Attempted, Entry, HISTORY_PAGE_MAX, History, HistoryCursor, HistoryCursorError, HistoryFilter,
    HistoryPage, HistoryPolicy, HistoryReader, KeptAttempt, KeptDelivery, WAITING_BYTES_MAX, WRITE_EVERY,
};
pub use latest::{Latest, LatestAttempt, WEBHOOKS_MAX, failing_since};
pub use receipts::Receipts;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::DeliveryId;
use crate::sqlite::SqliteError;

/// Why the record did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The store does not answer, or cannot write. Ours to mend; what was asked can be asked again.
    #[error("the record's store did not do what was asked of it")]
    Store(#[from] SqliteError),
    /// Another process is replaying.
    #[error("another process is putting dead letters back to work; let it finish, then do the rest")]
    ReplayPresent,
    /// The lock of replaying cannot be used.
    #[error("the file beside the store that keeps two from replaying at once cannot be used")]
    ReplayLock(#[source] Arc<std::io::Error>),
    /// Nobody has written a history.
    #[error(
        "there is no history in {path} yet: hikyaku writes it while it serves, unless history.enabled is false; it lies beside \
         the file of store.url"
    )]
    NoHistory {
        /// Where it would be.
        path: PathBuf,
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

fn way_out(what: &str) -> &'static str {
    if what == "dead letter" { ". All that can be done with it is to purge it" } else { "" }
}
