//! Settles a message for as long as it takes: what was sent must not be sent again because our disk was full.

use std::time::Duration;

use crate::clock::Backoff;
use crate::queue::{FollowUp, Lease, QueueError};
use crate::telemetry::Telemetry;

/// Waits between tries.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN_LONGEST: Duration = Duration::from_secs(5);

/// Settles `lease`; its outcome is kept in memory until the queue has it.
///
/// # Errors
/// When the queue was closed: the message stays in it.
pub(super) async fn settle(
    lease: &mut Lease,
    follow_ups: &[FollowUp],
    telemetry: &Telemetry,
) -> Result<(), QueueError> {
    let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
    loop {
        match lease.settle(follow_ups).await {
            Ok(()) => return Ok(()),
            Err(QueueError::Closed) => return Err(QueueError::Closed),
            Err(error) => {
                telemetry.trouble("a message cannot be settled; it is tried again", &error);
                tokio::time::sleep(waits.next_wait()).await;
            }
        }
    }
}
