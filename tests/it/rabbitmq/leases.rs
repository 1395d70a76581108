//! What is handed out, settled and given back, on a broker that is well.

use std::collections::HashMap;
use std::time::Duration;

use hikyaku::clock::{Clock, SystemClock};
use hikyaku::model::{DeathReason, Target, Timestamp};
use hikyaku::queue::{Access, Death, FollowUp, Lane, Prefetch, QueueError};

use super::{PREFETCH, delivery, fresh, next, open, try_open};
use crate::support::broker;

/// What a busy machine may add to a wait.
const BUSY_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_with_its_bytes_and_gone_once_it_is_settled() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let message = fresh("e1");
    queue.publish(vec![message.clone()]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut lease = next(&mut work, "the event").await;
    assert_eq!(lease.message, message);
    assert_eq!(queue.depths().await.expect("counted").work, 1, "a leased message is still in the queue");
    lease.settle(&[]).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").work, 0);
    drop(lease);
    queue.publish(vec![fresh("e2")]).await.expect("published");
    let mut unsettled = next(&mut work, "the second event").await;
    queue.close().await;
    let error = unsettled.settle(&[]).await.expect_err("too late");
    assert!(matches!(error, QueueError::Closed), "{error:?}");
    let queue = open(&url, &prefix).await;
    let depths = queue.depths().await.expect("counted");
    assert_eq!(
        depths.work, 1,
        "the acknowledgement of the first went out before the farewell, the second is still there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_come_back_whole_on_their_lane_and_never_early() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let message = fresh("e1");
    queue.publish(vec![message.clone()]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut retry = queue.consume(Lane::Retry, PREFETCH).await.expect("consumed");
    let mut dead = queue.consume(Lane::Dead, PREFETCH).await.expect("consumed");
    let now = SystemClock.now();
    let waits: HashMap<String, Timestamp> = [0, 300, 1000, 1700, 2100, 3900, 5000]
        .into_iter()
        .map(|ms: u64| (format!("w{ms}"), now.plus(Duration::from_millis(ms))))
        .collect();
    let mut follow_ups: Vec<FollowUp> = waits
        .iter()
        .map(|(webhook, due)| FollowUp::Later { delivery: delivery(&message, webhook), due: *due })
        .collect();
    let death = Death { reason: DeathReason::Gone, at: now };
    follow_ups.push(FollowUp::Dead { delivery: delivery(&message, "d"), death });
    next(&mut work, "the event").await.settle(&follow_ups).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").work, 0);
    for _ in 0..waits.len() {
        let mut lease = next(&mut retry, "a delayed delivery").await;
        let arrived = SystemClock.now();
        let Target::One(delivery) = &lease.message.target else { panic!("a follow-up is for one webhook") };
        let due = waits[delivery.webhook.as_str()];
        assert!(arrived >= due, "{} came {:?} early", delivery.webhook, due.since(arrived));
        let asked = due.since(now).max(Duration::from_secs(1));
        assert!(arrived.since(now) < asked * 2 + BUSY_MAX, "{} came too late", delivery.webhook);
        assert_eq!(lease.message.event, message.event);
        lease.settle(&[]).await.expect("settled");
    }
    let mut lease = next(&mut dead, "the dead letter").await;
    assert_eq!((lease.death, &lease.message.target), (Some(death), &Target::One(delivery(&message, "d"))));
    lease.settle(&[]).await.expect("settled");
    assert_eq!(
        queue.depths().await.map(|depths| (depths.work, depths.delay, depths.dead)).expect("counted"),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_dropped_comes_back_and_the_limit_in_bytes_holds() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let ids = ["a", "b", "c"];
    queue.publish(ids.iter().map(|id| fresh(id)).collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 10, bytes: 1 }).await.expect("consumed");
    let first = next(&mut work, "the first").await;
    let second = tokio::time::timeout(Duration::from_millis(300), work.next()).await;
    assert!(second.is_err(), "one message is over one byte");
    assert_eq!(queue.depths().await.expect("counted").work, 3);
    drop(first);
    let mut seen = Vec::new();
    for _ in ids {
        let mut lease = next(&mut work, "each").await;
        seen.push(lease.message.event.id.as_str().to_owned());
        lease.settle(&[]).await.expect("settled");
    }
    seen.sort();
    assert_eq!(seen, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_takes_messages_from_the_moment_it_is_open() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    for n in 0..50 {
        let queue = try_open(&url, &prefix, Access::Producer).await.expect("open");
        queue.publish(vec![fresh("e")]).await.unwrap_or_else(|error| panic!("the {n}th time: {error}"));
        queue.close().await;
    }
}
