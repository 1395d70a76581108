//! PostgreSQL away at the start: nothing is taken or delivered until the webhooks have been read once, and it is told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::Server;
use crate::support::program::{Home, TOKEN, declared, event, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_a_start_waits_and_says_so_and_then_serves() {
    let server = Server::start();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&format!("store.url = \"{}\"\n", server.database()));
    home.cli(&["webhooks", "create", "--on", "note", "--url", &receiver.url("/")]).await.ok();
    server.stop();

    let mut program = home.start(&["serve"]);
    let line = program.line("Meanwhile http://").await;
    let (_, address) = line.split_once("Meanwhile ").expect("just found");
    program.is_at(address.split(' ').next().expect("an address"));
    assert_eq!(program.get("/healthz").await, (200, "ok\n".to_owned()));
    let (status, reason) = program.get("/readyz").await;
    assert!(status == 503 && reason.contains("PostgreSQL cannot be reached at courier@127.0.0.1"), "{reason}");
    assert!(!reason.contains("letters-by-night"), "{reason}");
    for (method, path) in [("POST", "/v1/events"), ("GET", "/v1/status"), ("POST", "/v1/dead-letters/import")] {
        let method = method.parse().expect("a method");
        let asked = program.asking(method, &format!("{}{path}", program.address)).body(event("note", "e1"));
        let refused = asked.send().await.expect("an answer");
        assert!(refused.headers().contains_key("retry-after"), "{path}");
        let told = assert_is_problem(refused, 503).await;
        assert!(told["detail"].as_str().is_some_and(|words| words.contains("PostgreSQL cannot be reached")), "{told}");
    }

    server.restart();
    let line = program.line("listens on http://").await;
    let (_, address) = line.split_once("listens on ").expect("just found");
    program.is_at(address.split(';').next().expect("an address"));
    assert_eq!(program.post(event("note", "e2")).await.0, 200);
    receiver.until_distinct(1).await;
    until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_store_that_is_away_is_answered_as_a_problem() {
    let server = Server::start();
    let home = Home::new(&format!("store.url = \"{}\"\n", server.database()));
    let program = home.serve().await;
    server.stop();
    let asked = program.asking(Method::GET, &format!("{}/v1/dead-letters/export", program.address)).bearer_auth(TOKEN);
    let told = assert_is_problem(asked.send().await.expect("an answer"), 503).await;
    assert!(told["detail"].as_str().is_some_and(|words| words.contains("PostgreSQL")), "{told}");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_store_that_is_away_is_told_with_the_queue_by_the_command_itself() {
    let server = Server::start();
    let receiver = Receiver::start(Behaviour::Hold).await;
    let home =
        Home::new(&format!("store.url = \"{}\"\n{}", server.database(), declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e1")).await.0, 200);
    program.kill().await;
    server.stop();

    let told = home.cli(&["status"]).await;
    assert_eq!(told.code, Some(1), "{told:#?}");
    assert_eq!(told.stdout.matches("cannot be reached").count(), 1, "{told:#?}");
    for part in [
        "something is wrong:",
        "queue.db (sqlite): work 1",
        "webhooks      -\n",
        "dead letters  -\n",
        "which workers there are cannot",
    ] {
        assert!(told.stdout.contains(part), "{part:?} is missing: {told:#?}");
    }
    assert!(!told.stdout.contains("letters-by-night") && told.stderr.is_empty(), "{told:#?}");

    let told = home.cli(&["status", "--json"]).await;
    assert_eq!(told.code, Some(1), "{told:#?}");
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!((&told["ready"], &told["problems"].as_array().map(Vec::len)), (&json!(false), &Some(1)), "{told}");
    assert_eq!((&told["queues"]["queues"][0]["depth"], &told["store"]["backend"]), (&json!(1), &json!("postgresql")));
    assert_eq!([&told["workers"], &told["webhooks"], &told["deadLetters"]], [&Value::Null; 3]);
}

/// Checks that it is a problem document of `status`, and tells it.
async fn assert_is_problem(answer: reqwest::Response, status: u16) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let told: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(told["status"], status, "{told}");
    told
}

#[tokio::test]
async fn a_start_that_waits_for_its_store_ends_when_it_is_told_to() {
    // Port 1 of this machine: nobody listens.
    let home = Home::new("store.url = \"postgres://hikyaku:hunter2@127.0.0.1:1/hikyaku\"\n");
    let mut program = home.start(&["serve"]);
    program.line("waits for its store").await;
    program.signal("TERM").await;
    let (code, said) = program.ended().await;
    assert!(code == Some(0) && said.contains("stopped while waiting"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn what_waiting_does_not_mend_ends_the_start_with_words() {
    let server = Server::start();
    let url = server.url("postgres").replace("letters-by-night", "hunter2");
    let home = Home::new(&format!("store.url = \"{url}\"\n"));
    let words = home.cli(&["serve"]).await.failed(1, &["does not let us in", "password authentication failed"]);
    assert!(!words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn a_command_whose_store_is_away_says_so_once() {
    // Port 1 of this machine: nobody listens.
    let home = Home::new("store.url = \"postgres://hikyaku:hunter2@127.0.0.1:1/hikyaku\"\n");
    for args in [
        &["webhooks", "list"][..],
        &["dead", "list"],
        &["deliveries", "list"],
        &["deliveries", "resend", "--all"],
        &["forget", "--user", "u1"],
    ] {
        let words = home.cli(args).await.failed(1, &["error: ", "cannot be reached"]);
        assert_eq!(words.matches("cannot be reached").count(), 1, "{args:?}: {words}");
        assert!(!words.contains("ERROR") && !words.contains("hunter2"), "{args:?}: {words}");
    }
}
