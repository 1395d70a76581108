//! Who is next for a slot, and who is woken and counted for what the webhooks of a worker, or of a host, share.

use std::pin::{Pin, pin};
use std::task::Poll;

use futures_util::poll;

use super::left_alone::shut;
use super::*;

const FAST: Duration = Duration::from_millis(5);

/// Takes `count` slots.
async fn take<'a>(endpoints: &'a Endpoints, webhook: &Webhook, count: usize) -> Vec<Turn<'a>> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(endpoints.acquire(webhook).await.expect("a slot"));
    }
    taken
}

/// How many of `all` are not done at once.
async fn pending<F: Future>(all: &mut [Pin<Box<F>>]) -> usize {
    let mut pending = 0;
    for one in all {
        pending += usize::from(poll!(one).is_pending());
    }
    pending
}

#[tokio::test(start_paused = true)]
async fn who_comes_just_when_a_slot_is_free_does_not_pass_those_that_wait_for_it() {
    let endpoints = endpoints(1, 100);
    let a = webhook("a");
    let held = endpoints.acquire(&a).await.expect("free");
    let mut waiting = pin!(endpoints.acquire(&a));
    assert!(poll!(waiting.as_mut()).is_pending());
    drop(held);
    let mut coming = pin!(endpoints.acquire(&a));
    assert!(poll!(coming.as_mut()).is_pending());
    assert!(matches!(poll!(waiting), Poll::Ready(Ok(_))), "it was there first");
}

#[tokio::test(start_paused = true)]
async fn once_one_has_waited_in_vain_the_next_is_told_so_at_once() {
    let endpoints = endpoints(1, 100);
    let a = webhook("a");
    let _held = endpoints.acquire(&a).await.expect("free");
    let began = Instant::now();
    assert!(endpoints.acquire(&a).await.is_err());
    assert_eq!(began.elapsed(), Duration::from_millis(500), "nothing was known of it");
    assert!(endpoints.acquire(&a).await.is_err());
    assert_eq!(began.elapsed(), Duration::from_millis(500), "it is slower than it was taken to be");
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_have_waiters_share_the_places_to_wait() {
    let endpoints = endpoints(1, 4);
    let (a, b) = (webhook("a"), webhook("b"));
    let _held = (endpoints.acquire(&a).await.expect("free"), endpoints.acquire(&b).await.expect("free"));
    let mut of_a: Vec<_> = (0..4).map(|_| Box::pin(endpoints.acquire(&a))).collect();
    let mut of_b: Vec<_> = (0..4).map(|_| Box::pin(endpoints.acquire(&b))).collect();
    let (of_a, of_b) = (pending(&mut of_a).await, pending(&mut of_b).await);
    assert_eq!((of_a, of_b), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn one_of_an_unproven_webhook_is_woken_when_another_gives_back_what_the_unproven_share() {
    let endpoints = world(EndpointPolicy { concurrency: 4, ..policy() }).endpoints;
    let (a, b) = (webhook("a"), webhook("b"));
    let mut held = take(&endpoints, &a, 2).await;
    held.extend(take(&endpoints, &b, 1).await);
    let mut second = pin!(endpoints.acquire(&b));
    assert!(poll!(second.as_mut()).is_pending(), "half are in use, and it has had its chance");
    held.drain(..2);
    assert!(matches!(poll!(second), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn an_unproven_webhook_that_finds_no_room_keeps_no_fast_one_from_being_woken() {
    let endpoints = world(EndpointPolicy { concurrency: 4, ..policy() }).endpoints;
    let (unproven, fast, other) = (webhook("unproven"), webhook("fast"), webhook("other"));
    prove(&endpoints, &fast, FAST).await;
    prove(&endpoints, &other, FAST).await;
    let _held = take(&endpoints, &unproven, 2).await;
    let mut of_fast = take(&endpoints, &fast, 2).await;
    let mut third = pin!(endpoints.acquire(&unproven));
    let mut first = pin!(endpoints.acquire(&other));
    assert!(poll!(third.as_mut()).is_pending() && poll!(first.as_mut()).is_pending());
    drop(of_fast.pop());
    assert!(poll!(third).is_pending(), "half is all that the unproven may have");
    assert!(matches!(poll!(first), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_proves_fast_frees_what_its_others_under_way_held_of_the_half() {
    let endpoints = world(EndpointPolicy { concurrency: 4, ..policy() }).endpoints;
    let (a, b) = (webhook("a"), webhook("b"));
    let mut held = take(&endpoints, &a, 2).await;
    let mut first = held.pop().expect("two");
    first.ask_leave().expect("leave");
    first.ended(&ok(), FAST, 0.5);
    held.extend(take(&endpoints, &b, 2).await);
    assert_eq!(held.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fast_webhook_that_stalls_leaves_the_other_half_of_its_host_to_the_fast() {
    let endpoints = world(EndpointPolicy { per_host: 8, ..policy() }).endpoints;
    let [a, b, c] = ["a", "b", "c"].map(|id| webhook_at(id, &format!("https://chat.example/{id}")));
    prove(&endpoints, &a, FAST).await;
    prove(&endpoints, &b, 10 * SECOND).await;
    prove(&endpoints, &c, FAST).await;
    let _stalled = take(&endpoints, &a, 4).await;
    tokio::time::advance(2 * SECOND).await;
    assert!(endpoints.acquire(&a).await.is_err(), "it is slow by now");
    assert!(endpoints.acquire(&b).await.is_err(), "and the slow have their half");
    let _rest = take(&endpoints, &c, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_answers_one_request_after_the_other_has_not_stalled() {
    let endpoints = endpoints(500, 100);
    let a = webhook("a");
    prove(&endpoints, &a, FAST).await;
    let mut held = take(&endpoints, &a, 2).await;
    for _ in 0..5 {
        tokio::time::advance(Duration::from_millis(700)).await;
        let mut oldest = held.remove(0);
        oldest.ask_leave().expect("leave");
        oldest.ended(&ok(), Duration::from_millis(700), 0.5);
        held.extend(take(&endpoints, &a, 1).await);
    }
    tokio::time::advance(Duration::from_millis(700)).await;
    assert_eq!(endpoints.each()[0].pace, Pace::Fast);
    tokio::time::advance(Duration::from_millis(700)).await;
    assert_eq!(endpoints.each()[0].pace, Pace::Slow, "none of it for over a second");
    assert_eq!(endpoints.sight().slow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_has_no_more_slots_than_its_host_or_the_worker_could_serve() {
    for policy in [EndpointPolicy { per_host: 7, ..policy() }, EndpointPolicy { concurrency: 7, ..policy() }] {
        let endpoints = world(policy).endpoints;
        assert_eq!(endpoints.left_alone(&webhook("a")), None);
        assert_eq!(endpoints.each()[0].slots, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_gets_fewer_slots_and_what_it_came_to_is_counted() {
    let endpoints = endpoints(500, 100);
    let a = webhook("a");
    attempt(&endpoints, &a, &ok(), FAST).await;
    for _ in 0..3 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    let sight = &endpoints.each()[0];
    assert_eq!((sight.slots, sight.attempts, sight.failures, sight.failures_in_a_row), (8, 4, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_wait_and_breakers_that_are_probed_are_seen() {
    let World { endpoints, clock } = world(EndpointPolicy { slots_max: 1, ..policy() });
    let a = webhook("a");
    let _held = endpoints.acquire(&a).await.expect("free");
    let mut waiting = pin!(endpoints.acquire(&a));
    assert!(poll!(waiting.as_mut()).is_pending());
    assert_eq!(endpoints.sight().waiting, 1);

    let b = webhook("b");
    shut(&endpoints, &b).await;
    clock.advance(5 * SECOND);
    let mut probe = endpoints.acquire(&b).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    assert_eq!(endpoints.sight().breakers_open, 1, "what is probed does not let everything through");
}
