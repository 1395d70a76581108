//! What is published is what is read, and what is forged is not believed.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::reading;
use super::reading::{Identity, Incoming, Reader};
use super::topology::Topology;
use super::wire::{self, Outgoing, Rejection};
use crate::model::{
    Arrival, DeathReason, Delivery, Event, EventId, LastFailure, Message, Outcome, Source, Target, Timestamp,
    TraceContext, WebhookId,
};
use crate::queue::{Death, FollowUp, Lane};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn reader() -> Reader {
    Reader { event_bytes_max: 1 << 20, server: Some("https://misskey.example".to_owned()) }
}

fn topology() -> Topology {
    Topology::new("hikyaku.")
}

fn event(json: &str) -> Event {
    let arrival =
        Arrival { now: NOW, event_id: EventId::new("given").expect("valid"), event_bytes_max: 1 << 20, source: None };
    Event::parse(&Bytes::copy_from_slice(json.as_bytes()), arrival).expect("an event")
}

fn incoming(outgoing: Outgoing) -> Incoming {
    Incoming { body: outgoing.body, properties: outgoing.properties, redelivered: false }
}

fn plain(body: &str, properties: BasicProperties) -> Incoming {
    Incoming { body: Bytes::copy_from_slice(body.as_bytes()), properties, redelivered: false }
}

fn delivery() -> Delivery {
    Delivery {
        webhook: WebhookId::new("wh1").expect("valid"),
        generation: 2,
        attempts: 3,
        parks: 4,
        since: NOW,
        last: Some(LastFailure::new(Outcome::ServerError, Some(503), "out of\norder, für immer")),
    }
}

fn headers(entries: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_headers(table)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn rejection(from: &str, is_ours: bool) -> Rejection<'_> {
    Rejection { from, routing_key: "note", reason: "why", at: NOW, is_ours }
}

const ODD: &str = r#"{"type":"no\"te","userId":"u\\1","body":{"n":1e400,"s":"\ud800","k" : 1},"eventId":"e-1","createdAt":5,"server":"https://a.example","source":"b"}"#;

#[test]
fn a_fresh_event_is_read_back_with_its_bytes() {
    let message = Message { event: event(ODD).into(), target: Target::Subscribers };
    let outgoing = wire::of_message(&topology(), &message, "c", NOW);
    assert_eq!((outgoing.exchange.as_str(), outgoing.routing_key.as_str()), ("hikyaku.events", "no\"te"));
    let taken = reader().read(Lane::Work, &incoming(outgoing), NOW).expect("readable");
    assert_eq!(taken.message, message);
    let Event { source, user, id, .. } = &*message.event;
    assert!(user.is_some());
    assert_eq!(taken.identity, Some(Identity::Event(source.clone(), user.clone(), id.clone())));
}

#[test]
fn follow_ups_are_read_back_whole() {
    let event = event(ODD);
    let death = Death { reason: DeathReason::Exhausted, at: NOW };
    let due = NOW.plus(std::time::Duration::from_millis(4500));
    let follow_ups = [FollowUp::Later { delivery: delivery(), due }, FollowUp::Dead { delivery: delivery(), death }];
    let mut outgoing = wire::of_follow_ups(&topology(), &event, &follow_ups, "c", NOW);
    let (dead, later) = (outgoing.pop().expect("two"), outgoing.pop().expect("two"));
    assert_eq!((later.exchange.as_str(), later.routing_key.as_str()), ("hikyaku.delay", "4s"));
    assert_eq!(later.properties.expiration().as_ref().map(|ttl| ttl.as_str()), Some("4501"));
    assert_eq!((dead.exchange.as_str(), dead.routing_key.as_str()), ("hikyaku.delay", "dead"));
    assert_eq!(dead.properties.expiration(), &None);
    let later = reader().read(Lane::Retry, &incoming(later), NOW).expect("readable");
    let dead = reader().read(Lane::Dead, &incoming(dead), NOW).expect("readable");
    let expected = Message { event: event.into(), target: Target::One(delivery()) };
    assert_eq!((&later.message, later.death), (&expected, None));
    assert_eq!((&dead.message, dead.death), (&expected, Some(death)));
    assert_ne!(later.identity, dead.identity);
}

#[test]
fn what_is_due_goes_straight_to_the_due() {
    let message = Message { event: event(ODD).into(), target: Target::One(delivery()) };
    let outgoing = wire::of_message(&topology(), &message, "c", NOW);
    assert_eq!((outgoing.exchange.as_str(), outgoing.properties.expiration()), ("hikyaku.due", &None));
}

#[test]
fn what_waits_from_the_start_looks_as_if_a_worker_had_put_it_off() {
    let (event, delivery) = (event(ODD), delivery());
    let due = NOW.plus(std::time::Duration::from_millis(4500));
    let follow_up = FollowUp::Later { delivery: delivery.clone(), due };
    let settled = wire::of_follow_ups(&topology(), &event, &[follow_up], "c", NOW).pop().expect("one");
    let message = Message { event: event.into(), target: Target::Later { delivery, due } };
    let published = wire::of_message(&topology(), &message, "c-0", NOW);
    assert_eq!((published.exchange, published.routing_key), (settled.exchange, settled.routing_key));
    assert_eq!((published.body, published.properties), (settled.body, settled.properties));
}

#[test]
fn a_producers_headers_are_not_believed() {
    let body = r#"{"type":"note","body":{}}"#;
    let forged = headers(&[
        (wire::HEADER_VERSION, AMQPValue::LongInt(1)),
        (wire::HEADER_WEBHOOK, text("someone-elses")),
        (wire::HEADER_ATTEMPTS, AMQPValue::LongInt(0)),
        (wire::HEADER_ACCEPTED_AT, AMQPValue::LongLongInt(NOW.as_millis() + 1_000_000)),
        (wire::HEADER_COPY, text("c")),
    ]);
    let taken = reader().read(Lane::Work, &plain(body, forged), NOW).expect("readable");
    assert_eq!(taken.message.target, Target::Subscribers);
    assert_eq!(taken.message.event.accepted_at, NOW, "nobody lives longer than from now");
    assert!(matches!(taken.identity, Some(Identity::Event(..))));
}

#[test]
fn what_an_event_does_not_say_comes_from_the_message() {
    let body = r#"{"type":"note","body":{}}"#;
    let properties = BasicProperties::default().with_message_id("m-1".into()).with_timestamp(1_700_000_000);
    let event = reader().read(Lane::Work, &plain(body, properties), NOW).expect("readable").message.event;
    assert_eq!(event.id.as_str(), "m-1");
    assert_eq!(event.created_at, Timestamp::from_millis(1_700_000_000_000));
    assert_eq!(event.accepted_at, NOW);
    assert_eq!(event.server.as_deref(), Some("https://misskey.example"));
    let other = r#"{"type":"note","body":{},"source":"second"}"#;
    let event =
        reader().read(Lane::Work, &plain(other, BasicProperties::default()), NOW).expect("readable").message.event;
    assert_eq!((event.source.clone(), event.server.clone()), (Source::new("second").expect("valid"), None));
}

#[test]
fn a_time_in_any_unit_is_a_moment_that_can_be_read_back() {
    let created = |timestamp: u64| {
        let properties = BasicProperties::default().with_timestamp(timestamp);
        let taken = reader().read(Lane::Work, &plain(r#"{"type":"note","body":{}}"#, properties), NOW);
        let event = taken.expect("readable").message.event;
        let later = FollowUp::Later { delivery: delivery(), due: NOW };
        let again = wire::of_follow_ups(&topology(), &event, &[later], "c", NOW).pop().expect("one");
        let again = reader().read(Lane::Retry, &incoming(again), NOW).expect("what we write can be read");
        assert_eq!(again.message.event.created_at, event.created_at);
        event.created_at.as_millis()
    };
    let ms = 1_774_960_496_000;
    assert_eq!([ms / 1000, ms, ms * 1000, ms * 1_000_000].map(created), [ms; 4].map(|ms| i64::try_from(ms).unwrap()));
    created(u64::MAX);
}

#[test]
fn that_it_was_accepted_earlier_is_believed_within_reason() {
    let accepted = |ms: i64| {
        let claim = headers(&[(wire::HEADER_ACCEPTED_AT, AMQPValue::LongLongInt(ms))]);
        let taken = reader().read(Lane::Work, &plain(r#"{"type":"note","body":{}}"#, claim), NOW).expect("readable");
        assert_eq!(taken.waiting_since, taken.message.event.accepted_at);
        taken.message.event.accepted_at.as_millis()
    };
    let (now, day) = (NOW.as_millis(), 24 * 3_600_000);
    assert_eq!(accepted(now - 5 * day), now - 5 * day);
    for absurd in [0, -1, i64::MIN, i64::MAX, now + 1, now - 400 * day] {
        assert_eq!(accepted(absurd), now, "{absurd}");
    }
}

#[test]
fn an_event_without_any_id_gets_one_from_its_bytes() {
    let id = |body: &str| {
        let taken = reader().read(Lane::Work, &plain(body, BasicProperties::default()), NOW).expect("readable");
        taken.message.event.id.as_str().to_owned()
    };
    let body = r#"{"type":"note","body":{}}"#;
    // Computed apart from this code, by Python's uuid.uuid5: a redelivery after an upgrade keeps its id.
    assert_eq!(id(body), "b2d26a63-30c1-5561-b887-9f4723d80506");
    assert_ne!(id(body), id(r#"{"type":"note","body":{} }"#));
}

#[test]
fn what_is_no_message_of_its_lane_is_refused_in_words() {
    let event = r#"{"type":"note","body":{}}"#;
    let newer = headers(&[(wire::HEADER_VERSION, AMQPValue::LongInt(2))]);
    let wrong = headers(&[(wire::HEADER_VERSION, text("1"))]);
    let zero = headers(&[(wire::HEADER_VERSION, AMQPValue::LongInt(0))]);
    let packed = BasicProperties::default().with_content_encoding("gzip".into());
    let long_id = BasicProperties::default().with_message_id("x".repeat(200).into());
    let none = BasicProperties::default;
    for (lane, body, properties, words) in [
        (Lane::Work, "nonsense", none(), "not JSON"),
        (Lane::Work, r#"{"body":{}}"#, none(), "`type` is missing"),
        (Lane::Work, r#"{"type":"note","body":[]}"#, none(), "`body` must be an object"),
        (Lane::Work, event, long_id, "`message_id` is not allowed"),
        (Lane::Retry, event, none(), "x-hikyaku-version is missing"),
        (Lane::Retry, event, newer, "a newer one put it here"),
        (Lane::Dead, event, wrong, "x-hikyaku-version must be a whole number"),
        (Lane::Retry, event, zero, "x-hikyaku-version is out of range"),
        (Lane::Work, "\u{1f}", packed, "`content_encoding` is \"gzip\""),
    ] {
        let reason = reader().read(lane, &plain(body, properties), NOW).expect_err(words);
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn what_was_delivered_fifty_times_is_poison() {
    let after = |deliveries| {
        let count = headers(&[("x-delivery-count", AMQPValue::LongLongInt(deliveries))]);
        reading::poison(&plain("{}", count))
    };
    assert!(after(50).is_some_and(|reason| reason.contains("delivered 50 times")));
    assert_eq!(after(49), None);
    assert_eq!(reading::poison(&plain("{}", BasicProperties::default())), None);
}

#[test]
fn what_is_rejected_keeps_its_bytes_and_id_and_loses_what_could_act() {
    let properties = headers(&[("CC", text("x")), ("x-death", text("y"))])
        .with_message_id("m".into())
        .with_expiration("1".into())
        .with_timestamp(7);
    let body = Bytes::from_static(b"\xff not even text");
    let outgoing = wire::of_rejected(&topology(), body.clone(), &properties, &rejection("hikyaku.work", false));
    assert_eq!((outgoing.exchange.as_str(), &outgoing.body), ("hikyaku.rejected", &body));
    assert_eq!(outgoing.properties.expiration(), &None);
    assert_eq!(outgoing.properties.timestamp(), &Some(7));
    let kept = outgoing.properties.headers().clone().expect("headers");
    let names: Vec<&str> = kept.inner().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, [wire::HEADER_REJECTED_AT, wire::HEADER_REJECTED_BECAUSE, wire::HEADER_REJECTED_FROM]);
}

proptest! {
    #[test]
    fn any_texts_are_read_back(kind in "[^\\p{Cc}]{1,30}", user in "[^\\p{Cc}]{1,30}", server in "[^\\p{Cc}]{1,30}") {
        let mut event = event(ODD);
        event.kind = crate::model::EventType::new(&kind).expect("valid");
        event.user = Some(crate::model::UserId::new(&user).expect("valid"));
        event.server = Some(server);
        let message = Message { event: event.into(), target: Target::Subscribers };
        let outgoing = wire::of_message(&topology(), &message, "c", NOW);
        let taken = reader().read(Lane::Work, &incoming(outgoing), NOW).expect("readable");
        prop_assert_eq!(taken.message, message);
    }
}

#[test]
fn the_trace_goes_with_every_message_and_what_is_put_away_keeps_it() {
    let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let traced = Event { trace, ..event(ODD) };
    let dead = FollowUp::Dead { delivery: delivery(), death: Death { reason: DeathReason::Exhausted, at: NOW } };
    let follow_ups = [FollowUp::Later { delivery: delivery(), due: NOW }, dead];
    let mut written = wire::of_follow_ups(&topology(), &traced, &follow_ups, "c", NOW);
    let fresh = Message { event: traced.into(), target: Target::Subscribers };
    written.insert(0, wire::of_message(&topology(), &fresh, "c", NOW));
    for (outgoing, lane) in written.into_iter().zip([Lane::Work, Lane::Retry, Lane::Dead]) {
        let put_away = wire::of_rejected(
            &topology(),
            outgoing.body.clone(),
            &outgoing.properties,
            &rejection("hikyaku.retry", lane != Lane::Work),
        );
        let taken = reader().read(lane, &incoming(outgoing), NOW).expect("readable");
        assert_eq!(taken.message.event.trace, trace, "{lane:?}");
        let kept = put_away.properties.headers().clone().expect("headers");
        assert_eq!(kept.contains_key(wire::HEADER_TRACEPARENT), lane != Lane::Work, "{lane:?}");
    }
}

#[test]
fn a_trace_that_is_not_well_formed_is_no_reason_to_refuse_an_event() {
    for bad in [text("nonsense"), text(""), AMQPValue::LongLongInt(7), AMQPValue::Boolean(true)] {
        let properties = headers(&[(wire::HEADER_TRACEPARENT, bad)]);
        let taken = reader().read(Lane::Work, &plain(r#"{"type":"note","body":{}}"#, properties), NOW);
        assert_eq!(taken.expect("an event").message.event.trace, None);
    }
}
