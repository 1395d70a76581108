//! A webhook's rate limit: how many requests a second it gets at most, and how many at once.
//!
//! It comes in as two numbers from the store, the settings file, the CLI or an API; each of them calls [`RateLimit::new`],
//! the one place that says what a limit may be.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Requests per second that a limit may allow: from about four an hour to more than one webhook gets.
pub const RATE_PER_SECOND: RangeInclusive<f64> = 0.001..=10_000.0;
/// Requests that a limit may allow at once.
pub const RATE_BURST: RangeInclusive<u32> = 1..=10_000;

/// A token bucket's size and flow: so many requests per second, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    per_second: f64,
    burst: u32,
}

/// What is wrong with a limit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RateLimitError {
    /// Too slow, too fast, or no number.
    #[error("it is {found}, and {} to {} requests per second are allowed", RATE_PER_SECOND.start(), RATE_PER_SECOND.end())]
    PerSecond {
        /// What was given.
        found: f64,
    },
    /// None, or too many.
    #[error("it is {found}, and {} to {} requests at once are allowed", RATE_BURST.start(), RATE_BURST.end())]
    Burst {
        /// What was given.
        found: u32,
    },
}

impl RateLimit {
    /// A limit of `per_second` requests ([`RATE_PER_SECOND`]), of them `burst` at once ([`RATE_BURST`]; none: as many as
    /// come in a second, at least one).
    ///
    /// # Errors
    /// Which of the two is out of its range.
    pub fn new(per_second: f64, burst: Option<u32>) -> Result<Self, RateLimitError> {
        if !RATE_PER_SECOND.contains(&per_second) {
            return Err(RateLimitError::PerSecond { found: per_second });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in 0.001 to 10,000")]
        let burst = burst.unwrap_or_else(|| per_second.ceil() as u32);
        if !RATE_BURST.contains(&burst) {
            return Err(RateLimitError::Burst { found: burst });
        }
        Ok(Self { per_second, burst })
    }

    /// Requests per second.
    pub fn per_second(self) -> f64 {
        self.per_second
    }

    /// Requests at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// How long one token takes to come, never less than the limit says.
    pub fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second).saturating_add(Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_without_a_burst_lets_a_seconds_worth_go_at_once() {
        for (per_second, burst) in [(0.001, 1), (0.2, 1), (1.0, 1), (1.5, 2), (5.0, 5), (10_000.0, 10_000)] {
            assert_eq!(RateLimit::new(per_second, None).expect("allowed").burst(), burst, "{per_second}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_in_words() {
        for per_second in [0.0, -1.0, 0.000_9, 10_000.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = RateLimit::new(per_second, Some(1)).expect_err("out of range").to_string();
            assert!(error.contains("0.001 to 10000 requests per second are allowed"), "{per_second}: {error}");
        }
        for burst in [0, 10_001, u32::MAX] {
            let error = RateLimit::new(1.0, Some(burst)).expect_err("out of range").to_string();
            assert!(error.contains("1 to 10000 requests at once are allowed"), "{burst}: {error}");
        }
    }

    #[test]
    fn an_interval_is_never_shorter_than_the_limit_says() {
        for per_second in [0.001, 0.2, 0.3, 3.0, 7.0, 9_999.9, 10_000.0] {
            let limit = RateLimit::new(per_second, None).expect("allowed");
            assert!(limit.interval().as_secs_f64() * per_second >= 1.0, "{per_second}");
        }
    }
}
