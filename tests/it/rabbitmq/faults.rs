//! A broker that is away, killed, frozen, or takes nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use hikyaku::clock::{Clock, SystemClock};
use hikyaku::queue::{Access, BrokerError, FollowUp, Lane, QueueError};

use super::{PREFETCH, WAIT_MAX, delivery, fresh, next, open, open_worker, try_open, until};
use crate::support::amqp::Stranger;
use crate::support::broker::Broker;

/// How long nothing that an alarm interrupts may be answered: longer than the 30 s that a confirm may take without an alarm,
/// by as much as a busy RabbitMQ may need to confirm what it had taken before.
const IN_THE_ALARM: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_without_the_broker_and_a_producer_fails_in_bounded_time() {
    // Port 1 of this machine: nobody listens.
    let queue = open_worker("amqp://127.0.0.1:1", "x.").await;
    assert!(queue.health().iter().any(|words| words.contains("cannot be reached")), "{:?}", queue.health());
    assert!(queue.publish(vec![fresh("e")]).await.is_err());
    let error = try_open("amqp://127.0.0.1:1", "x.", Access::Producer).await.expect_err("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_before_the_broker_works_when_it_comes() {
    let node = Broker::start().await;
    node.stop().await;
    let queue = open_worker(&node.url(), "hikyaku.").await;
    assert!(!queue.health().is_empty(), "it says that RabbitMQ is away");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    node.restart().await;
    until("it is connected", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("e")]).await.expect("published");
    next(&mut work, "the event").await.settle(&[]).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_nothing_and_what_is_being_sent_is_not_handed_out_again() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    let ids: Vec<String> = (0..2000).map(|n| format!("e{n}")).collect();
    queue.publish(ids.iter().map(|id| fresh(id)).collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut retry = queue.consume(Lane::Retry, PREFETCH).await.expect("consumed");
    let mut leases = Vec::new();
    for _ in 0..400 {
        leases.push(next(&mut work, "one of the first").await);
    }
    for lease in &mut leases[..100] {
        lease.settle(&[]).await.expect("settled");
    }
    node.kill().await;
    until("the loss is noticed", async || !queue.health().is_empty()).await;
    for lease in &mut leases[100..200] {
        lease.settle(&[]).await.expect("settled, to be acknowledged when its copy comes");
    }
    node.restart().await;
    until("the connection is back", async || queue.health().is_empty()).await;
    let mut counts: HashMap<String, u32> = HashMap::new();
    for lease in &mut leases {
        counts.insert(lease.message.event.id.as_str().to_owned(), 1);
    }
    for lease in &mut leases[200..] {
        let delivery = delivery(&lease.message, "w");
        let due = SystemClock.now();
        lease.settle(&[FollowUp::Later { delivery, due }]).await.expect("settled on the new connection");
    }
    drop(leases);
    for _ in 400..2000 {
        let mut lease = next(&mut work, "the rest").await;
        *counts.entry(lease.message.event.id.as_str().to_owned()).or_default() += 1;
        lease.settle(&[]).await.expect("settled");
    }
    for _ in 0..200 {
        next(&mut retry, "a follow-up").await.settle(&[]).await.expect("settled");
    }
    assert_eq!(counts.len(), ids.len(), "every event came");
    assert!(counts.values().all(|count| *count == 1), "none came twice");
    until("nothing is left", async || {
        queue.depths().await.is_ok_and(|depths| (depths.work, depths.delay, depths.dead) == (0, 0, 0))
    })
    .await;
    let left = tokio::time::timeout(Duration::from_millis(500), work.next()).await;
    assert!(left.is_err(), "no copy of anything is handed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_fifty_times_is_poison_unless_this_worker_holds_it() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    queue.publish(vec![fresh("held")]).await.expect("published");
    let stranger = Stranger::connect(&node.url()).await;
    tokio::time::timeout(WAIT_MAX, stranger.fail("hikyaku.work", 49)).await.expect("failed 49 times");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let held = next(&mut work, "the event for the fiftieth time").await;
    let cut = async || {
        node.control(&["close_all_connections", "cut by the test"]).await;
        until("the connection is back", async || queue.health().is_empty()).await;
    };
    cut().await;
    // Behind it comes another: by then the copy of what is held has been read.
    queue.publish(vec![fresh("behind")]).await.expect("published");
    next(&mut work, "the event behind").await.settle(&[]).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").rejected, 0, "it is held, and no poison");
    drop(held);
    until("what is in nobody's hands is poison", async || {
        queue.depths().await.is_ok_and(|depths| (depths.work, depths.rejected) == (0, 1))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_noticed_and_work_goes_on_when_it_thaws() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    queue.publish(vec![fresh("before")]).await.expect("published");
    let mut held = next(&mut work, "the event").await;
    node.freeze();
    until("two missed heartbeats are a lost connection", async || !queue.health().is_empty()).await;
    node.thaw();
    until("the connection is back", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("after")]).await.expect("published");
    held.settle(&[]).await.expect("settled");
    let mut lease = next(&mut work, "the second event").await;
    assert_eq!(lease.message.event.id.as_str(), "after");
    lease.settle(&[]).await.expect("settled");
    until("nothing is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_memory_alarm_a_publish_is_refused_and_after_it_accepted() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    queue.publish(vec![fresh("before")]).await.expect("published");
    node.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    let refused = async {
        // The alarm may take a moment to be raised.
        loop {
            if let Err(error) = queue.publish(vec![fresh("during")]).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(WAIT_MAX, refused).await.expect("refused in bounded time");
    assert!(matches!(error, QueueError::Broker(BrokerError::Blocked { .. })), "{error:?}");
    assert!(queue.health().iter().any(|words| words.contains("takes no messages")), "{:?}", queue.health());
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let handed_out = tokio::time::timeout(Duration::from_secs(1), work.next()).await;
    assert!(handed_out.is_err(), "no attempt is begun whose failure could not be put anywhere");
    node.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("the alarm is over", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("after")]).await.expect("accepted again");
    next(&mut work, "what waited").await.settle(&[]).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alarm_interrupts_and_nobody_may_send_twice_is_confirmed_after_it_and_stored_once() {
    const BATCH: usize = 2000;
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    let over = Cell::new(false);
    // So many that one of them is amid its batch whenever the alarm begins.
    let publish = async |number: usize| {
        let mut stored = 0;
        loop {
            let batch = (0..BATCH).map(|n| fresh(&format!("p{number}e{}", stored + n))).collect();
            match queue.publish_patiently(batch).await {
                Ok(()) if over.get() => return stored + BATCH,
                Ok(()) => stored += BATCH,
                Err(QueueError::Broker(BrokerError::Blocked { .. })) => return stored,
                Err(other) => panic!("it waits, or is refused before anything of it was sent: {other:?}"),
            }
        }
    };
    let published = async || {
        let (a, b, c) = tokio::join!(publish(0), publish(1), publish(2));
        a + b + c
    };
    let mut publishing = std::pin::pin!(published());
    let is_blocked = || queue.health().iter().any(|words| words.contains("takes no messages"));

    let alarm = async {
        until("some are confirmed", async || queue.depths().await.is_ok_and(|depths| depths.work > 0)).await;
        node.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
        until("RabbitMQ takes nothing", async || is_blocked()).await;
    };
    tokio::select! {
        () = alarm => {}
        stored = &mut publishing => panic!("all were refused, none waits: {stored} stored"),
    }
    let waited = tokio::time::timeout(IN_THE_ALARM, &mut publishing).await;
    assert!(waited.is_err(), "what was amid its batch was answered in the alarm");
    assert!(is_blocked(), "the connection is the same: {:?}", queue.health());

    over.set(true);
    node.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    let stored = tokio::time::timeout(WAIT_MAX, publishing).await.expect("it is confirmed after the alarm");
    until("each is stored", async || queue.depths().await.is_ok_and(|depths| depths.work >= stored as u64)).await;
    assert_eq!(queue.depths().await.expect("counted").work, stored as u64, "none is stored twice");
}
