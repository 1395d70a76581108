//! The token bucket as sentences and properties, and whole backlogs drained through it, with the time in hand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::decide::{PARK_WAIT_MAX, token_wait};

fn limit(per_second: f64, burst: u32) -> RateLimit {
    RateLimit::new(per_second, Some(burst)).expect("allowed")
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `actual` is `expected`, but for the nanoseconds by which an interval is rounded up.
#[track_caller]
fn assert_about(actual: Duration, expected: Duration) {
    assert!(actual >= expected && actual < expected + ms(1), "{actual:?} is not {expected:?}");
}

#[test]
fn after_a_burst_tokens_come_one_by_one() {
    let mut bucket = Bucket::full(limit(10.0, 3), ms(0));
    for _ in 0..3 {
        assert_eq!(bucket.take(ms(0)), Ok(()));
    }
    assert_about(bucket.take(ms(0)).expect_err("it is empty"), ms(100));
    assert!(bucket.take(ms(99)).is_err());
    assert_eq!(bucket.take(ms(101)), Ok(()));
    assert!(bucket.take(ms(101)).is_err());
    for _ in 0..3 {
        assert_eq!(bucket.take(ms(5000)), Ok(()), "it is full again, and no fuller");
    }
    assert!(bucket.take(ms(5000)).is_err());
}

#[test]
fn who_lets_others_go_first_waits_for_their_tokens_too() {
    let mut bucket = Bucket::full(limit(10.0, 2), ms(0));
    assert_eq!((bucket.wait(0, ms(0)), bucket.wait(1, ms(0))), (ms(0), ms(0)));
    assert_about(bucket.wait(2, ms(0)), ms(100));
    bucket.take(ms(0)).expect("a token");
    bucket.take(ms(0)).expect("a token");
    assert_about(bucket.wait(0, ms(0)), ms(100));
    assert_about(bucket.wait(4, ms(0)), ms(500));
    assert_about(bucket.wait(4, ms(100)), ms(400));
}

#[test]
fn turns_are_an_interval_apart_as_far_ahead_as_anyone_is_put_off() {
    let mut bucket = Bucket::full(limit(5.0, 1), ms(0));
    bucket.take(ms(0)).expect("a token");
    assert_about(bucket.book(2, ms(0)), ms(600));
    assert_about(bucket.book(2, ms(0)), ms(800));
    assert_about(bucket.book(2, ms(300)), ms(700));
    let turns: Vec<Duration> = (0..10_000).map(|_| bucket.book(2, ms(300))).collect();
    assert_eq!(turns.iter().filter(|turn| **turn < PARK_WAIT_MAX).count(), 4496);
    assert!(turns.iter().all(|turn| *turn <= PARK_WAIT_MAX));
    assert!(bucket.book(2, ms(10_000)) < PARK_WAIT_MAX, "time has made room for turns");
}

#[test]
fn turns_that_have_passed_do_not_count() {
    let mut bucket = Bucket::full(limit(1.0, 1), ms(0));
    bucket.take(ms(0)).expect("a token");
    for _ in 0..10 {
        bucket.book(0, ms(0));
    }
    assert_about(bucket.book(0, ms(3_600_000)), ms(0));
}

#[test]
fn a_new_limit_counts_at_once_and_makes_no_tokens() {
    let mut bucket = Bucket::full(limit(1.0, 4), ms(0));
    for _ in 0..3 {
        bucket.take(ms(0)).expect("a token");
    }
    for _ in 0..100 {
        bucket.book(0, ms(0));
    }
    bucket.set_limit(limit(100.0, 10), ms(0));
    assert_eq!(bucket.take(ms(0)), Ok(()), "the one that was there");
    assert_about(bucket.take(ms(0)).expect_err("no second"), ms(10));
    assert_about(bucket.book(0, ms(0)), ms(10));
    bucket.set_limit(limit(100.0, 2), ms(60_000));
    assert_eq!((bucket.take(ms(60_000)), bucket.take(ms(60_000))), (Ok(()), Ok(())));
    assert!(bucket.take(ms(60_000)).is_err(), "there is room for two");
    let before = bucket.clone();
    bucket.set_limit(limit(100.0, 2), ms(60_000));
    assert_eq!(bucket.full_at, before.full_at, "the same limit changes nothing");
}

#[test]
fn a_clock_that_goes_back_or_jumps_costs_no_more_than_a_bucket() {
    let mut bucket = Bucket::full(limit(2.0, 5), ms(10_000_000));
    bucket.take(ms(10_000_000)).expect("a token");
    for _ in 0..100 {
        bucket.book(0, ms(10_000_000));
    }
    assert_about(bucket.take(ms(0)).expect_err("it is empty"), ms(500));
    assert!(bucket.book(0, ms(0)) <= PARK_WAIT_MAX);
    assert_eq!(bucket.take(ms(501)), Ok(()), "a token has come");
    let far = Duration::from_secs(1 << 40);
    for _ in 0..5 {
        bucket.take(far).expect("no more than a bucket");
    }
    assert!(bucket.take(far).is_err());
}

/// What a backlog came to: when each left, in order, and how often each was put off.
struct Drained {
    left: Vec<Duration>,
    parks: Vec<u32>,
}

/// How long they wait in the worker, as they do by default.
const PATIENCE: Duration = ms(500);

/// Drains `count` deliveries that are there at once, and as many more, one every `fresh_every`: those whose token is near wait
/// in line, the others are parked as `next_step` does it, and come back up to `late` late.
fn drain(limit: RateLimit, count: usize, fresh_every: Option<Duration>, late: Duration) -> Drained {
    let mut bucket = Bucket::full(limit, Duration::ZERO);
    let mut comes: BinaryHeap<Reverse<(Duration, usize, bool)>> =
        (0..count).map(|number| Reverse((Duration::ZERO, number, false))).collect();
    if let Some(every) = fresh_every {
        comes.extend((0..count).map(|n| Reverse((every * u32::try_from(n).expect("few"), count + n, false))));
    }
    let mut drained = Drained { left: Vec::new(), parks: vec![0; comes.len()] };
    let (mut chance, mut line, mut turns) = (fastrand::Rng::with_seed(7), 0, 0);
    while let Some(Reverse((now, number, is_in_line))) = comes.pop() {
        turns += 1;
        assert!(turns <= 100 * drained.parks.len(), "they come and come and do not leave: {} left", drained.left.len());
        line -= u32::from(is_in_line);
        let ahead = if is_in_line { 0 } else { line };
        let wait = bucket.wait(ahead, now);
        if wait.is_zero() {
            bucket.take(now).expect("a token is there");
            drained.left.push(now);
        } else if wait <= PATIENCE {
            line += 1;
            comes.push(Reverse((now + wait, number, true)));
        } else {
            drained.parks[number] += 1;
            let wait = token_wait(bucket.book(line, now), chance.f64());
            comes.push(Reverse((now + wait + late.mul_f64(chance.f64()), number, false)));
        }
    }
    drained
}

/// How near to the limit the whole was drained, 1 being at the limit.
fn rate_reached(limit: RateLimit, drained: &Drained) -> f64 {
    let (last, left) = (drained.left.last().expect("some"), u32::try_from(drained.left.len()).expect("few"));
    f64::from(left - limit.burst()) / last.as_secs_f64() / limit.per_second()
}

#[test]
fn a_backlog_drains_near_the_limit_and_each_of_it_is_put_off_a_few_times() {
    for (per_second, burst, count) in [(5.0, 5, 10_000), (5.0, 1, 10_000), (0.2, 1, 300), (100.0, 100, 100_000)] {
        for late in [ms(0), ms(150)] {
            let limit = limit(per_second, burst);
            let drained = drain(limit, count, None, late);
            let (reached, most) = (rate_reached(limit, &drained), drained.parks.iter().max().expect("some"));
            let mean = f64::from(drained.parks.iter().sum::<u32>()) / f64::from(u32::try_from(count).expect("few"));
            println!(
                "{per_second}/s burst {burst}, {count} waiting, {late:?} late: {reached:.3} of the limit, {mean:.2} parks each, at most {most}"
            );
            assert!(reached > 0.8, "{per_second}/s, {burst}: {reached}");
            assert!(*most <= 15 && mean < 6.0, "{per_second}/s, {burst}: {most} at most, {mean} each");
        }
    }
}

#[test]
fn a_backlog_drains_although_fresh_events_come_at_half_the_limit() {
    let limit = limit(5.0, 5);
    let drained = drain(limit, 5000, Some(ms(400)), ms(20));
    assert!(rate_reached(limit, &drained) > 0.8, "{}", rate_reached(limit, &drained));
    let most = drained.parks.iter().max().expect("some");
    assert!(*most <= 30, "{most}");
}

fn limits() -> impl Strategy<Value = RateLimit> {
    (0.001..10_000.0_f64, 1_u32..200).prop_map(|(per_second, burst)| limit(per_second, burst))
}

proptest! {
    #[test]
    fn in_no_window_more_leave_than_a_burst_and_the_rate(
        limit in limits(), steps in proptest::collection::vec(0.0..3.0_f64, 1..400),
    ) {
        let mut bucket = Bucket::full(limit, Duration::ZERO);
        let (mut now, mut left) = (Duration::ZERO, Vec::new());
        for step in steps {
            now += limit.interval().mul_f64(step);
            // As many as there are, and one that must not be there.
            let leave = (0..=limit.burst()).map_while(|_| bucket.take(now).ok());
            left.extend(leave.map(|()| now));
        }
        for (first, from) in left.iter().enumerate() {
            for (last, to) in left.iter().enumerate().skip(first) {
                let allowed = f64::from(limit.burst()) + (*to - *from).as_secs_f64() * limit.per_second() + 1e-6;
                let were = f64::from(u32::try_from(last - first + 1).expect("few"));
                prop_assert!(were <= allowed, "{were} of {allowed} in {:?}", *to - *from);
            }
        }
    }

    #[test]
    fn who_waits_as_told_gets_a_token(limit in limits(), taken in 0_u32..400, start in 0_u64..1_000_000) {
        let mut bucket = Bucket::full(limit, ms(start));
        for _ in 0..taken {
            let _maybe = bucket.take(ms(start));
        }
        if let Err(wait) = bucket.take(ms(start)) {
            prop_assert!(wait <= limit.interval());
            prop_assert_eq!(bucket.take(ms(start) + wait), Ok(()));
        }
    }

    #[test]
    fn of_those_in_line_each_finds_a_token_when_it_was_told(limit in limits(), taken in 0_u32..400, line in 1_u32..100) {
        let mut bucket = Bucket::full(limit, Duration::ZERO);
        for _ in 0..taken {
            let _maybe = bucket.take(Duration::ZERO);
        }
        let waits: Vec<Duration> = (0..line).map(|ahead| bucket.wait(ahead, Duration::ZERO)).collect();
        for wait in waits {
            prop_assert!(bucket.take(wait).is_ok());
        }
    }

    #[test]
    fn whatever_the_clock_does_a_token_comes_within_an_interval(
        limit in limits(), clock in proptest::collection::vec(0_u64..u64::MAX, 1..50),
    ) {
        let mut bucket = Bucket::full(limit, Duration::ZERO);
        for now in clock {
            let now = Duration::from_nanos(now);
            let _maybe = bucket.take(now);
            prop_assert!(bucket.book(3, now) <= PARK_WAIT_MAX);
            let wait = bucket.wait(0, now);
            prop_assert!(wait <= limit.interval());
            if let Some(then) = now.checked_add(wait) {
                prop_assert_eq!(bucket.take(then), Ok(()));
            }
        }
    }
}
