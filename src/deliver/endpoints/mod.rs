//! Endpoints: each webhook's slots and breaker, and what the webhooks of one host and of this worker share, so that a bad
//! one delays only itself (promise 6). The rules are `decide`'s: [`Slots`], [`Share`], [`Breaker`], [`HostBackoff`].
//!
//! A delivery asks whether its webhook is shut, waits for a slot, and asks for leave when it has one and is about to go. It
//! waits here only while its turn is expected within a short patience, and while the webhook's waiters hold no more than their
//! fair share of the prefetch. Otherwise it is told so at once, and when its turn is expected behind all that were put off
//! before it, and is parked in the queue until then, where it holds nothing.
//!
//! What is learned is this worker's alone, and in memory. A webhook that is changed begins afresh.

mod acquire;
mod endpoint;
mod foreseen;
mod host;
mod sharing;
mod sight;
mod turn;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::endpoint::Endpoint;
use self::host::{Host, Pool};
use self::sharing::Sharing;
use crate::clock::SharedClock;
use crate::decide::Comeback;
use crate::model::{ParkReason, Webhook, WebhookId};
use crate::registry::{Known as Registered, Snapshot};
use crate::telemetry::SharedTelemetry;

pub use self::sight::{EndpointSight, EndpointsSight, HostSight};
pub(super) use self::turn::Turn;

/// Endpoints, or hosts, remembered before those that are idle are forgotten.
const IDLE_REMEMBERED_MAX: usize = 10_000;

/// How often it is asked who has nothing waiting for a turn any more.
const TURNS_LEFT_EVERY: Duration = Duration::from_secs(10);

/// What an endpoint, and all of them, may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointPolicy {
    /// Requests in flight, over all webhooks.
    pub(super) concurrency: usize,
    /// Requests in flight to one webhook at most.
    pub(super) slots_max: usize,
    /// Requests in flight to one host at most, over all its webhooks.
    pub(super) per_host: usize,
    /// How long a delivery may wait in the worker.
    pub(super) patience: Duration,
    /// Deliveries that may wait in the worker, over all webhooks.
    pub(super) waiters_max: usize,
    /// Failures in a row that open a webhook's breaker; 0: none do.
    pub(super) breaker_failures: u32,
    /// How long a `Retry-After` may keep a webhook shut.
    pub(super) retry_after_max: Duration,
}

/// Every endpoint of this worker.
#[derive(Debug)]
pub struct Endpoints {
    policy: EndpointPolicy,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    known: Mutex<Known>,
    /// What all of them share.
    worker: Mutex<Pool>,
    /// Webhooks that have waiters.
    crowded: AtomicUsize,
    /// Webhooks for which deliveries wait that were put off until a turn share the turns.
    sharing: Sharing,
}

#[derive(Debug, Default)]
struct Known {
    webhooks: HashMap<WebhookId, Arc<Endpoint>>,
    hosts: HashMap<Arc<str>, Arc<Host>>,
    /// The registrations by which those that were deleted were last forgotten.
    seen: Option<Arc<Snapshot>>,
    /// When it was last asked who has nothing waiting for a turn any more.
    turns_left_at: Duration,
}

/// No slot will be free within the patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// Others are before it: how long until its turn.
    Behind(Duration),
    /// None of the webhook's requests has been answered for a while, and it may be one of many that have begun to hang.
    Silent(LeftAlone),
}

/// The webhook, or its host, is left alone now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftAlone {
    pub(super) reason: ParkReason,
    /// How long at least.
    pub(super) wait: Duration,
    pub(super) comeback: Comeback,
}

impl Endpoints {
    /// Those of a process that delivers nothing: none, ever.
    pub fn none(clock: SharedClock, telemetry: SharedTelemetry) -> Self {
        let policy = EndpointPolicy {
            concurrency: 0,
            slots_max: 0,
            per_host: 0,
            patience: Duration::ZERO,
            waiters_max: 0,
            breaker_failures: 0,
            retry_after_max: Duration::ZERO,
        };
        Self::new(policy, clock, telemetry)
    }

    pub(super) fn new(policy: EndpointPolicy, clock: SharedClock, telemetry: SharedTelemetry) -> Self {
        let worker = Mutex::new(Pool::of(policy.concurrency));
        Self {
            policy,
            clock,
            telemetry,
            known: Mutex::default(),
            worker,
            crowded: AtomicUsize::new(0),
            sharing: Sharing::default(),
        }
    }

    /// Whether `webhook` is left alone now, so that it is not worth waiting for a slot.
    pub(super) fn left_alone(&self, webhook: &Webhook) -> Option<LeftAlone> {
        let endpoint = self.of(webhook);
        let now = self.clock.elapsed();
        let shut = endpoint.shut(&endpoint.state(), now)?;
        self.known().leave_turns(now);
        Some(endpoint.state().shut_out(shut, now))
    }

    /// How long until the turn of one whose attempt failed and is to be made again, if `webhook` is left alone.
    pub(super) fn retry_turn(&self, webhook: &Webhook) -> Option<Duration> {
        let endpoint = self.of(webhook);
        let now = self.clock.elapsed();
        let mut state = endpoint.state();
        let shut = endpoint.shut(&state, now)?;
        state.retry_turn(shut, now)
    }

    /// Forgets webhooks that were deleted.
    pub(super) fn follow(&self, snapshot: &Arc<Snapshot>) {
        let mut known = self.known();
        if known.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, snapshot)) {
            return;
        }
        known.webhooks.retain(|id, _| matches!(snapshot.find(id), Registered::Webhook(_)));
        known.seen = Some(Arc::clone(snapshot));
    }

    fn of(&self, webhook: &Webhook) -> Arc<Endpoint> {
        let mut known = self.known();
        if let Some(endpoint) = known.webhooks.get(&webhook.id)
            && endpoint.is_of(webhook)
        {
            return Arc::clone(endpoint);
        }
        known.forget_the_idle();
        let host = known.host(webhook, &self.policy);
        let endpoint = Arc::new(Endpoint::new(webhook, host, &self.policy, &self.sharing));
        known.webhooks.insert(webhook.id.clone(), Arc::clone(&endpoint));
        endpoint
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) -> MutexGuard<'_, Pool> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Has those leave the turns to others for which nothing waits any more, now and then.
    fn leave_turns(&mut self, now: Duration) {
        if now.saturating_sub(self.turns_left_at) < TURNS_LEFT_EVERY {
            return;
        }
        self.turns_left_at = now;
        self.webhooks.values().for_each(|endpoint| endpoint.state().leave_turns(now));
    }

    /// The host of `webhook`, by scheme, name and port, as connections are kept.
    fn host(&mut self, webhook: &Webhook, policy: &EndpointPolicy) -> Arc<Host> {
        let name: Arc<str> = webhook.url.origin().ascii_serialization().into();
        Arc::clone(self.hosts.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(Host::new(name, policy))))
    }

    /// Makes room when there are too many: nothing is lost with those that nobody uses and that answer.
    fn forget_the_idle(&mut self) {
        if self.webhooks.len() >= IDLE_REMEMBERED_MAX {
            self.webhooks.retain(|_, endpoint| Arc::strong_count(endpoint) > 1 || !endpoint.state().is_well());
        }
        if self.hosts.len() >= IDLE_REMEMBERED_MAX {
            self.hosts.retain(|_, host| Arc::strong_count(host) > 1 || !host.backoff().is_closed());
        }
    }
}

#[cfg(test)]
mod tests;
