//! Producers in another language publish straight to RabbitMQ: the example of the documentation, with pika, as a user who
//! may do nothing else, on a virtual host made by the commands of the README.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events};
use crate::support::python::{Producer, repository};

/// How long a producer may take to come back to a broker that was away, and the broker to come back.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// A body as no serialiser would write it again: order, a key twice, spacing, big numbers, a lone surrogate.
const BODY: &str = r#"{ "z":1.0,  "a":12345678901234567890123, "big":1e400,"lone":"\ud83d", "esc":"\u0041\/", "z":2 }"#;

async fn within<T>(what: &str, doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, doing).await.unwrap_or_else(|_| panic!("{what}: not within {WAIT_MAX:?}"))
}

/// Makes the virtual host and both users as README says, with passwords that are their names.
pub(crate) async fn set_up(node: &Broker) {
    let readme = std::fs::read_to_string(repository("README.md")).expect("README.md");
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("sudo rabbitmqctl ")).collect();
    assert_eq!(commands.len(), 6, "a virtual host, two users, their permissions, no guest: {commands:?}");
    for command in commands {
        let command = command.replace("\"$HIKYAKU_PASSWORD\"", "hikyaku").replace("\"$MISSKEY_PASSWORD\"", "misskey");
        let args: Vec<&str> = command.split_whitespace().map(|arg| arg.trim_matches('\'')).collect();
        node.control(&args).await;
    }
}

/// The node's URL for `user` on the virtual host of the README.
pub(crate) fn url(node: &Broker, user: &str) -> String {
    format!("{}/hikyaku", node.url().replace("guest:guest", &format!("{user}:{user}")))
}

/// A home for a worker at `node`, as the README sets it up, with `settings` more.
async fn home_with(node: &Broker, settings: &str) -> Home {
    set_up(node).await;
    Home::new(&format!("queue.url = \"{}\"\nqueue.single_host = true\n{settings}", url(node, "hikyaku")))
}

/// A home for a worker at `node`, as the README sets it up, without webhooks.
pub(crate) async fn worker_at_home(node: &Broker) -> Home {
    home_with(node, "").await
}

async fn worker(node: &Broker) -> (Receiver, Home, Program) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home_with(node, &declared("hook", &receiver.url("/"), "note")).await;
    let program = home.serve().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    (receiver, home, program)
}

#[tokio::test]
async fn a_python_producer_publishes_and_every_byte_of_the_body_arrives() {
    let node = Broker::start().await;
    let (receiver, _home, program) = worker(&node).await;
    let mut producer = Producer::start(&url(&node, "misskey"), "hikyaku.events");
    let line = format!(
        r#"{{ "type":"note" , "eventId":"py1", "server":"https://misskey.example", "body":{BODY} , "more":1}}"#
    );
    producer
        .stdin()
        .write_all(format!("{line}\n\n{{\"type\":\"note\",\"body\":{{}}}}\n").as_bytes())
        .await
        .expect("written");
    within("the producer has its confirms", producer.finish()).await;
    receiver.until_distinct(2).await;
    let arrived = receiver.book().arrived.clone();
    let text = |index: usize| String::from_utf8(arrived[index].body.to_vec()).expect("UTF-8");
    let (first, second) = if text(0).contains("py1") { (text(0), text(1)) } else { (text(1), text(0)) };
    assert!(first.ends_with(&format!(r#","type":"note","body":{BODY}}}"#)), "{first}");
    assert!(
        first.starts_with(r#"{"server":"https://misskey.example","hookId":"hook","eventId":"py1","createdAt":"#),
        "{first}"
    );
    let second: serde_json::Value = serde_json::from_str(&second).expect("JSON");
    assert_eq!(second["eventId"].as_str().map(str::len), Some(36), "the producer's message_id: {second}");
    assert_eq!(receiver.book().repeats(), 0);
    program.stop().await;
}

#[tokio::test]
async fn a_python_producer_leaves_out_lines_that_are_no_events_and_tells_which() {
    let node = Broker::start().await;
    let (receiver, _home, program) = worker(&node).await;
    let mut producer = Producer::start(&url(&node, "misskey"), "hikyaku.events");
    let lines = format!("{{\"type\":\n[1]\n{{\"type\":5,\"body\":{{}}}}\n{}\n", events("note", "good", 1).trim());
    producer.stdin().write_all(lines.as_bytes()).await.expect("written");
    let (code, said) = within("the producer's end", producer.end()).await;
    assert_eq!(code, Some(1), "{said}");
    for number in 1..=3 {
        assert!(said.contains(&format!("line {number} is no event and was left out")), "{said}");
    }
    receiver.until_distinct(1).await;
    program.stop().await;
}

#[tokio::test]
async fn a_producers_user_can_publish_events_and_nothing_else() {
    let node = Broker::start().await;
    let (receiver, _home, program) = worker(&node).await;
    for exchange in ["hikyaku.delay", "hikyaku.due", "hikyaku.rejected", "hikyaku.probe"] {
        let mut producer = Producer::start(&url(&node, "misskey"), exchange);
        producer.stdin().write_all(events("note", "forged", 1).as_bytes()).await.expect("written");
        let said = within("RabbitMQ refuses", producer.says("ACCESS_REFUSED")).await;
        assert!(said.contains(exchange), "{said}");
    }
    assert_eq!(receiver.book().arrived.len(), 0);
    program.stop().await;
}

#[tokio::test]
async fn a_producer_whose_broker_is_killed_sends_again_and_every_event_arrives() {
    let node = Broker::start().await;
    let (receiver, _home, program) = worker(&node).await;
    let mut producer = Producer::start(&url(&node, "misskey"), "hikyaku.events");
    producer.stdin().write_all(events("note", "before", 200).as_bytes()).await.expect("written");
    receiver.until_distinct(100).await;
    node.kill().await;
    producer.stdin().write_all(events("note", "after", 200).as_bytes()).await.expect("written");
    within("the producer tells of it", producer.says("not confirmed, again in")).await;
    node.restart().await;
    within("the producer has its confirms", producer.finish()).await;
    receiver.until_distinct(400).await;
    assert_eq!(receiver.book().event_ids.len(), 400, "no other event came");
    program.stop().await;
}

#[tokio::test]
async fn who_may_not_do_what_hikyaku_needs_is_told_so_and_nothing_is_started() {
    let node = Broker::start().await;
    set_up(&node).await;
    let wrong_password = url(&node, "hikyaku").replace("hikyaku:hikyaku@", "hikyaku:other@");
    let no_such_host = format!("{}2", url(&node, "hikyaku"));
    for url in [url(&node, "misskey"), wrong_password, no_such_host] {
        let home = Home::new(&format!("queue.url = \"{url}\"\nqueue.single_host = true\n"));
        let said =
            home.cli(&["serve"]).await.failed(1, &["RabbitMQ refuses the connection", "configure, write and read"]);
        assert!(!said.contains("misskey:misskey") && !said.contains("other"), "the password is told: {said}");
    }
}
