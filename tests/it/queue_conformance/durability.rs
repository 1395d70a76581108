//! `Ok` means durable: what was promised to one process is there for the next, however the first ended.

use std::time::Duration;

use hikyaku::queue::{Lane, Queue};

use super::backend::Backend;
use super::samples::{PLENTY, aimed, dead, fresh, fresh_ones, later, next, next_ones, nothing_more, numbers};

/// Ends a process' hold on the store without any farewell.
fn kill(queue: Queue) {
    drop(queue);
}

pub(super) async fn what_was_published_is_there_after_the_process_died<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let published = [fresh(1), fresh(2), aimed(3)];
    queue.publish(published.to_vec()).await.expect("published");
    kill(queue);

    let queue = store.worker().await;

    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let mut came = next_ones(&mut work, 2).await;
    came.push(next(&mut retry).await);
    assert_eq!(came.iter().map(|lease| lease.message.clone()).collect::<Vec<_>>(), published);
}

pub(super) async fn a_publish_that_was_cut_short_left_all_of_it_or_nothing<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    for turn in 0..8 {
        let publish = queue.publish(fresh_ones(0..200));
        // Further and further into it: not begun, just sent off, on its way.
        let _cut_short = tokio::time::timeout(Duration::from_micros(turn * 500), publish).await;
    }
    // Whatever was sent off has come to its end by the time that this has.
    queue.publish(vec![fresh(200)]).await.expect("published");
    kill(queue);

    let queue = store.worker().await;

    let depths = queue.depths().await.expect("counted");
    assert_eq!(depths.work % 200, 1, "{depths:?}");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let leases = next_ones(&mut work, usize::try_from(depths.work).expect("small")).await;
    let came = numbers(&leases);
    let batches = came[..came.len() - 1].chunks(200);
    assert!(batches.into_iter().all(|batch| batch.iter().copied().eq(0..200)), "each batch is whole and in order");
    nothing_more(&mut work).await;
}

pub(super) async fn a_lease_of_a_process_that_died_comes_back<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![fresh(1), aimed(2)]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    // A process that dies gives nothing back: its leases are forgotten, not dropped.
    std::mem::forget((next(&mut work).await, next(&mut retry).await));
    drop((work, retry));
    kill(queue);

    let queue = store.worker().await;

    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    assert_eq!(numbers(&[next(&mut work).await, next(&mut retry).await]), [1, 2]);
}

pub(super) async fn what_was_settled_does_not_come_back_after_the_process_died<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(fresh_ones(0..3)).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut leases = next_ones(&mut work, 3).await;
    leases[1].settle(&[]).await.expect("settled");
    std::mem::forget(leases);
    drop(work);
    kill(queue);

    let queue = store.worker().await;

    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let came = next_ones(&mut work, 2).await;
    assert_eq!(numbers(&came), [0, 2]);
    nothing_more(&mut work).await;
}

pub(super) async fn follow_ups_are_there_after_the_process_died<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![fresh(1)]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let due = store.now().plus(Duration::from_secs(2));
    let mut lease = next(&mut work).await;
    lease.settle(&[later(due), dead()]).await.expect("settled");
    std::mem::forget(lease);
    drop(work);
    kill(queue);

    let queue = store.worker().await;

    let mut dead = queue.consume(Lane::Dead, PLENTY).await.expect("consumes");
    assert_eq!(numbers(&[next(&mut dead).await]), [1]);
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    nothing_more(&mut retry).await;
    store.pass(Duration::from_secs(2)).await;
    assert_eq!(numbers(&[next(&mut retry).await]), [1]);
    assert!(store.now() >= due);
}
