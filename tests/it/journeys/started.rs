//! What keeps the server from starting: each with its exit code, its words, and nothing done.

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, TOKEN, declared, event};

#[tokio::test]
async fn everything_that_is_wrong_with_the_settings_is_told_at_once() {
    let home = Home::bare(concat!(
        "server.lissten = \"127.0.0.1:0\"\n",
        "server.admin_token = \"2short\"\n",
        "delivery.timeout_ms = \"soon\"\n",
        "queue.prefetch = 7\n",
        "nonsense = 1\n",
        "[[webhooks]]\nid = \"w\"\nurl = \"ftp://a.example/\"\n",
    ));
    let words = [
        "hikyaku.toml",
        "server.lissten",
        "server.admin_token",
        "delivery.timeout_ms",
        "queue.prefetch",
        "nonsense",
        "webhooks[0].url",
        "webhooks[0].on",
    ];
    for command in [&["serve"][..], &["webhooks", "list"], &["publish"], &["dead", "list"]] {
        let said = home.cli(command).await.failed(2, &words);
        assert!(!said.contains("2short"), "the token is told: {said}");
    }
    assert!(!home.path("queue.db").exists() && !home.path("store.db").exists(), "nothing was started");
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_named() {
    let home = Home::bare("[server\n");
    home.cli(&["serve"]).await.failed(2, &["hikyaku.toml"]);
    home.cli(&["serve", "--config", "absent.toml"]).await.failed(2, &["absent.toml"]);
    let home = Home::bare("");
    let wrong = "HIKYAKU__DELIVERY__CONCURRENCY=zero HIKYAKU__DELIVERY__SPEED=9 \"$HIKYAKU\" serve";
    home.shell(wrong).await.failed(2, &["HIKYAKU__DELIVERY__CONCURRENCY", "HIKYAKU__DELIVERY__SPEED"]);
    home.cli(&["serve", "--listen", "here"]).await.failed(2, &["--listen"]);
}

#[tokio::test]
async fn where_others_reach_it_it_does_not_serve_without_a_token() {
    let home = Home::bare("");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let said = home.cli(&["serve", "--listen", address]).await;
        said.failed(2, &["server.listen", "server.admin_token is not set", "openssl rand"]);
    }
    assert!(!home.path("queue.db").exists(), "nothing was started");
    home.cli(&["dead", "list"]).await.ok();
    let home = Home::bare(&format!("server.listen = \"0.0.0.0:0\"\nserver.admin_token = \"{TOKEN}\"\n"));
    home.serve().await.stop().await;
    let home = Home::bare("server.listen = \"127.0.0.1:0\"\n");
    home.serve().await.stop().await;
}

#[tokio::test]
async fn an_admin_token_may_be_given_as_its_hash_and_then_stands_nowhere() {
    // printf %s a-token-for-journeys | sha256sum
    let hash = "34005eda2c2385ad11522727986df99f0a2f5f3da3a1dfc3f12a4c33ab744533";
    let home = Home::bare(&format!("server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"sha256:{hash}\"\n"));
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    assert_eq!(program.call("i/webhooks/list", serde_json::json!({})).await.0, 200);
    for wrong in [hash.to_owned(), format!("sha256:{hash}")] {
        assert_eq!(program.call("i/webhooks/list", serde_json::json!({"i": wrong})).await.0, 401);
    }
    program.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = Home::new("");
    home.cli(&["serve", "--listen", &address]).await.failed(1, &["server.listen", &address, "another program"]);
    let home = Home::new(&format!("server.metrics_listen = \"{address}\"\n"));
    home.cli(&["serve"]).await.failed(1, &["server.metrics_listen", &address]);
}

#[tokio::test]
async fn a_second_worker_of_a_queue_file_is_turned_away_and_the_first_goes_on() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let first = home.serve().await;
    home.cli(&["serve"]).await.failed(1, &["another hikyaku process", "queue.db"]);
    assert_eq!(first.post(event("note", "e")).await.0, 200);
    receiver.until_distinct(1).await;

    // The lock goes with its process, however that ends.
    first.kill().await;
    home.serve().await.stop().await;
}

/// How many file descriptors the process may have: of itself, and at most.
fn file_limits(id: u32) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().expect("soft"), numbers.next().expect("hard"))
}

/// For how many files the system has made the process's table.
fn file_table(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("a size");
    size.trim().parse().expect("a number")
}

#[tokio::test]
async fn the_limit_of_file_descriptors_is_raised_as_far_as_it_must_and_may_be() {
    let home = Home::new("delivery.concurrency = 100\n");
    let program = home.serve_after("ulimit -S -n 64").await;
    let (soft, hard) = file_limits(program.id());
    assert_eq!(soft, hard.min(1300), "100 for receivers and 1200 for all else");
    assert!(file_table(program.id()) >= soft, "no delivery waits for the table of files to grow");
    program.stop().await;

    let mut program = home.serve_after("ulimit -n 200").await;
    let line = program.line("fewer file descriptors").await;
    assert!(line.contains("given=200") && line.contains("needed=1300") && line.contains("LimitNOFILE"), "{line}");
    assert_eq!(file_limits(program.id()), (200, 200));
    program.stop().await;
}
