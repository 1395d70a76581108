//! A message stays until it is settled, is in one pair of hands at a time, and leaves exactly its follow-ups.

use std::collections::BTreeSet;

use hikyaku::queue::Lane;

use super::backend::Backend;
use super::samples::{
    PLENTY, aimed, dead, event, fresh, fresh_ones, later, next, next_ones, nothing_more, numbers, settle_all,
};

pub(super) async fn a_settled_message_is_gone<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    queue.publish(vec![fresh(1)]).await.expect("published");

    settle_all(vec![next(&mut work).await]).await;

    assert_eq!(queue.depths().await.expect("counted").work, 0);
    queue.publish(vec![fresh(2)]).await.expect("published");
    let other = [next(&mut work).await];
    assert_eq!(numbers(&other), [2], "the settled one does not come before it");
    nothing_more(&mut work).await;
}

pub(super) async fn a_dropped_lease_comes_back_on_its_lane<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![fresh(1), aimed(2)]).await.expect("published");
    for (lane, number) in [(Lane::Work, 1), (Lane::Retry, 2)] {
        let mut consumer = queue.consume(lane, PLENTY).await.expect("consumes");
        let first = next(&mut consumer).await;
        let message = first.message.clone();

        drop(first);

        let again = next(&mut consumer).await;
        assert_eq!(again.message, message);
        assert_eq!(numbers(&[again]), [number]);
    }
}

pub(super) async fn the_follow_ups_of_one_message_all_come<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let [mut work, mut retry, mut died] = [
        queue.consume(Lane::Work, PLENTY).await.expect("consumes"),
        queue.consume(Lane::Retry, PLENTY).await.expect("consumes"),
        queue.consume(Lane::Dead, PLENTY).await.expect("consumes"),
    ];
    queue.publish(vec![fresh(1)]).await.expect("published");
    let mut lease = next(&mut work).await;

    let now = store.now();
    lease.settle(&[later(now), dead(), later(now), dead()]).await.expect("settled");

    let retries = next_ones(&mut retry, 2).await;
    let letters = next_ones(&mut died, 2).await;
    assert!(retries.iter().chain(&letters).all(|lease| *lease.message.event == event(1)));
    nothing_more(&mut retry).await;
    nothing_more(&mut died).await;
}

pub(super) async fn a_lease_that_was_not_settled_left_no_follow_up<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![fresh(1)]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut lease = next(&mut work).await;

    // Made, and never begun.
    let follow_ups = [later(store.now()), dead()];
    drop(lease.settle(&follow_ups));
    drop(lease);

    let again = next(&mut work).await;
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (1, 0, 0));
    assert_eq!(numbers(&[again]), [1]);
}

pub(super) async fn nothing_is_leased_twice_at_once<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    for hundred in 0..10 {
        queue.publish(fresh_ones(hundred * 100..(hundred + 1) * 100)).await.expect("published");
    }

    let mut held = next_ones(&mut work, 1000).await;

    let distinct: BTreeSet<usize> = numbers(&held).into_iter().collect();
    assert_eq!(distinct.len(), 1000, "each came once");
    // Each of these makes the queue look for more, while everything else is held.
    for n in 1000..1010 {
        queue.publish(vec![fresh(n)]).await.expect("published");
        held.push(next(&mut work).await);
        assert_eq!(numbers(&held)[n], n);
    }
    nothing_more(&mut work).await;
}

pub(super) async fn nothing_that_is_due_again_is_leased_twice_at_once<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    queue.publish((0..200).map(aimed).collect()).await.expect("published");

    let mut held = next_ones(&mut retry, 200).await;

    let distinct: BTreeSet<usize> = numbers(&held).into_iter().collect();
    assert_eq!(distinct.len(), 200, "each came once");
    // Each of these is due no later than those that are held, and must be found among them.
    for n in 200..210 {
        queue.publish(vec![aimed(n)]).await.expect("published");
        held.push(next(&mut retry).await);
        assert_eq!(numbers(&held)[n], n);
    }
    nothing_more(&mut retry).await;
}

pub(super) async fn a_dead_letter_that_was_not_stored_comes_again<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(vec![fresh(1)]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    next(&mut work).await.settle(&[dead()]).await.expect("settled");
    let mut died = queue.consume(Lane::Dead, PLENTY).await.expect("consumes");

    let letter = next(&mut died).await;
    let (message, death) = (letter.message.clone(), letter.death);
    drop(letter);

    let again = next(&mut died).await;
    assert_eq!((again.message.clone(), again.death), (message, death));
    assert!(death.is_some());
    settle_all(vec![again]).await;
    nothing_more(&mut died).await;
    assert_eq!(queue.depths().await.expect("counted").dead, 0);
}
