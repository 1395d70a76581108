//! A lane: from one queue of RabbitMQ to leases, over as many connections as it takes.
//!
//! [`LaneState`] outlives connections: it knows what is held, and settles it. `consumer` takes each session as it comes,
//! consumes on a channel of its own, reads what arrives, and hands it out while there is room.
//!
//! What is handed out is within the lane's prefetch. What is in memory beside it, since RabbitMQ sends ahead, is bounded in
//! messages by RabbitMQ and in bytes by `hold`: it is asked for as many as fit, and for none while twice the prefetch's
//! bytes are held. Over that goes only what is on its way in that moment (decision record 0017).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::message::Delivery as Arrived;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::acker::{Acker, Tag};
use super::error::BrokerError;
use super::hold::Sizes;
use super::joining::{Arrival, Table};
use super::publisher::{Patience, Publisher};
use super::reading::{self, Incoming, Reader};
use super::topology::Topology;
use super::wire::{self, Outgoing, Rejection};
use crate::clock::SharedClock;
use crate::model::{Event, Timestamp};
use crate::queue::lease::{Holder, Lease, Ticket};
use crate::queue::{FollowUp, Lane, Prefetch, QueueError};
use crate::telemetry::SharedTelemetry;

/// Messages that may be unacknowledged: what RabbitMQ allows a consumer of a quorum queue.
const PREFETCH_MAX: usize = 2000;
/// What a message counts beside its body.
const BYTES_PER_MESSAGE: usize = 512;

/// One lane's state, shared by its task and its leases.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) queue: String,
    pub(super) prefetch: Prefetch,
    /// How long a message may be unacknowledged.
    pub(super) unacknowledged_max: Duration,
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Publisher,
    pub(super) reader: Arc<Reader>,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
    inner: Mutex<Inner>,
    /// There is room again.
    pub(super) room: Notify,
}

#[derive(Debug)]
struct Inner {
    table: Table<Tag>,
    /// What may still be handed out; negative in bytes after a large message.
    free_messages: usize,
    free_bytes: i64,
    /// What is in memory, handed out or not.
    held_bytes: usize,
    /// Since when the message most recently taken had been waiting.
    waiting_since: Option<Timestamp>,
    /// The channel that is consumed on now.
    acker: Option<Arc<Acker>>,
}

/// What lanes have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) unacknowledged_max: Duration,
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Publisher,
    pub(super) reader: Arc<Reader>,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
}

/// What to do with a message that arrived.
pub(super) enum Taken {
    /// Hand it out.
    Lease(Lease),
    /// Nothing: it joined another, or was done.
    Nothing,
    /// Put it away and acknowledge it.
    Refused(Box<Refused>),
}

/// What is no event, and where it came.
pub(super) struct Refused {
    pub(super) outgoing: Outgoing,
    pub(super) reason: String,
    pub(super) tag: Tag,
    /// What it counts while it is in memory.
    pub(super) weight: Weight,
}

/// Counts in what a lane holds for as long as it is there.
pub(super) struct Weight {
    lane: Arc<LaneState>,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        let mut inner = self.lane.inner();
        inner.held_bytes = inner.held_bytes.saturating_sub(self.bytes);
        drop(inner);
        self.lane.room.notify_one();
    }
}

impl LaneState {
    pub(super) fn new(lane: Lane, prefetch: Prefetch, shared: Shared) -> Self {
        let Shared { unacknowledged_max, topology, publisher, reader, clock, telemetry } = shared;
        let queue = match lane {
            Lane::Work => topology.work(),
            Lane::Retry => topology.retry(),
            Lane::Dead => topology.dead(),
        };
        let inner = Inner {
            table: Table::default(),
            free_messages: prefetch.messages,
            free_bytes: i64::try_from(prefetch.bytes).unwrap_or(i64::MAX),
            held_bytes: 0,
            waiting_since: None,
            acker: None,
        };
        let (inner, room) = (Mutex::new(inner), Notify::new());
        Self { lane, queue, prefetch, unacknowledged_max, topology, publisher, reader, clock, telemetry, inner, room }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a message with a body of `bytes` counts.
    pub(super) fn weight(bytes: usize) -> usize {
        bytes + BYTES_PER_MESSAGE
    }

    /// How large messages are, of which nothing is known yet.
    pub(super) fn sizes(&self) -> Sizes {
        let messages_max = self.prefetch.messages.min(PREFETCH_MAX);
        Sizes::new(messages_max, self.prefetch.bytes, Self::weight(self.reader.event_bytes_max))
    }

    /// Bytes in memory, handed out or not.
    pub(super) fn held_bytes(&self) -> usize {
        self.inner().held_bytes
    }

    /// Messages in memory, handed out or not.
    pub(super) fn held_messages(&self) -> usize {
        self.inner().table.held()
    }

    /// Messages that are handed out and not settled.
    pub(super) fn out(&self) -> usize {
        self.prefetch.messages.saturating_sub(self.inner().free_messages)
    }

    /// Messages that are held, prefetched ones included; not those that RabbitMQ has back, and counts itself.
    pub(super) fn taken(&self) -> u64 {
        self.inner().table.taken() as u64
    }

    /// Since when the message most recently taken had been waiting.
    pub(super) fn waiting_since(&self) -> Option<Timestamp> {
        self.inner().waiting_since
    }

    /// Hands out from `pending` as many as there is room for.
    pub(super) fn hand_out_from(&self, pending: &mut VecDeque<Lease>, sender: &mpsc::Sender<Lease>) {
        while !pending.is_empty() && self.has_room() {
            // The channel has room for all that may be out; it is closed when nobody wants any more.
            let Ok(permit) = sender.try_reserve() else { return };
            if let Some(lease) = pending.pop_front() {
                self.hand_out(&lease);
                permit.send(lease);
            }
        }
    }

    fn has_room(&self) -> bool {
        let inner = self.inner();
        inner.free_messages > 0 && inner.free_bytes > 0
    }

    /// Counts a lease that is handed out.
    fn hand_out(&self, lease: &Lease) {
        let ticket = lease.ticket();
        let mut inner = self.inner();
        inner.table.hand_out(ticket.number);
        inner.free_messages = inner.free_messages.saturating_sub(1);
        inner.free_bytes = inner.free_bytes.saturating_sub(i64::try_from(ticket.bytes).unwrap_or(i64::MAX));
    }

    /// The channel that is consumed on from now on, if any is.
    pub(super) fn consumes_on(&self, acker: Option<&Arc<Acker>>) {
        self.inner().acker = acker.cloned();
    }

    /// Sends every acknowledgement that waits, as before a farewell.
    pub(super) async fn flush(&self) -> Result<(), BrokerError> {
        let acker = self.inner().acker.clone();
        match acker {
            Some(acker) => acker.flush(true).await,
            None => Ok(()),
        }
    }

    fn unless_poison(&self, taken: reading::Taken, incoming: &Incoming) -> Result<reading::Taken, String> {
        let is_known = || taken.identity.as_ref().is_some_and(|identity| self.inner().table.knows(identity));
        match reading::poison(incoming) {
            Some(reason) if !is_known() => Err(reason),
            _ => Ok(taken),
        }
    }

    /// Reads a message that arrived.
    pub(super) fn take(self: &Arc<Self>, arrived: Arrived, acker: &Arc<Acker>) -> Taken {
        let tag = Tag { acker: Arc::clone(acker), tag: arrived.delivery_tag };
        let mut body = arrived.data;
        // lapin puts frames together in a vector that doubles: what counts as 1 MiB would be 2.
        body.shrink_to_fit();
        let bytes = Self::weight(body.len());
        let incoming =
            Incoming { body: Bytes::from(body), properties: arrived.properties, redelivered: arrived.redelivered };
        let read = self.reader.read(self.lane, &incoming, self.clock.now());
        let taken = match read.and_then(|taken| self.unless_poison(taken, &incoming)) {
            Ok(taken) => taken,
            Err(reason) => {
                let Incoming { body, properties, .. } = incoming;
                let rejection = Rejection {
                    from: &self.queue,
                    routing_key: arrived.routing_key.as_str(),
                    reason: &reason,
                    at: self.clock.now(),
                    is_ours: self.lane != Lane::Work,
                };
                let outgoing = wire::of_rejected(&self.topology, body, &properties, &rejection);
                self.inner().held_bytes += bytes;
                let weight = Weight { lane: Arc::clone(self), bytes };
                return Taken::Refused(Box::new(Refused { outgoing, reason, tag, weight }));
            }
        };
        let arrival = {
            let mut inner = self.inner();
            inner.waiting_since = Some(taken.waiting_since);
            let arrival = inner.table.arrive(taken.identity, incoming.redelivered, tag);
            if matches!(arrival, Arrival::New(_)) {
                inner.held_bytes += bytes;
            }
            arrival
        };
        match arrival {
            Arrival::New(number) => {
                let ticket = Ticket { number, bytes };
                let holder = Arc::clone(self) as Arc<dyn Holder>;
                Taken::Lease(Lease::new(taken.message, taken.death, holder, ticket))
            }
            Arrival::Joined => Taken::Nothing,
            Arrival::Done(tag) => {
                tag.settle();
                Taken::Nothing
            }
        }
    }

    /// Publishes the follow-ups of `number`, unless they are confirmed already.
    async fn publish_follow_ups(&self, number: i64, event: &Event, follow_ups: &[FollowUp]) -> Result<(), QueueError> {
        let name = || Uuid::new_v4().simple().to_string();
        let Some(copy) = self.inner().table.name_follow_ups(number, name) else { return Ok(()) };
        let outgoing = wire::of_follow_ups(&self.topology, event, follow_ups, &copy, self.clock.now());
        self.publisher.publish_together(outgoing, Patience::Endless).await?;
        self.inner().table.follow_ups_confirmed(number);
        Ok(())
    }
}

impl Holder for LaneState {
    fn settle(
        &self,
        ticket: Ticket,
        event: Arc<Event>,
        follow_ups: Vec<FollowUp>,
    ) -> BoxFuture<'_, Result<(), QueueError>> {
        async move {
            self.publisher.check_open()?;
            if !follow_ups.is_empty() {
                self.publish_follow_ups(ticket.number, &event, &follow_ups).await?;
            }
            let places = self.inner().table.settle(ticket.number);
            places.iter().for_each(Tag::settle);
            Ok(())
        }
        .boxed()
    }

    fn release(&self, ticket: Ticket, settled: bool) {
        let mut inner = self.inner();
        inner.held_bytes = inner.held_bytes.saturating_sub(ticket.bytes);
        // Only what was handed out is settled.
        let (places, was_out) = if settled { (Vec::new(), true) } else { inner.table.give_back(ticket.number) };
        if was_out {
            inner.free_messages += 1;
            inner.free_bytes = inner.free_bytes.saturating_add(i64::try_from(ticket.bytes).unwrap_or(i64::MAX));
        }
        drop(inner);
        places.iter().for_each(Tag::give_back);
        self.room.notify_one();
    }
}
