//! `hikyaku demo --queue amqp://...`: the same account as on a file, and nothing left behind in RabbitMQ.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::amqp::Stranger;
use crate::support::broker;
use crate::support::program::{Home, until};

const QUEUES: [&str; 5] = ["work", "retry", "dead", "rejected", "delay.1s"];

/// The prefix that the demo names on standard error.
fn prefix_in(said: &str) -> String {
    let (_, rest) = said.split_once("the queues used here begin with ").expect("it names them");
    rest.split_once(',').expect("the name ends").0.to_owned()
}

async fn assert_nothing_left(stranger: &Stranger, prefix: &str) {
    for queue in QUEUES {
        assert_eq!(stranger.depth(&format!("{prefix}{queue}")).await, None, "{prefix}{queue} is still there");
    }
    let exchange = format!("{prefix}events");
    assert!(!stranger.has_exchange(&exchange).await, "{exchange} is still there");
}

#[tokio::test]
async fn the_demo_over_rabbitmq_comes_to_the_same_account_and_leaves_nothing_behind() {
    let url = broker::shared_url().await;
    let home = Home::bare("nonsense = 1\n");
    let began = Instant::now();
    let ran = home.cli(&["demo", "--json", "--queue", &url]).await;
    let took = began.elapsed();
    let prefix = prefix_in(&ran.stderr);
    assert!(prefix.starts_with("hikyaku.demo-"), "{prefix}");
    let on_rabbitmq = without_times(ran.json());
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    let on_a_file = without_times(home.cli(&["demo", "--json"]).await.json());
    assert_eq!(on_rabbitmq, on_a_file);
    assert_eq!(on_rabbitmq["problems"], serde_json::json!([]));
    assert_nothing_left(&Stranger::connect(&url).await, &prefix).await;
    assert_eq!(std::fs::read_dir(home.path("")).expect("the folder").count(), 1, "it left something behind");
}

fn without_times(mut report: Value) -> Value {
    let fields = report.as_object_mut().expect("an object");
    let before = fields.len();
    fields.retain(|name, _| name != "seconds");
    assert_eq!(fields.len() + 1, before, "one of them is the time it took");
    report
}

#[tokio::test]
async fn a_demo_that_is_interrupted_deletes_its_queues_too() {
    let url = broker::shared_url().await;
    let stranger = Stranger::connect(&url).await;
    let home = Home::bare("");
    for keep in [false, true] {
        let mut command = vec!["demo", "--queue", &url];
        command.extend(keep.then_some("--keep"));
        let mut program = home.start(&command);
        let prefix = prefix_in(&program.line("the queues used here begin with").await);
        let work = format!("{prefix}work");
        until("its queues are there", async || stranger.depth(&work).await.map(|_| ())).await;
        if keep {
            program.line("still running").await;
        }
        program.signal("INT").await;
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(if keep { 0 } else { 1 }), "{said}");
        assert!(keep || said.contains("interrupted by SIGINT"), "{said}");
        assert_nothing_left(&stranger, &prefix).await;
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_refuses_and_a_wrong_url_are_told_in_words() {
    let home = Home::bare("");
    let demo = async |url: &str| home.cli(&["demo", "--queue", url]).await;
    // Port 1 of this machine: nobody listens.
    demo("amqp://u:hunter2@127.0.0.1:1").await.failed(1, &["RabbitMQ cannot be reached", "127.0.0.1:1"]);
    let shared = broker::shared_url().await;
    let (_, node) = shared.rsplit_once('@').expect("a user");
    let words = demo(&format!("amqp://nobody:hunter2@{node}")).await.failed(1, &["RabbitMQ refuses the connection"]);
    assert!(!words.contains("hunter2"), "{words}");
    for (url, words) in
        [("amqp://u:hunter2@", "a host is missing"), ("sqlite:x.db", "is for RabbitMQ"), ("redis:x", "amqp://")]
    {
        let said = demo(url).await.failed(2, &["--queue", words]);
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(std::fs::read_dir(home.path("")).expect("the folder").count(), 1, "it left something behind");
}
