//! RabbitMQ away for a minute: nothing is lost, work goes on within 5 s of its return, and the log is no longer for it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};

use super::producers::{Item, Producers};
use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, repeats, until_all_is_done};
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{declared, until};

const EVENTS: usize = 4000;
/// How long RabbitMQ is away: long enough for the waits between tries to be at their longest.
const AWAY: Duration = Duration::from_secs(60);
/// Within what time work goes on, from when RabbitMQ takes connections.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
/// What the log says of it.
const DEPTH: &str = "the queue's depth cannot be read";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_minute_without_the_broker_nothing_is_lost_and_work_goes_on_within_five_seconds() {
    let broker = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(20))).await;
    // Few at a time, so that RabbitMQ still has work when it goes, and the worker has none left when it comes back.
    let limits = "queue.prefetch = 64\ndelivery.concurrency = 8\n";
    let home = home(&broker.url(), "hikyaku.", &format!("{limits}{}", declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    let items: Vec<Item> = (0..EVENTS).map(|n| Item { kind: "note", id: format!("e{n}") }).collect();
    let ids: HashSet<String> = items.iter().map(|item| item.id.clone()).collect();
    let mut producers = Producers::new();
    producers.worker_is_at(&program.address);
    producers.over_http(items);
    receiver.until_within(LONG, "some arrive", |book| book.distinct() >= 300).await;
    broker.kill().await;

    let is_told = async || {
        let (status, reasons) = program.get("/readyz").await;
        (status == 503 && reasons.contains("RabbitMQ cannot be reached")).then_some(())
    };
    until("readiness says that RabbitMQ is away", is_told).await;
    // Time itself is what is tested here.
    tokio::time::sleep(AWAY).await;
    let before = receiver.book().arrived.len();
    assert!(before < EVENTS, "it was killed too late to matter");
    broker.restart().await;
    let back = until("RabbitMQ takes connections", async || {
        let connected = Connection::connect(&broker.url(), ConnectionProperties::default()).await;
        connected.ok().map(|_| Instant::now())
    })
    .await;
    receiver.until_within(LONG, "work goes on", |book| book.arrived.len() > before).await;
    let goes_on_after = receiver.book().arrived[before].at.saturating_duration_since(back);
    assert!(goes_on_after < GOES_ON_WITHIN, "work went on only {goes_on_after:?} after RabbitMQ's return");

    producers.finish().await;
    receiver.until_within(LONG, "everything arrives", |book| book.distinct() >= ids.len()).await;
    until_all_is_done(&program).await;
    until("the log says that it is over", async || program.said().contains(&format!("over: {DEPTH}")).then_some(()))
        .await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;
    assert_all_arrived(&receiver, &ids);
    assert_eq!(repeats(&receiver.book(), &producers.published_again()), 0);
}

#[tokio::test]
async fn that_the_depth_cannot_be_read_is_told_once_and_not_each_time_that_it_is_looked() {
    // Port 1 of this machine: nobody listens.
    let program = home("amqp://127.0.0.1:1", "hikyaku.", "").serve().await;
    let told = |words: &str| program.said().lines().filter(|line| line.contains(words)).count();

    // It tries to connect every 1.5 s, give or take, and looks for the depth every 2 s.
    until("it has tried for a while", async || (told("it is tried again") >= 8).then_some(())).await;

    assert_eq!(told(DEPTH), 1, "{}", program.said());
    program.stop().await;
}
