//! A moment, in milliseconds since 1970, as Misskey writes `createdAt`.
//!
//! Arithmetic saturates: a producer's absurd `createdAt` can make no computation panic.

use std::time::Duration;

/// Why a text is no moment that a person may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// It is neither a moment nor an age.
    #[error("it is neither a moment in UTC like 2026-11-22T10:00:00Z nor an age like 2h")]
    Unreadable,
    /// It does not say where on earth it is that moment.
    #[error("it has no Z at its end: moments are in UTC, like 2026-11-22T10:00:00Z")]
    NoZone,
    /// It is before 1970, or an age that reaches there: nothing of ours is older.
    #[error(
        "it lies before 1970; moments from 1970-01-01T00:00:00Z on are possible, and ages that reach back no further"
    )]
    TooEarly,
}

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

    /// The moment that a person means by `text`: RFC 3339 in UTC, or an age before `now` such as `2h`; from 1970 on.
    ///
    /// # Errors
    /// When it is neither, has no `Z`, or lies before 1970.
    pub fn parse(text: &str, now: Self) -> Result<Self, MomentError> {
        if let Some(age) = age(text) {
            let at = now.minus(age);
            return if at < Self::default() { Err(MomentError::TooEarly) } else { Ok(at) };
        }
        let why = || if is_before_1970(text) { MomentError::TooEarly } else { MomentError::Unreadable };
        let at = Self::parse_rfc3339(text).ok_or_else(why)?;
        if text.ends_with('Z') { Ok(at) } else { Err(MomentError::NoZone) }
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

/// The age that `text` is; one that no number holds is the longest that a number does.
fn age(text: &str) -> Option<Duration> {
    // A bare `0` is an age to humantime, and a number of nobody knows what to everyone else.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match humantime::parse_duration(text) {
        Ok(age) => Some(age),
        Err(humantime::DurationError::NumberOverflow) if !text.contains('-') => Some(Duration::MAX),
        Err(_) => None,
    }
}

/// Whether only its year keeps `text` from being a moment: humantime has none before 1970.
fn is_before_1970(text: &str) -> bool {
    let Some((year, rest)) = text.split_at_checked(4) else { return false };
    // 2000 has every day that another year may have.
    year.parse().is_ok_and(|year: u16| year < 1970) && Timestamp::parse_rfc3339(&format!("2000{rest}")).is_some()
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
        assert_eq!(Timestamp::parse("2026-03-31T12:34:56.789Z", now), Ok(now));
        assert_eq!(Timestamp::parse("2026-03-31 12:34:56.789Z", now), Ok(now));
        for text in ["2026-03-31T12:34:56.789", "2026-03-31 12:34:56"] {
            assert_eq!(Timestamp::parse(text, now), Err(MomentError::NoZone), "{text}: whose clock?");
        }
        assert_eq!(Timestamp::parse("1h 30m", now), Ok(now.minus(Duration::from_secs(5400))));
        for text in ["", "yesterday", "-1h", "2026-13-01T00:00:00Z", "1969-13-01T00:00:00Z", "1774960496789", "0"] {
            assert_eq!(Timestamp::parse(text, now), Err(MomentError::Unreadable), "{text}");
        }
        for text in ["99999999999999999999", "99999999999999999999-01-01T00:00:00Z", "196é-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text, now), Err(MomentError::Unreadable), "{text}");
        }
    }

    #[test]
    fn what_lies_before_1970_is_told_from_what_is_no_moment() {
        let now = Timestamp::from_millis(1_774_960_496_789);
        assert_eq!(Timestamp::parse("1970-01-01T00:00:00Z", now), Ok(Timestamp::default()));
        assert_eq!(Timestamp::parse("1774960496789ms", now), Ok(Timestamp::default()));
        for text in ["1774960496790ms", "57years", "99999999999years", "99999999999999999999years"] {
            assert_eq!(Timestamp::parse(text, now), Err(MomentError::TooEarly), "{text}");
        }
        for text in ["1969-12-31T23:59:59.999Z", "1968-02-29 00:00:00", "0000-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text, now), Err(MomentError::TooEarly), "{text}");
        }
    }

    #[test]
    fn rfc3339_has_milliseconds_and_utc() {
        assert_eq!(Timestamp::from_millis(1_774_960_496_789).to_rfc3339(), "2026-03-31T12:34:56.789Z");
    }
}
