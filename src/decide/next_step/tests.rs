//! The decider's rules as sentences, and as properties over every happening.

use proptest::prelude::*;

use super::*;
use crate::model::WebhookId;

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

fn policy() -> Policy {
    Policy {
        schedule: [5, 30, 120].map(Duration::from_secs).to_vec(),
        max_age: Duration::from_secs(3600),
        retry_after_max: Duration::from_secs(600),
    }
}

fn delivery(attempts: u32, parks: u32, since: Timestamp) -> Delivery {
    Delivery { webhook: WebhookId::new("wh1").expect("valid"), generation: 0, attempts, parks, since, last: None }
}

fn verdict(outcome: Outcome) -> Happening {
    Happening::Attempted(Verdict { outcome, status: Some(503), retry_after: None, words: "no".to_owned() })
}

fn taken(standing: Standing, fresh: bool) -> Happening {
    Happening::Taken { standing, fresh }
}

fn step(delivery: &Delivery, happening: &Happening) -> Step {
    next_step(delivery, happening, &policy(), NOW, 0.5)
}

#[test]
fn a_failure_of_the_receiver_spends_an_attempt_and_waits_as_the_schedule_says() {
    let Step::Later { delivery, due, wait } = step(&delivery(1, 7, NOW), &verdict(Outcome::Timeout)) else {
        panic!("not later");
    };
    assert_eq!((delivery.attempts, delivery.parks, wait), (2, 0, Wait::Retry));
    assert_eq!(due, NOW.plus(Duration::from_secs(30)));
    assert_eq!(delivery.last.expect("noted").error, "no");
}

#[test]
fn a_failure_of_ours_spends_no_attempt() {
    let Step::Later { delivery, wait, .. } = step(&delivery(1, 0, NOW), &verdict(Outcome::OurFault)) else {
        panic!("not later");
    };
    assert_eq!((delivery.attempts, delivery.parks, wait), (1, 1, Wait::Park(ParkReason::OurFault)));
}

#[test]
fn no_slot_spends_no_attempt() {
    let no_slot = Happening::NoSlot { turn: Duration::from_secs(40) };
    let Step::Later { delivery, wait, due } = step(&delivery(2, 3, NOW), &no_slot) else {
        panic!("not later");
    };
    assert_eq!(due, NOW.plus(Duration::from_secs(40)), "when its turn is expected");
    assert_eq!((delivery.attempts, delivery.parks, wait), (2, 4, Wait::Park(ParkReason::NoSlot)));
}

#[test]
fn no_token_of_the_rate_limit_spends_no_attempt() {
    let no_token = Happening::NoToken { turn: Duration::from_secs(40) };
    let Step::Later { delivery, wait, due } = step(&delivery(2, 3, NOW), &no_token) else {
        panic!("not later");
    };
    assert_eq!(due, NOW.plus(Duration::from_secs(40)), "when its turn is");
    assert_eq!((delivery.attempts, delivery.parks, wait), (2, 4, Wait::Park(ParkReason::RateLimit)));
}

#[test]
fn what_waits_for_who_is_left_alone_comes_back_together_and_the_probe_at_its_own_time() {
    let left_alone = |comeback| Happening::LeftAlone {
        reason: ParkReason::BreakerOpen,
        wait: Duration::from_millis(1001),
        comeback,
    };
    let due = |comeback| match step(&delivery(0, 0, NOW), &left_alone(comeback)) {
        Step::Later { due, wait: Wait::Park(ParkReason::BreakerOpen), .. } => due.since(NOW),
        other => panic!("{other:?}"),
    };
    let turns = [7001, 7100, 7125].map(|turn| due(Comeback::Turn(Duration::from_millis(turn))));
    assert_eq!(turns, [Duration::from_millis(7125); 3]);
    assert_eq!(due(Comeback::Probe), Duration::from_millis(1001));
}

#[test]
fn however_late_its_turn_nobody_is_put_off_for_longer_than_a_quarter_of_an_hour() {
    let now = Timestamp::from_millis(NOW.as_millis() + 2);
    let late = Happening::LeftAlone {
        reason: ParkReason::BreakerOpen,
        wait: Duration::ZERO,
        comeback: Comeback::Turn(PARK_WAIT_MAX - Duration::from_millis(1)),
    };
    let Step::Later { due, .. } = next_step(&delivery(0, 0, now), &late, &policy(), now, 0.5) else {
        panic!("not later");
    };
    assert_eq!(due, now.plus(PARK_WAIT_MAX));
}

#[test]
fn a_park_at_or_past_its_age_is_expired_and_not_put_off_to_now() {
    let old = delivery(1, 0, NOW.minus(Duration::from_secs(3600)));
    let turn = Duration::ZERO;
    for happening in [Happening::NoSlot { turn }, Happening::NoToken { turn }, verdict(Outcome::OurFault)] {
        let step = step(&old, &happening);
        assert!(matches!(step, Step::Dead { reason: DeathReason::Expired, .. }), "{step:?}");
    }
}

#[test]
fn the_last_failure_of_the_schedule_is_exhausted() {
    let step = step(&delivery(3, 0, NOW), &verdict(Outcome::ServerError));
    assert!(matches!(step, Step::Dead { reason: DeathReason::Exhausted, delivery } if delivery.attempts == 4));
}

#[test]
fn answers_that_trying_again_cannot_mend_are_dead_at_once() {
    let cases = [
        (Outcome::Gone, DeathReason::Gone),
        (Outcome::Refused, DeathReason::Refused),
        (Outcome::Forbidden, DeathReason::Forbidden),
        (Outcome::Invalid, DeathReason::Invalid),
    ];
    for (outcome, expected) in cases {
        assert!(
            matches!(step(&delivery(0, 0, NOW), &verdict(outcome)), Step::Dead { reason, .. } if reason == expected),
            "{outcome}"
        );
    }
}

#[test]
fn a_delivery_older_than_max_age_is_expired_when_taken() {
    let old = delivery(1, 0, NOW.minus(Duration::from_secs(3600)));
    for standing in [Standing::Active, Standing::Paused] {
        let step = step(&old, &taken(standing, false));
        assert!(matches!(step, Step::Dead { reason: DeathReason::Expired, .. }), "{standing:?}: {step:?}");
    }
}

#[test]
fn a_retry_that_would_come_too_late_is_expired_now() {
    let nearly_old = delivery(0, 0, NOW.minus(Duration::from_secs(3597)));
    let step = step(&nearly_old, &verdict(Outcome::Timeout));
    assert!(matches!(step, Step::Dead { reason: DeathReason::Expired, .. }), "{step:?}");
}

#[test]
fn a_retry_behind_others_is_made_at_its_turn_no_sooner_than_it_is_due_and_no_later_than_it_is_given_up() {
    let due_behind = |since: Timestamp, seconds| {
        let retry = step(&delivery(1, 0, since), &verdict(Outcome::Timeout));
        match behind(retry, Duration::from_secs(seconds), &policy(), NOW) {
            Step::Later { delivery, due, wait } => {
                assert_eq!((delivery.attempts, delivery.parks, wait), (2, 0, Wait::Retry));
                due
            }
            step => panic!("not later: {step:?}"),
        }
    };
    let after = |seconds| NOW.plus(Duration::from_secs(seconds));
    assert_eq!([10, 30, 200].map(|turn| due_behind(NOW, turn)), [after(30), after(30), after(200)]);
    assert_eq!(due_behind(NOW.minus(Duration::from_secs(3500)), 200), after(100));

    let parked = step(&delivery(1, 0, NOW), &verdict(Outcome::OurFault));
    assert_eq!(behind(parked.clone(), Duration::from_secs(200), &policy(), NOW), parked, "it has a turn");
}

#[test]
fn a_fresh_event_is_not_queued_for_a_paused_or_deactivated_webhook() {
    let fresh = delivery(0, 0, NOW);
    assert_eq!(step(&fresh, &taken(Standing::Paused, true)), Step::Skip(SkipReason::Paused));
    assert_eq!(step(&fresh, &taken(Standing::Deactivated, true)), Step::Skip(SkipReason::Deactivated));
}

#[test]
fn a_delivery_under_way_is_parked_while_paused_and_dead_when_deactivated() {
    let under_way = delivery(1, 0, NOW);
    let paused = step(&under_way, &taken(Standing::Paused, false));
    assert!(matches!(paused, Step::Later { wait: Wait::Park(ParkReason::Paused), .. }), "{paused:?}");
    let deactivated = step(&under_way, &taken(Standing::Deactivated, false));
    assert!(matches!(deactivated, Step::Dead { reason: DeathReason::Deactivated, .. }), "{deactivated:?}");
}

#[test]
fn a_deleted_webhook_drops_and_an_unknown_one_is_dead() {
    let under_way = delivery(1, 0, NOW);
    assert_eq!(step(&under_way, &taken(Standing::Deleted, false)), Step::Drop(DropReason::WebhookDeleted));
    let unknown = step(&under_way, &taken(Standing::Unknown, false));
    assert!(matches!(unknown, Step::Dead { reason: DeathReason::UnknownWebhook, .. }), "{unknown:?}");
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    proptest::sample::select(Outcome::ALL)
}

fn happenings() -> impl Strategy<Value = Happening> {
    let standings = proptest::sample::select(
        &[Standing::Active, Standing::Paused, Standing::Deactivated, Standing::Deleted, Standing::Unknown][..],
    );
    prop_oneof![
        (standings, any::<bool>()).prop_map(|(standing, fresh)| Happening::Taken { standing, fresh }),
        (0_u64..10_000).prop_map(|seconds| Happening::NoSlot { turn: Duration::from_secs(seconds) }),
        (0_u64..10_000).prop_map(|seconds| Happening::NoToken { turn: Duration::from_secs(seconds) }),
        (0_u64..10_000, proptest::option::of(0_u64..10_000)).prop_map(|(wait, turn)| Happening::LeftAlone {
            reason: ParkReason::BreakerOpen,
            wait: Duration::from_secs(wait),
            comeback: turn.map_or(Comeback::Probe, |turn| Comeback::Turn(Duration::from_secs(turn))),
        }),
        (outcomes(), proptest::option::of(0_u64..1_000_000)).prop_map(|(outcome, seconds)| {
            Happening::Attempted(Verdict {
                outcome,
                status: None,
                retry_after: seconds.map(Duration::from_secs),
                words: "words".to_owned(),
            })
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_an_attempt_is_spent_only_by_the_receiver_and_ages_and_generations_stay(
        happening in happenings(), attempts in 0_u32..6, parks in 0_u32..40, age_s in 0_u64..8000, jitter in 0.0..1.0_f64,
    ) {
        let before = delivery(attempts, parks, NOW.minus(Duration::from_secs(age_s)));
        let after = match next_step(&before, &happening, &policy(), NOW, jitter) {
            Step::Later { delivery, due, .. } => {
                prop_assert!(due > NOW);
                Some(delivery)
            }
            Step::Dead { delivery, .. } => Some(delivery),
            Step::Attempt | Step::Done | Step::Skip(_) | Step::Drop(_) => None,
        };
        if let Some(after) = after {
            let receiver_answered_for = matches!(
                &happening, Happening::Attempted(verdict) if verdict.outcome != Outcome::OurFault
            );
            prop_assert_eq!(after.attempts, before.attempts + u32::from(receiver_answered_for));
            prop_assert_eq!((after.since, after.generation, after.webhook), (before.since, before.generation, before.webhook));
        }
    }

    #[test]
    fn a_delivery_that_always_fails_ends_dead_after_one_attempt_more_than_waits(
        outcome in proptest::sample::select(&[Outcome::Timeout, Outcome::Dns, Outcome::Tls, Outcome::Connection, Outcome::ServerError, Outcome::RateLimited][..]),
        jitter in 0.0..1.0_f64,
    ) {
        let mut now = NOW;
        let mut current = delivery(0, 0, NOW);
        for _ in 0..10 {
            match next_step(&current, &verdict(outcome), &policy(), now, jitter) {
                Step::Later { delivery, due, .. } => {
                    now = due;
                    current = delivery;
                }
                Step::Dead { delivery, reason } => {
                    prop_assert_eq!((delivery.attempts, reason), (4, DeathReason::Exhausted));
                    return Ok(());
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(false, "never ended");
    }
}
