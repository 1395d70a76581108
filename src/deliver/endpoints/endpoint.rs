//! One webhook's slots, its breaker, and what is counted of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use url::Url;

use super::count::{Count, Counted};
use super::host::Host;
use super::{EndpointPolicy, LeftAlone, NoSlot};
use crate::decide::{
    Breaker, BreakerState, Change, Comeback, Ending, Leave, PARK_WAIT_MAX, Pace, Shut, Slots, Turns, Why, apart,
};
use crate::model::{ParkReason, Timestamp, Webhook, WebhookId};

/// How long a webhook with requests under way may answer none of them before it is held to be slow.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// A webhook as it was registered at a time.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: WebhookId,
    url: Url,
    updated_at: Timestamp,
    pub(super) host: Arc<Host>,
    /// Wakes one that waits for a slot.
    pub(super) wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) slots: Slots,
    pub(super) in_use: u32,
    pub(super) waiters: u32,
    pub(super) breaker: Breaker,
    /// How fast it is, as its requests under way are counted in what it shares with others.
    pub(super) pace: Pace,
    /// When one of its requests last ended, or the first of them began.
    progress: Instant,
    /// Until when it has enough to do with those that were put off.
    booked: Instant,
    /// When those come back that were put off because it is left alone.
    comebacks: Turns,
    /// All webhooks of this worker that are left alone,
    shut_all: Count,
    /// and that this is one of them.
    shut: Option<Counted>,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) parked: u64,
}

impl Endpoint {
    pub(super) fn new(webhook: &Webhook, host: Arc<Host>, policy: &EndpointPolicy, shut_all: &Count) -> Self {
        let slots_max = policy.slots_max.min(policy.per_host).min(policy.concurrency);
        let state = State {
            slots: Slots::first(u32::try_from(slots_max).unwrap_or(u32::MAX)),
            in_use: 0,
            waiters: 0,
            breaker: Breaker::closed(policy.breaker_failures),
            pace: Pace::Unproven,
            progress: Instant::now(),
            booked: Instant::now(),
            comebacks: Turns::default(),
            shut_all: shut_all.clone(),
            shut: None,
            attempts: 0,
            failures: 0,
            parked: 0,
        };
        Self {
            id: webhook.id.clone(),
            url: webhook.url.clone(),
            updated_at: webhook.updated_at,
            host,
            wake: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// Whether what was learned is of `webhook` as it is now.
    pub(super) fn is_of(&self, webhook: &Webhook) -> bool {
        self.updated_at == webhook.updated_at && self.url == webhook.url
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether its last request did not fail, as far as it is known.
    pub(super) fn is_well(&self) -> bool {
        self.breaker.failures_in_a_row() == 0 && self.breaker.state() == BreakerState::Closed
    }

    /// How fast it is now.
    pub(super) fn pace_now(&self) -> Pace {
        let is_stalled = self.in_use > 0 && self.progress.elapsed() > STALLED_AFTER;
        if is_stalled { Pace::Slow } else { self.slots.pace() }
    }

    /// A request begins.
    pub(super) fn begin(&mut self) {
        if self.in_use == 0 {
            self.progress = Instant::now();
        }
        self.in_use += 1;
    }

    /// A request has ended, or was given up.
    pub(super) fn end(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
        self.progress = Instant::now();
    }

    /// A turn behind all that were put off before, at the pace at which the slots are served.
    pub(super) fn book(&mut self) -> NoSlot {
        self.parked();
        let now = Instant::now();
        // None that is under way has been answered for so long: the next answer takes no less.
        let silence = if self.in_use > 0 { now.saturating_duration_since(self.progress) } else { Duration::ZERO };
        let pace = self.slots.mean().max(silence) / self.slots.count();
        // No further ahead than anyone is put off: what is beyond comes back and asks again.
        self.booked = self.booked.clamp(now, now + PARK_WAIT_MAX) + pace;
        NoSlot { turn: self.booked.saturating_duration_since(now) }
    }

    /// The request that got `leave` has ended; `jitter` is in [0, 1).
    pub(super) fn ended(&mut self, leave: Leave, ending: Ending, now: Duration, jitter: f64) -> Change {
        let change = self.breaker.ended(leave, ending, now, jitter);
        match change {
            Change::None => {}
            Change::Opened(_) => self.shut = self.shut.take().or_else(|| Some(self.shut_all.one_more())),
            // What waits for it comes to an end: should it fail again, nobody has to wait behind that.
            Change::Closed => (self.shut, self.comebacks) = (None, Turns::default()),
        }
        change
    }

    /// What one is told that meets the open breaker.
    pub(super) fn left_alone(&mut self, shut: Shut, now: Duration) -> LeftAlone {
        let reason = match shut.why {
            Why::Failing => ParkReason::BreakerOpen,
            Why::RetryAfter => ParkReason::RetryAfter,
        };
        self.parked();
        let comeback = if self.breaker.awaits() { Comeback::Probe } else { self.comeback(now) };
        LeftAlone { reason, wait: shut.wait, comeback }
    }

    /// What one is told whose host is left alone.
    pub(super) fn left_alone_with_host(&mut self, shut: Shut, now: Duration) -> LeftAlone {
        self.parked();
        LeftAlone { reason: ParkReason::HostDown, wait: shut.wait, comeback: self.comeback(now) }
    }

    fn comeback(&mut self, now: Duration) -> Comeback {
        Comeback::Turn(self.comebacks.book(apart(self.shut_all.get()), Duration::ZERO, now))
    }

    fn parked(&mut self) {
        self.parked = self.parked.saturating_add(1);
    }
}
