//! A message in a worker's hands.
//!
//! The lease knows its backend only as a [`Holder`]: who settles it, and who takes it back when it is dropped unsettled.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{FollowUp, QueueError};
use crate::model::{DeathReason, Event, Message, Timestamp};

/// Why and when a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Why.
    pub reason: DeathReason,
    /// When.
    pub at: Timestamp,
}

/// A message taken and not yet settled. Dropping it gives the message back.
#[derive(Debug)]
pub struct Lease {
    /// The message.
    pub message: Message,
    /// On [`Lane::Dead`](super::Lane::Dead), and only there: why and when it was given up.
    pub death: Option<Death>,
    holder: Arc<dyn Holder>,
    ticket: Ticket,
    settled: bool,
}

/// What a backend needs to find a leased message again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// The message's number in its lane.
    pub(super) number: i64,
    /// What it counts against the prefetch.
    pub(super) bytes: usize,
}

/// The backend's side of a lease.
pub(super) trait Holder: Send + Sync + std::fmt::Debug {
    /// Stores `follow_ups` of `event` and removes the message, in one step.
    fn settle(
        &self,
        ticket: Ticket,
        event: Arc<Event>,
        follow_ups: Vec<FollowUp>,
    ) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The message is no longer in anyone's hands: gone when `settled`, else to be taken again.
    fn release(&self, ticket: Ticket, settled: bool);
}

impl Lease {
    pub(super) fn new(message: Message, death: Option<Death>, holder: Arc<dyn Holder>, ticket: Ticket) -> Self {
        Self { message, death, holder, ticket, settled: false }
    }

    /// Its number in its lane, for whoever looks for it there.
    pub fn number(&self) -> i64 {
        self.ticket.number
    }

    /// What its backend knows it by.
    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Ends the message: stores `follow_ups` and removes it, in one step. May be called again after an error.
    ///
    /// # Errors
    /// The message is still here and leased, and none of the follow-ups counts.
    pub async fn settle(&mut self, follow_ups: &[FollowUp]) -> Result<(), QueueError> {
        self.holder.settle(self.ticket, Arc::clone(&self.message.event), follow_ups.to_vec()).await?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.holder.release(self.ticket, self.settled);
    }
}
