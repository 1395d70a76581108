//! Waits for our own troubles (a full disk, a lost broker): exponential with jitter, for as long as it takes.
//!
//! The one place that knows the crate `backoff`, which is no longer maintained (RUSTSEC-2025-0012) and was asked for: when
//! it has to go, this file is all that changes. Receivers' retries are `decide::retry`, not this.

use std::time::Duration;

use ::backoff::backoff::Backoff as _;
use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// A growing series of waits.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff, Duration);

impl Backoff {
    /// Starts at `first`, doubles up to `longest`, half of each wait up or down by chance, and never gives up.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            .with_max_interval(longest)
            .with_max_elapsed_time(None)
            .build();
        Self(policy, longest)
    }

    /// How long to wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.1)
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_never_end() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first * 3 / 2, "{:?}", waits[0]);
        assert!(waits.iter().skip(10).all(|wait| *wait >= longest / 2 && *wait <= longest * 3 / 2));
        backoff.reset();
        assert!(backoff.next_wait() <= first * 3 / 2);
    }
}
