//! How many requests one webhook may have under way: as many as it answers well.
//!
//! It begins with a few. While all of them are in use and answers come about as fast as they ever did, each answer adds one
//! (so they double with each round of answers), up to a limit; once they had to shrink, a whole round adds one. When answers
//! come much slower than the best, requests wait for each other at the receiver, and more of them only makes it worse: they
//! shrink a little. (What is best is learned anew from each that was alone: a receiver that has moved away is not crowded.) When one fails, they halve. Either happens at most once in a round, since a round's requests share one
//! fate. There is always one: without it nobody would learn that the receiver is well again.
//!
//! A webhook is *slow* when the median of its latest answers took over a second, and *unproven* before its first answer. What
//! the slow and the unproven may hold of the worker and of a host is bounded by [`Share`].

use std::time::Duration;

/// Requests that a webhook of which nothing is known may have under way.
pub const SLOTS_FIRST: u32 = 64;
/// An answer that takes longer is slow, whatever the receiver's best.
const SLOW: Duration = Duration::from_secs(1);
/// Answers up to this are always fast enough to grow.
const FAST: Duration = Duration::from_millis(100);
/// An answer that takes this many times the best says that requests wait for each other.
const CROWDED: u32 = 3;
/// What is left of the slots after a crowded answer, in tenths.
const CROWDED_LEAVES_TENTHS: u32 = 9;
/// What an answer is taken to need before the first one came.
const ANSWER_GUESS: Duration = Duration::from_millis(5);
/// The share of a new answer time in the running mean: an eighth.
const MEAN_SHARE: u32 = 8;
/// Answers of which the median is taken.
const RECENT: usize = 9;

/// One webhook's slots, and what they were learned from.
#[derive(Clone, Debug)]
pub struct Slots {
    count: u32,
    max: u32,
    /// It has not had to shrink yet: each answer adds one.
    is_doubling: bool,
    round: Round,
    best: Option<Duration>,
    mean: Duration,
    recent: Recent,
}

/// About as many answers as requests were under way when it began.
#[derive(Clone, Copy, Debug)]
struct Round {
    left: u32,
    /// The most that were under way in it.
    peak: u32,
    has_shrunk: bool,
}

/// How fast a webhook answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It has not answered yet.
    Unproven,
    /// It answers within a second, mostly.
    Fast,
    /// It does not.
    Slow,
}

impl Pace {
    /// The name that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

impl Slots {
    /// Those of a webhook of which nothing is known; never more than `max`.
    pub fn first(max: u32) -> Self {
        let max = max.max(1);
        Self {
            count: SLOTS_FIRST.min(max),
            max,
            is_doubling: true,
            round: Round { left: SLOTS_FIRST.min(max), peak: 0, has_shrunk: false },
            best: None,
            mean: ANSWER_GUESS,
            recent: Recent::default(),
        }
    }

    /// How many there are, 1 or more.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The running mean of answer times.
    pub fn mean(&self) -> Duration {
        self.mean
    }

    /// How fast it answers.
    pub fn pace(&self) -> Pace {
        match self.recent.median() {
            None => Pace::Unproven,
            Some(median) if median > SLOW => Pace::Slow,
            Some(_) => Pace::Fast,
        }
    }

    /// The receiver answered after `took`, while `in_use` slots were in use, that one included.
    pub fn answered(&mut self, took: Duration, in_use: u32) {
        self.learn(took);
        // One that was alone waited for no other.
        let best = self.best.filter(|_| in_use > 1).map_or(took, |best| best.min(took));
        self.best = Some(best);
        let is_crowded = took > FAST && took > best.saturating_mul(CROWDED);
        let may_grow = !is_crowded && took <= SLOW && self.is_in_full_use(in_use);
        if is_crowded {
            self.shrink(self.count.saturating_mul(CROWDED_LEAVES_TENTHS) / 10, in_use);
        } else if may_grow && self.is_doubling {
            self.count = self.count.saturating_add(1).min(self.max);
        }
        self.end_of_answer(may_grow, in_use);
    }

    /// A request failed after `took`, while `in_use` slots were in use, that one included.
    pub fn failed(&mut self, took: Duration, in_use: u32) {
        self.learn(took);
        self.shrink(self.count / 2, in_use);
        self.end_of_answer(false, in_use);
    }

    /// One that waited for `took` at least was not served.
    pub fn took_at_least(&mut self, took: Duration) {
        self.mean = self.mean.max(took);
    }

    /// How many answers one has to wait for, one after the other, behind `waiters` others while all slots are in use.
    pub fn turns(&self, waiters: u32) -> u32 {
        let ahead = waiters.saturating_add(1);
        if !self.is_doubling {
            return ahead.div_ceil(self.count);
        }
        let (mut turns, mut served, mut slots) = (0_u32, 0_u32, self.count);
        while served < ahead && slots < self.max {
            slots = slots.saturating_mul(2).min(self.max);
            served = served.saturating_add(slots);
            turns += 1;
        }
        turns.saturating_add(ahead.saturating_sub(served).div_ceil(self.max))
    }

    fn learn(&mut self, took: Duration) {
        self.mean = self.mean - self.mean / MEAN_SHARE + took / MEAN_SHARE;
        self.recent.push(took);
    }

    /// Whether more than half of them were needed in this round: those that end together do not make it look idle.
    fn is_in_full_use(&mut self, in_use: u32) -> bool {
        self.round.peak = self.round.peak.max(in_use);
        self.round.peak.saturating_mul(2) > self.count
    }

    fn shrink(&mut self, to: u32, in_use: u32) {
        if !self.round.has_shrunk {
            (self.count, self.is_doubling) = (to.max(1), false);
            // Those that are under way share the fate of this one.
            self.round = Round { left: in_use.max(1), peak: 0, has_shrunk: true };
        }
    }

    fn end_of_answer(&mut self, may_grow: bool, in_use: u32) {
        self.round.left = self.round.left.saturating_sub(1);
        if self.round.left == 0 {
            if may_grow && !self.is_doubling && !self.round.has_shrunk {
                self.count = self.count.saturating_add(1).min(self.max);
            }
            self.round = Round { left: self.count, peak: in_use.saturating_sub(1), has_shrunk: false };
        }
    }
}

/// The latest answer times, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    ms: [u32; RECENT],
    count: usize,
    next: usize,
}

impl Recent {
    fn push(&mut self, took: Duration) {
        self.ms[self.next] = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.next = (self.next + 1) % RECENT;
        self.count = (self.count + 1).min(RECENT);
    }

    fn median(&self) -> Option<Duration> {
        let mut ms = self.ms;
        let ms = &mut ms[..self.count];
        ms.sort_unstable();
        ms.get(self.count / 2).map(|ms| Duration::from_millis(u64::from(*ms)))
    }
}

/// What many webhooks share: the worker's requests, or the connections to one host. The slow and the unproven hold at most
/// half of it, so that the fast always find some.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    max: usize,
    used: usize,
    /// Of those, by webhooks that are slow or unproven.
    used_by_slow: usize,
}

impl Share {
    /// All of `max`, unused.
    pub fn of(max: usize) -> Self {
        Self { max: max.max(1), used: 0, used_by_slow: 0 }
    }

    /// How much is in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether a webhook of that pace, which holds `held` of it, may take one.
    pub fn has_room(&self, pace: Pace, held: usize) -> bool {
        let half = (self.max / 2).max(1);
        self.used < self.max
            && match pace {
                Pace::Fast => true,
                Pace::Slow => self.used_by_slow < half,
                // However many hang, one of which nothing is known gets its chance to show that it is fast.
                Pace::Unproven => self.used_by_slow < half || (held == 0 && self.used < self.max - self.max / 4),
            }
    }

    /// A webhook of that pace takes one.
    pub fn take(&mut self, pace: Pace) {
        self.used += 1;
        self.used_by_slow += usize::from(pace != Pace::Fast);
    }

    /// A webhook of that pace gives one back.
    pub fn give_back(&mut self, pace: Pace) {
        self.used = self.used.saturating_sub(1);
        self.used_by_slow = self.used_by_slow.saturating_sub(usize::from(pace != Pace::Fast));
    }

    /// A webhook that holds `held` of it has changed its pace.
    pub fn change(&mut self, held: usize, from: Pace, to: Pace) {
        match (from == Pace::Fast, to == Pace::Fast) {
            (true, false) => self.used_by_slow += held,
            (false, true) => self.used_by_slow = self.used_by_slow.saturating_sub(held),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
