//! How long a webhook has been failing: its attempts without one success.

use std::time::Duration;

use super::Timestamp;

/// Failed attempts in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// When the first of them ended, by the wall clock: for people.
    pub since: Timestamp,
    /// How long they have gone on, as it counts against the webhook: never more than is known to have passed.
    pub lasted: Duration,
}
