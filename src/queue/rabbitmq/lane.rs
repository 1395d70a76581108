//! A lane: from one queue of RabbitMQ to leases, over as many connections as it takes.
//!
//! [`LaneState`] outlives connections: it knows what is held, and settles it. [`LaneTask`] takes each session as it comes,
//! consumes on a channel of its own, reads what arrives, and hands it out while there is room. RabbitMQ's prefetch counts
//! messages; the limit in bytes holds back what is handed out, so at worst prefetch x the largest event is in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::message::Delivery as Arrived;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::acker::{Acker, Tag};
use super::error::BrokerError;
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

/// Messages that RabbitMQ allows to be unacknowledged on a consumer of a quorum queue.
const PREFETCH_MAX: usize = 2000;
/// What a message counts beside its body.
const BYTES_PER_MESSAGE: usize = 512;

/// One lane's state, shared by its task and its leases.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) queue: String,
    pub(super) prefetch: Prefetch,
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
    /// Since when the message most recently taken had been waiting.
    waiting_since: Option<Timestamp>,
    /// The channel that is consumed on now.
    acker: Option<Arc<Acker>>,
}

/// What lanes have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
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
}

impl LaneState {
    pub(super) fn new(lane: Lane, prefetch: Prefetch, shared: Shared) -> Self {
        let Shared { topology, publisher, reader, clock, telemetry } = shared;
        let queue = match lane {
            Lane::Work => topology.work(),
            Lane::Retry => topology.retry(),
            Lane::Dead => topology.dead(),
        };
        let inner = Inner {
            table: Table::default(),
            free_messages: prefetch.messages,
            free_bytes: i64::try_from(prefetch.bytes).unwrap_or(i64::MAX),
            waiting_since: None,
            acker: None,
        };
        let inner = Mutex::new(inner);
        Self { lane, queue, prefetch, topology, publisher, reader, clock, telemetry, inner, room: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What RabbitMQ is asked to have on its way at most.
    pub(super) fn prefetch_count(&self) -> u16 {
        u16::try_from(self.prefetch.messages.clamp(1, PREFETCH_MAX)).unwrap_or(u16::MAX)
    }

    /// Messages that are held, prefetched ones included.
    pub(super) fn held(&self) -> u64 {
        self.inner().table.len() as u64
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

    /// The channel that is consumed on from now on.
    pub(super) fn consumes_on(&self, acker: &Arc<Acker>) {
        self.inner().acker = Some(Arc::clone(acker));
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
        let incoming = Incoming {
            body: Bytes::from(arrived.data),
            properties: arrived.properties,
            redelivered: arrived.redelivered,
        };
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
                return Taken::Refused(Box::new(Refused { outgoing, reason, tag }));
            }
        };
        let arrival = {
            let mut inner = self.inner();
            inner.waiting_since = Some(taken.waiting_since);
            inner.table.arrive(taken.identity, incoming.redelivered, tag)
        };
        match arrival {
            Arrival::New(number) => {
                let ticket = Ticket { number, bytes: incoming.body.len() + BYTES_PER_MESSAGE };
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
        self.publisher.publish(outgoing, Patience::Endless).await?;
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
