//! Several workers on one queue: they share the work, and what a killed one held goes to the others.

use std::collections::HashSet;
use std::time::Duration;

use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, repeats, until_all_is_done};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{declared, events};

const EVENTS: usize = 3000;
const PREFETCH: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_work_and_what_a_killed_one_held_goes_to_the_other() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(50))).await;
    let limits = format!("queue.prefetch = {PREFETCH}\ndelivery.concurrency = {PREFETCH}\n");
    let home = home(&url, &prefix, &format!("{limits}{}", declared("hook", &receiver.url("/"), "note")));
    // One host, one store: the allowed case without a store that hosts can share.
    let (one, other) = (home.serve().await, home.serve().await);
    assert_eq!(one.post(events("note", "e", EVENTS)).await.0, 200);

    receiver.until_within(LONG, "a third arrives", |book| book.distinct() >= EVENTS / 3).await;
    let delivered = "hikyaku_deliveries_total{result=\"delivered\"}";
    let shares = [one.metric(delivered).await, other.metric(delivered).await];
    assert!(shares.iter().all(|share| *share >= EVENTS as f64 / 20.0), "they do not share: {shares:?}");
    one.kill().await;
    assert!(receiver.book().distinct() < EVENTS, "it was killed too late to matter");

    receiver.until_within(LONG, "everything arrives", |book| book.distinct() >= EVENTS).await;
    until_all_is_done(&other).await;
    other.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
    assert_all_arrived(&receiver, &(0..EVENTS).map(|n| format!("e{n}")).collect());
    let repeats = repeats(&receiver.book(), &HashSet::new());
    assert!(repeats <= PREFETCH, "{repeats} repeats, and the killed worker held {PREFETCH} messages at most");
}
