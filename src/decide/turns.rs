//! Turns for those that are put off: one behind the other, so that they do not all come back at once.
//!
//! A turn is a time to ask again, and promises nothing. `now` is a time that only moves on; should it go back all the same, no
//! turn is further away than anyone is put off.

use std::time::Duration;

use super::PARK_WAIT_MAX;
use crate::model::Timestamp;

/// How many deliveries to webhooks that are left alone come back to one worker in a second, over all those webhooks.
const COMEBACKS_PER_SECOND: u32 = 50;

/// Those that come back within so many milliseconds come back together: a queue moves many at once for little more than one.
const TOGETHER_MS: i64 = 125;

/// The turns that were given.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// The latest of them.
    booked: Duration,
}

impl Turns {
    /// How long until the turn of one more, `apart` from the one before it and no sooner than after `soonest`. No turn is further
    /// away than anyone is put off; who would come later is told [`PARK_WAIT_MAX`].
    pub fn book(&mut self, apart: Duration, soonest: Duration, now: Duration) -> Duration {
        // No turn that was given lies so far ahead: `now` went back.
        let booked = self.booked.min(now.saturating_add(PARK_WAIT_MAX));
        let turn = booked.saturating_add(apart).max(now.saturating_add(soonest));
        let wait = turn.saturating_sub(now);
        if wait >= PARK_WAIT_MAX {
            return PARK_WAIT_MAX;
        }
        self.booked = turn;
        wait
    }
}

/// How far apart the turns of one webhook are while `webhooks` are left alone, this one among them: however many they are, and
/// however much waits for them, the queue has no more to do than that.
pub fn apart(webhooks: usize) -> Duration {
    let webhooks = u32::try_from(webhooks.max(1)).unwrap_or(u32::MAX);
    (Duration::from_secs(1) / COMEBACKS_PER_SECOND).saturating_mul(webhooks)
}

/// The moment for which all are put off that are due a little before.
pub fn together(due: Timestamp) -> Timestamp {
    let past = due.as_millis().rem_euclid(TOGETHER_MS);
    let wait = if past == 0 { 0 } else { TOGETHER_MS - past };
    Timestamp::from_millis(due.as_millis().saturating_add(wait))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn turns_are_given_one_behind_the_other() {
        let mut turns = Turns::default();
        let now = 100 * SECOND;
        let waits: Vec<u64> = (0..4).map(|_| turns.book(2 * SECOND, SECOND, now).as_secs()).collect();
        assert_eq!(waits, [1, 3, 5, 7]);
        assert_eq!(
            turns.book(2 * SECOND, SECOND, now + 5 * SECOND),
            4 * SECOND,
            "time counts towards those given before"
        );
        assert_eq!(turns.book(2 * SECOND, SECOND, now + 60 * SECOND), SECOND, "who comes to an empty line goes soon");
    }

    #[test]
    fn who_would_come_too_late_has_no_turn_and_takes_none_from_those_after() {
        let mut turns = Turns::default();
        let now = 100 * SECOND;
        while turns.book(SECOND, SECOND, now) < PARK_WAIT_MAX {}
        assert_eq!(turns.book(SECOND, SECOND, now), PARK_WAIT_MAX);
        let later = turns.book(SECOND, SECOND, now + 10 * SECOND);
        assert_eq!(later, PARK_WAIT_MAX - 10 * SECOND, "right behind the last that had one");
    }

    #[test]
    fn turns_of_many_webhooks_are_as_many_as_those_of_one() {
        for webhooks in [1_u32, 3, 50, 2000] {
            let per_second = f64::from(webhooks) / apart(webhooks as usize).as_secs_f64();
            assert!((per_second - f64::from(COMEBACKS_PER_SECOND)).abs() < 0.001, "{webhooks}: {per_second}");
        }
        assert_eq!(apart(0), apart(1));
        assert!(apart(usize::MAX) > apart(1));
    }

    #[test]
    fn what_is_due_a_little_apart_is_due_together_and_never_sooner() {
        let due = |ms| together(Timestamp::from_millis(ms)).as_millis();
        assert_eq!([1, 100, 124, 125].map(due), [125; 4]);
        assert_eq!([0, 126, -1, -126].map(due), [0, 250, 0, -125]);
        assert_eq!(due(i64::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn however_time_goes_no_turn_is_sooner_than_wanted_or_later_than_anyone_is_put_off(
            steps in proptest::collection::vec((0_u64..5000, 0_u64..2_000_000, 0_u64..1_000_000), 1..100)
        ) {
            let mut turns = Turns::default();
            for (apart, soonest, now) in steps {
                let [apart, soonest, now] = [apart, soonest, now].map(Duration::from_millis);
                let wait = turns.book(apart, soonest, now);
                prop_assert!(wait >= soonest.min(PARK_WAIT_MAX) && wait <= PARK_WAIT_MAX);
            }
        }
    }
}
