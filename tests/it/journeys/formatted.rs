//! A webhook's format through the program's front door: what arrives, how it is signed, and what is refused on each way in.

use std::process::Stdio;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::journey_receiver::{Arrived, Behaviour, Receiver};
use crate::support::npm::Package;
use crate::support::program::{Home, declared};
use crate::support::python::repository;

const USER: &str = "9ks5o1w5k3x90001";
const KEY: [u8; 24] = [7; 24];

/// The CloudEvents SDK for JavaScript, unchanged.
static SDK: Package = Package::new("cloudevents", &["read.mjs"]);

fn signing_secret() -> String {
    format!("whsec_{}", data_encoding::BASE64.encode(&KEY))
}

/// Somebody's reply to the user, as Misskey sends it.
fn reply() -> String {
    let path = repository("tests/fixtures/misskey/user/reply.remote.json");
    let event: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a sample")).expect("JSON");
    event.to_string()
}

/// The only request at `path`.
#[track_caller]
fn only(arrived: &[Arrived], path: &str) -> Arrived {
    let mut there = arrived.iter().filter(|arrived| arrived.path == path);
    let one = there.next().unwrap_or_else(|| panic!("nothing came to {path}"));
    assert!(there.next().is_none(), "more than one came to {path}");
    one.clone()
}

fn json_of(arrived: &Arrived) -> Value {
    serde_json::from_slice(&arrived.body).expect("JSON")
}

/// Checks the signature as a receiver does (Standard Webhooks 1.0.0).
#[track_caller]
fn assert_signed(arrived: &Arrived) {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any length");
    mac.update(format!("{}.{}.", arrived.id(), arrived.header("webhook-timestamp")).as_bytes());
    mac.update(&arrived.body);
    let signature = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    assert_eq!(arrived.header("webhook-signature"), format!("v1,{signature}"), "{}", arrived.path);
}

#[tokio::test]
async fn each_format_arrives_signed_with_its_own_content_type_and_a_chat_gets_no_secret() {
    let receiver = Receiver::start(Behaviour::Answer(204)).await;
    let home = Home::new(&format!(
        "{}user_id = \"{USER}\"\nformat = \"slack\"\nsecret = \"s3cr3t\"\nsigning_secret = \"{}\"\n",
        declared("slack", &receiver.url("/slack"), "reply"),
        signing_secret()
    ));
    let (url, signing) = (receiver.url("/discord"), signing_secret());
    let secrets = ["--secret", "s3cr3t", "--send-secret", "true", "--signing-secret", &signing];
    let create =
        ["webhooks", "create", "--user", USER, "--on", "reply", "--url", &url, "--format", "discord", "--json"];
    let made = home.cli(&[&create[..], &secrets[..]].concat()).await.json();
    assert_eq!(made["format"], "discord");
    assert!(home.cli(&["webhooks", "list"]).await.ok().contains(" slack "), "the list shows it");
    let program = home.serve().await;
    for (format, path) in [("cloudevents", "/cloudevents"), ("misskey", "/misskey")] {
        let params = json!({"userId": USER, "name": "n", "url": receiver.url(path), "secret": "s3cr3t", "on": ["reply"],
            "format": format, "signingSecret": signing_secret()});
        let (status, made) = program.call("i/webhooks/create", params).await;
        assert_eq!((status, &made["format"]), (200, &json!(format)));
    }

    assert_eq!(program.post(reply()).await.0, 200);
    receiver.until_distinct(4).await;
    let arrived = receiver.book().arrived.clone();
    for (path, content_type, secret) in [
        ("/discord", "application/json", None),
        ("/slack", "application/json", None),
        ("/cloudevents", "application/cloudevents+json", Some("s3cr3t")),
        ("/misskey", "application/json", Some("s3cr3t")),
    ] {
        let one = only(&arrived, path);
        assert_signed(&one);
        assert_eq!(one.header("content-type"), content_type, "{path}");
        let sent = one.headers.get("x-misskey-hook-secret").map(|secret| secret.to_str().expect("text"));
        assert_eq!(sent, secret, "{path}");
        assert_eq!((one.header("user-agent"), one.attempt()), ("Misskey-Hooks", "1"));
    }
    let discord = json_of(&only(&arrived, "/discord"));
    assert_eq!(discord["content"], "Carol 🦊 (she\\/her) (@carol@mastodon.example) replied to you");
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
    let embed = &discord["embeds"][0];
    assert_eq!(embed["url"], "https://misskey.example/notes/aki5ymhxk3x9000n");
    assert_eq!(embed["description"], "@alice@misskey.example It is sunny! :fox\\_love:");
    let slack = json_of(&only(&arrived, "/slack"));
    assert!(
        slack["text"].as_str().expect("a text").contains("\n> @\u{200b}alice@\u{200b}misskey.example It is sunny!")
    );
    let cloud_event = json_of(&only(&arrived, "/cloudevents"));
    let event: Value = reply().parse().expect("JSON");
    assert_eq!((&cloud_event["id"], &cloud_event["data"]), (&event["eventId"], &event["body"]));
    assert_eq!(json_of(&only(&arrived, "/misskey"))["body"], event["body"]);
    program.stop().await;
}

#[tokio::test]
async fn each_attempt_has_the_same_bytes_also_after_a_restart() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let home = Home::new("delivery.retry_schedule_s = [0.2, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for format in ["discord", "slack", "cloudevents"] {
        let url = receiver.url(&format!("/{format}"));
        let create = ["webhooks", "create", "--user", USER, "--on", "reply", "--url", &url, "--format", format];
        home.cli(&create).await.ok();
    }
    let program = home.serve().await;
    assert_eq!(program.post(reply()).await.0, 200);
    receiver.until("each is tried twice", |book| book.arrived.len() >= 6).await;
    program.stop().await;
    let before = receiver.book().arrived.len();
    receiver.behave(Behaviour::Answer(200));
    let program = home.serve().await;
    receiver.until("each is tried again", |book| book.arrived.len() >= before + 3).await;
    program.stop().await;
    let arrived = receiver.book().arrived.clone();
    for format in ["/discord", "/slack", "/cloudevents"] {
        let bodies: Vec<_> = arrived.iter().filter(|one| one.path == format).map(|one| one.body.clone()).collect();
        assert!(bodies.len() >= 3 && bodies.iter().all(|body| *body == bodies[0]), "{format}: {bodies:?}");
    }
}

#[tokio::test]
async fn a_test_shows_what_the_webhooks_format_makes_of_an_event() {
    let receiver = Receiver::start(Behaviour::Answer(204)).await;
    let home = Home::new("misskey.url = \"https://misskey.example\"\n");
    let create = ["webhooks", "create", "--user", USER, "--on", "note", "--id", "w", "--format", "discord"];
    home.cli(&[&create[..], &["--url", &receiver.url("/cli")]].concat()).await.ok();
    home.cli(&["webhooks", "test", "w", "--type", "followed"]).await.ok();
    let program = home.serve().await;
    let to = json!({"url": receiver.url("/api")});
    let test = json!({"webhookId": "w", "type": "followed", "override": to, "wait": true});
    assert_eq!(program.call("i/webhooks/test", test).await.0, 200);
    program.stop().await;
    let arrived = receiver.book().arrived.clone();
    for path in ["/cli", "/api"] {
        assert_eq!(json_of(&only(&arrived, path))["content"], "DummyUser2 (@dummy2) follows you now");
    }
}

#[tokio::test]
async fn a_format_that_is_none_is_refused_with_those_that_are() {
    const WORDS: &str = "it is misskey, discord, slack or cloudevents";
    let home = Home::new("");
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "w"];
    home.cli(&[&create[..], &["--format", "Discord"]].concat())
        .await
        .failed(2, &["format: \"Discord\" is none", WORDS]);
    home.cli(&create).await.ok();
    home.cli(&["webhooks", "update", "w", "--format", "teams"]).await.failed(2, &["\"teams\" is none", WORDS]);
    let shown = home.cli(&["webhooks", "show", "w", "--json"]).await.json();
    assert_eq!(shown["format"], "misskey");
    home.cli(&["webhooks", "update", "w", "--format", "slack"]).await.ok();
    let back = home.cli(&["webhooks", "update", "w", "--format", "default", "--json"]).await.json();
    assert_eq!(back["format"], "misskey");
    let settings = format!("{}format = \"teams\"\n", declared("d", "https://a.example/", "note"));
    let ran = Home::new(&settings).cli(&["webhooks", "list"]).await;
    ran.failed(2, &["webhooks[0].format: \"teams\" is none", WORDS]);
}

#[tokio::test]
async fn an_address_of_a_chat_that_refuses_the_format_is_told_and_taken() {
    let home = Home::new("");
    let discord = "https://discord.com/api/webhooks/1/token";
    let create = ["webhooks", "create", "--on", "note", "--id", "w", "--url", discord];
    let ran = home.cli(&create).await;
    assert!(ran.stderr.contains("the format discord fits: `hikyaku webhooks update w --format"), "{ran:#?}");
    ran.ok();
    let ran = home.cli(&["webhooks", "update", "w", "--format", "discord"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

/// What the SDK makes of each request: the event, or why it is none.
async fn read_by_the_sdk(requests: &[Value]) -> Vec<Value> {
    let mut node = Command::new("node")
        .arg("read.mjs")
        .current_dir(SDK.installed().await)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node; tests/run installs it");
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    node.stdin.take().expect("piped").write_all(lines.as_bytes()).await.expect("written");
    let output = node.wait_with_output().await.expect("its end");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let read: Vec<Value> = said.lines().map(|line| line.parse().expect("JSON")).collect();
    assert_eq!(read.len(), requests.len(), "the SDK answers for each: {said}");
    read
}

#[tokio::test]
async fn the_cloudevents_sdk_takes_what_is_sent_whatever_the_event_has() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let kinds = ["reply", "userCreated", "a type of nobody's 😀"];
    for source in ["default", "my server:2 <é>", "//"] {
        for owner in [&["--user", USER][..], &[]] {
            let url = receiver.url("/");
            let create = ["webhooks", "create", "--url", &url, "--on", &kinds.join(","), "--any-type", "--format"];
            home.cli(&[&create[..], &["cloudevents", "--source", source], owner].concat()).await.ok();
        }
    }
    let program = home.serve().await;
    let mut sent: Vec<Value> = vec![reply().parse().expect("JSON")];
    for (server, source) in [
        (Value::Null, "default"),
        (Value::Null, "my server:2 <é>"),
        (json!("no URL at all"), "//"),
        (json!("https://日本.example:8443/x y"), "default"),
        (json!("HTTP://[::1]:3000"), "default"),
    ] {
        for (user, kind) in [(json!(USER), kinds[2]), (Value::Null, kinds[1])] {
            sent.push(
                json!({"type": kind, "userId": user, "eventId": format!("id {} \u{fdd0}", sent.len()), "server": server,
                "source": source, "createdAt": 8_640_000_000_000_000_u64, "body": {"is": [kind, null, 1.5]}}),
            );
        }
    }
    for event in &sent {
        assert_eq!(program.post(event.to_string()).await.0, 200);
    }
    receiver.until_distinct(sent.len()).await;
    program.stop().await;

    let request = |arrived: &Arrived| {
        let body = std::str::from_utf8(&arrived.body).expect("UTF-8");
        json!({"headers": {"content-type": arrived.header("content-type")}, "body": body})
    };
    let mut requests: Vec<Value> = receiver.book().arrived.iter().map(request).collect();
    // What is none is told: the SDK looks.
    let mut wrong = requests[0].clone();
    wrong["body"] = json!(r#"{"specversion":"1.0","id":"x","type":"x","source":"my server","data":{}}"#);
    requests.push(wrong);
    let mut read = read_by_the_sdk(&requests).await;
    assert!(read.pop().expect("the last")["error"].as_str().is_some_and(|error| error.contains("uri-reference")));
    for event in &sent {
        let id = event["eventId"].as_str().expect("a text").replace('\u{fdd0}', "\u{fffd}");
        let one = read.iter().find(|one| one["ok"]["id"] == id.as_str());
        let one = &one.unwrap_or_else(|| panic!("{event} was not read: {read:#?}"))["ok"];
        assert_eq!(
            (&one["data"], one.get("subject")),
            (&event["body"], event.get("userId").filter(|user| !user.is_null()))
        );
        assert_eq!(one["type"], format!("net.misskey.{}", event["type"].as_str().expect("a text")));
    }
}
