//! The breaker as sentences, and as properties over any sequence of what can happen.

use proptest::prelude::*;

use super::*;

const FAILED: Ending = Ending::Failed { hold: None };

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn asked(seconds: u64) -> Ending {
    Ending::Failed { hold: Some(secs(seconds)) }
}

/// One request that ends at once.
fn attempt(breaker: &mut Breaker, ending: Ending, now: Duration) -> Change {
    let leave = breaker.leave(now).expect("leave");
    breaker.ended(leave, ending, now, 0.0)
}

fn opened(failures_max: u32, now: Duration) -> Breaker {
    let mut breaker = Breaker::closed(failures_max);
    for _ in 0..failures_max {
        attempt(&mut breaker, FAILED, now);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[test]
fn so_many_failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
    let mut breaker = Breaker::closed(3);
    for ending in [FAILED, FAILED, Ending::Answered, FAILED, FAILED, Ending::Nothing] {
        assert_eq!(attempt(&mut breaker, ending, secs(1)), Change::None);
    }
    assert_eq!(attempt(&mut breaker, FAILED, secs(1)), Change::Opened(secs(5)));
    assert_eq!(breaker.leave(secs(1)), Err(Shut { wait: secs(5), why: Why::Failing }));
    assert_eq!(breaker.leave(secs(4)).expect_err("not yet").wait, secs(2));
}

#[test]
fn most_failing_in_a_window_open_it_though_some_succeed() {
    let mut breaker = Breaker::closed(100);
    let endings = [FAILED, FAILED, FAILED, FAILED, Ending::Answered];
    let opened =
        (0..30).position(|number| attempt(&mut breaker, endings[number % 5], secs(number as u64)) != Change::None);
    assert_eq!(opened, Some(20), "four of five is the share, and twenty outcomes are needed: {breaker:?}");
}

#[test]
fn three_of_four_failing_do_not_open_it() {
    let mut breaker = Breaker::closed(100);
    for number in 0..1000 {
        let ending = if number % 4 == 0 { Ending::Answered } else { FAILED };
        assert_eq!(attempt(&mut breaker, ending, secs(number / 10)), Change::None);
    }
}

#[test]
fn failures_of_half_a_minute_ago_are_still_part_of_the_window() {
    let mut breaker = Breaker::closed(100);
    for _ in 0..19 {
        assert_eq!(attempt(&mut breaker, FAILED, secs(29)), Change::None);
    }
    assert_eq!(attempt(&mut breaker, FAILED, secs(31)), Change::Opened(secs(5)));
}

#[test]
fn failures_of_long_ago_are_no_part_of_the_window() {
    let mut breaker = Breaker::closed(100);
    for _ in 0..19 {
        attempt(&mut breaker, FAILED, secs(0));
    }
    attempt(&mut breaker, Ending::Answered, secs(61));
    for _ in 0..10 {
        assert_eq!(attempt(&mut breaker, FAILED, secs(61)), Change::None);
    }
}

#[test]
fn one_probe_at_a_time_is_let_through_and_its_success_closes_it() {
    let mut breaker = opened(3, secs(0));
    let probe = breaker.leave(secs(5)).expect("its time has come");
    assert_eq!(breaker.state(), BreakerState::Probing);
    assert_eq!(breaker.leave(secs(6)).expect_err("one at a time").wait, Duration::ZERO);
    assert_eq!(breaker.ended(probe, Ending::Answered, secs(6), 0.0), Change::Closed);
    for _ in 0..100 {
        breaker.leave(secs(6)).expect("closed");
    }
}

#[test]
fn probes_that_fail_make_it_wait_longer_up_to_a_limit_and_a_success_makes_it_short_again() {
    let mut breaker = opened(3, secs(0));
    let mut now = secs(5);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let Change::Opened(wait) = attempt(&mut breaker, FAILED, now) else { panic!("{breaker:?}") };
        waits.push(wait.as_secs());
        now += wait;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300, 300]);
    assert_eq!(attempt(&mut breaker, Ending::Answered, now), Change::Closed);
    attempt(&mut breaker, FAILED, now);
    attempt(&mut breaker, FAILED, now);
    assert_eq!(attempt(&mut breaker, FAILED, now), Change::Opened(secs(5)));
}

#[test]
fn a_probe_that_says_nothing_lets_the_next_one_see() {
    let mut breaker = opened(3, secs(0));
    assert!(breaker.awaits());
    let probe = breaker.leave(secs(5)).expect("its time has come");
    assert!(!breaker.awaits(), "it is there");
    assert_eq!(breaker.ended(probe, Ending::Nothing, secs(5), 0.0), Change::None);
    assert_eq!((breaker.state(), breaker.failures_in_a_row()), (BreakerState::Open, 3));
    assert!(breaker.awaits(), "someone is to come for that");
    assert_eq!(attempt(&mut breaker, FAILED, secs(5)), Change::Opened(secs(10)), "it counted for no failure");
    assert_eq!(breaker.failures_in_a_row(), 4);
}

#[test]
fn what_was_begun_before_it_opened_neither_closes_it_nor_keeps_it_open() {
    let mut breaker = Breaker::closed(3);
    let early: Vec<Leave> = (0..10).map(|_| breaker.leave(secs(0)).expect("closed")).collect();
    for leave in &early[..3] {
        breaker.ended(*leave, FAILED, secs(1), 0.0);
    }
    assert_eq!(breaker.ended(early[3], Ending::Answered, secs(1), 0.0), Change::None);
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.ended(early[4], FAILED, secs(2), 0.0);
    assert_eq!(breaker.shut(secs(2)).expect("open").wait, secs(4));
    let _probe = breaker.leave(secs(6)).expect("its time has come");
    breaker.ended(early[5], FAILED, secs(6), 0.0);
    breaker.ended(early[6], Ending::Answered, secs(6), 0.0);
    assert_eq!(breaker.state(), BreakerState::Probing, "only the probe says how it is");
}

#[test]
fn retry_after_opens_it_at_once_for_so_long_and_then_one_sees() {
    let mut breaker = Breaker::closed(10);
    assert_eq!(attempt(&mut breaker, asked(120), secs(0)), Change::Opened(secs(120)));
    assert_eq!(breaker.shut(secs(119)), Some(Shut { wait: secs(1), why: Why::RetryAfter }));
    assert_eq!(attempt(&mut breaker, asked(7), secs(120)), Change::Opened(secs(7)));
    assert_eq!(attempt(&mut breaker, FAILED, secs(127)), Change::Opened(secs(5)), "that it waited was no failure");
    assert_eq!(attempt(&mut breaker, Ending::Answered, secs(132)), Change::Closed);
}

#[test]
fn a_retry_after_of_less_than_a_second_is_one_of_a_second() {
    let mut breaker = Breaker::closed(10);
    let hold = Some(Duration::from_millis(3));
    assert_eq!(attempt(&mut breaker, Ending::Failed { hold }, secs(0)), Change::Opened(secs(1)));
}

#[test]
fn a_retry_after_of_one_under_way_is_why_it_stays_open() {
    let mut breaker = Breaker::closed(1);
    let early = breaker.leave(secs(0)).expect("closed");
    attempt(&mut breaker, FAILED, secs(0));
    breaker.ended(early, asked(60), secs(1), 0.0);
    assert_eq!(breaker.shut(secs(1)), Some(Shut { wait: secs(60), why: Why::RetryAfter }));
}

#[test]
fn chance_shortens_by_a_fifth_at_most_and_never_lengthens() {
    for (jitter, expected) in [(0.0, 5000), (0.5, 4500), (0.999_999, 4000)] {
        let mut breaker = Breaker::closed(1);
        let leave = breaker.leave(secs(0)).expect("closed");
        let Change::Opened(wait) = breaker.ended(leave, FAILED, secs(0), jitter) else { panic!("{breaker:?}") };
        assert_eq!((wait + Duration::from_micros(10)).as_millis(), expected, "{jitter}");
    }
}

#[test]
fn a_longer_retry_after_of_one_under_way_is_listened_to() {
    let mut breaker = Breaker::closed(10);
    let early = breaker.leave(secs(0)).expect("closed");
    attempt(&mut breaker, asked(10), secs(0));
    breaker.ended(early, asked(60), secs(1), 0.0);
    assert_eq!(breaker.shut(secs(1)).expect("open").wait, secs(60));
    breaker.ended(early, asked(5), secs(1), 0.0);
    assert_eq!(breaker.shut(secs(1)).expect("open").wait, secs(60), "no shorter one is");
}

#[test]
fn the_first_who_finds_it_open_is_the_one_that_is_awaited() {
    let mut breaker = Breaker::closed(3);
    assert!(!breaker.awaits(), "it is closed");
    let mut breaker = {
        attempt(&mut breaker, asked(9), secs(0));
        breaker
    };
    assert!(!breaker.has_probe());
    assert_eq!([breaker.awaits(), breaker.awaits(), breaker.awaits()], [true, false, false]);
    assert!(breaker.has_probe());
    attempt(&mut breaker, FAILED, secs(9));
    assert!(!breaker.has_probe());
    assert_eq!([breaker.awaits(), breaker.awaits()], [true, false], "each time that it opens");
    breaker.leave(secs(30)).expect("its time has come");
    assert!(breaker.has_probe(), "it is under way");
}

#[test]
fn zero_failures_means_that_none_open_it_but_retry_after_does() {
    let mut breaker = Breaker::closed(0);
    for _ in 0..1000 {
        assert_eq!(attempt(&mut breaker, FAILED, secs(0)), Change::None);
    }
    assert_eq!(attempt(&mut breaker, asked(3), secs(0)), Change::Opened(secs(3)));
}

#[test]
fn a_reset_closes_it_and_forgets_its_failures() {
    let mut breaker = opened(3, secs(0));
    let probe = breaker.leave(secs(5)).expect("its time has come");
    breaker.reset();
    breaker.ended(probe, FAILED, secs(6), 0.0);
    assert_eq!((breaker.state(), breaker.failures_in_a_row()), (BreakerState::Closed, 0));
}

/// What can happen to a breaker.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    End { which: usize, ending: Ending },
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ending = prop_oneof![
        1 => Just(Ending::Answered),
        3 => Just(FAILED),
        1 => Just(Ending::Nothing),
        1 => (0_u64..4000).prop_map(asked),
    ];
    let act = prop_oneof![
        4 => Just(Act::Ask),
        4 => (any::<usize>(), ending).prop_map(|(which, ending)| Act::End { which, ending }),
        1 => (0_u64..400).prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 0..300)
}

proptest! {
    #[test]
    fn whatever_happens_it_lets_one_through_sooner_or_later_and_one_at_a_time_while_it_is_open(
        acts in acts(), failures_max in 0_u32..12, jitter in 0.0..1.0_f64,
    ) {
        let mut breaker = Breaker::closed(failures_max);
        let (mut now, mut under_way, mut probe) = (secs(0), Vec::new(), None);
        for act in acts {
            match act {
                Act::Pass(seconds) => now += secs(seconds),
                Act::Ask => {
                    let before = breaker.state();
                    match (breaker.leave(now), before) {
                        (Ok(leave), BreakerState::Closed) => under_way.push(leave),
                        (Ok(leave), BreakerState::Open) => {
                            prop_assert_eq!(probe, None, "a second probe");
                            probe = Some(leave);
                            under_way.push(leave);
                        }
                        (Ok(_), BreakerState::Probing) => prop_assert!(false, "leave beside the probe"),
                        (Err(shut), BreakerState::Open) => {
                            prop_assert!(shut.wait > Duration::ZERO && shut.wait <= secs(4000));
                        }
                        (Err(_), BreakerState::Probing) => prop_assert!(probe.is_some(), "it waits for a probe that is none"),
                        (Err(_), BreakerState::Closed) => prop_assert!(false, "closed, and no leave"),
                    }
                }
                Act::End { which, ending } if !under_way.is_empty() => {
                    let leave = under_way.swap_remove(which % under_way.len());
                    let change = breaker.ended(leave, ending, now, jitter);
                    if probe == Some(leave) {
                        probe = None;
                        let expected = match ending {
                            Ending::Answered => BreakerState::Closed,
                            Ending::Failed { hold: None } if failures_max == 0 => BreakerState::Closed,
                            Ending::Failed { .. } | Ending::Nothing => BreakerState::Open,
                        };
                        prop_assert_eq!(breaker.state(), expected);
                    }
                    if let Change::Opened(wait) = change {
                        prop_assert!(wait >= secs(1) && wait <= secs(4000));
                        let was_asked = matches!(ending, Ending::Failed { hold: Some(_) });
                        prop_assert!(was_asked || wait <= PROBE_WAIT_MAX);
                        prop_assert!(was_asked || failures_max > 0);
                    }
                }
                Act::End { .. } => {}
            }
            // Once all has ended, and the time that was asked for has passed, there is leave.
            if under_way.is_empty() {
                let mut later = breaker.clone();
                prop_assert!(later.leave(now + secs(4000)).is_ok(), "{:?}", later);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_wait_for_ever(back in 0_u64..100_000, wait in 1_u64..300) {
        let mut breaker = Breaker::closed(1);
        attempt(&mut breaker, asked(wait), secs(100_000));
        let shut = breaker.shut(secs(100_000 - back)).expect("open");
        prop_assert!(shut.wait <= secs(wait + back));
    }
}
