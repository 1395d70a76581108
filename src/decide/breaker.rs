//! When a webhook, or a host, that fails is left alone for a while, and when it is tried again.
//!
//! ```text
//!            failures in a row, or most in a window, or Retry-After
//!   closed ------------------------------------------------------> open <----------+
//!      ^                                                            | its time     | failure: a longer time
//!      |                        success                             v has come     |
//!      +-------------------------------------------------------- probing ----------+
//! ```
//!
//! Whoever wants to make a request asks for leave, and tells how it ended. While it is open nobody gets leave; once its time
//! has come one does, the probe. What was begun before the state last changed says nothing about the state that came after,
//! and does not change it; only what the receiver asks for by `Retry-After` is listened to even then.
//!
//! Only failures that are tried again count. An answer that refuses one event shows that the receiver is there.
//!
//! `now` is a time that only moves on. Should it go back all the same, no time to be waited for grows.

use std::time::Duration;

/// How long it is open the first time; doubled with each probe that fails.
const OPEN_FIRST: Duration = Duration::from_secs(5);
/// How long it is open at most, unless the receiver asked for longer: how late a recovery is seen.
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// The part of that time that chance may take.
const JITTER: f64 = 0.2;
/// The shortest time it is open because the receiver asked for it: who asks for nothing is not let through at once.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// The time in which the ratio of failures is taken: this long at least, and twice as long at most.
const WINDOW: Duration = Duration::from_secs(30);
/// Outcomes that a window must have for its ratio to mean anything.
const WINDOW_OUTCOMES_MIN: u32 = 20;
/// Failures of a hundred outcomes in the window that open it.
const WINDOW_FAILURES_PERCENT: u32 = 80;

/// Lets requests through, stops them, or lets one through to see.
#[derive(Clone, Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    failures_max: u32,
    state: State,
    /// Counts changes of the state.
    epoch: u64,
    failures_in_a_row: u32,
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open(Open),
    /// Its probe is under way; what it is when that fails is kept.
    Probing(Open),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    until: Duration,
    why: Why,
    /// Times that it opened since the last success, but for those when the receiver asked for it.
    times: u32,
    /// Someone is to come back when its time has come.
    awaited: bool,
}

/// Why it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It failed too often.
    Failing,
    /// The receiver asked for it by `Retry-After`.
    RetryAfter,
}

/// How it stands, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go through.
    Closed,
    /// None does.
    Open,
    /// One is under way, to see.
    Probing,
}

impl BreakerState {
    /// The name that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

/// Leave for one request. What became of it is told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    epoch: u64,
}

/// No leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// How long it stays open at least; zero when a probe is under way.
    pub wait: Duration,
    /// Why.
    pub why: Why,
}

/// How a request that had leave ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The receiver answered, and trying again would change nothing.
    Answered,
    /// It failed, and is tried again; by `Retry-After` the receiver may have asked for all to wait.
    Failed {
        /// For how long.
        hold: Option<Duration>,
    },
    /// It says nothing about the receiver.
    Nothing,
}

/// What an ending changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anyone need be told.
    None,
    /// It opened, or opened again, for this long.
    Opened(Duration),
    /// It closed.
    Closed,
}

impl Breaker {
    /// A closed one, which `failures_max` failures in a row open; none at all do when that is 0.
    pub fn closed(failures_max: u32) -> Self {
        let window = Window::default();
        Self { failures_max, state: State::Closed, epoch: 0, failures_in_a_row: 0, window }
    }

    /// Closes it whatever it was: what was known of the receiver holds no more.
    pub fn reset(&mut self) {
        if self.state != State::Closed {
            self.become_state(State::Closed);
        }
        (self.failures_in_a_row, self.window) = (0, Window::default());
    }

    /// How it stands.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open(_) => BreakerState::Open,
            State::Probing(_) => BreakerState::Probing,
        }
    }

    /// Failures since the last answer.
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    /// Whether a request would get no leave now, and why.
    pub fn shut(&self, now: Duration) -> Option<Shut> {
        match self.state {
            State::Open(open) if open.until > now => Some(Shut { wait: open.until.saturating_sub(now), why: open.why }),
            State::Closed | State::Open(_) => None,
            State::Probing(open) => Some(Shut { wait: Duration::ZERO, why: open.why }),
        }
    }

    /// Leave for a request that is made now; the probe's if it is open and its time has come.
    ///
    /// # Errors
    /// When there is none now.
    pub fn leave(&mut self, now: Duration) -> Result<Leave, Shut> {
        if let Some(shut) = self.shut(now) {
            return Err(shut);
        }
        if let State::Open(open) = self.state {
            self.become_state(State::Probing(open));
        }
        Ok(Leave { epoch: self.epoch })
    }

    /// Whether the one who asks is to come back just when the time has come, to be the probe: the first who asks is.
    pub fn awaits(&mut self) -> bool {
        match &mut self.state {
            State::Open(open) => !std::mem::replace(&mut open.awaited, true),
            State::Closed | State::Probing(_) => false,
        }
    }

    /// Whether someone is to be the probe, or is.
    pub fn has_probe(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Open(open) => open.awaited,
            State::Probing(_) => true,
        }
    }

    /// The request that got `leave` has ended; `jitter` is in [0, 1).
    pub fn ended(&mut self, leave: Leave, ending: Ending, now: Duration, jitter: f64) -> Change {
        if leave.epoch != self.epoch {
            return self.ended_late(ending, now);
        }
        match (self.state, ending) {
            (State::Closed, Ending::Answered) => {
                self.failures_in_a_row = 0;
                self.window.note(false, now);
                Change::None
            }
            (State::Closed, Ending::Failed { hold }) => self.failed(hold, now, jitter),
            (State::Probing(_), Ending::Answered) => {
                self.reset();
                Change::Closed
            }
            // No failure opens this one; the receiver alone had asked for it.
            (State::Probing(_), Ending::Failed { hold: None }) if self.failures_max == 0 => {
                self.reset();
                Change::Closed
            }
            (State::Probing(open), Ending::Failed { hold }) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.open(open.times, hold, now, jitter)
            }
            // The next who comes is the probe.
            (State::Probing(open), Ending::Nothing) => {
                self.become_state(State::Open(Open { until: now, awaited: false, ..open }));
                Change::None
            }
            (State::Closed, Ending::Nothing) | (State::Open(_), _) => Change::None,
        }
    }

    /// A request that was begun before the state changed has ended.
    fn ended_late(&mut self, ending: Ending, now: Duration) -> Change {
        if let (State::Open(open), Ending::Failed { hold: Some(hold) }) = (&mut self.state, ending) {
            let until = now.saturating_add(hold);
            if until > open.until {
                (open.until, open.why) = (until, Why::RetryAfter);
            }
        }
        Change::None
    }

    fn failed(&mut self, hold: Option<Duration>, now: Duration, jitter: f64) -> Change {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.window.note(true, now);
        let is_failing = self.failures_in_a_row >= self.failures_max || self.window.is_failing();
        let opens = hold.is_some() || (self.failures_max > 0 && is_failing);
        if opens { self.open(0, hold, now, jitter) } else { Change::None }
    }

    /// Opens; it has opened `times` times before.
    fn open(&mut self, times: u32, hold: Option<Duration>, now: Duration, jitter: f64) -> Change {
        let (wait, why, times) = match hold {
            Some(hold) => (hold.max(HOLD_MIN), Why::RetryAfter, times),
            None => (open_wait(times, jitter), Why::Failing, times.saturating_add(1)),
        };
        self.become_state(State::Open(Open { until: now.saturating_add(wait), why, times, awaited: false }));
        Change::Opened(wait)
    }

    fn become_state(&mut self, state: State) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// How long it is open after it has opened `times` times before. Chance only shortens: what all wait for must not be late.
fn open_wait(times: u32, jitter: f64) -> Duration {
    let doubled = OPEN_FIRST.saturating_mul(2_u32.saturating_pow(times)).min(PROBE_WAIT_MAX);
    doubled.mul_f64(1.0 - JITTER * jitter.clamp(0.0, 1.0))
}

/// The outcomes of late: those of this stretch of time, and those of the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Duration,
    current: Tally,
    before: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    all: u32,
    failed: u32,
}

impl Window {
    fn note(&mut self, has_failed: bool, now: Duration) {
        let since = now.saturating_sub(self.began);
        if since >= WINDOW {
            self.before = if since < 2 * WINDOW { self.current } else { Tally::default() };
            (self.current, self.began) = (Tally::default(), now);
        }
        self.current.all = self.current.all.saturating_add(1);
        self.current.failed = self.current.failed.saturating_add(u32::from(has_failed));
    }

    fn is_failing(&self) -> bool {
        let all = self.current.all.saturating_add(self.before.all);
        let failed = u64::from(self.current.failed) + u64::from(self.before.failed);
        all >= WINDOW_OUTCOMES_MIN && failed * 100 >= u64::from(all) * u64::from(WINDOW_FAILURES_PERCENT)
    }
}

#[cfg(test)]
mod tests;
