//! When a webhook that fails is switched off: at once when it is gone (410), and when it has failed without one success for
//! as long as the settings say.
//!
//! What counts is how long the failures have gone on, added up from one to the next. No single pause between two of them
//! counts for more than half of the limit, so neither a wall clock that is set, nor a time in which hikyaku did not run,
//! switches anything off by itself; and after a pause longer than any wait of a schedule the count begins anew, so a webhook
//! that gets an event a month is not switched off by two that failed. Only requests that left count: a fault of ours says
//! nothing of the receiver, neither good nor bad.

use std::time::Duration;

use crate::model::{DeactivationReason, Outcome, Streak, Timestamp};

/// The pause after which the count begins anew, unless the limit is longer: more than two attempts of one delivery lie
/// apart, which is at most 7 days and a fifth of that by chance.
const PAUSE_MIN: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// How a webhook does after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// As before: the attempt says nothing about it.
    Unmoved,
    /// Well.
    Well,
    /// It is failing.
    Failing {
        /// Since when, and how long that counts.
        streak: Streak,
        /// Whether that has begun only now, whatever was before.
        anew: bool,
        /// Why it is to be switched off, if it is.
        stop: Option<DeactivationReason>,
    },
}

/// How a webhook does after an attempt that came to `outcome` at `now`. `before` is its streak, if it was failing, and how
/// long ago the last failure of that was. It is switched off when it has failed for `limit`; none: it never is, but for 410.
pub fn after_attempt(
    outcome: Outcome,
    before: Option<(Streak, Duration)>,
    now: Timestamp,
    limit: Option<Duration>,
) -> Course {
    match outcome {
        Outcome::Delivered => return Course::Well,
        Outcome::OurFault => return Course::Unmoved,
        Outcome::Gone
        | Outcome::Refused
        | Outcome::RateLimited
        | Outcome::ServerError
        | Outcome::Timeout
        | Outcome::Dns
        | Outcome::Tls
        | Outcome::Connection
        | Outcome::Forbidden
        | Outcome::Invalid => {}
    }
    let pause_max = limit.unwrap_or_default().max(PAUSE_MIN);
    let before = before.filter(|(_, pause)| *pause <= pause_max);
    let streak = before.map_or(Streak { since: now, lasted: Duration::ZERO }, |(streak, pause)| Streak {
        // A wall clock that was set back must not show a beginning that is still to come.
        since: streak.since.min(now),
        lasted: streak.lasted.saturating_add(limit.map_or(pause, |limit| pause.min(limit / 2))),
    });
    let stop = if outcome == Outcome::Gone {
        Some(DeactivationReason::Gone)
    } else {
        limit.filter(|limit| streak.lasted >= *limit && !limit.is_zero()).map(|_| DeactivationReason::Failing)
    };
    Course::Failing { streak, anew: before.is_none(), stop }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LIMIT: Duration = Duration::from_secs(5 * 24 * 3600);

    /// The streak and the reason after failures with these pauses before them, the first of which is of no account.
    fn after(pauses: &[Duration], limit: Option<Duration>) -> (Streak, Option<DeactivationReason>) {
        let (mut now, mut streak, mut stopped) = (Timestamp::from_millis(1_774_960_496_789), None, None);
        for pause in pauses {
            now = now.plus(*pause);
            let before = streak.map(|streak| (streak, *pause));
            let Course::Failing { streak: next, stop, .. } = after_attempt(Outcome::Timeout, before, now, limit) else {
                panic!("a timeout is a failure");
            };
            (streak, stopped) = (Some(next), stop);
        }
        (streak.expect("a failure"), stopped)
    }

    #[test]
    fn every_failure_of_the_receivers_counts_and_none_of_ours() {
        for outcome in Outcome::ALL.iter().copied() {
            let course = after_attempt(outcome, None, Timestamp::default(), Some(LIMIT));
            match outcome {
                Outcome::Delivered => assert_eq!(course, Course::Well),
                Outcome::OurFault => assert_eq!(course, Course::Unmoved),
                _ => assert!(matches!(course, Course::Failing { anew: true, .. }), "{outcome}: {course:?}"),
            }
        }
    }

    #[test]
    fn who_fails_each_hour_is_switched_off_after_five_days_and_no_sooner() {
        let (streak, stop) = after(&[HOUR; 120], Some(LIMIT));
        assert_eq!((streak.lasted, stop), (LIMIT - HOUR, None));
        let (streak, stop) = after(&[HOUR; 121], Some(LIMIT));
        assert_eq!((streak.lasted, stop), (LIMIT, Some(DeactivationReason::Failing)));
    }

    #[test]
    fn who_is_gone_is_switched_off_at_once_whatever_the_limit() {
        for limit in [None, Some(LIMIT)] {
            let course = after_attempt(Outcome::Gone, None, Timestamp::default(), limit);
            assert!(matches!(course, Course::Failing { stop: Some(DeactivationReason::Gone), .. }), "{course:?}");
        }
    }

    #[test]
    fn without_a_limit_nobody_is_switched_off_and_how_long_it_has_failed_is_known() {
        let (streak, stop) = after(&[24 * HOUR; 100], None);
        assert_eq!((streak.lasted, stop), (99 * 24 * HOUR, None));
    }

    #[test]
    fn a_limit_of_no_time_is_none() {
        assert_eq!(after(&[HOUR; 100], Some(Duration::ZERO)).1, None);
    }

    #[test]
    fn with_a_long_limit_failures_further_apart_than_a_schedules_waits_belong_together() {
        let limit = 40 * 24 * HOUR;
        let (streak, stop) = after(&[15 * 24 * HOUR; 4], Some(limit));
        assert_eq!((streak.lasted, stop), (45 * 24 * HOUR, Some(DeactivationReason::Failing)));
    }

    #[test]
    fn one_pause_alone_is_never_enough_however_long() {
        for pause in [6, 9, 11, 1000] {
            let (_, stop) = after(&[HOUR, HOUR, pause * 24 * HOUR], Some(LIMIT));
            assert_eq!(stop, None, "{pause} days");
        }
    }

    #[test]
    fn failures_a_month_apart_are_each_the_first() {
        let (streak, stop) = after(&[30 * 24 * HOUR; 24], Some(LIMIT));
        assert_eq!((streak.lasted, stop), (Duration::ZERO, None));
    }

    #[test]
    fn a_limit_shorter_than_the_waits_of_a_schedule_is_reached_all_the_same() {
        let pauses = [0, 5, 30].map(Duration::from_secs);
        let (_, stop) = after(&pauses, Some(Duration::from_secs(5)));
        assert_eq!(stop, Some(DeactivationReason::Failing));
    }

    #[test]
    fn a_clock_that_was_set_back_shows_no_beginning_that_is_still_to_come() {
        let before = Streak { since: Timestamp::from_millis(2_000_000_000_000), lasted: HOUR };
        let now = Timestamp::from_millis(1_800_000_000_000);
        let course = after_attempt(Outcome::Dns, Some((before, Duration::ZERO)), now, Some(LIMIT));
        let streak = Streak { since: now, lasted: HOUR };
        assert_eq!(course, Course::Failing { streak, anew: false, stop: None });
    }

    proptest! {
        #[test]
        fn nobody_is_switched_off_before_the_limit_has_passed_nor_by_one_pause(
            pauses in proptest::collection::vec(0_u64..2_000_000, 1..30), limit_s in 1_u64..1_000_000,
        ) {
            let limit = Duration::from_secs(limit_s);
            let pauses: Vec<Duration> = pauses.into_iter().map(Duration::from_secs).collect();
            let (streak, stop) = after(&pauses, Some(limit));
            let passed: Duration = pauses[1..].iter().sum();
            prop_assert!(streak.lasted <= passed);
            if stop.is_some() {
                prop_assert!(passed >= limit);
                prop_assert!(pauses.len() > 2, "one pause alone: {pauses:?}");
            }
        }

        #[test]
        fn short_pauses_count_in_full(pauses in proptest::collection::vec(0_u64..1000, 1..200), limit_s in 2000_u64..1_000_000) {
            let pauses: Vec<Duration> = pauses.into_iter().map(Duration::from_secs).collect();
            let (streak, stop) = after(&pauses, Some(Duration::from_secs(limit_s)));
            let passed: Duration = pauses[1..].iter().sum();
            prop_assert_eq!(streak.lasted, passed);
            prop_assert_eq!(stop.is_some(), passed >= Duration::from_secs(limit_s));
        }
    }
}
