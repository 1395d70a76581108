//! A consumer holds what its prefetch allows and no more, and goes on as leases end.

use std::sync::Arc;

use hikyaku::model::{Message, Target};
use hikyaku::queue::{Lane, Prefetch};

use super::backend::Backend;
use super::samples::{aimed, fresh, fresh_ones, next, next_ones, nothing_more, numbers, settle_all, sized_event};
use crate::support::patience::QUIET;

/// The fresh message number `n`, with about `bytes` bytes of body.
fn sized(n: usize, bytes: usize) -> Message {
    Message { event: Arc::new(sized_event(n, bytes)), target: Target::Subscribers }
}

pub(super) async fn no_more_messages_are_held_than_the_prefetch_says<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(fresh_ones(0..25)).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 10, bytes: 1 << 20 }).await.expect("consumes");
    let mut came = Vec::new();
    for expected in [10, 10, 5] {
        let held = next_ones(&mut work, expected).await;
        nothing_more(&mut work).await;
        came.extend(numbers(&held));
        settle_all(held).await;
    }
    came.sort_unstable();
    assert!(came.into_iter().eq(0..25));
}

pub(super) async fn no_more_bytes_are_held_than_the_prefetch_says_but_for_one_message<B: Backend>() {
    const BODY: usize = 10_000;
    const LIMIT: usize = 35_000;
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish((0..12).map(|n| sized(n, BODY)).collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 100, bytes: LIMIT }).await.expect("consumes");
    let mut came = Vec::new();
    while came.len() < 12 {
        // As many as are sure to fit, bookkeeping included; then the one that goes over may come.
        let sure = (LIMIT / (BODY + 1000)).min(12 - came.len());
        let mut held = next_ones(&mut work, sure).await;
        while let Ok(Some(lease)) = tokio::time::timeout(QUIET, work.next()).await {
            held.push(lease);
        }
        assert!((held.len() - 1) * BODY < LIMIT, "{} are held", held.len());
        came.extend(numbers(&held));
        settle_all(held).await;
    }
    came.sort_unstable();
    assert!(came.into_iter().eq(0..12));
}

pub(super) async fn a_message_larger_than_the_prefetch_comes_alone<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![sized(0, 1 << 20), fresh(1)]).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 10, bytes: 4096 }).await.expect("consumes");

    let large = next(&mut work).await;

    assert_eq!(large.message.event.id.as_str(), "e0");
    nothing_more(&mut work).await;
    settle_all(vec![large]).await;
    assert_eq!(numbers(&[next(&mut work).await]), [1]);
}

pub(super) async fn a_dropped_lease_makes_room_as_a_settled_one_does<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(fresh_ones(0..3)).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 2, bytes: 1 << 20 }).await.expect("consumes");
    let held = next_ones(&mut work, 2).await;
    nothing_more(&mut work).await;

    drop(held);

    let again = next_ones(&mut work, 2).await;
    nothing_more(&mut work).await;
    let mut came = numbers(&again);
    settle_all(again).await;
    came.push(numbers(&[next(&mut work).await])[0]);
    came.sort_unstable();
    assert_eq!(came, [0, 1, 2]);
}

pub(super) async fn each_lane_has_a_prefetch_of_its_own<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let prefetch = Prefetch { messages: 2, bytes: 1 << 20 };
    let mut work = queue.consume(Lane::Work, prefetch).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, prefetch).await.expect("consumes");
    queue.publish((0..5).map(aimed).collect()).await.expect("published");
    let _wave = next_ones(&mut retry, 2).await;
    nothing_more(&mut retry).await;

    queue.publish(fresh_ones(10..12)).await.expect("published");

    assert_eq!(numbers(&next_ones(&mut work, 2).await), [10, 11], "a returning wave does not delay fresh events");
}
