//! What a queue put away because it was no event: to be looked at, put back, or deleted.
//!
//! Only RabbitMQ has such messages, because there anyone can publish. A SQLite queue takes nothing that is no event: its
//! producer is told.

use bytes::Bytes;

use crate::model::Timestamp;

/// A message that was put away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedMessage {
    /// Names it in listings: computed from its bytes and its `message_id`, so equal messages share it.
    pub id: String,
    /// The id that its producer gave it.
    pub message_id: Option<String>,
    /// Why it lies here, in words.
    pub reason: String,
    /// The queue that it came from, or the exchange that had no queue for it.
    pub from: String,
    /// When it was put away, if that is known.
    pub at: Option<Timestamp>,
    /// Its content type.
    pub content_type: Option<String>,
    /// Its content encoding.
    pub content_encoding: Option<String>,
    /// Its routing key.
    pub routing_key: String,
    /// Its bytes, as they came.
    pub body: Bytes,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It stays.
    Leave,
    /// Put it back to where it came from, if it can be read there now.
    Requeue,
    /// Delete it.
    Purge,
    /// It stays, and so do all after it.
    Stop,
}

/// Chooses what is done with each message.
pub(super) type Visit<'a> = dyn FnMut(&RejectedMessage) -> Choice + Send + 'a;

/// What a walk over the messages came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Messages looked at.
    pub seen: u64,
    /// Put back.
    pub requeued: u64,
    /// Deleted.
    pub purged: u64,
    /// Were to be put back and cannot be read yet: they stay.
    pub unreadable: u64,
    /// Why the first of those cannot.
    pub why: Option<String>,
    /// Messages that were there and were not looked at: after [`Choice::Stop`], or for want of time.
    pub left: u64,
}
