//! What is kept of deliveries: the dead letters, and how each webhook's latest attempt went; and what was taken in.
//!
//! [`DeadLetters`] is the store's half of the hand-over from the queue: a letter that it has added is on the disk, and the
//! queue may let go of it. [`Receipts`] are for queues that do not remember what they took in. [`Latest`] is a courtesy to people looking at a webhook, and may lose half a second in a crash.
//! Both lie in the store, each in tables of its own, on connections of its own. The history of attempts is neither.

mod dead_letters;
mod latest;
mod receipts;

pub use dead_letters::{
    BodySize, Cursor, CursorError, DeadLetter, DeadLetters, Filter, PAGE_MAX, Page, Pruned, ReplayTurn, Retention,
    STEP_ROWS, Summary,
};
pub use latest::{Latest, LatestAttempt, WEBHOOKS_MAX, failing_since};
pub use receipts::Receipts;

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
    /// A dead letter cannot be read.
    #[error("the dead letter {id} is kept, but cannot be read: {why}. All that can be done with it is to purge it")]
    Damaged {
        /// The delivery.
        id: DeliveryId,
        /// What cannot be read.
        why: String,
    },
}
