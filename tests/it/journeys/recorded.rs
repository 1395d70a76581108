//! The history through the front door: every attempt with its number, by pages and filters, over API and command line; and no
//! delivery that waits for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, answer, declared, events, until};

const EVENTS: usize = 30;

/// Receivers of which one fails at first, one refuses and one is well, which get the same events.
pub(crate) struct Three {
    flaky: Receiver,
    bad: Receiver,
    well: Receiver,
}

impl Three {
    /// Starts them.
    pub(crate) async fn start() -> Self {
        Self {
            flaky: Receiver::start(Behaviour::FailFirst(503, Duration::ZERO)).await,
            bad: Receiver::start(Behaviour::Answer(404)).await,
            well: Receiver::start(Behaviour::Answer(200)).await,
        }
    }

    /// The settings that declare a webhook for each.
    pub(crate) fn settings(&self) -> String {
        let webhook = |id: &str, receiver: &Receiver| declared(id, &receiver.url("/"), "note");
        format!(
            "delivery.retry_schedule_s = [0.05, 0.05]\ndelivery.breaker_failures = 0\n{}",
            webhook("flaky", &self.flaky) + &webhook("bad", &self.bad) + &webhook("well", &self.well)
        )
    }

    /// Publishes, and compares what the history has with what came.
    pub(crate) async fn check(&self, home: &Home, program: &Program) {
        assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
        until_states(program, 2 * EVENTS, EVENTS).await;

        let mut of_receivers: HashMap<(String, String), Vec<String>> = HashMap::new();
        for (id, receiver) in [("flaky", &self.flaky), ("bad", &self.bad), ("well", &self.well)] {
            for arrived in &receiver.book().arrived {
                let key = (id.to_owned(), arrived.id().to_owned());
                of_receivers.entry(key).or_default().push(arrived.attempt().to_owned());
            }
        }
        assert_eq!(of_receivers.len(), 3 * EVENTS);
        for ((webhook, id), numbers) in &of_receivers {
            let (status, shown) = program.operate(&format!("/v1/deliveries/{id}")).await;
            assert_eq!((status, shown["delivery"]["webhookId"].as_str()), (200, Some(webhook.as_str())), "{shown}");
            assert_eq!(&recorded_numbers(&shown), numbers, "{shown}");
            assert_eq!(shown["delivery"]["attempts"], numbers.len(), "{shown}");
        }
        let (_, dead) = program.operate("/v1/deliveries?state=dead&limit=1").await;
        let last = &dead["deliveries"][0]["lastAttempt"];
        assert_eq!((&last["outcome"], &last["status"], &last["attempt"]), (&json!("refused"), &json!(404), &json!(1)));
        self.check_pages(home, program).await;
    }

    /// All pages together are all deliveries, each once, whatever is asked; and the command line says the same.
    async fn check_pages(&self, home: &Home, program: &Program) {
        for (query, count) in [("", 3 * EVENTS), ("webhook=flaky&", EVENTS), ("state=delivered&type=note&", 2 * EVENTS)]
        {
            let (mut seen, mut cursor) = (HashSet::new(), String::new());
            loop {
                let (status, page) = program.operate(&format!("/v1/deliveries?{query}limit=7{cursor}")).await;
                assert_eq!(status, 200, "{page}");
                for delivery in page["deliveries"].as_array().expect("deliveries") {
                    assert!(seen.insert(delivery["id"].as_str().expect("an id").to_owned()), "twice: {delivery}");
                }
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(seen.len(), count, "{query}");
        }
        let (_, page) = program.operate("/v1/deliveries?event=e3&limit=1000").await;
        let printed = home.cli(&["deliveries", "list", "--event", "e3", "--json"]).await.ok();
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), page["deliveries"]);
        assert_eq!(page["deliveries"].as_array().expect("deliveries").len(), 3);
        let id = page["deliveries"][0]["id"].as_str().expect("an id");
        let (_, shown) = program.operate(&format!("/v1/deliveries/{id}")).await;
        let printed = home.cli(&["deliveries", "show", id, "--json"]).await.ok();
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), shown);
    }
}

/// Waits until the history says that so many are delivered and so many dead.
pub(super) async fn until_states(program: &Program, delivered: usize, dead: usize) {
    until(&format!("the history has {delivered} delivered and {dead} dead"), async || {
        let count = async |state: &str| {
            let (status, page) = program.operate(&format!("/v1/deliveries?state={state}&limit=1000")).await;
            // It may not be there yet, or again.
            if status == 200 { page["deliveries"].as_array().map_or(0, Vec::len) } else { usize::MAX }
        };
        (count("delivered").await == delivered && count("dead").await == dead).then_some(())
    })
    .await;
}

/// The attempts' numbers, as the header has them.
fn recorded_numbers(shown: &Value) -> Vec<String> {
    let attempts = shown["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["attempt"].to_string()).collect()
}

/// How long all may take of which the last are parked, each time for longer, and over RabbitMQ for up to twice as long as asked.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// Kills the program amid its work, and compares what the history has afterwards with what came.
pub(crate) async fn check_killed(home: &Home, flaky: &Receiver) {
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 400)).await.0, 200);
    until("the history has some deliveries", async || {
        let (status, page) = program.operate("/v1/deliveries?state=delivered&limit=100").await;
        (status == 200 && page["deliveries"].as_array().map_or(0, Vec::len) >= 50).then_some(())
    })
    .await;
    program.kill().await;
    let before = flaky.book().answered;
    assert!(before < 800, "it was killed too late to matter");

    let program = home.serve().await;
    flaky
        .until_within(DRAINED_WITHIN, "every delivery comes a second time", |book| {
            book.arrived
                .iter()
                .filter(|arrived| arrived.attempt() == "2")
                .map(|arrived| arrived.id().to_owned())
                .collect::<HashSet<_>>()
                .len()
                == 400
        })
        .await;
    program.metric_is("hikyaku_queue_depth{queue=\"delay\"}", 0.0).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    program.stop().await;

    let printed = home.cli(&["deliveries", "list", "--limit", "1000", "--json"]).await.ok();
    let listed: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
    // What ended within the last moment before the kill may be missing, and nothing else.
    assert!((330..=400).contains(&listed.len()), "{} deliveries are in the history", listed.len());
    for delivery in &listed {
        let attempts = delivery["attempts"].as_u64().expect("a number");
        assert_eq!(delivery["lastAttempt"]["attempt"], attempts, "{delivery}");
        assert!(delivery["state"] == "delivered" && attempts == 2 || attempts == 1, "{delivery}");
    }
    let file = Connection::open(home.path("history.db")).expect("opened");
    let twice =
        "SELECT count(*) FROM attempts a WHERE attempt > 2 OR status <> CASE attempt WHEN 1 THEN 503 ELSE 200 END";
    assert_eq!(file.query_row(twice, [], |row| row.get::<_, u64>(0)), Ok(0), "no attempt has another's number");
}

/// A home with one webhook, whose receiver fails each first attempt slowly.
pub(crate) fn flaky_settings(flaky: &Receiver) -> String {
    format!(
        "queue.prefetch = 64\ndelivery.concurrency = 16\ndelivery.retry_schedule_s = [0.05, 0.05]\n\
         delivery.breaker_failures = 0\n{}",
        declared("hook", &flaky.url("/"), "note")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_has_every_attempt_that_came_with_its_number_and_shows_it_by_filter_and_page() {
    let three = Three::start().await;
    let home = Home::new(&three.settings());
    let program = home.serve().await;
    three.check(&home, &program).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_its_work_it_has_no_attempt_twice_and_only_the_last_moment_is_missing() {
    let flaky = Receiver::start(Behaviour::FailFirst(503, Duration::from_millis(20))).await;
    let home = Home::new(&flaky_settings(&flaky));
    check_killed(&home, &flaky).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_process_holds_the_history_deliveries_go_on_and_it_is_told_once_and_written_afterwards() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let mut program = home.serve().await;
    let holder = Connection::open(home.path("history.db")).expect("opened");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("held");

    assert_eq!(program.post(events("note", "e", 300)).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 300.0).await;
    program.line("falls behind").await;
    assert_eq!(program.get("/readyz").await.0, 200, "a worker that delivers is ready");
    assert_eq!(program.operate("/v1/deliveries").await.1["deliveries"], json!([]));

    holder.execute_batch("ROLLBACK").expect("let go");
    until_states(&program, 300, 0).await;
    program.line("is written again; 0 entries are missing").await;
    assert_eq!(program.said().matches("falls behind").count(), 1, "{}", program.said());
    assert!(program.metric("hikyaku_record_dropped_total").await < 1.0);
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_stays_locked_holds_up_neither_the_end_nor_a_delivery_and_the_gap_is_told() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    let holder = Connection::open(home.path("history.db")).expect("opened");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("held");
    assert_eq!(program.post(events("note", "e", 20)).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 20.0).await;

    program.signal("TERM").await;
    let (code, said) = program.ended().await;

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("could not be written to the end; 20 entries are missing"), "{said}");
    assert_eq!(receiver.book().repeats(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_cannot_be_opened_or_is_damaged_stops_neither_the_start_nor_a_delivery() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    for damaged in [false, true] {
        let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
        if damaged {
            home.write("history.db", &"this was a shopping list once. ".repeat(300));
        } else {
            std::fs::create_dir(home.path("history.db")).expect("a folder in its place");
        }
        let mut program = home.serve().await;
        program.line("falls behind").await;
        assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
        program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 3.0).await;
        let (status, problem) = program.operate("/v1/deliveries").await;
        assert_eq!((status, &problem["status"]), (503, &json!(503)), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|words| words.contains("history.db")), "{problem}");
        let told = program.operate("/v1/status").await.1;
        let notice = told["notices"][0].as_str().unwrap_or_default();
        assert!(told["ready"] == true && notice.contains("the history is not written"), "{told}");
        assert_eq!(program.metric("hikyaku_part_failing{part=\"history\"}").await, 1.0);
        let looked = home.cli(&["status"]).await.ok();
        assert!(looked.contains("worth a look") && looked.contains("the history cannot be read"), "{looked}");

        let moved = std::fs::rename(home.path("history.db"), home.path("away"));
        moved.expect("moved out of the way");
        until_states(&program, 3, 0).await;
        assert_eq!(program.operate("/v1/status").await.1["notices"], json!([]));
        program.metric_is("hikyaku_part_failing{part=\"history\"}", 0.0).await;
        program.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_not_written_and_that_is_told() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&format!("history.enabled = false\n{}", declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 3.0).await;

    let (status, problem) = program.operate("/v1/deliveries").await;
    assert!(
        status == 404 && problem["detail"].as_str().is_some_and(|words| words.contains("history.enabled")),
        "{problem}"
    );
    program.stop().await;
    assert!(!home.path("history.db").exists());
    home.cli(&["deliveries", "list"]).await.failed(1, &["there is no history", "history.db", "history.enabled"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_for_deliveries_is_a_problem_that_names_it() {
    let home = Home::new("");
    let program = home.serve().await;
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = program.asking(reqwest::Method::GET, &format!("{}{path}", program.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.try_clone().expect("no body").send().await.expect("an answer");
        let content = response.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
        let (status, body) = answer(request).await.expect("an answer");
        (status, content, body)
    };
    let no_id = "msg_abc";
    let unknown = "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg";
    for (path, status, parameter) in [
        ("/v1/deliveries?webhok=x".to_owned(), 400, "webhok"),
        ("/v1/deliveries?since=yesterday".to_owned(), 400, "since"),
        ("/v1/deliveries?until=2026-13-01T00:00:00Z".to_owned(), 400, "until"),
        ("/v1/deliveries?limit=-1".to_owned(), 400, "limit"),
        ("/v1/deliveries?limit=1000000000000".to_owned(), 400, "limit"),
        ("/v1/deliveries?state=asleep".to_owned(), 400, "state"),
        ("/v1/deliveries?cursor=%00".to_owned(), 400, "cursor"),
        ("/v1/deliveries?limit=1&limit=2".to_owned(), 400, "limit"),
        ("/v1/endpoints?sort=worst".to_owned(), 400, "sort"),
        (format!("/v1/deliveries/{unknown}?full=1"), 400, "full"),
        (format!("/v1/deliveries/{no_id}"), 400, "id"),
        (format!("/v1/deliveries/{unknown}"), 404, ""),
    ] {
        let (found, content, problem) = ask(&path, Some(TOKEN)).await;
        assert_eq!((found, content.as_str()), (status, "application/problem+json"), "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}: {problem}");
        assert_eq!(problem["errors"][0]["parameter"].as_str().unwrap_or_default(), parameter, "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|words| words.contains(parameter)), "{path}: {problem}");
    }
    for path in ["/v1/deliveries", "/v1/endpoints"] {
        for token in [None, Some("wrong")] {
            let (status, content, problem) = ask(path, token).await;
            assert_eq!((status, content.as_str()), (401, "application/problem+json"), "{path}: {problem}");
        }
    }
    for args in [["--state", "asleep"], ["--since", "yesterday"], ["--webhook", "a b"], ["--limit=-1", "--json"]] {
        home.cli(&[&["deliveries", "list"], &args[..]].concat()).await.failed(2, &[args[0].trim_end_matches("=-1")]);
    }
    home.cli(&["deliveries", "show", no_id]).await.failed(2, &["msg_"]);
    home.cli(&["deliveries", "show", unknown]).await.failed(1, &["no delivery", "history.retention_s"]);
    program.stop().await;
}
