//! Messages of every version, as they lay in RabbitMQ (`tests/fixtures/golden/v*/amqp`): what each version wrote is read by this
//! one, and this one writes what the newest of them wrote, byte by byte.
//!
//! A file is never edited. Who changes how messages look makes a folder for the new version, by
//! `HIKYAKU_WRITE_FIXTURES=1 cargo test --lib queue::rabbitmq::golden`, and leaves the others as they are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

use super::reading::{Incoming, Reader};
use super::topology::Topology;
use super::wire::{self, Outgoing, Rejection};
use crate::model::{
    Arrival, DeathReason, Delivery, Event, EventId, LastFailure, Message, Outcome, Target, Timestamp, WebhookId,
};
use crate::queue::{Death, FollowUp, Lane};

/// The version whose messages are as this one writes them.
const NEWEST: &str = "v0.1.0";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// A body as no serialiser would write it again.
const USERS: &str = r#"{"type":"note","userId":"9ks5o1w5k3x90001","body":{ "z":1.0,"a":12345678901234567890123,"lone":"\ud83d","esc":"\u0041\/","z":2 },"eventId":"0c1f8a52-6c9d-4a57-9d2b-1d7d3a4e5f60","createdAt":1774960496789,"server":"https://misskey.example","source":"second"}"#;
const SYSTEMS: &str = r#"{"type":"abuseReport","body":{"comment":"語"},"eventId":"e-1","createdAt":5}"#;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

fn event(text: &str) -> Event {
    let event_id = EventId::new("given").expect("valid");
    let arrival = Arrival { now: NOW, event_id, event_bytes_max: 1 << 20, source: None };
    Event::parse(&Bytes::copy_from_slice(text.as_bytes()), arrival).expect("an event")
}

fn delivery(attempts: u32, parks: u32, last: Option<LastFailure>) -> Delivery {
    let webhook = WebhookId::new("9ks5o1w5k3x9000a").expect("valid");
    Delivery { webhook, generation: 1, attempts, parks, since: NOW, last }
}

/// A message, the name of its file, and what it is read as, if it is to be read.
type Written = (&'static str, Outgoing, Option<(Message, Option<Death>)>);

/// Every kind of message that there is; the names begin with their lanes.
fn written() -> Vec<Written> {
    let (topology, user, system) = (Topology::new("hikyaku."), event(USERS), event(SYSTEMS));
    let fresh = |event: &Event| Message { event: event.clone().into(), target: Target::Subscribers };
    let one = |delivery: &Delivery| Message { event: user.clone().into(), target: Target::One(delivery.clone()) };
    let of_message = |message: Message| (wire::of_message(&topology, &message, "c-0", NOW), Some((message, None)));
    let of_follow_up = |follow_up: FollowUp| {
        wire::of_follow_ups(&topology, &user, &[follow_up], "c", NOW).pop().expect("one follow-up")
    };
    let failed = LastFailure::new(Outcome::ServerError, Some(503), "answered 503: out of order, für immer");
    let (retried, parked) = (delivery(3, 0, Some(failed.clone())), delivery(0, 2, None));
    let (replayed, died) = (delivery(0, 0, None), delivery(11, 4, Some(failed)));
    let death = Death { reason: DeathReason::Exhausted, at: NOW };
    let later = |delivery: &Delivery, wait| FollowUp::Later { delivery: delivery.clone(), due: NOW.plus(wait) };
    let dead = FollowUp::Dead { delivery: died.clone(), death };
    let (of_user, of_system, of_replay) =
        (of_message(fresh(&user)), of_message(fresh(&system)), of_message(one(&replayed)));
    let rejection = Rejection { from: "hikyaku.work", routing_key: "note", reason: "why", at: NOW, is_ours: false };
    let nonsense = Bytes::from_static(b"no event");
    vec![
        ("work-user", of_user.0, of_user.1),
        ("work-system", of_system.0, of_system.1),
        ("retry-failed", of_follow_up(later(&retried, Duration::from_millis(4500))), Some((one(&retried), None))),
        ("retry-parked", of_follow_up(later(&parked, Duration::from_secs(900))), Some((one(&parked), None))),
        ("retry-replayed", of_replay.0, of_replay.1),
        ("dead-exhausted", of_follow_up(dead), Some((one(&died), Some(death)))),
        ("rejected", wire::of_rejected(&topology, nonsense, &BasicProperties::default(), &rejection), None),
    ]
}

fn lane(name: &str) -> Option<Lane> {
    match name.split('-').next()? {
        "work" => Some(Lane::Work),
        "retry" => Some(Lane::Retry),
        "dead" => Some(Lane::Dead),
        _ => None,
    }
}

/// A message with everything that RabbitMQ is told of it.
fn document(message: &Outgoing) -> Value {
    let properties = &message.properties;
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let value = |value: &AMQPValue| match value {
        AMQPValue::LongLongInt(number) => json!({"longLongInt": number}),
        AMQPValue::LongString(text) => json!({"longString": String::from_utf8_lossy(text.as_bytes())}),
        other => panic!("{other:?} has no place in our headers"),
    };
    let headers = properties.headers().iter().flat_map(|headers| headers.inner());
    let headers: Map<String, Value> = headers.map(|(name, of)| (name.as_str().to_owned(), value(of))).collect();
    json!({
        "exchange": message.exchange,
        "routingKey": message.routing_key,
        "contentType": text(properties.content_type()),
        "deliveryMode": properties.delivery_mode(),
        "messageId": text(properties.message_id()),
        "timestamp": properties.timestamp(),
        "appId": text(properties.app_id()),
        "expiration": text(properties.expiration()),
        "headers": headers,
        "body": String::from_utf8(message.body.to_vec()).expect("UTF-8"),
    })
}

/// What a worker gets of it.
fn incoming(document: &Value) -> Incoming {
    let mut headers = FieldTable::default();
    for (name, value) in document["headers"].as_object().expect("headers") {
        let value = match (&value["longLongInt"], &value["longString"]) {
            (Value::Number(number), _) => AMQPValue::LongLongInt(number.as_i64().expect("whole")),
            (_, Value::String(text)) => AMQPValue::LongString(text.as_str().into()),
            _ => panic!("{name}: {value}"),
        };
        headers.insert(name.as_str().into(), value);
    }
    let mut properties = BasicProperties::default().with_headers(headers);
    if let Some(id) = document["messageId"].as_str() {
        properties = properties.with_message_id(id.into());
    }
    if let Some(timestamp) = document["timestamp"].as_u64() {
        properties = properties.with_timestamp(timestamp);
    }
    let body = Bytes::copy_from_slice(document["body"].as_str().expect("a body").as_bytes());
    Incoming { body, properties, redelivered: false }
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_written_today_is_what_the_newest_version_on_record_wrote() {
    let folder = golden().join(NEWEST).join("amqp");
    for (name, message, _) in written() {
        let path = folder.join(format!("{name}.json"));
        let document = document(&message);
        if std::env::var_os("HIKYAKU_WRITE_FIXTURES").is_some() {
            std::fs::create_dir_all(&folder).expect("a folder");
            let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
            std::fs::write(&path, text).expect("written");
        }
        assert_eq!(document, read(&path), "{name} is written otherwise than {NEWEST} did: see the head of this file");
    }
}

#[test]
fn what_every_version_wrote_is_read_and_what_the_newest_wrote_is_read_whole() {
    let reader = Reader { event_bytes_max: 1 << 20, server: None };
    let expected = written();
    let mut count = 0;
    for version in std::fs::read_dir(golden()).expect("versions") {
        let folder = version.expect("an entry").path().join("amqp");
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = file.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            let Some(lane) = lane(&name) else { continue };
            let taken = reader.read(lane, &incoming(&read(&path)), NOW);
            let taken = taken.unwrap_or_else(|why| panic!("{} cannot be read: {why}", path.display()));
            if folder.starts_with(golden().join(NEWEST)) {
                let (_, _, whole) = expected.iter().find(|(of, ..)| *of == name).expect("written today");
                assert_eq!(Some((taken.message, taken.death)), *whole, "{name}");
            }
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} messages were read");
}
