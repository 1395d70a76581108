//! Messages as RabbitMQ carries them: what we publish.
//!
//! The body of every message is an event's JSON as producers write it (`model::parse` has its shape), its `body` with the
//! bytes that came in. What belongs to one delivery travels in headers, all ours, all named here:
//!
//! | header `x-hikyaku-` | value | on |
//! |---|---|---|
//! | `version` | 1; a higher number is refused | follow-ups |
//! | `copy` | names this follow-up, so that a second copy of it is known | follow-ups |
//! | `accepted-at` | ms since 1970 | all |
//! | `webhook`, `generation`, `attempts`, `parks`, `since` | the delivery; `since` in ms | follow-ups |
//! | `last-outcome`, `last-status`, `last-error` | its last attempt; the error has at most 512 bytes | follow-ups |
//! | `due` | ms since 1970 | what waits |
//! | `reason`, `died-at` | why and when it was given up | dead letters |
//! | `rejected-because`, `rejected-from`, `rejected-at` | why, from which queue and when (ms) it was put away | `rejected` |
//!
//! And one that is everybody's, W3C Trace Context's `traceparent`: the span that stored the message's event, on all of them, where
//! traces are on or a producer gave it.
//!
//! What waits from the start has what a follow-up has.
//!
//! What is put away keeps its bytes, its routing key, and the properties that `rejected requeue` needs. From `retry` and
//! `dead`, where only we publish, it keeps our headers too: without them nobody could tell whose delivery it was.
//!
//! Nothing else is passed on: no `x-death` (RabbitMQ before 4.0 takes it for a cycle), no `CC`, `BCC` or `user_id` of a
//! producer. `expiration` is set by us, and only on what waits. Everything is persistent.

use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::topology::{DEAD_KEY, DUE_KEY, Topology, bucket_key, bucket_of, ttl_ms};
use crate::model::{Delivery, Event, Message, Target, Timestamp};
use crate::queue::{FollowUp, Lane};

/// The shape of the headers; a reader refuses a higher one.
pub(super) const VERSION: i64 = 1;

pub(super) const HEADER_VERSION: &str = "x-hikyaku-version";
pub(super) const HEADER_COPY: &str = "x-hikyaku-copy";
pub(super) const HEADER_ACCEPTED_AT: &str = "x-hikyaku-accepted-at";
pub(super) const HEADER_WEBHOOK: &str = "x-hikyaku-webhook";
pub(super) const HEADER_GENERATION: &str = "x-hikyaku-generation";
pub(super) const HEADER_ATTEMPTS: &str = "x-hikyaku-attempts";
pub(super) const HEADER_PARKS: &str = "x-hikyaku-parks";
pub(super) const HEADER_SINCE: &str = "x-hikyaku-since";
pub(super) const HEADER_LAST_OUTCOME: &str = "x-hikyaku-last-outcome";
pub(super) const HEADER_LAST_STATUS: &str = "x-hikyaku-last-status";
pub(super) const HEADER_LAST_ERROR: &str = "x-hikyaku-last-error";
pub(super) const HEADER_DUE: &str = "x-hikyaku-due";
pub(super) const HEADER_REASON: &str = "x-hikyaku-reason";
pub(super) const HEADER_DIED_AT: &str = "x-hikyaku-died-at";
/// Which trace the event belongs to, by the name that W3C Trace Context has for HTTP. A producer's is believed: it gives no right.
pub(super) const HEADER_TRACEPARENT: &str = "traceparent";
/// On what was rejected: why, and from which queue.
pub(super) const HEADER_REJECTED_BECAUSE: &str = "x-hikyaku-rejected-because";
pub(super) const HEADER_REJECTED_FROM: &str = "x-hikyaku-rejected-from";
pub(super) const HEADER_REJECTED_AT: &str = "x-hikyaku-rejected-at";
/// What the names of our headers begin with, and of those among them that `rejected` adds.
const HEADERS_OURS: &str = "x-hikyaku-";
const HEADERS_OF_REJECTED: &str = "x-hikyaku-rejected-";
/// Bytes of a reason; it may quote what a producer sent, and all headers together must fit into one frame of AMQP.
const REASON_BYTES_MAX: usize = 512;
/// Headers of ours that are kept on what is put away, and bytes of a text among them: no version has had more.
const HEADERS_KEPT_MAX: usize = 64;
const HEADER_BYTES_KEPT_MAX: usize = 1024;

/// Bytes of an event's JSON that are not its body: ids and names of 128 bytes, `server` of 1,024, each character escaped.
pub(super) const ENVELOPE_BYTES_MAX: usize = 8 * 1024;
/// What marks our messages in the management UI.
const APP_ID: &str = "hikyaku";
const CONTENT_TYPE: &str = "application/json";
const PERSISTENT: u8 = 2;

/// A message ready to be published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
}

/// What `message` looks like; `copy` names it if it is for one webhook.
pub(super) fn of_message(topology: &Topology, message: &Message, copy: &str, now: Timestamp) -> Outgoing {
    let event = &message.event;
    match &message.target {
        Target::Subscribers => {
            let mut headers = FieldTable::default();
            put(&mut headers, HEADER_ACCEPTED_AT, event.accepted_at.as_millis());
            put_trace(&mut headers, event);
            outgoing(topology.events(), event.kind.as_str().to_owned(), json(event), properties(event, headers))
        }
        Target::One(delivery) => later(topology, event, json(event), &Waiting { delivery, due: now, copy }, now),
        Target::Later { delivery, due } => {
            later(topology, event, json(event), &Waiting { delivery, due: *due, copy }, now)
        }
    }
}

/// What `follow_ups` of `event` look like; `copy` and their place name them.
pub(super) fn of_follow_ups(
    topology: &Topology,
    event: &Event,
    follow_ups: &[FollowUp],
    copy: &str,
    now: Timestamp,
) -> Vec<Outgoing> {
    let body = json(event);
    let each = follow_ups.iter().enumerate().map(|(place, follow_up)| {
        let copy = format!("{copy}-{place}");
        match follow_up {
            FollowUp::Later { delivery, due } => {
                later(topology, event, body.clone(), &Waiting { delivery, due: *due, copy: &copy }, now)
            }
            FollowUp::Dead { delivery, death } => {
                let mut headers = delivery_headers(event, delivery, &copy);
                put_text(&mut headers, HEADER_REASON, death.reason.as_str());
                put(&mut headers, HEADER_DIED_AT, death.at.as_millis());
                outgoing(topology.delay(), DEAD_KEY.to_owned(), body.clone(), properties(event, headers))
            }
        }
    });
    each.collect()
}

struct Waiting<'a> {
    delivery: &'a Delivery,
    due: Timestamp,
    copy: &'a str,
}

fn later(topology: &Topology, event: &Event, body: Bytes, waiting: &Waiting<'_>, now: Timestamp) -> Outgoing {
    let mut headers = delivery_headers(event, waiting.delivery, waiting.copy);
    put(&mut headers, HEADER_DUE, waiting.due.as_millis());
    self::waiting(topology, body, properties(event, headers), waiting.due.since(now))
}

fn outgoing(exchange: String, routing_key: String, body: Bytes, properties: BasicProperties) -> Outgoing {
    Outgoing { exchange, routing_key, body, properties }
}

fn properties(event: &Event, headers: FieldTable) -> BasicProperties {
    let created_s = u64::try_from(event.created_at.as_millis() / 1000).unwrap_or(0);
    BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.id.as_str().into())
        .with_timestamp(created_s)
        .with_app_id(APP_ID.into())
        .with_headers(headers)
}

/// What is put away, and why.
pub(super) struct Rejection<'a> {
    /// The queue it came from.
    pub(super) from: &'a str,
    /// Its routing key.
    pub(super) routing_key: &'a str,
    /// Why, in words.
    pub(super) reason: &'a str,
    pub(super) at: Timestamp,
    /// Whether its headers of ours are our own, and stay.
    pub(super) is_ours: bool,
}

/// What is no event, as it came in: its bytes, and of its properties those that `requeue` needs and a person looks for.
pub(super) fn of_rejected(
    topology: &Topology,
    body: Bytes,
    properties: &BasicProperties,
    rejection: &Rejection<'_>,
) -> Outgoing {
    let mut headers = if rejection.is_ours { our_headers(properties) } else { FieldTable::default() };
    let end = rejection.reason.floor_char_boundary(REASON_BYTES_MAX);
    put_text(&mut headers, HEADER_REJECTED_BECAUSE, &rejection.reason[..end]);
    put_text(&mut headers, HEADER_REJECTED_FROM, rejection.from);
    put(&mut headers, HEADER_REJECTED_AT, rejection.at.as_millis());
    outgoing(topology.rejected(), rejection.routing_key.to_owned(), body, kept(properties, headers))
}

/// Of `properties` what names and describes a message, and nothing that acts; with `headers`.
fn kept(properties: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(content_type) = properties.content_type() {
        kept = kept.with_content_type(content_type.clone());
    }
    if let Some(content_encoding) = properties.content_encoding() {
        kept = kept.with_content_encoding(content_encoding.clone());
    }
    if let Some(message_id) = properties.message_id() {
        kept = kept.with_message_id(message_id.clone());
    }
    if let Some(timestamp) = properties.timestamp() {
        kept = kept.with_timestamp(*timestamp);
    }
    if let Some(app_id) = properties.app_id() {
        kept = kept.with_app_id(app_id.clone());
    }
    kept
}

/// The headers of a delivery, among all that a message has.
fn our_headers(properties: &BasicProperties) -> FieldTable {
    let mut ours = FieldTable::default();
    let all = properties.headers().iter().flat_map(|headers| headers.inner());
    let is_short = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.as_bytes().len() <= HEADER_BYTES_KEPT_MAX,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::ByteArray(_) => false,
        _ => true,
    };
    let kept = all.filter(|(name, value)| {
        let name = name.as_str();
        let is_ours = name.starts_with(HEADERS_OURS) || name == HEADER_TRACEPARENT;
        is_ours && !name.starts_with(HEADERS_OF_REJECTED) && is_short(value)
    });
    for (name, value) in kept.take(HEADERS_KEPT_MAX) {
        ours.insert(name.clone(), value.clone());
    }
    ours
}

/// An event that was put away, as a producer publishes it: no header of it is believed.
pub(super) fn of_event_again(topology: &Topology, kind: &str, body: Bytes, properties: &BasicProperties) -> Outgoing {
    outgoing(topology.events(), kind.to_owned(), body, kept(properties, FieldTable::default()))
}

/// A delivery or dead letter that was put away, as it was before; a delivery comes back after `wait`.
pub(super) fn of_follow_up_again(
    topology: &Topology,
    lane: Lane,
    body: Bytes,
    properties: &BasicProperties,
    wait: Duration,
) -> Outgoing {
    let properties = kept(properties, our_headers(properties));
    if lane == Lane::Dead {
        return outgoing(topology.delay(), DEAD_KEY.to_owned(), body, properties);
    }
    waiting(topology, body, properties, wait)
}

/// What comes back on `retry` after `wait`.
fn waiting(topology: &Topology, body: Bytes, properties: BasicProperties, wait: Duration) -> Outgoing {
    if wait.is_zero() {
        return outgoing(topology.due(), DUE_KEY.to_owned(), body, properties);
    }
    let properties = properties.with_expiration(ttl_ms(wait).to_string().into());
    outgoing(topology.delay(), bucket_key(bucket_of(wait)), body, properties)
}

fn delivery_headers(event: &Event, delivery: &Delivery, copy: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    put(&mut headers, HEADER_VERSION, VERSION);
    put_text(&mut headers, HEADER_COPY, copy);
    put(&mut headers, HEADER_ACCEPTED_AT, event.accepted_at.as_millis());
    put_trace(&mut headers, event);
    put_text(&mut headers, HEADER_WEBHOOK, delivery.webhook.as_str());
    put(&mut headers, HEADER_GENERATION, i64::from(delivery.generation));
    put(&mut headers, HEADER_ATTEMPTS, i64::from(delivery.attempts));
    put(&mut headers, HEADER_PARKS, i64::from(delivery.parks));
    put(&mut headers, HEADER_SINCE, delivery.since.as_millis());
    if let Some(last) = &delivery.last {
        put_text(&mut headers, HEADER_LAST_OUTCOME, last.outcome.as_str());
        if let Some(status) = last.status {
            put(&mut headers, HEADER_LAST_STATUS, i64::from(status));
        }
        put_text(&mut headers, HEADER_LAST_ERROR, &last.error);
    }
    headers
}

fn put_trace(headers: &mut FieldTable, event: &Event) {
    if let Some(trace) = &event.trace {
        put_text(headers, HEADER_TRACEPARENT, &trace.to_string());
    }
}

fn put(headers: &mut FieldTable, name: &str, value: i64) {
    headers.insert(name.into(), AMQPValue::LongLongInt(value));
}

fn put_text(headers: &mut FieldTable, name: &str, value: &str) {
    headers.insert(name.into(), AMQPValue::LongString(value.into()));
}

/// The event as a producer would write it.
pub(super) fn json(event: &Event) -> Bytes {
    let mut json = Vec::with_capacity(event.body.bytes().len() + 256);
    json.extend_from_slice(b"{\"type\":");
    push_text(&mut json, event.kind.as_str());
    if let Some(user) = &event.user {
        json.extend_from_slice(b",\"userId\":");
        push_text(&mut json, user.as_str());
    }
    json.extend_from_slice(b",\"body\":");
    json.extend_from_slice(event.body.bytes());
    json.extend_from_slice(b",\"eventId\":");
    push_text(&mut json, event.id.as_str());
    json.extend_from_slice(format!(",\"createdAt\":{}", event.created_at.as_millis()).as_bytes());
    if let Some(server) = &event.server {
        json.extend_from_slice(b",\"server\":");
        push_text(&mut json, server);
    }
    json.extend_from_slice(b",\"source\":");
    push_text(&mut json, event.source.as_str());
    json.push(b'}');
    Bytes::from(json)
}

fn push_text(json: &mut Vec<u8>, text: &str) {
    json.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}
