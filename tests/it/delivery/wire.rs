//! What a receiver gets, byte by byte (promise 3).

use std::collections::BTreeSet;
use std::time::Duration;

use hikyaku::decide::Step;
use hikyaku::model::{Secret, SigningChange, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::receiver::{Answer, Got};
use crate::support::signed::signed_by;
use crate::support::world::{HookSetup, World};

/// JSON that no program reads and writes again unchanged.
const ODD_BODY: &str = r#"{ "n" : 1e400 , "big":123456789012345678901234567890.10,"lone":"\ud800","slash":"\/é\u00e9", "z":1,"a":[ ],"z":2 }"#;

/// What every request has, whatever its webhook's options.
const ALWAYS: [&str; 10] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "x-hikyaku-attempt",
    "x-misskey-hook-id",
    "x-misskey-host",
];

/// The names of the headers, each of which came once.
fn names(got: &Got) -> BTreeSet<&str> {
    let names: BTreeSet<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), got.headers.len(), "no header comes twice: {:?}", got.headers);
    names
}

fn expected<'a>(more: &[&'a str]) -> BTreeSet<&'a str> {
    ALWAYS.into_iter().chain(more.iter().copied()).collect()
}

/// An event with an odd body and everything that an event can say.
fn odd_event() -> String {
    let rest = r#""eventId":"evt-1","createdAt":5,"server":"https://misskey.example:3000","unknown":[1e999]"#;
    format!(r#"{{"body":{ODD_BODY},"userId":"u1",{rest},"type":"note"}}"#)
}

#[tokio::test]
async fn the_body_has_the_events_own_bytes_in_misskeys_frame_at_every_attempt() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(500), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;

    let event = world.publish(&odd_event()).await;
    world.step(&event, "wh1", 1).await;
    // From the queue's file, and not from memory.
    world.stop_process().await;
    world.pass(Duration::from_secs(5));
    world.start_process().await;
    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);

    let expected = format!(
        r#"{{"server":"https://misskey.example:3000","hookId":"wh1","userId":"u1","eventId":"evt-1","createdAt":5,"type":"note","body":{ODD_BODY}}}"#
    );
    for got in receiver.wait_for(2).await {
        assert_eq!(String::from_utf8_lossy(&got.body), expected);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let body = format!(r#"{{"text":"{}"}}"#, "é".repeat(500_000));

    let event = world.publish(&format!(r#"{{"type":"note","userId":"u1","createdAt":5,"body":{body}}}"#)).await;

    assert_eq!(world.step(&event, "wh1", 1).await, Step::Done);
    let got = receiver.wait_for(1).await.remove(0);
    let expected =
        format!(r#"{{"hookId":"wh1","userId":"u1","eventId":"{event}","createdAt":5,"type":"note","body":{body}}}"#);
    assert!(got.body == expected.as_bytes(), "{} bytes came, not {}", got.body.len(), expected.len());
    world.finish().await;
}

#[tokio::test]
async fn the_headers_are_those_that_were_promised_and_no_others() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;

    let event = world.publish(&odd_event()).await;
    world.step(&event, "wh1", 1).await;

    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(got.line, "POST /hook HTTP/1.1");
    assert_eq!(names(&got), expected(&["x-misskey-hook-secret"]));
    let length = got.body.len().to_string();
    let host = receiver.address.to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "Misskey-Hooks"),
        ("x-misskey-host", "misskey.example:3000"),
        ("x-misskey-hook-id", "wh1"),
        ("x-misskey-hook-secret", "s3cr3t"),
        ("webhook-timestamp", "1774960496"),
        ("x-hikyaku-attempt", "1"),
        ("accept", "*/*"),
        ("content-length", &length),
        ("host", &host),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    let id = got.header("webhook-id");
    assert!(id.len() == 36 && id.starts_with("msg_"), "{id}");
    world.finish().await;
}

#[tokio::test]
async fn a_signed_request_has_a_signature_over_what_was_sent_and_can_do_without_the_secret() {
    let key = [7_u8; 24];
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    let mut setup = HookSetup::default();
    setup.options.send_secret = false;
    setup.options.signing.secret = Secret::new(&format!("whsec_{}", data_encoding::BASE64.encode(&key))).into();
    world.hook_with("wh1", &receiver.url(), setup).await;

    let event = world.publish(&odd_event()).await;
    world.step(&event, "wh1", 1).await;

    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(names(&got), expected(&["webhook-signature"]));
    // As a receiver checks it (Standard Webhooks 1.0.0).
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{}.{}.", got.header("webhook-id"), got.header("webhook-timestamp")).as_bytes());
    mac.update(&got.body);
    let signature = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    assert_eq!(got.header("webhook-signature"), format!("v1,{signature}"));
    world.finish().await;
}

#[tokio::test]
async fn each_attempt_is_signed_anew_at_its_own_time_by_what_signs_then() {
    let secret = |byte: u8| Secret::new(&format!("whsec_{}", data_encoding::BASE64.encode(&[byte; 24])));
    let (first, second, key) = (secret(1), secret(2), SigningKey::of_seed(&[3; 32]));
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(500), Answer::Status(200)]).await;
    let mut setup = HookSetup::default();
    for secret in [&first, &second] {
        let change = SigningChange {
            secret: Some(Some(secret.clone())),
            key: Some(Some(key.clone())),
            grace: Some(Duration::from_secs(4)),
            ..SigningChange::default()
        };
        setup.options.signing.change(&change, world.clock.now());
    }
    world.hook_with("wh1", &receiver.url(), setup).await;

    let event = world.publish(&odd_event()).await;
    world.step(&event, "wh1", 1).await;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);

    let got = receiver.wait_for(2).await;
    let public = key.public();
    let known = [first.expose(), second.expose(), &public];
    assert_eq!(signed_by(&got[0], &known), [second.expose(), first.expose(), &public]);
    assert_eq!(signed_by(&got[1], &known), [second.expose(), &public]);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    let timestamps = [&got[0], &got[1]].map(|got| got.header("webhook-timestamp").parse::<i64>().expect("seconds"));
    assert_eq!(timestamps, [1_774_960_496, 1_774_960_501]);
    world.finish().await;
}

#[tokio::test]
async fn an_event_that_does_not_say_its_server_or_user_goes_without_them() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    let setup = HookSetup { user: None, on: &["userCreated"], ..HookSetup::default() };
    world.hook_with("wh1", &receiver.url(), setup).await;

    let event = world.publish(r#"{"type":"userCreated","eventId":"e","createdAt":5,"body":{}}"#).await;
    world.step(&event, "wh1", 1).await;

    let got = receiver.wait_for(1).await.remove(0);
    let expected = r#"{"hookId":"wh1","eventId":"e","createdAt":5,"type":"userCreated","body":{}}"#;
    assert_eq!(String::from_utf8_lossy(&got.body), expected);
    assert_eq!(got.header("x-misskey-host"), "");
    assert!(!names(&got).contains("x-misskey-host"));
    world.finish().await;
}
