//! A delivery under way, and the message that carries it through a queue.

use std::sync::Arc;

use super::{DeliveryId, Event, Outcome, Timestamp, WebhookId};

/// Bytes kept of the words of a delivery's last failure (it travels in an AMQP header).
pub const LAST_ERROR_BYTES_MAX: usize = 512;

/// One event's way to one webhook, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it goes.
    pub webhook: WebhookId,
    /// 0 at first; one more with every replay.
    pub generation: u32,
    /// Attempts spent in this generation.
    pub attempts: u32,
    /// Times it was parked since its last attempt.
    pub parks: u32,
    /// When this generation began; its age is counted from here.
    pub since: Timestamp,
    /// What its last attempt came to.
    pub last: Option<LastFailure>,
}

impl Delivery {
    /// The delivery of a fresh event: nothing spent, its age counted from acceptance.
    pub fn fresh(event: &Event, webhook: WebhookId) -> Self {
        Self { webhook, generation: 0, attempts: 0, parks: 0, since: event.accepted_at, last: None }
    }

    /// The same delivery put back to work at `now`: next generation, attempts and age afresh.
    pub fn replayed(&self, now: Timestamp) -> Self {
        Self {
            webhook: self.webhook.clone(),
            generation: self.generation.saturating_add(1),
            attempts: 0,
            parks: 0,
            since: now,
            last: None,
        }
    }

    /// Its id, the same in every generation.
    pub fn id(&self, event: &Event) -> DeliveryId {
        DeliveryId::of(&event.id, &self.webhook)
    }
}

/// What a failed attempt came to, for the person who reads it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// The kind.
    pub outcome: Outcome,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The failure in words, at most [`LAST_ERROR_BYTES_MAX`] bytes.
    pub error: String,
}

impl LastFailure {
    /// Notes a failure; words beyond [`LAST_ERROR_BYTES_MAX`] bytes are cut at a character.
    pub fn new(outcome: Outcome, status: Option<u16>, error: &str) -> Self {
        let end = error.floor_char_boundary(LAST_ERROR_BYTES_MAX);
        Self { outcome, status, error: error[..end].to_owned() }
    }
}

/// One event with its targets: what a queue stores, and what is settled in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event.
    pub event: Arc<Event>,
    /// Who gets it.
    pub target: Target,
}

/// Who gets a message's event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every webhook that subscribes, chosen when a worker takes the message.
    Subscribers,
    /// This one webhook: a retry, a parked delivery, a replay.
    One(Delivery),
    /// This one webhook, and not before the delivery is due. Only what is published says so: a queue hands out what is due.
    Later {
        /// The delivery.
        delivery: Delivery,
        /// When it is due.
        due: Timestamp,
    },
}
