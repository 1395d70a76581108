//! What operators look at: webhooks, queues, workers, how it all is, and deliveries as they happen.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, declared, event, until};

const READER: &str = "a-token-for-the-dashboard";

fn reader() -> String {
    format!("[[server.tokens]]\nname = \"dashboard\"\ntoken = \"{READER}\"\naccess = \"read\"\n")
}

async fn ask(program: &Program, path: &str, token: &str) -> Value {
    let request = program.asking(reqwest::Method::GET, &format!("{}{path}", program.address)).bearer_auth(token);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&response.bytes().await.expect("bytes")).expect("JSON")
}

#[tokio::test]
async fn webhooks_are_told_by_pages_with_their_state_and_without_secrets() {
    let receiver = Receiver::start(Behaviour::Answer(410)).await;
    let url = receiver.url("/a-path-that-is-a-secret");
    let declared = declared("gone", &url, "note");
    let home = Home::new(&(reader() + &declared.replace("on =", "secret = \"s3cr3t-of-the-hook\"\non =")));
    let program = home.serve().await;
    for (id, args) in [("w1", vec!["--user", "u1"]), ("w2", vec!["--user", "u1", "--paused"]), ("w3", vec![])] {
        let create = ["webhooks", "create", "--id", id, "--url", "http://127.0.0.1:9/x", "--on", "mention"];
        home.cli(&[&create[..], &args[..]].concat()).await.ok();
    }
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    let gone = until("the webhook is deactivated", async || {
        let webhook = ask(&program, "/v1/webhooks/gone", TOKEN).await;
        (webhook["status"] == "deactivated (gone)" && webhook["latestStatus"] == 410).then_some(webhook)
    })
    .await;
    assert_eq!((&gone["url"], &gone["secret"], &gone["active"]), (&json!(url), &json!("***"), &json!(false)), "{gone}");

    let mut cursor = String::new();
    let mut ids = Vec::new();
    loop {
        let page = ask(&program, &format!("/v1/webhooks?limit=3{cursor}"), READER).await;
        let text = page.to_string();
        assert!(!text.contains("s3cr3t") && !text.contains("a-path-that"), "{text}");
        let webhooks = page["webhooks"].as_array().expect("webhooks");
        ids.extend(webhooks.iter().map(|webhook| webhook["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "each once: {ids:?}");
    for (query, expected) in [
        ("user=u1", vec!["w1", "w2"]),
        ("system=false", vec!["w1", "w2"]),
        ("status=paused", vec!["w2"]),
        ("status=deactivated&system=true", vec!["gone"]),
        ("source=elsewhere", vec![]),
    ] {
        let page = ask(&program, &format!("/v1/webhooks?{query}"), TOKEN).await;
        let ids: Vec<&str> =
            page["webhooks"].as_array().expect("webhooks").iter().filter_map(|w| w["id"].as_str()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let (status, problem) = program.operate("/v1/webhooks/absent").await;
    assert!(status == 404 && problem["detail"].as_str().is_some_and(|words| words.contains("absent")), "{problem}");
    program.stop().await;
}

#[tokio::test]
async fn queues_workers_and_status_tell_what_is_in_hand_and_who_works() {
    let receiver = Receiver::start(Behaviour::Hold).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    home.cli(&["status"]).await.failed(1, &["there is no file", "hikyaku serve"]);
    let program = home.serve().await;
    for id in ["a", "b", "c"] {
        assert_eq!(program.post(event("note", id)).await.0, 200);
    }
    let queues = until("three messages are in hand", async || {
        let queues = ask(&program, "/v1/queues", TOKEN).await;
        (queues["queues"][0]["unsettled"] == 3).then_some(queues)
    })
    .await;
    assert_eq!((&queues["backend"], &queues["connected"]), (&json!("sqlite"), &json!(true)), "{queues}");
    assert_eq!(queues["queues"][0], json!({"name": "work", "depth": 3, "unsettled": 3}));
    assert!(queues["oldestWaitingSince"].is_string(), "{queues}");

    let workers = until("the worker has told what is in flight", async || {
        let workers = ask(&program, "/v1/workers", TOKEN).await;
        (workers["workers"][0]["inFlight"] == 3).then_some(workers)
    })
    .await;
    let worker = &workers["workers"][0];
    assert!(worker["name"].as_str().is_some_and(|name| name.ends_with(&format!("/{}", program.id()))), "{worker}");
    assert_eq!((&worker["state"], &worker["version"]), (&json!("working"), &json!(env!("CARGO_PKG_VERSION"))));

    let told = ask(&program, "/v1/status", TOKEN).await;
    assert_eq!(
        (&told["ready"], &told["deadLetters"], &told["webhooks"]["active"]),
        (&json!(true), &json!(0), &json!(1))
    );
    home.write("token", TOKEN);
    let address = program.address.clone();
    let remote = ["status", "--url", &address, "--token-file", "token"];
    let by_api = home.cli(&[&remote[..], &["--json"]].concat()).await.json();
    let by_itself = home.cli(&["status", "--json"]).await.json();
    for field in ["ready", "problems", "store", "webhooks", "deadLetters", "version"] {
        assert_eq!(by_api[field], by_itself[field], "{field}");
        assert_eq!(by_api[field], told[field], "{field}");
    }
    let words = home.cli(&remote).await.ok();
    assert!(
        words.contains("all is well") && words.contains("work 3 (3 in hand)") && words.contains("3 of 2048"),
        "{words}"
    );
    program.kill().await;

    let after = home.cli(&["status"]).await;
    assert_eq!(after.code, Some(0), "a worker that was killed is seen until it is missed: {after:#?}");
    home.cli(&remote).await.failed(1, &["does not answer", "server.listen"]);

    // A minute later, and nobody works.
    let store = rusqlite::Connection::open(home.path("store.db")).expect("opened");
    assert_eq!(store.execute("UPDATE workers SET seen_ms = seen_ms - 60000", []).expect("moved"), 1);
    drop(store);
    let words = home.cli(&["status"]).await;
    assert!(words.code == Some(1) && words.stdout.starts_with("something is wrong:"), "{words:?}");
    assert!(words.stdout.contains("has told nothing since"), "{words:?}");
    // Another takes over: all is delivered, and the one that is away is still told of.
    let other = home.serve().await;
    let words = until("the other works", async || {
        let ran = home.cli(&["status"]).await;
        (ran.code == Some(0)).then_some(ran.stdout)
    })
    .await;
    assert!(words.starts_with("it works, and this is worth a look:\n  the worker "), "{words}");
    let told = ask(&other, "/v1/status", TOKEN).await;
    assert_eq!((&told["ready"], told["notices"].as_array().map(Vec::len)), (&json!(true), Some(1)), "{told}");
    other.stop().await;
}

#[tokio::test]
async fn a_worker_that_has_ended_is_told_of_no_more() {
    let home = Home::new("");
    let program = home.serve().await;
    until("the worker is there", async || {
        let workers = ask(&program, "/v1/workers", TOKEN).await;
        (workers["workers"].as_array().map_or(0, Vec::len) == 1).then_some(())
    })
    .await;
    program.stop().await;
    let ran = home.cli(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &status["workers"], &status["ready"]), (Some(1), &json!([]), &json!(false)), "{status}");
    assert!(status["problems"][0].as_str().is_some_and(|words| words.contains("no worker")), "{status}");
}

/// Reads server-sent events until one is called `name`, and tells all.
async fn heard(response: &mut reqwest::Response, text: &mut String, name: &str) {
    while !text.contains(&format!("event: {name}\n")) || !text.ends_with("\n\n") {
        let chunk = response.chunk().await.expect("read");
        let chunk = chunk.unwrap_or_else(|| panic!("it ended without {name}: {text}"));
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_hears_what_becomes_of_deliveries_and_of_the_end() {
    let (well, bad) = (Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(404)).await);
    let webhooks = declared("well", &well.url("/"), "note") + &declared("bad", &bad.url("/"), "note");
    let home = Home::new(&(reader() + &webhooks));
    let program = home.serve().await;
    let listen = async |query: &str| {
        let url = format!("{}/v1/stream{query}", program.address);
        let mut response =
            program.asking(reqwest::Method::GET, &url).bearer_auth(READER).send().await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().expect("a value"))
        );
        // It is heard from the first bytes on.
        let hello = response.chunk().await.expect("read").expect("a comment");
        assert!(hello.starts_with(b":"), "{hello:?}");
        response
    };
    let (mut all, mut of_bad) = (listen("").await, listen("?webhook=bad&kind=dead").await);
    assert_eq!(program.post(event("note", "e1")).await.0, 200);
    let (mut text, mut of_bad_text) = (String::new(), String::new());
    heard(&mut all, &mut text, "delivered").await;
    heard(&mut all, &mut text, "dead").await;
    heard(&mut of_bad, &mut of_bad_text, "dead").await;
    let data = of_bad_text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let data: Value = serde_json::from_str(data).expect("JSON");
    let fields = [&data["webhookId"], &data["eventId"], &data["reason"], &data["outcome"], &data["status"]];
    assert_eq!(fields, [&json!("bad"), &json!("e1"), &json!("refused"), &json!("refused"), &json!(404)], "{data}");

    program.signal("TERM").await;
    heard(&mut all, &mut text, "end").await;
    heard(&mut of_bad, &mut of_bad_text, "end").await;
    assert!(!of_bad_text.contains("well"), "{of_bad_text}");
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("not finished in time"), "{said}");
}
