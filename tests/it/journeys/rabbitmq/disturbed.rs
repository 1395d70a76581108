//! A connection that is cut, a broker that stops in good order or freezes, queues that someone deletes: the worker goes on
//! with what it is sending, and the copies that RabbitMQ hands out again join it.

use std::collections::HashSet;
use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use super::producers::{Item, Producers};
use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, repeats, until_all_is_done};
use crate::support::amqp::{Queues, Stranger};
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Book, Receiver};
use crate::support::program::{Program, declared, event, until};

/// Requests in flight, and messages that a worker may hold of a lane.
const PREFETCH: usize = 128;
/// Requests under way to a webhook that does not answer: half of the worker's.
const IN_FLIGHT: usize = PREFETCH / 2;
const LIMITS: &str = "queue.prefetch = 128\ndelivery.concurrency = 128\ndelivery.slots_per_webhook = 128\n\
                      delivery.patience_ms = 10000\ndelivery.timeout_ms = 60000\nserver.shutdown_grace_s = 60\n";

fn items(prefix: &str, count: usize) -> Vec<Item> {
    (0..count).map(|n| Item { kind: "note", id: format!("{prefix}{n}") }).collect()
}

fn ids(items: &[Item]) -> HashSet<String> {
    items.iter().map(|item| item.id.clone()).collect()
}

/// Closes every connection from RabbitMQ's side, strangers' ones too.
async fn cut(broker: &Broker) {
    broker.control(&["close_all_connections", "a test cuts them"]).await;
}

/// Waits until the worker has lost the connection for the `times`th time and has another.
async fn until_connected_anew(program: &Program, times: f64) {
    let is_back = async || {
        let lost = program.metric("hikyaku_broker_reconnects_total").await;
        (lost >= times && program.metric("hikyaku_broker_connected").await > 0.0).then_some(())
    };
    until("the worker is connected anew", is_back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_sent_and_what_was_just_sent_is_not_sent_again_when_the_connection_is_cut() {
    let broker = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Hold).await;
    let settings = format!("{LIMITS}{}", declared("slow", &receiver.url("/"), "note"));
    let home = home(&broker.url(), "hikyaku.", &settings);
    let program = home.serve().await;
    let items = items("e", 6 * PREFETCH);
    let ids = ids(&items);
    let mut producers = Producers::new();
    producers.worker_is_at(&program.address);
    producers.over_http(items);
    producers.finish().await;

    // In the middle of sending: the worker has copies of all that it sends before the first of them is answered.
    receiver.until_distinct(IN_FLIGHT).await;
    cut(&broker).await;
    until_connected_anew(&program, 1.0).await;
    let stranger = Stranger::connect(&broker.url()).await;
    let rest = u32::try_from(ids.len() - PREFETCH).expect("few");
    let copies_came = async || stranger.depth("hikyaku.work").await.filter(|depth| *depth <= rest);
    until("the worker has as much in hand as before", copies_came).await;
    receiver.behave(Behaviour::Slow(Duration::from_secs(2)));

    for round in 2..=3 {
        receiver.until_within(LONG, "a part arrives", |book| book.distinct() >= round * PREFETCH).await;
        cut(&broker).await;
        until_connected_anew(&program, round as f64).await;
    }
    assert!(receiver.book().distinct() < ids.len(), "it was cut too late to matter");
    receiver.until_within(LONG, "everything arrives", |book| book.distinct() >= ids.len()).await;
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;
    assert_all_arrived(&receiver, &ids);
    assert_eq!(repeats(&receiver.book(), &producers.published_again()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_and_then_freezes_loses_nothing_and_repeats_nothing() {
    let broker = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(200))).await;
    let home = home(&broker.url(), "hikyaku.", &format!("{LIMITS}{}", declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    let (first, second) = (items("a", 1500), items("b", 1500));
    let all = &ids(&first) | &ids(&second);
    let mut producers = Producers::new();
    producers.worker_is_at(&program.address);

    producers.over_http(first);
    receiver.until_within(LONG, "some arrive", |book| book.distinct() >= 300).await;
    broker.stop().await;
    broker.restart().await;
    until_connected_anew(&program, 1.0).await;
    receiver.until_within(LONG, "more arrive", |book| book.distinct() >= 900).await;

    producers.over_http(second);
    broker.freeze();
    // Heartbeats of 10 s: a peer that is silent for twice that is gone.
    let lost = async || (program.metric("hikyaku_broker_connected").await < 1.0).then_some(());
    until("the worker gives the frozen broker up", lost).await;
    broker.thaw();
    until_connected_anew(&program, 2.0).await;

    producers.finish().await;
    receiver.until_within(LONG, "everything arrives", |book| book.distinct() >= all.len()).await;
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;
    assert_all_arrived(&receiver, &all);
    assert_eq!(repeats(&receiver.book(), &producers.published_again()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_that_someone_deletes_are_declared_anew_and_work_goes_on() {
    let Queues { url, prefix } = Queues::own().await;
    let receiver = Receiver::start(Behaviour::FailFirst(503, Duration::ZERO)).await;
    let schedule = "delivery.retry_schedule_s = [1.5]\n";
    let home = home(&url, &prefix, &format!("{schedule}{}", declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    let stranger = Stranger::connect(&url).await;
    for (count, queue) in [(1, "work"), (2, "retry"), (3, "delay.1s")] {
        let queue = format!("{prefix}{queue}");
        let lost_before = program.metric("hikyaku_broker_reconnects_total").await;
        let deleted = stranger.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        deleted.await.expect("deleted");
        until_connected_anew(&program, lost_before + 1.0).await;
        assert_eq!(stranger.depth(&queue).await, Some(0), "it is declared anew");
        let published = async || (program.post(event("note", &format!("e{count}"))).await.0 == 200).then_some(());
        until("an event is accepted", published).await;
        let twice = |book: &Book| book.arrived.len() >= 2 * count;
        receiver.until("the event arrives, and again after its retry", twice).await;
    }
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
}
