//! What was put away is told truly, and goes back only where it can be read and to nobody else's webhook.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};

use super::reading::Reader;
use super::refused::Refused;
use super::topology::Topology;
use super::wire::{self, Rejection};
use crate::model::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const EVENT: &[u8] = br#"{ "type":"note", "body":{"n":1e400} }"#;

fn topology() -> Topology {
    Topology::new("x.")
}

fn reader() -> Reader {
    Reader { event_bytes_max: 1 << 20, server: None }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn number(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// A delivery's headers, with some changed.
fn delivery(changed: &[(&str, AMQPValue)]) -> Vec<(&'static str, AMQPValue)> {
    let mut all = vec![
        (wire::HEADER_VERSION, number(1)),
        (wire::HEADER_ACCEPTED_AT, number(5)),
        (wire::HEADER_WEBHOOK, text("victim")),
        (wire::HEADER_GENERATION, number(0)),
        (wire::HEADER_ATTEMPTS, number(1)),
        (wire::HEADER_PARKS, number(0)),
        (wire::HEADER_SINCE, number(5)),
    ];
    for (name, value) in changed {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value.clone(),
            None => all.push((wire::HEADER_DUE, value.clone())),
        }
    }
    all
}

fn in_rejected(exchange: &str, headers: FieldTable) -> Refused {
    Refused {
        body: Bytes::from_static(EVENT),
        properties: BasicProperties::default().with_headers(headers).with_message_id("m".into()),
        exchange: exchange.to_owned(),
        routing_key: "note".to_owned(),
    }
}

/// As `lane` puts away a message with `headers` of the queue `from`.
fn put_away(from: &str, is_ours: bool, headers: &[(&str, AMQPValue)]) -> Refused {
    let properties = BasicProperties::default().with_headers(table(headers));
    let rejection = Rejection { from, routing_key: "note", reason: "why", at: NOW, is_ours };
    let outgoing = wire::of_rejected(&topology(), Bytes::from_static(EVENT), &properties, &rejection);
    Refused {
        body: outgoing.body,
        properties: outgoing.properties,
        exchange: outgoing.exchange,
        routing_key: outgoing.routing_key,
    }
}

fn dead_lettered(queue: &str, reason: &str, others: &[(&str, AMQPValue)]) -> Refused {
    let death = table(&[
        ("queue", text(queue)),
        ("reason", text(reason)),
        ("time", AMQPValue::Timestamp(1_800_000_000)),
        ("count", number(1)),
    ]);
    let mut headers = table(others);
    headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)])));
    in_rejected("x.rejected", headers)
}

#[test]
fn each_way_that_leads_to_rejected_is_told() {
    let told = |refused: &Refused| {
        let told = refused.describe(&topology());
        (told.from, told.reason, told.at)
    };
    assert_eq!(told(&put_away("x.retry", true, &delivery(&[]))), ("x.retry".into(), "why".into(), Some(NOW)));
    let (from, reason, at) = told(&dead_lettered("x.work", "expired", &[(wire::HEADER_REJECTED_FROM, text("forged"))]));
    assert_eq!((from.as_str(), at), ("x.work", Some(NOW)));
    assert!(reason.contains("`expiration`"), "{reason}");
    assert!(told(&dead_lettered("x.retry", "delivery_limit", &[])).1.contains("poison"));
    let forged =
        table(&[(wire::HEADER_REJECTED_BECAUSE, text("forged")), (wire::HEADER_REJECTED_FROM, text("x.retry"))]);
    let (from, reason, _) = told(&in_rejected("x.delay", forged));
    assert_eq!(from, "x.delay");
    assert!(reason.contains("no queue is bound") && reason.contains("\"note\""), "{reason}");
    assert!(told(&in_rejected("x.rejected", FieldTable::default())).1.contains("directly"));
}

#[test]
fn equal_messages_share_an_id_and_others_do_not() {
    let id = |body: &'static [u8], message_id: &str| {
        let mut refused = in_rejected("x.rejected", FieldTable::default());
        refused.body = Bytes::from_static(body);
        refused.properties = BasicProperties::default().with_message_id(message_id.into());
        refused.describe(&topology()).id
    };
    assert_eq!(id(b"a", "m"), id(b"a", "m"));
    assert_ne!(id(b"a", "m"), id(b"b", "m"));
    assert_ne!(id(b"a", "m"), id(b"a", "n"));
}

#[test]
fn an_event_goes_back_to_where_producers_publish_without_any_header() {
    let forged = delivery(&[]);
    for refused in [
        put_away("x.work", false, &forged),
        dead_lettered("x.work", "delivery_limit", &forged),
        in_rejected("x.events", table(&forged)),
    ] {
        let back = refused.way_back(&topology(), &reader(), NOW).expect("it is an event");
        assert_eq!((back.exchange.as_str(), back.routing_key.as_str()), ("x.events", "note"));
        assert_eq!(back.body, EVENT);
        assert_eq!(back.properties.headers(), &Some(FieldTable::default()), "nobody can aim at a webhook by this way");
        assert_eq!(back.properties.expiration(), &None);
    }
}

#[test]
fn a_delivery_goes_back_with_its_headers_and_not_early() {
    let due = |ms: i64| delivery(&[(wire::HEADER_DUE, number(NOW.as_millis() + ms))]);
    for (refused, exchange, key) in [
        (put_away("x.retry", true, &due(-1)), "x.due", "due"),
        (put_away("x.retry", true, &due(5000)), "x.delay", "4s"),
        (dead_lettered("x.retry", "delivery_limit", &due(-1)), "x.due", "due"),
        (in_rejected("x.delay", table(&due(-1))), "x.due", "due"),
    ] {
        let back = refused.way_back(&topology(), &reader(), NOW).expect("it is a delivery");
        assert_eq!((back.exchange.as_str(), back.routing_key.as_str()), (exchange, key));
        let headers = back.properties.headers().clone().expect("headers");
        assert_eq!(headers.inner().get(wire::HEADER_WEBHOOK), Some(&text("victim")));
        let is_of_rejected = |name: &str| name.starts_with("x-hikyaku-rejected") || name == "x-death";
        assert!(!headers.inner().keys().any(|name| is_of_rejected(name.as_str())), "{headers:?}");
    }
}

#[test]
fn a_dead_letter_goes_back_to_the_dead() {
    let mut headers = delivery(&[]);
    headers.extend([(wire::HEADER_REASON, text("gone")), (wire::HEADER_DIED_AT, number(7))]);
    let back = put_away("x.dead", true, &headers).way_back(&topology(), &reader(), NOW).expect("it is a dead letter");
    assert_eq!((back.exchange.as_str(), back.routing_key.as_str()), ("x.delay", "dead"));
}

#[test]
fn what_cannot_be_read_there_stays() {
    let newer = put_away("x.retry", true, &delivery(&[(wire::HEADER_VERSION, number(2))]));
    let mut nonsense = put_away("x.work", false, &[]);
    nonsense.body = Bytes::from_static(b"nonsense");
    for (refused, words) in [(newer, "a newer one put it here"), (nonsense, "not JSON")] {
        let why = refused.way_back(&topology(), &reader(), NOW).expect_err(words);
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn an_event_that_went_to_an_exchange_of_ours_is_an_event_all_the_same() {
    for exchange in ["x.delay", "x.due"] {
        let back =
            in_rejected(exchange, FieldTable::default()).way_back(&topology(), &reader(), NOW).expect("an event");
        assert_eq!(back.exchange, "x.events");
    }
    let back = put_away("x.retry", true, &[]).way_back(&topology(), &reader(), NOW).expect("an event");
    assert_eq!(back.exchange, "x.events");
}

#[test]
fn what_is_put_away_fits_into_a_frame_whatever_came() {
    let long = "ü".repeat(50_000);
    let mut headers = delivery(&[(wire::HEADER_WEBHOOK, text(&long))]);
    headers.push(("x-other", text(&long)));
    let properties = BasicProperties::default().with_headers(table(&headers));
    let rejection = Rejection { from: "x.retry", routing_key: "note", reason: &long, at: NOW, is_ours: true };
    let outgoing = wire::of_rejected(&topology(), Bytes::new(), &properties, &rejection);
    let kept = outgoing.properties.headers().clone().expect("headers");
    let reason = match kept.inner().get(wire::HEADER_REJECTED_BECAUSE) {
        Some(AMQPValue::LongString(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reason, "ü".repeat(256));
    assert!(!kept.inner().contains_key(wire::HEADER_WEBHOOK) && !kept.inner().contains_key("x-other"));
    assert!(kept.inner().contains_key(wire::HEADER_ATTEMPTS));
}
