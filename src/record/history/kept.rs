//! What the history has of a delivery, as people read it.

use super::entry::Attempted;
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Source, Timestamp, UserId, WebhookId};

/// A delivery, as far as it had come when that was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The event that is delivered.
    pub event: EventId,
    /// The event's type.
    pub kind: EventType,
    /// Whose event it is; none: a system event.
    pub user: Option<UserId>,
    /// Which Misskey the event came from.
    pub source: Source,
    /// Where it goes.
    pub webhook: WebhookId,
    /// When the event was taken in.
    pub accepted_at: Timestamp,
    /// How often it was replayed.
    pub generation: u32,
    /// Attempts spent in this generation.
    pub attempts: u32,
    /// How far it has come.
    pub state: DeliveryState,
    /// Why it waits, is dead or was dropped.
    pub reason: Option<String>,
    /// When it came to that.
    pub changed_at: Timestamp,
    /// When it is due, while it waits.
    pub due: Option<Timestamp>,
}

/// An attempt that was made for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAttempt {
    /// In which generation of the delivery.
    pub generation: u32,
    /// How it went.
    pub made: Attempted,
    /// The worker that made it.
    pub worker: String,
}
