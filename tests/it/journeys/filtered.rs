//! Webhooks with filters on a running server: they get exactly what they ask for, whichever way they were registered.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, until};

const USER: &str = "9ks5o1w5k3x90001";
const FILTERED: &str = "hikyaku_deliveries_filtered_total";

/// A note of the user's whose body has these bytes.
fn note(id: &str, body: &str) -> String {
    format!("{{\"type\":\"note\",\"userId\":\"{USER}\",\"eventId\":\"{id}\",\"body\":{body}}}")
}

fn with_visibility(id: &str, visibility: &str) -> String {
    note(id, &format!("{{\"note\":{{\"visibility\":\"{visibility}\"}}}}"))
}

async fn posted(program: &Program, event: String) {
    let (status, answer) = program.post(event).await;
    assert_eq!(status, 200, "{answer}");
}

/// The event's id in a body that no parser for whole values takes.
fn event_id(body: &str) -> String {
    let (_, rest) = body.split_once("\"eventId\":\"").expect("an event's id");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// What has arrived at `path`, by the events' ids.
fn arrived(receiver: &Receiver, path: &str) -> BTreeSet<String> {
    let book = receiver.book();
    let here = book.arrived.iter().filter(|arrived| arrived.path == path);
    here.map(|arrived| event_id(&String::from_utf8_lossy(&arrived.body))).collect()
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Registers a webhook for notes and follows at `path` by API; its id.
async fn created(program: &Program, receiver: &Receiver, path: &str, filters: Value) -> String {
    let params =
        json!({"userId": USER, "name": "n", "url": receiver.url(path), "on": ["note", "followed"], "filters": filters});
    let (status, webhook) = program.call("i/webhooks/create", params).await;
    assert_eq!((status, &webhook["filters"]), (200, &filters), "{webhook}");
    webhook["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_webhook_with_filters_gets_what_it_asks_for_byte_for_byte_and_one_without_gets_all() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    created(&program, &receiver, "/all", json!([])).await;
    let filters = json!([
        {"path": "/note/visibility", "equals": "public", "types": ["note"]},
        {"path": "/note/text", "contains": ["misskey", "ミスキー"], "types": ["note"]},
    ]);
    created(&program, &receiver, "/some", filters).await;

    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let odd = format!(
        r#"{{ "z":1.0, "big":1e999,  "lone":"\ud800", "deep":{deep}, "note":{{"text":"\u004disskey \/ \udfff" , "visibility":"public"}}, "z":2 }}"#
    );
    for (id, body) in [
        ("odd", odd.as_str()),
        ("japanese", r#"{"note":{"visibility":"public","text":"このミスキー"}}"#),
        ("other-words", r#"{"note":{"visibility":"public","text":"Mastodon"}}"#),
        ("for-followers", r#"{"note":{"visibility":"followers","text":"misskey"}}"#),
        ("without-text", r#"{"note":{"visibility":"public","text":null}}"#),
        ("empty", "{}"),
    ] {
        posted(&program, note(id, body)).await;
    }
    posted(&program, note("follower", r#"{"user":{"username":"bob"}}"#).replace("\"note\"", "\"followed\"")).await;

    program.metric_is(FILTERED, 4.0).await;
    receiver.until("both have what is theirs", |book| book.answered == 7 + 3).await;
    assert_eq!(arrived(&receiver, "/some"), ids(&["odd", "japanese", "follower"]));
    assert_eq!(arrived(&receiver, "/all").len(), 7);
    let is_odd = |body: &str| body.ends_with(&format!("\"body\":{odd}}}"));
    let book = receiver.book().arrived.clone();
    let bodies: Vec<String> = book.iter().map(|arrived| String::from_utf8_lossy(&arrived.body).into_owned()).collect();
    assert_eq!(bodies.iter().filter(|body| is_odd(body)).count(), 2, "to both with its very bytes: {bodies:?}");
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 10.0).await;
    program.stop().await;
}

#[tokio::test]
async fn filters_outlast_a_restart_and_those_of_the_settings_file_count_too() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let declared = format!(
        "[[webhooks]]\nid = \"declared\"\nuser_id = \"{USER}\"\nurl = \"{}\"\non = [\"note\"]\n\
         [[webhooks.filters]]\npath = \"/note/visibility\"\nnot_in = [\"public\", \"home\"]\n",
        receiver.url("/declared")
    );
    let home = Home::new(&declared);
    let program = home.serve().await;
    let filters = json!([{"path": "/note/visibility", "in": ["public", "home"]}]);
    let id = created(&program, &receiver, "/stored", filters.clone()).await;
    program.stop().await;

    let program = home.serve().await;
    let shown = home.cli(&["webhooks", "show", &id, "--json"]).await.json();
    assert_eq!(shown["filters"], filters);
    for visibility in ["public", "home", "followers", "specified"] {
        posted(&program, with_visibility(visibility, visibility)).await;
    }

    receiver.until_distinct(4).await;
    assert_eq!(arrived(&receiver, "/stored"), ids(&["public", "home"]));
    assert_eq!(arrived(&receiver, "/declared"), ids(&["followers", "specified"]));
    program.metric_is(FILTERED, 4.0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_retry_a_replay_and_a_test_ignore_filters_that_were_set_meanwhile() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let home = Home::new("delivery.retry_schedule_s = [0.5]\n");
    let program = home.serve().await;
    let id = created(&program, &receiver, "/", json!([])).await;
    posted(&program, with_visibility("under-way", "public")).await;
    receiver.until("the first attempt fails", |book| book.answered == 1).await;
    let filters = json!([{"path": "/note/visibility", "equals": "home"}]);
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "filters": filters})).await.0, 204);

    receiver.until("it is tried again", |book| book.answered == 2).await;
    program.metric_is("hikyaku_dead_letters", 1.0).await;
    receiver.behave(Behaviour::Answer(200));
    home.cli(&["dead", "replay", "--all"]).await.ok();
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;
    home.cli(&["webhooks", "test", &id, "--type", "note"]).await.ok();
    assert_eq!(receiver.book().arrived.len(), 4);
    // A fresh event of the same content is kept out.
    posted(&program, with_visibility("fresh", "public")).await;
    program.metric_is(FILTERED, 1.0).await;
    assert_eq!(receiver.book().arrived.len(), 4);
    program.stop().await;
}

#[tokio::test]
async fn filters_are_given_replaced_and_taken_away_by_command() {
    let home = Home::new("");
    let (public, bots) =
        (r#"{"path":"/note/visibility","equals":"public"}"#, r#"{"path":"/note/user/isBot","notEquals":true}"#);
    let shown = async || home.cli(&["webhooks", "show", "w", "--json"]).await.json()["filters"].clone();
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "w"];
    let table = home.cli(&[&create[..], &["--filter", public, "--filter", bots]].concat()).await.ok();
    assert!(
        table.contains("filters[0]") && table.contains("filters[1]") && table.contains("/note/user/isBot"),
        "{table}"
    );
    let list = home.cli(&["webhooks", "list"]).await.ok();
    assert!(list.contains("note (2 filters)"), "{list}");
    let both: [Value; 2] = [public, bots].map(|text| serde_json::from_str(text).expect("JSON"));
    assert_eq!(shown().await, json!(both));

    home.cli(&["webhooks", "update", "w", "--timeout", "500"]).await.ok();
    assert_eq!(shown().await, json!(both), "they stay");
    home.cli(&["webhooks", "update", "w", "--filter", bots]).await.ok();
    assert_eq!(shown().await, json!([both[1]]));
    home.cli(&["webhooks", "update", "w", "--no-filters"]).await.ok();
    assert_eq!(shown().await, json!([]));
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused_by_command_and_in_the_settings_in_words() {
    let home = Home::new("");
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note"];
    let good = r#"{"path":"/a","exists":true}"#;
    for (filter, words) in [
        ("visibility=public", &["--filter[1]: it is no JSON", "it must look like '{\"path\""][..]),
        (r#"{"path":"/a"}"#, &["--filter[1]: it has no operator; give one of equals"]),
        (r#"{"path":"a","equals":1}"#, &["--filter[1].path: it is \"a\", which does not begin with '/'"]),
        (r#"{"path":"/a","in":[]}"#, &["--filter[1].in: it has 0 items, and 1 to 64 are allowed"]),
    ] {
        home.cli(&[&create[..], &["--filter", good, "--filter", filter]].concat()).await.failed(2, words);
    }
    home.cli(&[&create[..], &["--filter", good, "--no-filters"]].concat()).await.failed(2, &["--no-filters"]);
    assert_eq!(home.cli(&["webhooks", "list", "--json"]).await.json(), json!([]));

    let wrong = "[[webhooks]]\nid = \"w\"\nurl = \"https://a.example/\"\non = [\"note\"]\n[[webhooks.filters]]\npath = \"/a\"\n";
    let home = Home::new(wrong);
    let words = ["webhooks[0].filters[0]: it has no operator; give one of equals, not_equals"];
    home.cli(&["webhooks", "list"]).await.failed(2, &words);
}

#[tokio::test]
async fn changed_filters_are_in_force_within_a_second() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, &receiver, "/", json!([{"path": "/note/visibility", "equals": "home"}])).await;
    posted(&program, with_visibility("kept-out", "public")).await;
    program.metric_is(FILTERED, 1.0).await;
    assert_eq!(program.metric("hikyaku_events_without_subscriber_total").await, 0.0, "it has one");
    home.cli(&["webhooks", "update", &id, "--no-filters"]).await.ok();
    let mut number = 0;
    let arrives = || {
        number += 1;
        let event = with_visibility(&format!("e{number}"), "public");
        async {
            posted(&program, event).await;
            (receiver.book().answered > 0).then_some(())
        }
    };
    until("a note arrives once the filters are gone", arrives).await;
    assert!(!receiver.book().event_ids.contains("kept-out"));
    program.stop().await;
}
