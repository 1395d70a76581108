//! What waits comes back when it is due: not before, not long after, and the earliest first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hikyaku::model::{Message, Timestamp};
use hikyaku::queue::{Lane, Queue};

use super::backend::Backend;
use super::samples::{
    PLENTY, aimed, fresh, later, next, next_ones, nothing_more, number, numbers, settle_all, sized_event,
};
use crate::support::patience::within;

/// Puts in a delivery of event `n` that is due at `due`.
async fn put_in(queue: &Queue, work: &mut hikyaku::queue::Consumer, n: usize, due: Timestamp) {
    queue.publish(vec![fresh(n)]).await.expect("published");
    next(work).await.settle(&[later(due)]).await.expect("settled");
}

pub(super) async fn a_follow_up_comes_when_it_is_due_and_not_before<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let due = store.now().plus(Duration::from_secs(3));
    put_in(&queue, &mut work, 1, due).await;

    store.pass(due.since(store.now()) - B::MOMENT).await;
    // Looked for, since another one came.
    queue.publish(vec![aimed(2)]).await.expect("published");
    let first = next(&mut retry).await;
    nothing_more(&mut retry).await;
    store.pass(B::MOMENT).await;
    let second = next(&mut retry).await;

    assert_eq!(numbers(&[first, second]), [2, 1]);
    assert!(store.now() >= due);
}

pub(super) async fn what_is_due_earlier_comes_earlier<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let begin = store.now();
    // Each twice the one before: a backend may let one wait up to twice as long as asked.
    for (n, seconds) in [(1, 4), (2, 1), (3, 2)] {
        put_in(&queue, &mut work, n, begin.plus(Duration::from_secs(seconds))).await;
    }
    store.pass(Duration::from_secs(5)).await;

    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");

    assert_eq!(numbers(&next_ones(&mut retry, 3).await), [2, 3, 1]);
}

pub(super) async fn what_is_put_in_to_be_due_before_what_is_awaited_comes_first<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let begin = store.now();
    put_in(&queue, &mut work, 1, begin.plus(Duration::from_secs(60))).await;
    nothing_more(&mut retry).await;

    put_in(&queue, &mut work, 2, begin.plus(Duration::from_secs(1))).await;

    nothing_more(&mut retry).await;
    store.pass(Duration::from_secs(1)).await;
    let came = [next(&mut retry).await];
    assert_eq!(numbers(&came), [2]);
    nothing_more(&mut retry).await;
}

pub(super) async fn a_replay_is_due_at_once<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");

    queue.publish(vec![aimed(1)]).await.expect("published");

    let lease = next(&mut retry).await;
    assert_eq!(lease.message, aimed(1));
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    nothing_more(&mut work).await;
}

pub(super) async fn what_is_due_earlier_than_what_was_taken_already_is_not_overlooked<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let begin = store.now();
    store.pass(Duration::from_secs(2)).await;
    queue.publish(vec![aimed(1)]).await.expect("published");
    let _held = next(&mut retry).await;

    put_in(&queue, &mut work, 2, begin.plus(Duration::from_secs(1))).await;

    assert_eq!(numbers(&[next(&mut retry).await]), [2]);
}

pub(super) async fn what_is_put_in_while_others_are_being_taken_is_not_overlooked<B: Backend>() {
    const WAVE: usize = 150;
    for turn in 0..3_u64 {
        let store = B::new().await;
        let queue = store.worker().await;
        let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
        queue.publish(vec![fresh(WAVE)]).await.expect("published");
        let mut lease = next(&mut work).await;
        let earlier = store.now().plus(Duration::from_secs(1));
        store.pass(Duration::from_secs(2)).await;
        // Large, so that taking them takes a while.
        let target = aimed(0).target;
        let large = (0..WAVE).map(|n| Message { event: Arc::new(sized_event(n, 64 << 10)), target: target.clone() });
        queue.publish(large.collect()).await.expect("published");

        let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
        // Not waited for: each turn only meets the taking at another moment.
        tokio::time::sleep(Duration::from_millis(turn)).await;
        lease.settle(&[later(earlier)]).await.expect("settled");

        let all = next_ones(&mut retry, WAVE + 1);
        let all = within(Duration::from_secs(4), "all come, and not only when something looks", all).await;
        assert!(numbers(&all).contains(&WAVE));
    }
}

pub(super) async fn replays_published_at_the_same_moment_all_come_at_once<B: Backend>() {
    const ROUNDS: usize = 60;
    const AT_ONCE: usize = 16;
    let store = B::in_real_time().await;
    let queue = Arc::new(store.worker().await);
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    for round in 0..ROUNDS {
        let expected: BTreeSet<usize> = (round * AT_ONCE..(round + 1) * AT_ONCE).collect();

        let publishing = expected.iter().map(|n| {
            let (queue, message) = (Arc::clone(&queue), aimed(*n));
            tokio::spawn(async move {
                for _ in 0..number(&message) % 7 {
                    tokio::task::yield_now().await;
                }
                queue.publish(vec![message]).await
            })
        });
        let publishing: Vec<_> = publishing.collect();

        let all = next_ones(&mut retry, AT_ONCE);
        let all = within(Duration::from_secs(3), "each replay comes, and not only when something looks", all).await;
        assert_eq!(numbers(&all).into_iter().collect::<BTreeSet<_>>(), expected);
        for published in publishing {
            published.await.expect("no panic").expect("published");
        }
        settle_all(all).await;
    }
}
