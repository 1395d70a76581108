//! Messages as RabbitMQ carries them: what we take.
//!
//! On `work` anyone publishes: the body must be an event, and headers of ours are not believed, so that nobody can aim at
//! another's webhook. One exception can only hurt its author: `accepted-at` counts if it makes the event older than its
//! first taking does, and by no more than a year, so that what came in over HTTP ages from when it was accepted. Who forges
//! it shortens the life of an own event, and shows an own age in `oldest_waiting_seconds` until the next event is taken.
//! On `retry` and `dead` only we publish (through exchanges where producers have no business), and the headers are the
//! delivery.
//!
//! What cannot be read is a reason in words, and nobody else's trouble: `lane` has it rejected, bytes intact.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use super::wire;
use crate::model::{
    Arrival, DeathReason, Delivery, Event, EventError, EventId, LastFailure, Message, Outcome, Source, Target,
    Timestamp, TraceContext, UserId, WebhookId,
};
use crate::queue::{Death, Lane};

/// Deliveries after which a message is poison: whoever takes it dies of it.
const DELIVERIES_MAX: i64 = 50;
/// RabbitMQ's own count of earlier deliveries; absent at first on 4.x.
const HEADER_DELIVERY_COUNT: &str = "x-delivery-count";
/// The space of ids that events get from their bytes; made at random, once and for ever.
const EVENT_ID_SPACE: Uuid = Uuid::from_u128(0x6c1f_3f0e_5d0b_4f0c_9a55_2b7d_1f6e_8a41);
/// AMQP's timestamp is in seconds. A larger number (in seconds it is the year 5138) is taken for milliseconds, and each
/// thousandfold of that for the next finer unit, so that whatever comes is a moment that an event can have.
const TIMESTAMP_S_MAX: u64 = 100_000_000_000;
/// How far back a message may say that it was accepted. The longest `max_age_s` is a year: what is older is forged or
/// wrong, and would only make the age of what waits a lie.
const ACCEPTED_BEFORE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// What the bytes of a message are read with.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// Bytes that an event may have.
    pub(super) event_bytes_max: usize,
    /// The `server` of events of the source `default` that do not say theirs.
    pub(super) server: Option<String>,
}

/// A message as it came.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) redelivered: bool,
}

/// Names a message, so that a second copy of it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// A fresh event of a source and a user: of two users' events with one id, one could be anything that the other has sent.
    /// Two publishes of one event have the same, so only a redelivery is taken for a copy.
    Event(Source, Option<UserId>, EventId),
    /// A follow-up: each has its own name, however often it is published or handed over.
    Copy(String),
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) message: Message,
    pub(super) death: Option<Death>,
    pub(super) identity: Option<Identity>,
    /// Since when it has been waiting to be taken.
    pub(super) waiting_since: Timestamp,
}

impl Reader {
    /// Reads a message of `lane`, or says why it is none.
    pub(super) fn read(&self, lane: Lane, incoming: &Incoming, now: Timestamp) -> Result<Taken, String> {
        let headers = Headers(incoming.properties.headers().as_ref());
        match lane {
            Lane::Work => self.read_fresh(incoming, &headers, now),
            Lane::Retry | Lane::Dead => self.read_follow_up(lane, incoming, &headers, now),
        }
    }

    fn read_fresh(&self, incoming: &Incoming, headers: &Headers<'_>, now: Timestamp) -> Result<Taken, String> {
        let event_bytes_max = self.event_bytes_max.saturating_add(wire::ENVELOPE_BYTES_MAX);
        let created_at = incoming.properties.timestamp().as_ref().map(created_at);
        let arrival =
            Arrival { now: created_at.unwrap_or(now), event_id: event_id(incoming)?, event_bytes_max, source: None };
        let mut event = Event::parse(&incoming.body, arrival).map_err(|error| no_event(&error, incoming))?;
        let accepted_at = headers.number(wire::HEADER_ACCEPTED_AT).unwrap_or(None).map(Timestamp::from_millis);
        let is_possible = |at: &Timestamp| *at < now && now.since(*at) <= ACCEPTED_BEFORE_MAX;
        event.accepted_at = accepted_at.filter(is_possible).unwrap_or(now);
        event.trace = headers.trace();
        if event.server.is_none() && event.source == Source::default() {
            event.server.clone_from(&self.server);
        }
        let waiting_since = event.accepted_at;
        let identity = Some(Identity::Event(event.source.clone(), event.user.clone(), event.id.clone()));
        let message = Message { event: Arc::new(event), target: Target::Subscribers };
        Ok(Taken { message, death: None, identity, waiting_since })
    }

    fn read_follow_up(
        &self,
        lane: Lane,
        incoming: &Incoming,
        headers: &Headers<'_>,
        now: Timestamp,
    ) -> Result<Taken, String> {
        let version = headers.needed_number(wire::HEADER_VERSION)?;
        if version > wire::VERSION {
            return Err(format!(
                "{} is {version}, and this version of hikyaku knows up to {}; a newer one put it here",
                wire::HEADER_VERSION,
                wire::VERSION
            ));
        }
        if version < 1 {
            return Err(format!("the header {} is out of range", wire::HEADER_VERSION));
        }
        let arrival = Arrival { now, event_id: event_id(incoming)?, event_bytes_max: usize::MAX, source: None };
        let mut event = Event::parse(&incoming.body, arrival).map_err(|error| error.to_string())?;
        event.accepted_at = Timestamp::from_millis(headers.needed_number(wire::HEADER_ACCEPTED_AT)?);
        event.trace = headers.trace();
        let delivery = headers.delivery()?;
        let death = match lane {
            Lane::Work | Lane::Retry => None,
            Lane::Dead => Some(headers.death()?),
        };
        let waiting_since = headers.number(wire::HEADER_DUE)?.map_or(now, Timestamp::from_millis).min(now);
        let identity = headers.text(wire::HEADER_COPY)?.map(|copy| Identity::Copy(copy.to_owned()));
        let message = Message { event: Arc::new(event), target: Target::One(delivery) };
        Ok(Taken { message, death, identity, waiting_since })
    }
}

/// Why the body is no event; with its encoding, if it says that it has one.
fn no_event(error: &EventError, incoming: &Incoming) -> String {
    match (error, incoming.properties.content_encoding()) {
        (EventError::NotJson { .. }, Some(encoding)) if !encoding.as_str().is_empty() => {
            format!("{error}; its `content_encoding` is {:?}, and bodies must come as plain JSON", encoding.as_str())
        }
        _ => error.to_string(),
    }
}

/// Why a message must not be taken again, if so. What this worker holds or has settled is no poison, however often its
/// connections were lost meanwhile.
pub(super) fn poison(incoming: &Incoming) -> Option<String> {
    let headers = Headers(incoming.properties.headers().as_ref());
    let deliveries = headers.number(HEADER_DELIVERY_COUNT).unwrap_or(None).unwrap_or(0);
    (deliveries >= DELIVERIES_MAX)
        .then(|| format!("poison: it has been delivered {deliveries} times and was never settled"))
}

/// The id for an event that does not say its own: the message's, else one that its bytes give, the same at every delivery.
fn event_id(incoming: &Incoming) -> Result<EventId, String> {
    match incoming.properties.message_id() {
        Some(id) if !id.as_str().is_empty() => {
            EventId::new(id.as_str()).map_err(|error| format!("`message_id` is not allowed: {error}"))
        }
        _ => {
            let id = Uuid::new_v5(&EVENT_ID_SPACE, &incoming.body).to_string();
            EventId::new(&id).map_err(|error| error.to_string())
        }
    }
}

fn created_at(timestamp: &u64) -> Timestamp {
    const MS_MAX: u64 = TIMESTAMP_S_MAX * 1000;
    const US_MAX: u64 = MS_MAX * 1000;
    let ms = match *timestamp {
        seconds @ ..=TIMESTAMP_S_MAX => seconds * 1000,
        ms @ ..=MS_MAX => ms,
        us @ ..=US_MAX => us / 1000,
        ns => ns / 1_000_000,
    };
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The headers of a message, each read with its type.
pub(super) struct Headers<'a>(pub(super) Option<&'a FieldTable>);

impl<'a> Headers<'a> {
    pub(super) fn find(&self, name: &str) -> Option<&'a AMQPValue> {
        self.0.and_then(|table| table.inner().get(name))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let number = match value {
            AMQPValue::LongLongInt(number) => Some(*number),
            AMQPValue::LongInt(number) => Some(i64::from(*number)),
            AMQPValue::LongUInt(number) => Some(i64::from(*number)),
            AMQPValue::ShortInt(number) => Some(i64::from(*number)),
            AMQPValue::ShortUInt(number) => Some(i64::from(*number)),
            AMQPValue::ShortShortInt(number) => Some(i64::from(*number)),
            AMQPValue::ShortShortUInt(number) => Some(i64::from(*number)),
            _ => None,
        };
        number.map(Some).ok_or_else(|| format!("the header {name} must be a whole number"))
    }

    fn needed_number(&self, name: &str) -> Result<i64, String> {
        self.number(name)?.ok_or_else(|| format!("the header {name} is missing"))
    }

    fn count(&self, name: &str) -> Result<u32, String> {
        u32::try_from(self.needed_number(name)?).map_err(|_| format!("the header {name} is out of range"))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let text = match self.find(name) {
            None => return Ok(None),
            Some(AMQPValue::LongString(text)) => std::str::from_utf8(text.as_bytes()).ok(),
            Some(AMQPValue::ShortString(text)) => Some(text.as_str()),
            Some(_) => None,
        };
        text.map(Some).ok_or_else(|| format!("the header {name} must be a text"))
    }

    fn needed_text(&self, name: &str) -> Result<&'a str, String> {
        self.text(name)?.ok_or_else(|| format!("the header {name} is missing"))
    }

    /// The trace that it belongs to, if it says so well.
    fn trace(&self) -> Option<TraceContext> {
        TraceContext::parse(self.text(wire::HEADER_TRACEPARENT).ok()??)
    }

    fn delivery(&self) -> Result<Delivery, String> {
        let webhook = WebhookId::new(self.needed_text(wire::HEADER_WEBHOOK)?)
            .map_err(|error| format!("the header {} is not allowed: {error}", wire::HEADER_WEBHOOK))?;
        let last = match self.text(wire::HEADER_LAST_OUTCOME)? {
            None => None,
            Some(outcome) => Some(self.last_failure(outcome)?),
        };
        Ok(Delivery {
            webhook,
            generation: self.count(wire::HEADER_GENERATION)?,
            attempts: self.count(wire::HEADER_ATTEMPTS)?,
            parks: self.count(wire::HEADER_PARKS)?,
            since: Timestamp::from_millis(self.needed_number(wire::HEADER_SINCE)?),
            last,
        })
    }

    fn last_failure(&self, outcome: &str) -> Result<LastFailure, String> {
        let outcome = Outcome::from_name(outcome)
            .ok_or_else(|| format!("the header {} names no outcome: {outcome:?}", wire::HEADER_LAST_OUTCOME))?;
        let status = match self.number(wire::HEADER_LAST_STATUS)? {
            None => None,
            Some(status) => Some(
                u16::try_from(status)
                    .map_err(|_| format!("the header {} is out of range", wire::HEADER_LAST_STATUS))?,
            ),
        };
        Ok(LastFailure::new(outcome, status, self.text(wire::HEADER_LAST_ERROR)?.unwrap_or_default()))
    }

    fn death(&self) -> Result<Death, String> {
        let reason = self.needed_text(wire::HEADER_REASON)?;
        Ok(Death {
            reason: DeathReason::from_name(reason)
                .ok_or_else(|| format!("the header {} names no reason: {reason:?}", wire::HEADER_REASON))?,
            at: Timestamp::from_millis(self.needed_number(wire::HEADER_DIED_AT)?),
        })
    }
}
