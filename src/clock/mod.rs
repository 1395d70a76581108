//! The seam to time and chance: every moment, wait and jitter that decides something comes from here.
//!
//! [`SystemClock`] is the real one; [`ManualClock`] is in a test's hands. Latencies of requests are measured with the
//! monotonic clock where they happen; they are shown, and decide nothing about when to send.
//!
//! A wall clock can jump. What must not jump with it asks for [`Clock::elapsed`]. Waits are therefore cut into pieces of at most [`WAIT_PIECE_MAX`], after each of which the wall
//! clock is read again.

mod backoff;
mod manual;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use backoff::Backoff;
pub use manual::ManualClock;

use crate::model::Timestamp;

/// How long a wait goes on before the wall clock is read again.
const WAIT_PIECE_MAX: Duration = Duration::from_secs(10);

/// A wait for a moment.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time and chance.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// This moment.
    fn now(&self) -> Timestamp;

    /// How long it has been since a moment of the clock's own choice: a time that nobody sets, and that only moves on.
    fn elapsed(&self) -> Duration;

    /// Ends when the clock shows `at` or later.
    fn sleep_until(&self, at: Timestamp) -> Wait;

    /// A number in [0, 1), each time another.
    fn jitter(&self) -> f64;
}

/// A clock that many share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// A clock to share.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the seam that everyone else asks")]
    let now = SystemTime::now();
    let ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn elapsed(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }

    fn sleep_until(&self, at: Timestamp) -> Wait {
        Box::pin(async move {
            loop {
                let left = at.since(wall());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(WAIT_PIECE_MAX)).await;
            }
        })
    }

    fn jitter(&self) -> f64 {
        fastrand::f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_that_has_passed_is_not_waited_for() {
        let clock = SystemClock;
        clock.sleep_until(Timestamp::from_millis(0)).await;
    }

    #[tokio::test]
    async fn a_wait_ends_no_earlier_than_asked() {
        let clock = SystemClock;
        let at = clock.now().plus(Duration::from_millis(30));
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[test]
    fn jitter_lies_in_zero_to_one() {
        assert!((0..1000).map(|_| SystemClock.jitter()).all(|jitter| (0.0..1.0).contains(&jitter)));
    }
}
