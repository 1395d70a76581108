//! One webhook's slots, its breaker, and what is counted of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use url::Url;

use super::host::Host;
use super::sharing::{Share, Sharing};
use super::{EndpointPolicy, LeftAlone, NoSlot};
use crate::decide::{
    Breaker, BreakerState, Change, Comeback, Ending, Leave, PARK_WAIT_MAX, Pace, Shut, Slots, Turns, Why,
};
use crate::model::{ParkReason, Timestamp, Webhook, WebhookId};

/// How long a webhook with requests under way may answer none of them before it is held to be slow.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// How much later than its turn a delivery may come back from the queue, besides what the queue takes for its wait.
const LATE_MAX: Duration = Duration::from_secs(60);

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
    /// When those come back that were put off because it is left alone, or answers none of its requests.
    comebacks: Turns,
    /// Who shares the turns to come back,
    sharing: Sharing,
    /// and that this does.
    put_off: Option<PutOff>,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) parked: u64,
}

/// That deliveries of a webhook were put off until a turn, and wait for it.
#[derive(Debug)]
struct PutOff {
    /// When the last of them has come back, even by a queue that takes twice as long.
    until: Duration,
    _share: Share,
}

/// What keeps deliveries to a webhook from being tried.
#[derive(Clone, Copy)]
pub(super) enum ShutBy {
    Breaker(Shut),
    Host(Shut),
}

impl Endpoint {
    pub(super) fn new(webhook: &Webhook, host: Arc<Host>, policy: &EndpointPolicy, sharing: &Sharing) -> Self {
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
            sharing: sharing.clone(),
            put_off: None,
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

    /// What keeps deliveries to it from being tried now, as its state is.
    pub(super) fn shut(&self, state: &State, now: Duration) -> Option<ShutBy> {
        let breaker = state.breaker.shut(now).map(ShutBy::Breaker);
        breaker.or_else(|| self.host.backoff().shut(now).filter(|_| !state.is_well()).map(ShutBy::Host))
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
        if self.is_stalled() { Pace::Slow } else { self.slots.pace() }
    }

    /// Whether it has answered none of its requests for a while.
    pub(super) fn is_stalled(&self) -> bool {
        self.silence() > STALLED_AFTER
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

    /// What one is told that finds no slot.
    pub(super) fn no_slot(&mut self, now: Duration) -> NoSlot {
        self.parked();
        // None that is under way has been answered for so long: the next answer takes no less, and comes no sooner.
        let silence = self.silence();
        let turn = self.own_turn(silence);
        if silence <= STALLED_AFTER {
            return NoSlot::Behind(turn);
        }
        let comeback = Comeback::Turn(turn.max(self.shared_turn(silence, now)));
        NoSlot::Silent(LeftAlone { reason: ParkReason::NoSlot, wait: silence, comeback })
    }

    /// How long until its turn behind those that found no slot before, at the pace at which the slots are served, after `soonest`.
    fn own_turn(&mut self, soonest: Duration) -> Duration {
        let now = Instant::now();
        let pace = self.slots.mean().max(soonest) / self.slots.count();
        // No further ahead than anyone is put off: what is beyond comes back and asks again.
        self.booked = self.booked.clamp(now + soonest.min(PARK_WAIT_MAX), now + PARK_WAIT_MAX) + pace;
        self.booked.saturating_duration_since(now)
    }

    /// For how long none of its requests that are under way has been answered.
    fn silence(&self) -> Duration {
        if self.in_use > 0 { self.progress.elapsed() } else { Duration::ZERO }
    }

    /// The request that got `leave` has ended; `jitter` is in [0, 1).
    pub(super) fn ended(&mut self, leave: Leave, ending: Ending, now: Duration, jitter: f64) -> Change {
        let change = self.breaker.ended(leave, ending, now, jitter);
        let answers = ending == Ending::Answered && self.breaker.state() == BreakerState::Closed;
        if change == Change::Closed || answers {
            // What waits for it comes to an end: should it fail again, nobody has to wait behind that.
            (self.put_off, self.comebacks) = (None, Turns::default());
        }
        change
    }

    /// What one is told that meets what keeps it from being tried.
    pub(super) fn shut_out(&mut self, shut: ShutBy, now: Duration) -> LeftAlone {
        match shut {
            ShutBy::Breaker(shut) => self.left_alone(shut, now),
            ShutBy::Host(shut) => self.left_alone_with_host(shut, now),
        }
    }

    /// What one is told that meets the open breaker.
    pub(super) fn left_alone(&mut self, shut: Shut, now: Duration) -> LeftAlone {
        let reason = match shut.why {
            Why::Failing => ParkReason::BreakerOpen,
            Why::RetryAfter => ParkReason::RetryAfter,
        };
        self.parked();
        let comeback =
            if self.breaker.awaits() { Comeback::Probe } else { Comeback::Turn(self.shared_turn(Duration::ZERO, now)) };
        LeftAlone { reason, wait: shut.wait, comeback }
    }

    /// What one is told whose host is left alone.
    pub(super) fn left_alone_with_host(&mut self, shut: Shut, now: Duration) -> LeftAlone {
        self.parked();
        let comeback = Comeback::Turn(self.shared_turn(Duration::ZERO, now));
        LeftAlone { reason: ParkReason::HostDown, wait: shut.wait, comeback }
    }

    /// The turn of a retry, so that it does not come only to be put off; nothing for one that may be needed to see whether the
    /// receiver is well again.
    pub(super) fn retry_turn(&mut self, shut: ShutBy, now: Duration) -> Option<Duration> {
        let wait = match shut {
            ShutBy::Breaker(shut) => self.breaker.has_probe().then_some(shut.wait)?,
            ShutBy::Host(shut) => shut.wait,
        };
        Some(self.shared_turn(Duration::ZERO, now).max(wait))
    }

    /// How long until its turn among those of all webhooks that share the turns, after `soonest`.
    fn shared_turn(&mut self, soonest: Duration, now: Duration) -> Duration {
        let mut later = Duration::ZERO;
        let put_off = self.put_off.get_or_insert_with(|| {
            let share;
            (share, later) = self.sharing.begin(now);
            PutOff { until: now, _share: share }
        });
        let turn = self.comebacks.book(self.sharing.apart(), soonest.saturating_add(later), now);
        put_off.until = put_off.until.max(now + 2 * turn + LATE_MAX);
        turn
    }

    /// Leaves the turns to others once nothing waits for one here.
    pub(super) fn leave_turns(&mut self, now: Duration) {
        self.put_off.take_if(|put_off| put_off.until < now);
    }

    fn parked(&mut self) {
        self.parked = self.parked.saturating_add(1);
    }
}
