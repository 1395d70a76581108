//! A person is forgotten: nothing of them is left in the files, and what was still queued is dropped as it comes by.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::dead_letters::until_dead;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, until};

const USER: &str = "9ks5o1w5k3x90001";
/// Stands in the person's events, and nowhere else.
const CANARY: &str = "what-only-this-person-wrote";

fn event(user: &str, id: &str, words: &str) -> String {
    format!("{{\"type\":\"note\",\"userId\":\"{user}\",\"eventId\":\"{id}\",\"body\":{{\"text\":\"{words}\"}}}}\n")
}

/// A server with webhooks of the person and of another, at receivers that deliver, refuse, and fail.
struct World {
    well: Receiver,
    _bad: Receiver,
    failing: Receiver,
    home: Home,
    program: Program,
}

impl World {
    async fn new() -> Self {
        let well = Receiver::start(Behaviour::Answer(200)).await;
        let bad = Receiver::start(Behaviour::Answer(404)).await;
        let failing = Receiver::start(Behaviour::Answer(503)).await;
        let home = Home::new("delivery.retry_schedule_s = [3, 3, 3, 3, 3, 3, 3, 3]\ndelivery.breaker_failures = 0\n");
        for (user, receiver) in [(USER, &well), (USER, &bad), (USER, &failing), ("another", &well), ("another", &bad)] {
            home.cli(&["webhooks", "create", "--url", &receiver.url("/"), "--on", "note", "--user", user]).await.ok();
        }
        let program = home.serve().await;
        let events = event(USER, "e1", CANARY) + &event(USER, "e2", CANARY) + &event("another", "e3", "words");
        assert_eq!(program.post(events).await.0, 200);
        until_dead(&home, 3).await;
        failing.until("the failing one was tried", |book| book.arrived.len() >= 2).await;
        let world = Self { well, _bad: bad, failing, home, program };
        until("the history has all of them", async || (world.known().await == 8).then_some(())).await;
        world
    }

    /// How many deliveries the history has.
    async fn known(&self) -> usize {
        let (_, page) = self.program.operate("/v1/deliveries?limit=1000").await;
        page["deliveries"].as_array().map_or(0, Vec::len)
    }

    /// Checks that what is left is the other person's.
    async fn check(self) {
        let tried = self.failing.book().arrived.len();
        self.program.metric_is("hikyaku_queue_depth{queue=\"delay\"}", 0.0).await;
        assert_eq!(self.failing.book().arrived.len(), tried, "what was still queued is dropped");
        assert_eq!(self.program.metric("hikyaku_deliveries_total{result=\"dropped\"}").await, 2.0);
        assert_eq!(self.known().await, 2);
        assert_eq!(until_dead(&self.home, 1).await[0]["userId"], "another");
        assert!(!self.home.cli(&["webhooks", "list", "--json"]).await.ok().contains(USER));

        // What comes afterwards is another life's.
        let url = self.well.url("/again");
        self.home.cli(&["webhooks", "create", "--url", &url, "--on", "note", "--user", USER]).await.ok();
        until("the new webhook gets its events", async || {
            assert_eq!(self.program.post(event(USER, "later", "words")).await.0, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.well.book().arrived.iter().any(|arrived| arrived.path == "/again").then_some(())
        })
        .await;
        self.program.stop().await;
        assert_eq!(files_with(&self.home, CANARY), Vec::<String>::new(), "the queue has nothing left either");
    }
}

/// The files in which those words stand.
fn files_with(home: &Home, words: &str) -> Vec<String> {
    let files = std::fs::read_dir(home.path("")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let has = |bytes: &[u8]| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    let found = files.filter(|path| path.is_file() && has(&std::fs::read(path).expect("read")));
    found.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn whoever_is_forgotten_by_command_is_in_no_file_of_store_and_history_and_what_was_queued_is_dropped() {
    let world = World::new().await;
    let letters = world.home.cli(&["dead", "export"]).await.ok();
    let told = world.home.cli(&["forget", "--user", USER, "--json"]).await.json();
    let expected = json!({
        "user": USER, "source": "default", "webhooks": 3, "declaredWebhooks": [], "deliveries": 6,
        "attempts": told["attempts"], "bodies": 2, "deadLetters": 2, "queueTrouble": null,
    });
    assert_eq!(told, expected);
    assert!(told["attempts"].as_u64().expect("a number") >= 6, "{told}");
    let left = files_with(&world.home, CANARY);
    let is_queue = |name: &String| name.starts_with("queue.db");
    assert!(left.iter().all(is_queue), "{left:?}");
    let again = world.home.cli(&["forget", "--user", USER]).await.ok();
    assert!(again.contains("0 dead letters") && again.contains("  0 webhooks"), "{again}");
    world.home.cli(&["forget", "--user", ""]).await.failed(2, &["--user"]);
    for args in [&["dead", "import", "--json"][..], &["dead", "import", "--json", "--dry-run"]] {
        let came = world.home.cli_with(args, &letters).await.json();
        assert_eq!((&came["added"], &came["present"], &came["forgotten"]), (&json!(0), &json!(1), &json!(2)), "{came}");
    }
    let came = world.home.cli_with(&["dead", "import"], &letters).await.ok();
    assert!(came.contains("1 here already or put back to work since; 2 of persons who were forgotten since"), "{came}");
    world.check().await;
}

#[tokio::test]
async fn whoever_is_forgotten_by_api_is_gone_and_others_stay() {
    let world = World::new().await;
    let (status, problem) = world.program.operate_by(Method::POST, "/v1/forget", "").await;
    assert_eq!((status, &problem["errors"][0]["parameter"]), (400, &json!("user")), "{problem}");
    let (status, told) = world.program.operate_by(Method::POST, &format!("/v1/forget?user={USER}"), "").await;
    assert_eq!((status, &told["webhooks"], &told["deadLetters"]), (200, &json!(3), &json!(2)), "{told}");
    world.check().await;
}

#[tokio::test]
async fn while_the_queue_is_away_a_person_is_forgotten_in_all_that_is_kept_and_that_is_told() {
    // Port 1 of this machine: nobody listens.
    let queue = "queue.url = \"amqp://127.0.0.1:1/%2f\"\nqueue.single_host = true\n";
    let home = Home::new(queue);
    home.cli(&["webhooks", "create", "--url", "https://bot.example/", "--on", "note", "--user", USER]).await.ok();
    let told = home.cli(&["forget", "--user", USER]).await.ok();
    assert!(told.contains("  1 webhooks\n"), "{told}");
    assert!(told.contains("the queue cannot be reached now") && told.contains("dropped as it comes by"), "{told}");
    assert_eq!(home.cli(&["webhooks", "list", "--json"]).await.ok().trim(), "[]");
}

#[tokio::test]
async fn while_the_history_cannot_be_read_the_rest_is_erased_and_what_is_left_is_told() {
    let home = Home::new("");
    home.serve().await.stop().await;
    home.cli(&["webhooks", "create", "--url", "https://bot.example/", "--on", "note", "--user", USER]).await.ok();
    let history = rusqlite::Connection::open(home.path("history.db")).expect("opened");
    let version: u32 =
        history.query_row("SELECT version FROM hikyaku_schema", (), |row| row.get(0)).expect("a version");
    history.execute("UPDATE hikyaku_schema SET version = version - 1", ()).expect("changed");

    let told = home.cli(&["forget", "--user", USER]).await;
    told.failed(
        1,
        &["erased so far: webhooks 1, dead letters 0", "ask the same again", "cannot be brought up to date"],
    );

    history.execute("UPDATE hikyaku_schema SET version = ?1", (version,)).expect("changed");
    let told = home.cli(&["forget", "--user", USER]).await.ok();
    assert!(told.contains("  0 webhooks\n"), "{told}");
}

#[tokio::test]
async fn who_keeps_no_bodies_any_more_has_none_in_the_file_and_without_a_history_the_old_one_goes_by_its_age() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    home.cli(&["webhooks", "create", "--url", &receiver.url("/"), "--on", "note", "--user", USER]).await.ok();
    let settings = std::fs::read_to_string(home.path("hikyaku.toml")).expect("read");
    let settings = |more: &str| {
        home.write("hikyaku.toml", &format!("{more}{settings}"));
    };
    let program = home.serve().await;
    let events: String = (0..50).map(|number| event(USER, &format!("e{number}"), CANARY)).collect();
    assert_eq!(program.post(events).await.0, 200);
    program.metric_is("hikyaku_history_deliveries", 50.0).await;
    program.stop().await;
    assert!(files_with(&home, CANARY).contains(&"history.db".to_owned()));

    settings("history.bodies = false\n");
    let program = home.serve().await;
    program.metric_is("hikyaku_history_deliveries", 50.0).await;
    let rows = |table: &str| {
        let history = rusqlite::Connection::open(home.path("history.db")).expect("opened");
        let count = format!("SELECT count(*) FROM {table}");
        history.query_row(&count, (), |row| row.get::<_, u64>(0)).expect("counted")
    };
    until("the bodies have gone", async || (rows("bodies") == 0).then_some(())).await;
    program.stop().await;
    assert!(!files_with(&home, CANARY).contains(&"history.db".to_owned()));

    settings("history.enabled = false\nhistory.retention_s = 60\n");
    let history = rusqlite::Connection::open(home.path("history.db")).expect("opened");
    // As if it were of a minute ago.
    history.execute("UPDATE deliveries SET changed_at = changed_at - 61000", ()).expect("changed");
    drop(history);
    let program = home.serve().await;
    assert_eq!(program.post(event(USER, "later", "words")).await.0, 200);
    receiver.until_distinct(51).await;
    until("it has gone", async || (rows("deliveries") == 0).then_some(())).await;
    program.stop().await;
}

#[tokio::test]
async fn who_cannot_be_noted_is_not_erased_and_that_is_told() {
    let home = Home::new("");
    home.serve().await.stop().await;
    home.cli(&["webhooks", "create", "--id", "w", "--url", "https://bot.example/", "--on", "note", "--user", USER])
        .await
        .ok();
    let store = rusqlite::Connection::open(home.path("store.db")).expect("opened");
    store.execute_batch("ALTER TABLE forgotten RENAME TO away").expect("renamed");
    home.cli(&["forget", "--user", USER]).await.failed(1, &["nothing is erased yet", "ask the same again"]);
    store.execute_batch("ALTER TABLE away RENAME TO forgotten").expect("renamed");
    assert!(home.cli(&["webhooks", "list", "--json"]).await.ok().contains(USER));
}

#[tokio::test]
async fn what_is_left_of_a_deleted_webhooks_latest_attempt_goes_at_the_next_start() {
    let home = Home::new("");
    home.serve().await.stop().await;
    home.cli(&["webhooks", "create", "--id", "w", "--url", "https://bot.example/", "--on", "note", "--user", USER])
        .await
        .ok();
    home.cli(&["webhooks", "delete", "w"]).await.ok();
    let store = rusqlite::Connection::open(home.path("store.db")).expect("opened");
    store.execute("INSERT INTO webhook_latest (webhook, sent_at, status) VALUES ('w', 1, 500)", ()).expect("added");
    let program = home.serve().await;
    let left = || store.query_row("SELECT count(*) FROM webhook_latest", (), |row| row.get::<_, u64>(0));
    until("it has gone", async || (left().expect("counted") == 0).then_some(())).await;
    program.stop().await;
}
