//! An event: something that happened in Misskey, as it was accepted.
//!
//! What is asked of an event without its body, as a listing does, is an `Event` with something else in the body's place.

use super::{Body, EventId, EventType, Source, Timestamp, TraceContext, UserId};

/// Bytes that `server` may have at most.
pub const SERVER_BYTES_MAX: usize = 1024;

/// Something that happened in Misskey. Made by [`Event::parse`], or read back from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<B = Body> {
    /// Names this event.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// Whose event it is; none: a system event.
    pub user: Option<UserId>,
    /// Which Misskey it came from.
    pub source: Source,
    /// That Misskey's origin, e.g. `https://misskey.example`; older servers do not say. At most [`SERVER_BYTES_MAX`].
    pub server: Option<String>,
    /// When it happened, by the producer's clock. Shown and measured, never used to decide.
    pub created_at: Timestamp,
    /// When hikyaku took it over, by our clock; ages are counted from here.
    pub accepted_at: Timestamp,
    /// The span that stored it, whose children come of it. A queue keeps it; dead letters and the history do not: what is put back to
    /// work begins a trace of its own.
    pub trace: Option<TraceContext>,
    /// What happened in detail.
    pub body: B,
}
