//! A moment, in milliseconds since 1970, as Misskey writes `createdAt`.
//!
//! Arithmetic saturates: a producer's absurd `createdAt` can make no computation panic.

use std::time::Duration;

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that is `ms` milliseconds after 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `wait` later.
    pub fn plus(self, wait: Duration) -> Self {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(wait_ms))
    }

    /// The moment `wait` earlier.
    pub fn minus(self, wait: Duration) -> Self {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(wait_ms))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment that a person means by `text`: RFC 3339 in UTC, or an age before `now` such as `2h`.
    pub fn parse(text: &str, now: Self) -> Option<Self> {
        // A bare `0` is an age to humantime, and a number of nobody knows what to everyone else.
        let has_unit = !text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(age) = humantime::parse_duration(text).ok().filter(|_| has_unit) {
            return Some(now.minus(age));
        }
        Self::parse_rfc3339(text)
    }

    /// The moment that `text` has as RFC 3339 in UTC, as [`Self::to_rfc3339`] writes it.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = humantime::parse_rfc3339_weak(text).ok()?;
        Some(Self::default().plus(at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()))
    }

    /// The moment as RFC 3339 in UTC, e.g. `2026-03-31T12:34:56.789Z`; the number itself when no calendar holds it.
    pub fn to_rfc3339(self) -> String {
        u64::try_from(self.0)
            .ok()
            .and_then(|ms| std::time::UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
            .filter(|_| self.0 < 253_402_300_800_000)
            .map_or_else(|| self.0.to_string(), |at| humantime::format_rfc3339_millis(at).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_moments_neither_panic_nor_wrap() {
        let far = Timestamp::from_millis(i64::MAX);
        assert_eq!(far.plus(Duration::MAX), far);
        assert_eq!(Timestamp::from_millis(i64::MIN).since(far), Duration::ZERO);
        assert_eq!(far.to_rfc3339(), i64::MAX.to_string());
    }

    #[test]
    fn people_say_a_moment_or_an_age() {
        let now = Timestamp::from_millis(1_774_960_496_789);
        assert_eq!(Timestamp::parse("2026-03-31T12:34:56.789Z", now), Some(now));
        assert_eq!(Timestamp::parse("2026-03-31 12:34:56.789", now), Some(now));
        assert_eq!(Timestamp::parse("1h 30m", now), Some(now.minus(Duration::from_secs(5400))));
        for text in ["", "yesterday", "-1h", "2026-13-01T00:00:00Z", "1774960496789", "0"] {
            assert_eq!(Timestamp::parse(text, now), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_has_milliseconds_and_utc() {
        assert_eq!(Timestamp::from_millis(1_774_960_496_789).to_rfc3339(), "2026-03-31T12:34:56.789Z");
    }
}
