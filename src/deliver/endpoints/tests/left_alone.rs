//! Webhooks that are left alone: breakers, probes, and the turns of what is put off meanwhile.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_ten_times_is_left_alone_and_one_delivery_sees_whether_it_is_well() {
    let World { endpoints, clock } = world(policy());
    let a = webhook("a");
    for _ in 0..10 {
        assert_eq!(endpoints.left_alone(&a), None);
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    let (first, second) = (endpoints.left_alone(&a).expect("open"), endpoints.left_alone(&a).expect("open"));
    assert_eq!((first.reason, first.comeback), (ParkReason::BreakerOpen, Comeback::Probe));
    assert!(matches!(second.comeback, Comeback::Turn(_)), "{second:?}");
    assert_eq!(first.wait, Duration::from_millis(4500));
    assert_eq!(endpoints.sight().breakers_open, 1);

    clock.advance(5 * SECOND);
    let mut probe = endpoints.acquire(&a).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    assert_eq!(endpoints.left_alone(&a).expect("one at a time").wait, Duration::ZERO);
    probe.ended(&ok(), Duration::from_millis(5), 0.5);

    assert_eq!(endpoints.left_alone(&a), None);
    assert_eq!(endpoints.sight().breakers_open, 0);
}

/// Has `webhook` fail until it is left alone.
pub(super) async fn shut(endpoints: &Endpoints, webhook: &Webhook) {
    for _ in 0..10 {
        attempt(endpoints, webhook, &timeout(), 10 * SECOND).await;
    }
    assert_eq!(endpoints.left_alone(webhook).expect("open").comeback, Comeback::Probe);
}

/// When the one that is put off now comes back, behind the others.
fn turn(endpoints: &Endpoints, webhook: &Webhook) -> Duration {
    match endpoints.left_alone(webhook).expect("open").comeback {
        Comeback::Turn(turn) => turn,
        Comeback::Probe => panic!("another one is to see"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_off_comes_back_no_faster_however_many_webhooks_are_left_alone() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let webhooks: Vec<Webhook> = (0..50).map(|number| webhook(&format!("wh{number}"))).collect();
    for webhook in &webhooks {
        shut(&endpoints, webhook).await;
    }
    let mut turns = Vec::new();
    for _ in 0..20 {
        turns.extend(webhooks.iter().map(|webhook| turn(&endpoints, webhook)));
    }
    let within = |seconds: u32| turns.iter().filter(|turn| **turn < seconds * SECOND).count();
    assert_eq!([2, 4, 20].map(within), [100, 200, 1000], "fifty a second");
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_a_turn_behind_what_was_put_off_once_another_one_is_to_see() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let a = webhook("a");
    assert_eq!(endpoints.retry_turn(&a), None, "it is well");
    for _ in 0..10 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    assert_eq!(endpoints.retry_turn(&a), None, "it may be the one that sees");
    assert_eq!(endpoints.left_alone(&a).expect("open").comeback, Comeback::Probe);
    assert_eq!(endpoints.retry_turn(&a), Some(Duration::from_millis(4500)), "while it is left alone");
    (0..400).for_each(|_| {
        turn(&endpoints, &a);
    });
    assert_eq!(endpoints.retry_turn(&a), Some(401 * SECOND / 50));
}

#[tokio::test(start_paused = true)]
async fn who_is_left_alone_no_more_or_is_changed_or_deleted_makes_room_for_the_others() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(webhook);
    for webhook in [&a, &b, &c, &d] {
        shut(&endpoints, webhook).await;
        turn(&endpoints, webhook);
    }
    let apart = |webhook: &Webhook| {
        let before = turn(&endpoints, webhook);
        turn(&endpoints, webhook).saturating_sub(before)
    };
    assert_eq!(apart(&a), Duration::from_millis(80), "there are four");

    clock.advance(5 * SECOND);
    attempt(&endpoints, &b, &ok(), SECOND / 100).await;
    let changed = Webhook { updated_at: Timestamp::from_millis(1), ..c.clone() };
    assert_eq!(endpoints.left_alone(&changed), None);
    attempt(&endpoints, &d, &timeout(), 10 * SECOND).await;
    assert_eq!(endpoints.left_alone(&d).expect("open again").comeback, Comeback::Probe);
    assert_eq!(apart(&d), Duration::from_millis(40), "there are two");

    endpoints.follow(&Arc::new(Snapshot::default()));
    shut(&endpoints, &a).await;
    assert_eq!(apart(&a), Duration::from_millis(20), "there is one");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_for_which_nothing_waits_any_more_takes_no_turns_from_the_others() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let [a, idle, probed] = ["a", "idle", "probed"].map(webhook);
    let for_an_hour = verdict(Outcome::RateLimited, Some(429), Some(3600 * SECOND));
    for webhook in [&a, &idle, &probed] {
        attempt(&endpoints, webhook, &for_an_hour, SECOND).await;
        assert_eq!(endpoints.left_alone(webhook).expect("open").comeback, Comeback::Probe);
    }
    let apart = || {
        let before = turn(&endpoints, &a);
        turn(&endpoints, &a).saturating_sub(before)
    };
    assert_eq!(apart(), Duration::from_millis(20), "of the others none waits for a turn");
    turn(&endpoints, &idle);
    clock.advance(59 * SECOND);
    assert_eq!(apart(), Duration::from_millis(40), "what waits there may come late");
    clock.advance(2 * SECOND);
    assert_eq!(apart(), Duration::from_millis(40), "it is not asked each time");
    clock.advance(8 * SECOND);
    assert_eq!(apart(), Duration::from_millis(20));
    turn(&endpoints, &idle);
    assert_eq!(apart(), Duration::from_millis(40), "one more waits there");
}

#[tokio::test(start_paused = true)]
async fn who_fails_again_after_it_was_well_does_not_wait_behind_what_was_put_off_before() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let a = webhook("a");
    shut(&endpoints, &a).await;
    for _ in 0..10_000 {
        turn(&endpoints, &a);
    }
    assert_eq!(turn(&endpoints, &a), Duration::from_secs(200));
    clock.advance(5 * SECOND);
    attempt(&endpoints, &a, &ok(), SECOND / 100).await;
    shut(&endpoints, &a).await;
    assert_eq!(turn(&endpoints, &a), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_lets_the_next_one_see() {
    let World { endpoints, clock } = world(policy());
    let a = webhook("a");
    for _ in 0..10 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    clock.advance(5 * SECOND);
    let mut probe = endpoints.acquire(&a).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    drop(probe);
    assert_eq!(endpoints.left_alone(&a), None);
    assert_eq!(endpoints.each()[0].breaker, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn retry_after_with_429_or_503_speaks_for_the_whole_webhook_and_with_another_status_does_not() {
    for (status, outcome, holds) in
        [(429, Outcome::RateLimited, true), (503, Outcome::ServerError, true), (500, Outcome::ServerError, false)]
    {
        let World { endpoints, clock } = world(policy());
        let a = webhook("a");
        attempt(&endpoints, &a, &verdict(outcome, Some(status), Some(60 * SECOND)), SECOND).await;
        let expected = LeftAlone { reason: ParkReason::RetryAfter, wait: 60 * SECOND, comeback: Comeback::Probe };
        assert_eq!(endpoints.left_alone(&a), holds.then_some(expected), "{status}");
        clock.advance(61 * SECOND);
        assert_eq!(endpoints.left_alone(&a), None);
    }
    let endpoints = world(policy()).endpoints;
    let far = verdict(Outcome::RateLimited, Some(429), Some(Duration::from_secs(1_000_000)));
    attempt(&endpoints, &webhook("a"), &far, SECOND).await;
    assert_eq!(endpoints.left_alone(&webhook("a")).expect("held").wait, Duration::from_secs(3600), "up to the limit");
}

#[tokio::test(start_paused = true)]
async fn refusals_and_our_own_failures_open_no_breaker() {
    let endpoints = world(policy()).endpoints;
    let a = webhook("a");
    let refused = verdict(Outcome::Refused, Some(404), None);
    let ours = verdict(Outcome::OurFault, None, None);
    let forbidden = verdict(Outcome::Forbidden, None, None);
    for verdict in [refused, ours, forbidden] {
        for _ in 0..100 {
            attempt(&endpoints, &a, &verdict, SECOND / 100).await;
        }
        assert_eq!(endpoints.left_alone(&a), None, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_slot_at_webhooks_that_are_silent_shares_the_turns_until_they_answer() {
    let World { endpoints, clock } = world(EndpointPolicy { slots_max: 1, ..policy() });
    let [a, b] = ["a", "b"].map(webhook);
    let mut held = Vec::new();
    for webhook in [&a, &b] {
        held.push(endpoints.acquire(webhook).await.expect("free"));
    }
    tokio::time::advance(2 * SECOND).await;
    clock.advance(2 * SECOND);
    for webhook in [&a, &b] {
        let no_slot = endpoints.acquire(webhook).await.expect_err("one at a time");
        let NoSlot::Silent(left_alone) = no_slot else { panic!("{no_slot:?}") };
        assert_eq!(left_alone.reason, ParkReason::NoSlot);
        assert!(left_alone.wait >= 2 * SECOND, "{left_alone:?}");
    }
    shut(&endpoints, &webhook("c")).await;
    turn(&endpoints, &webhook("c"));
    let apart = || turn(&endpoints, &webhook("c"));
    let before = apart();
    assert_eq!(apart().saturating_sub(before), Duration::from_millis(60), "there are three");

    let mut answered = held.remove(0);
    answered.ask_leave().expect("leave");
    answered.ended(&ok(), 2 * SECOND, 0.5);
    let before = apart();
    assert_eq!(apart().saturating_sub(before), Duration::from_millis(40), "one of them is silent no more");
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_are_left_alone_at_once_come_back_one_behind_the_other() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let webhooks: Vec<Webhook> = (0..50).map(|number| webhook(&format!("w{number}"))).collect();
    for webhook in &webhooks {
        shut(&endpoints, webhook).await;
    }
    for webhook in &webhooks {
        turn(&endpoints, webhook);
    }
    let mut turns: Vec<u128> = webhooks.iter().map(|webhook| turn(&endpoints, webhook).as_millis() % 1000).collect();
    turns.sort_unstable();
    for part in 0..8 {
        let of_part = turns.iter().filter(|turn| (part * 125..(part + 1) * 125).contains(*turn)).count();
        assert!((5..=8).contains(&of_part), "{of_part} of 50 in one eighth of a second: {turns:?}");
    }
}
