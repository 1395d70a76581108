//! How much a queue holds.

use crate::model::Timestamp;

/// What a queue holds, leased messages included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Fresh messages.
    pub work: u64,
    /// Deliveries waiting for their due time, or due.
    pub delay: u64,
    /// Dead letters that the store does not have yet.
    pub dead: u64,
    /// Messages that were no events, where the queue keeps such.
    pub rejected: u64,
    /// Since when the longest overdue message has been waiting.
    pub oldest: Option<Timestamp>,
}

/// Messages that this process has taken and not settled, lane by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Fresh ones.
    pub work: u64,
    /// Deliveries that were due.
    pub delay: u64,
    /// Dead letters.
    pub dead: u64,
}
