//! What is known of those that come before they come.

use super::left_alone::shut;
use super::*;

fn parked(endpoints: &Endpoints) -> u64 {
    endpoints.each().iter().map(|sight| sight.parked).sum()
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_put_off_while_somebody_is_to_see_whether_the_receiver_is_well() {
    let World { endpoints, clock } = world(policy());
    let a = webhook("a");
    assert!(!endpoints.would_put_off(&a), "nothing is known of it");
    for _ in 0..10 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    assert!(!endpoints.would_put_off(&a), "the next one is to see, and a worker that has taken it does not lose it");
    assert_eq!(endpoints.put_off(&a), None);
    assert_eq!(endpoints.left_alone(&a).expect("open").comeback, Comeback::Probe);

    assert!(endpoints.would_put_off(&a));
    assert_eq!(parked(&endpoints), 1, "to ask is no park");
    let put_off = endpoints.put_off(&a).expect("open");
    assert_eq!((put_off.reason, put_off.wait), (ParkReason::BreakerOpen, Duration::from_millis(4500)));
    assert!(matches!(put_off.comeback, Comeback::Turn(_)), "{put_off:?}");
    assert_eq!(parked(&endpoints), 2);
    let changed = Webhook { updated_at: Timestamp::from_millis(1), ..webhook("a") };
    assert!(!endpoints.would_put_off(&changed), "it may be mended");

    clock.advance(5 * SECOND);
    assert!(!endpoints.would_put_off(&a), "its time has come");
    let mut probe = endpoints.acquire(&a).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    assert!(endpoints.would_put_off(&a), "one at a time");
    probe.ended(&ok(), Duration::from_millis(5), 0.5);
    assert!(!endpoints.would_put_off(&a));
    assert_eq!(endpoints.put_off(&a), None);
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_put_off_for_as_long_as_the_receiver_asked_for() {
    let endpoints = world(policy()).endpoints;
    let a = webhook("a");
    let busy = verdict(Outcome::RateLimited, Some(429), Some(600 * SECOND));
    attempt(&endpoints, &a, &busy, SECOND).await;
    assert_eq!(endpoints.left_alone(&a).expect("open").comeback, Comeback::Probe);

    let put_off = endpoints.put_off(&a).expect("open");
    assert_eq!((put_off.reason, put_off.wait), (ParkReason::RetryAfter, 600 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn who_comes_for_a_host_that_answers_nobody_is_put_off_but_for_those_that_are_well() {
    let endpoints = world(policy()).endpoints;
    let refused = verdict(Outcome::Connection, None, None);
    let of_host = |number: usize| webhook_at(&format!("wh{number}"), "http://down.example/");
    attempt(&endpoints, &of_host(99), &ok(), SECOND / 100).await;
    for number in 0..12 {
        attempt(&endpoints, &of_host(number), &refused, SECOND / 100).await;
    }

    assert_eq!(endpoints.put_off(&of_host(0)).expect("the host is left alone").reason, ParkReason::HostDown);
    assert!(!endpoints.would_put_off(&of_host(99)), "it has not failed itself");
    assert!(!endpoints.would_put_off(&of_host(50)), "nobody has come for it yet");
}

#[tokio::test(start_paused = true)]
async fn who_comes_for_a_webhook_that_answers_nothing_is_put_off_unless_there_is_a_slot() {
    let World { endpoints, clock } = world(EndpointPolicy { slots_max: 2, ..policy() });
    let a = webhook("a");
    let first = endpoints.acquire(&a).await.expect("free");
    tokio::time::advance(2 * SECOND).await;
    clock.advance(2 * SECOND);
    assert!(!endpoints.would_put_off(&a), "there is another slot");
    let second = endpoints.acquire(&a).await.expect("free");
    assert!(!endpoints.would_put_off(&a), "who comes may wait for a moment");
    assert!(endpoints.acquire(&a).await.is_err(), "in vain");
    assert!(endpoints.would_put_off(&a));
    let put_off = endpoints.put_off(&a).expect("silent");
    assert_eq!(put_off.reason, ParkReason::NoSlot);
    assert!(put_off.wait >= 2 * SECOND, "{put_off:?}");

    drop((first, second));
    assert!(!endpoints.would_put_off(&a), "slots are free");
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_for_a_slot_or_comes_within_the_first_second_is_not_put_off_beforehand() {
    let endpoints = endpoints(1, 100);
    let a = webhook("a");
    let _held = endpoints.acquire(&a).await.expect("free");
    assert!(!endpoints.would_put_off(&a), "it may be fast");
    shut(&endpoints, &webhook("b")).await;
    assert!(endpoints.would_put_off(&webhook("b")));
    assert!(!endpoints.would_put_off(&a), "what others do says nothing of it");
}

#[tokio::test(start_paused = true)]
async fn what_the_slow_share_being_in_full_use_is_no_slot_either() {
    // Of eight, those that answer nothing have four.
    let World { endpoints, clock } = world(EndpointPolicy { concurrency: 8, waiters_max: 1, ..policy() });
    let a = webhook("a");
    let mut held = Vec::new();
    while let Ok(turn) = endpoints.acquire(&a).await {
        held.push(turn);
        tokio::time::advance(2 * SECOND).await;
        clock.advance(2 * SECOND);
    }
    assert!(held.len() < 8, "{}", held.len());
    assert!(endpoints.would_put_off(&a));
}
