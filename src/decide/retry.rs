//! When to try again.
//!
//! A retry waits as its schedule says, give or take a fifth, so that a thousand deliveries that failed together do not
//! return together. `Retry-After` (RFC 9110 section 10.2.3: seconds, or a date) can lengthen that wait up to a limit, and
//! never shortens it. A park waits one second, doubled with each park in a row, at most a quarter of an hour, and no less than
//! its webhook is left alone; for want of a slot, or of a token of its webhook's rate limit, it waits until its turn is
//! expected, within the same limits, for a slot at first no longer than half a minute.

use std::time::{Duration, UNIX_EPOCH};

use crate::model::Timestamp;

/// The part of a wait that chance may add or take.
const JITTER: f64 = 0.2;
/// The first park's wait.
const PARK_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest park's wait: how late a webhook that has recovered gets its backlog.
pub const PARK_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The longest time after which a delivery that was put off for want of a slot looks again, the first time.
const TURN_LOOK_FIRST: Duration = Duration::from_secs(30);

/// How long to wait before the next attempt, or nothing when the schedule is spent.
///
/// `attempts` have been made (1 or more); `jitter` is in [0, 1); `retry_after` is what the receiver asked for, honoured up
/// to `retry_after_max`.
pub fn retry_wait(
    schedule: &[Duration],
    attempts: u32,
    jitter: f64,
    retry_after: Option<Duration>,
    retry_after_max: Duration,
) -> Option<Duration> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let planned = vary(*schedule.get(index)?, jitter);
    let asked = retry_after.unwrap_or_default().min(retry_after_max);
    Some(planned.max(asked))
}

/// How long a delivery is put off that has been parked `parks` times in a row; `jitter` is in [0, 1).
pub fn park_wait(parks: u32, jitter: f64) -> Duration {
    let doubled = PARK_WAIT_FIRST.saturating_mul(2_u32.saturating_pow(parks));
    vary(doubled.min(PARK_WAIT_MAX.mul_f64(1.0 / (1.0 + JITTER))), jitter)
}

/// How long a delivery is put off that has been parked `parks` times in a row and for which no slot is free, when its turn is
/// expected after `turn`; `jitter` is in [0, 1).
///
/// A turn far ahead is a guess made at a bad moment as often as not. So the first look is not put off for long, and each
/// further one for twice as long: what has waited little comes soon after a recovery.
pub fn turn_wait(turn: Duration, parks: u32, jitter: f64) -> Duration {
    let look = TURN_LOOK_FIRST.saturating_mul(2_u32.saturating_pow(parks));
    vary(turn.min(look).min(PARK_WAIT_MAX), jitter).clamp(PARK_WAIT_FIRST, PARK_WAIT_MAX)
}

/// How long a delivery is put off that has been parked `parks` times in a row and whose webhook is left alone for `left_alone` at
/// least, when its turn is after `turn`, behind the others that were; `jitter` is in [0, 1).
pub fn left_alone_wait(left_alone: Duration, turn: Duration, parks: u32, jitter: f64) -> Duration {
    let spread = left_alone.mul_f64(1.0 + 2.0 * JITTER * jitter.clamp(0.0, 1.0));
    park_wait(parks, jitter).max(spread.min(PARK_WAIT_MAX)).max(turn_or_second_half(turn, jitter))
}

/// How long the one delivery is put off that comes back as soon as its webhook has been left alone for `left_alone`, to see
/// whether the receiver is well again.
pub fn probe_wait(left_alone: Duration) -> Duration {
    up_to_ms(left_alone).clamp(PARK_WAIT_FIRST, PARK_WAIT_MAX)
}

/// How long a delivery is put off for which its webhook's rate limit has no token, when its turn is after `turn`; `jitter` is
/// in [0, 1).
///
/// Turns lie apart already, so chance has no part in them: one that comes late is a token that nobody takes. Those that have none,
/// because it would be further away than the limit, come back over the whole second half of it, and get one then.
pub fn token_wait(turn: Duration, jitter: f64) -> Duration {
    turn_or_second_half(up_to_ms(turn), jitter).max(PARK_WAIT_FIRST)
}

/// The turn; some time in the second half of the longest wait for those that have none, because it would be later.
fn turn_or_second_half(turn: Duration, jitter: f64) -> Duration {
    if turn < PARK_WAIT_MAX { turn } else { PARK_WAIT_MAX.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)) }
}

/// In whole milliseconds, as moments are, and no shorter: one before its turn is too early.
fn up_to_ms(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

fn vary(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter.clamp(0.0, 1.0))
}

/// Reads a `Retry-After`: whole seconds, or an HTTP date seen at `now`; nothing when it is neither. A date that has passed
/// is zero.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_1970 = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::default().plus(since_1970).since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let now = Timestamp::from_millis(784_111_777_000); // 1994-11-06T08:49:37Z, the example of RFC 9110
        assert_eq!(parse_retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:48:37 GMT", now), Some(Duration::ZERO));
        assert!(parse_retry_after("99999999999999999999999999", now).expect("far away") > DAY);
        for text in ["", "-1", "1.5", "soon", "12 s"] {
            assert_eq!(parse_retry_after(text, now), None, "{text:?}");
        }
    }

    #[test]
    fn a_turn_is_waited_for_from_a_second_to_a_quarter_of_an_hour() {
        assert_eq!(turn_wait(Duration::ZERO, 0, 0.5), PARK_WAIT_FIRST);
        assert_eq!(turn_wait(Duration::from_secs(20), 0, 0.5), Duration::from_secs(20));
        assert_eq!(turn_wait(DAY, 10, 0.999), PARK_WAIT_MAX);
    }

    #[test]
    fn a_turn_far_ahead_is_looked_at_after_half_a_minute_and_then_at_doubled_times() {
        let waits: Vec<u64> = (0..7).map(|parks| turn_wait(DAY, parks, 0.5).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn while_its_webhook_is_left_alone_a_delivery_waits_for_that_for_its_turn_and_for_its_own_doubled_wait() {
        let second = Duration::from_secs(1);
        assert_eq!(left_alone_wait(5 * second, second, 0, 0.0), 5 * second, "no sooner than it may be tried");
        assert_eq!(left_alone_wait(5 * second, second, 0, 1.0), 7 * second, "and not all at that moment");
        assert_eq!(left_alone_wait(5 * second, 100 * second, 0, 0.5), 100 * second, "behind those before it");
        assert_eq!(left_alone_wait(5 * second, second, 6, 0.5), 64 * second, "less often with each park");
        for jitter in [0.0, 0.5, 1.0] {
            let wait = left_alone_wait(second, PARK_WAIT_MAX, 0, jitter);
            assert_eq!(wait, PARK_WAIT_MAX.mul_f64(0.5 + 0.5 * jitter), "those without a turn come over a long time");
        }
    }

    #[test]
    fn the_one_that_sees_whether_it_is_well_comes_just_when_it_may() {
        let wait = probe_wait(Duration::from_nanos(4_500_000_001));
        assert_eq!(wait, Duration::from_millis(4501), "never before");
        assert_eq!(probe_wait(Duration::ZERO), PARK_WAIT_FIRST);
        assert_eq!(probe_wait(DAY), PARK_WAIT_MAX);
    }

    #[test]
    fn a_token_is_waited_for_without_chance_unless_it_is_too_far_away() {
        for jitter in [0.0, 0.5, 0.999] {
            assert_eq!(token_wait(Duration::ZERO, jitter), PARK_WAIT_FIRST);
            assert_eq!(token_wait(Duration::from_secs(899), jitter), Duration::from_secs(899));
            let turn = Duration::from_nanos(2_000_000_001);
            assert_eq!(token_wait(turn, jitter), Duration::from_millis(2001), "never before its turn");
        }
        let far: Vec<u64> = [0.0, 0.5, 1.0].map(|jitter| token_wait(DAY, jitter).as_secs()).to_vec();
        assert_eq!(far, [450, 675, 900]);
    }

    #[test]
    fn parks_double_from_a_second_to_a_quarter_of_an_hour() {
        let waits: Vec<u64> = (0..12).map(|parks| park_wait(parks, 0.5).as_secs()).collect();
        assert_eq!(&waits[..6], &[1, 2, 4, 8, 16, 32]);
        assert_eq!(waits[11], 750);
        assert!(park_wait(u32::MAX, 0.999_999) <= PARK_WAIT_MAX);
    }

    fn durations() -> impl Strategy<Value = Duration> {
        (0_u64..700_000_000).prop_map(Duration::from_millis)
    }

    proptest! {
        #[test]
        fn a_schedule_gives_one_wait_per_entry_and_then_none(
            schedule in proptest::collection::vec(durations(), 0..20), attempts in 0_u32..40, jitter in 0.0..1.0_f64,
        ) {
            let wait = retry_wait(&schedule, attempts, jitter, None, DAY);
            let has_entry = attempts >= 1 && (attempts as usize) <= schedule.len();
            prop_assert_eq!(wait.is_some(), has_entry);
            if let Some(wait) = wait {
                let planned = schedule[attempts as usize - 1];
                prop_assert!(wait >= planned.mul_f64(0.799) && wait <= planned.mul_f64(1.201));
            }
        }

        #[test]
        fn retry_after_lengthens_up_to_its_limit_and_never_shortens(
            planned in durations(), asked in durations(), max in durations(), jitter in 0.0..1.0_f64,
        ) {
            let without = retry_wait(&[planned], 1, jitter, None, max).expect("one entry");
            let with = retry_wait(&[planned], 1, jitter, Some(asked), max).expect("one entry");
            prop_assert!(with >= without);
            prop_assert!(with >= asked.min(max));
            prop_assert!(with <= without.max(max));
        }

        #[test]
        fn a_park_never_waits_longer_than_the_limit(parks in 0_u32..u32::MAX, jitter in 0.0..1.0_f64) {
            prop_assert!(park_wait(parks, jitter) <= PARK_WAIT_MAX);
        }

        #[test]
        fn no_text_makes_retry_after_panic(text in "\\PC{0,60}", now in proptest::num::i64::ANY) {
            let _wait = parse_retry_after(&text, Timestamp::from_millis(now));
        }
    }
}
