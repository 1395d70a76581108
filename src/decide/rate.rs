//! When a webhook with a rate limit may get its next request: a token bucket, as the generic cell rate algorithm (GCRA,
//! ITU-T I.371) keeps it, which is one moment: when the bucket will be full again.
//!
//! A request takes a token when it leaves, never before, so however long it was held up on the way, in any time `t` no more
//! than `burst + t / interval` leave. Who finds none is told when its turn is. Those that are put off for longer are given turns
//! one behind the other, an interval apart, as far ahead as anyone is put off: so a backlog comes back at the pace at which it
//! can leave, and each of it about once. A turn is a time to ask again, and no token: whoever is there when a token is takes
//! it, and none is kept for one who does not come.
//!
//! `now` is a time that only moves on. Should it go back all the same, a bucket is empty at worst, and fills as always.

use std::time::Duration;

use super::Turns;
use crate::model::RateLimit;

/// One webhook's tokens.
#[derive(Clone, Debug)]
pub struct Bucket {
    limit: RateLimit,
    interval: Duration,
    /// When it will be full.
    full_at: Duration,
    turns: Turns,
}

impl Bucket {
    /// A full one.
    pub fn full(limit: RateLimit, now: Duration) -> Self {
        Self { limit, interval: limit.interval(), full_at: now, turns: Turns::default() }
    }

    /// Goes on with `limit`. The tokens that are there stay, as many as there is room for, and turns are given anew.
    pub fn set_limit(&mut self, limit: RateLimit, now: Duration) {
        if limit == self.limit {
            return;
        }
        let lacking = self.debt(now).as_nanos().div_ceil(self.interval.as_nanos().max(1));
        let lacking = u32::try_from(lacking).unwrap_or(u32::MAX).min(self.limit.burst());
        let there = (self.limit.burst() - lacking).min(limit.burst());
        *self = Self::full(limit, now);
        self.full_at = now.saturating_add(self.interval.saturating_mul(limit.burst() - there));
    }

    /// Takes a token, or tells how long until the next one comes.
    ///
    /// # Errors
    /// When there is none: how long until there is.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        match self.wait(0, now) {
            Duration::ZERO => {
                self.full_at = self.full_at.max(now).saturating_add(self.interval);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// How long until a token is there for one who lets `ahead` others go first; zero: it is there.
    pub fn wait(&mut self, ahead: u32, now: Duration) -> Duration {
        // Emptier than empty is none: `now` went back.
        self.full_at = self.full_at.min(now.saturating_add(self.room()));
        let needed = self.interval.saturating_mul(ahead.saturating_add(1));
        self.debt(now).saturating_add(needed).saturating_sub(self.room())
    }

    /// How long until the turn of one more that is put off, behind those that were put off before and `ahead` others that wait
    /// for a token now.
    pub fn book(&mut self, ahead: u32, now: Duration) -> Duration {
        let soonest = self.wait(ahead, now);
        self.turns.book(self.interval, soonest, now)
    }

    /// How far from full it is, in time.
    fn debt(&self, now: Duration) -> Duration {
        self.full_at.saturating_sub(now)
    }

    /// How far from full it can be, in time.
    fn room(&self) -> Duration {
        self.interval.saturating_mul(self.limit.burst())
    }
}

#[cfg(test)]
mod tests;
