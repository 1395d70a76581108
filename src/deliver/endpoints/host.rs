//! What the webhooks of one host share, and all webhooks of this worker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::EndpointPolicy;
use super::endpoint::Endpoint;
use crate::decide::{HostBackoff, Pace, Share};

/// A share, and whose waiters want some of it.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) share: Share,
    wanting: Wanting,
}

/// Webhooks with a waiter each, by whether they are fast: what there is for the fast is more.
#[derive(Debug, Default)]
struct Wanting {
    fast: VecDeque<Weak<Endpoint>>,
    others: VecDeque<Weak<Endpoint>>,
}

impl Pool {
    pub(super) fn of(max: usize) -> Self {
        Self { share: Share::of(max), wanting: Wanting::default() }
    }

    /// Wakes a waiter of `endpoint`, which is of that pace, once there is some.
    pub(super) fn want(&mut self, endpoint: &Arc<Endpoint>, pace: Pace) {
        let queue = if pace == Pace::Fast { &mut self.wanting.fast } else { &mut self.wanting.others };
        queue.push_back(Arc::downgrade(endpoint));
    }

    /// A webhook of that pace gives one back.
    pub(super) fn give_back(&mut self, pace: Pace) {
        self.share.give_back(pace);
        wake_one(&mut self.wanting.fast);
        if self.share.has_room(Pace::Slow, 0) {
            wake_one(&mut self.wanting.others);
        }
    }
}

/// Wakes a waiter of the first webhook that is still there. It asks again, and wants again if another was faster.
fn wake_one(queue: &mut VecDeque<Weak<Endpoint>>) {
    while let Some(endpoint) = queue.pop_front() {
        if let Some(endpoint) = endpoint.upgrade() {
            endpoint.wake.notify_one();
            return;
        }
    }
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    connections: Mutex<Pool>,
    backoff: Mutex<HostBackoff>,
}

impl Host {
    pub(super) fn new(name: Arc<str>, policy: &EndpointPolicy) -> Self {
        let connections = Mutex::new(Pool::of(policy.per_host));
        Self { name, connections, backoff: Mutex::new(HostBackoff::closed(policy.breaker_failures)) }
    }

    pub(super) fn connections(&self) -> MutexGuard<'_, Pool> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn backoff(&self) -> MutexGuard<'_, HostBackoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
