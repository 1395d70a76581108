//! What lies in `rejected`, purely: where it came from and why, and how it goes back.
//!
//! Three ways lead there. `lane` puts away what it cannot read, with the reason in our headers. RabbitMQ dead-letters what
//! it gives up in `work`, `retry` or `dead` (an `expiration` that a producer set, the delivery limit), and says so in
//! `x-death`. And every exchange's alternate leads there: such a message still bears the name of the exchange that had no
//! queue for it, which RabbitMQ writes and nobody can forge.
//!
//! It goes back to where it came from only if it can be read there now, else it would be back here at once; so a command
//! that requeues everything never works in a circle. What came from `retry` or `dead` goes back with its headers, because
//! only we publish there. Everything else goes back as a producer's event, without headers: a producer cannot aim at
//! another's webhook by way of `rejected`. Poison goes back as well, for another 50 deliveries.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use uuid::Uuid;

use super::reading::{Headers, Incoming, Reader};
use super::topology::Topology;
use super::wire::{self, Outgoing};
use crate::model::Timestamp;
use crate::queue::{Lane, RejectedMessage};

/// RabbitMQ's own account of dead-lettering, newest first; the names of its fields.
const HEADER_DEATH: &str = "x-death";
/// The space of the ids that are shown; made at random, once and for ever.
const ID_SPACE: Uuid = Uuid::from_u128(0x1d0a_7a3e_84c5_4b0b_8f43_0c6e_52a7_9e10);
/// Hexadecimal digits of such an id.
const ID_DIGITS: usize = 16;

/// A message of `rejected`, as it was taken from there.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

/// How a message came here.
struct Way {
    from: String,
    reason: String,
    at: Option<Timestamp>,
}

impl Refused {
    /// What a person sees of it.
    pub(super) fn describe(&self, topology: &Topology) -> RejectedMessage {
        let Way { from, reason, at } = self.way(topology);
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        RejectedMessage {
            id: self.id(),
            message_id: text(self.properties.message_id()),
            reason,
            from,
            at,
            content_type: text(self.properties.content_type()),
            content_encoding: text(self.properties.content_encoding()),
            routing_key: self.routing_key.clone(),
            body: self.body.clone(),
        }
    }

    fn id(&self) -> String {
        let message_id = self.properties.message_id().as_ref().map_or("", |id| id.as_str());
        let space = Uuid::new_v5(&ID_SPACE, message_id.as_bytes());
        Uuid::new_v5(&space, &self.body).simple().to_string()[..ID_DIGITS].to_owned()
    }

    fn headers(&self) -> Headers<'_> {
        Headers(self.properties.headers().as_ref())
    }

    fn way(&self, topology: &Topology) -> Way {
        if self.exchange != topology.rejected() {
            let reason = format!("no queue is bound to its exchange for the routing key {:?}", self.routing_key);
            return Way { from: self.exchange.clone(), reason, at: None };
        }
        let headers = self.headers();
        if let Some(way) = death(&headers) {
            return way;
        }
        let text = |name| headers.text(name).unwrap_or(None).map(str::to_owned);
        let missing = || "someone published it here directly, and gave no reason".to_owned();
        Way {
            from: text(wire::HEADER_REJECTED_FROM).unwrap_or_else(|| topology.rejected()),
            reason: text(wire::HEADER_REJECTED_BECAUSE).unwrap_or_else(missing),
            at: headers.number(wire::HEADER_REJECTED_AT).unwrap_or(None).map(Timestamp::from_millis),
        }
    }

    /// How it goes back to where it came from.
    ///
    /// # Errors
    /// Why it cannot be read there; it should stay here.
    pub(super) fn way_back(&self, topology: &Topology, reader: &Reader, now: Timestamp) -> Result<Outgoing, String> {
        match self.follow_up_lane(topology) {
            Some(lane) => self.back_to(lane, topology, reader, now),
            None => self.back_to_work(topology, reader, now),
        }
    }

    /// The lane of a delivery that we published ourselves.
    fn follow_up_lane(&self, topology: &Topology) -> Option<Lane> {
        let headers = self.headers();
        let has = |name| headers.find(name).is_some();
        let from = self.way(topology).from;
        let is_ours = [topology.retry(), topology.dead(), topology.due(), topology.delay()].contains(&from);
        if !is_ours || !has(wire::HEADER_VERSION) {
            // A producer's event that went to the wrong exchange is an event all the same.
            return None;
        }
        Some(if has(wire::HEADER_REASON) { Lane::Dead } else { Lane::Retry })
    }

    fn back_to(&self, lane: Lane, topology: &Topology, reader: &Reader, now: Timestamp) -> Result<Outgoing, String> {
        // What an unbound exchange had from a newer version may have a wait before it: a delivery is never early.
        let due = self.headers().number(wire::HEADER_DUE)?.map_or(now, Timestamp::from_millis);
        let wait = due.since(now);
        let again = wire::of_follow_up_again(topology, lane, self.body.clone(), &self.properties, wait);
        reader.read(lane, &as_it_arrives(&again), now)?;
        Ok(again)
    }

    fn back_to_work(&self, topology: &Topology, reader: &Reader, now: Timestamp) -> Result<Outgoing, String> {
        let mut again = wire::of_event_again(topology, "", self.body.clone(), &self.properties);
        let taken = reader.read(Lane::Work, &as_it_arrives(&again), now)?;
        again.routing_key = taken.message.event.kind.as_str().to_owned();
        Ok(again)
    }
}

fn as_it_arrives(outgoing: &Outgoing) -> Incoming {
    Incoming { body: outgoing.body.clone(), properties: outgoing.properties.clone(), redelivered: false }
}

/// What RabbitMQ says about a message that it dead-lettered itself.
fn death(headers: &Headers<'_>) -> Option<Way> {
    let Some(AMQPValue::FieldArray(deaths)) = headers.find(HEADER_DEATH) else { return None };
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else { return None };
    let fields = Headers(Some(death));
    let from = fields.text("queue").ok()??.to_owned();
    let reason = match fields.text("reason").unwrap_or(None).unwrap_or("unknown") {
        "expired" => "its producer had set an `expiration`, which ran out before a worker took it".to_owned(),
        "delivery_limit" => "poison: RabbitMQ gave it up at its delivery limit".to_owned(),
        "rejected" => "a consumer that is not hikyaku rejected it".to_owned(),
        "maxlen" => "its queue was full".to_owned(),
        other => format!("RabbitMQ removed it from its queue: {other:?}"),
    };
    let at = match fields.find("time") {
        Some(AMQPValue::Timestamp(seconds)) => i64::try_from(seconds.saturating_mul(1000)).ok(),
        _ => None,
    };
    Some(Way { from, reason, at: at.map(Timestamp::from_millis) })
}
