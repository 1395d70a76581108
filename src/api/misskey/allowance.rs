//! How often a person may send tests: [`TESTS_PER_WINDOW`] in [`WINDOW`], Misskey's own limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::ApiError;
use crate::model::{Timestamp, UserId};

/// Misskey's `limit` of `i/webhooks/test`.
const TESTS_PER_WINDOW: u32 = 60;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// People who are remembered; beyond them, those whose window is over are forgotten.
const PEOPLE_MAX: usize = 10_000;

/// Counts people's tests.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<HashMap<UserId, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    used: u32,
}

impl Allowance {
    /// Counts one test of `user`'s.
    pub(super) fn take(&self, user: &UserId, now: Timestamp) -> Result<(), ApiError> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= PEOPLE_MAX && !people.contains_key(user) {
            people.retain(|_, window| now.since(window.began) < WINDOW);
            if people.len() >= PEOPLE_MAX {
                return Err(ApiError::rate_limit(WINDOW.as_secs(), "too many people send tests"));
            }
        }
        let window = people.entry(user.clone()).or_insert(Window { began: now, used: 0 });
        if now.since(window.began) >= WINDOW {
            *window = Window { began: now, used: 0 };
        }
        if window.used >= TESTS_PER_WINDOW {
            let left = WINDOW.saturating_sub(now.since(window.began)).as_secs() + 1;
            return Err(ApiError::rate_limit(left, "60 tests in 15 minutes are allowed"));
        }
        window.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_61st_test_within_15_minutes_is_refused_and_the_next_after_them_is_not() {
        let (allowance, user) = (Allowance::default(), UserId::new("u").expect("an id"));
        let now = Timestamp::from_millis(1_000_000);
        for _ in 0..60 {
            assert_eq!(allowance.take(&user, now), Ok(()));
        }
        assert!(allowance.take(&user, now.plus(WINDOW / 2)).is_err());
        assert_eq!(allowance.take(&UserId::new("other").expect("an id"), now), Ok(()));
        assert_eq!(allowance.take(&user, now.plus(WINDOW)), Ok(()));
    }
}
