//! How the endpoints stand, for those who look: operators and metrics.

use std::time::Duration;

use super::Endpoints;
use crate::decide::{Breaker, BreakerState, Pace};
use crate::model::WebhookId;

/// How one webhook stands with this worker.
#[derive(Clone, Debug)]
pub struct EndpointSight {
    /// The webhook.
    pub webhook: WebhookId,
    /// Scheme, name and port of its URL.
    pub host: String,
    /// Requests under way.
    pub in_flight: u32,
    /// How many there may be.
    pub slots: u32,
    /// Deliveries that wait in the worker for a slot.
    pub waiting: u32,
    /// The running mean of its answer times.
    pub answer: Duration,
    /// How fast it is.
    pub pace: Pace,
    /// Its breaker.
    pub breaker: BreakerState,
    /// How long until the breaker lets one through, zero when its time has come; none when it is closed.
    pub open_for: Option<Duration>,
    /// Failures since its last answer.
    pub failures_in_a_row: u32,
    /// Attempts made since the worker first met it.
    pub attempts: u64,
    /// Of those, the ones that did not deliver.
    pub failures: u64,
    /// Times that one of its deliveries was put off since then for want of a slot, or because it was left alone.
    pub parked: u64,
}

/// A host that is left alone.
#[derive(Clone, Debug)]
pub struct HostSight {
    /// Scheme, name and port.
    pub host: String,
    /// For how long.
    pub left_alone_for: Duration,
}

/// Some numbers of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointsSight {
    /// Webhooks whose breaker does not let everything through.
    pub breakers_open: usize,
    /// Hosts that are left alone.
    pub hosts_left_alone: usize,
    /// Webhooks whose answers are slow.
    pub slow: usize,
    /// Deliveries that wait in the worker for a slot.
    pub waiting: usize,
}

fn open_for(breaker: &Breaker, now: Duration) -> Option<Duration> {
    let is_closed = breaker.state() == BreakerState::Closed;
    (!is_closed).then(|| breaker.shut(now).map_or(Duration::ZERO, |shut| shut.wait))
}

impl Endpoints {
    /// Each endpoint that the worker remembers.
    pub fn each(&self) -> Vec<EndpointSight> {
        let now = self.clock.elapsed();
        let endpoints: Vec<_> = self.known().webhooks.values().cloned().collect();
        let sight = |endpoint: std::sync::Arc<super::endpoint::Endpoint>| {
            let state = endpoint.state();
            EndpointSight {
                webhook: endpoint.id.clone(),
                host: endpoint.host.name.to_string(),
                in_flight: state.in_use,
                slots: state.slots.count(),
                waiting: state.waiters,
                answer: state.slots.mean(),
                pace: state.pace_now(),
                breaker: state.breaker.state(),
                open_for: open_for(&state.breaker, now),
                failures_in_a_row: state.breaker.failures_in_a_row(),
                attempts: state.attempts,
                failures: state.failures,
                parked: state.parked,
            }
        };
        endpoints.into_iter().map(sight).collect()
    }

    /// Each host that is left alone now.
    pub fn hosts_left_alone(&self) -> Vec<HostSight> {
        let now = self.clock.elapsed();
        let hosts: Vec<_> = self.known().hosts.values().cloned().collect();
        let sight = |host: std::sync::Arc<super::host::Host>| {
            let backoff = host.backoff();
            let left_alone_for = backoff.shut(now)?.wait;
            Some(HostSight { host: host.name.to_string(), left_alone_for })
        };
        hosts.into_iter().filter_map(sight).collect()
    }

    /// Some numbers of all.
    pub fn sight(&self) -> EndpointsSight {
        let mut sight = EndpointsSight { hosts_left_alone: self.hosts_left_alone().len(), ..EndpointsSight::default() };
        for endpoint in self.each() {
            sight.breakers_open += usize::from(endpoint.breaker != BreakerState::Closed);
            sight.slow += usize::from(endpoint.pace == Pace::Slow);
            sight.waiting += endpoint.waiting as usize;
        }
        sight
    }
}
