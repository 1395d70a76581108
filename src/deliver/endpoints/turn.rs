//! A delivery's turn: a slot in use, and leave to make its request.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::{Endpoints, LeftAlone};
use crate::decide::{Change, Ending, Leave, Reached, Verdict};
use crate::model::Outcome;

/// HTTP statuses whose `Retry-After` speaks for the whole webhook.
const HOLDING_STATUSES: [u16; 2] = [429, 503];

/// A slot in use; free again when dropped.
#[derive(Debug)]
pub(in crate::deliver) struct Turn<'a> {
    endpoints: &'a Endpoints,
    endpoint: Arc<Endpoint>,
    leave: Option<Leaves>,
}

#[derive(Clone, Copy, Debug)]
struct Leaves {
    webhook: Leave,
    /// None for one that goes although the host is left alone, since it has not failed itself.
    host: Option<Leave>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(endpoints: &'a Endpoints, endpoint: Arc<Endpoint>) -> Self {
        Self { endpoints, endpoint, leave: None }
    }

    /// Asks for leave to make the request now.
    ///
    /// # Errors
    /// When the webhook, or its host, is left alone by now.
    pub(in crate::deliver) fn ask_leave(&mut self) -> Result<(), LeftAlone> {
        let now = self.endpoints.clock.elapsed();
        let mut state = self.endpoint.state();
        let mut host = self.endpoint.host.backoff();
        let is_well = state.is_well();
        // Asked for last, since it makes this the probe: no leave is had that is not used.
        if let Some(shut) = host.shut(now).filter(|_| !is_well) {
            return Err(state.left_alone_with_host(shut, now));
        }
        let webhook = state.breaker.leave(now).map_err(|shut| state.left_alone(shut, now))?;
        let host = host.leave(is_well, now).unwrap_or_default();
        self.leave = Some(Leaves { webhook, host });
        Ok(())
    }

    /// The request came to `verdict` after `took`; `jitter` is in [0, 1).
    pub(in crate::deliver) fn ended(mut self, verdict: &Verdict, took: Duration, jitter: f64) {
        let (endpoints, endpoint) = (self.endpoints, Arc::clone(&self.endpoint));
        let ending = ending_of(verdict, endpoints.policy.retry_after_max);
        {
            let mut state = endpoint.state();
            let in_use = state.in_use;
            match ending {
                Ending::Answered => state.slots.answered(took, in_use),
                Ending::Failed { .. } => state.slots.failed(took, in_use),
                Ending::Nothing => {}
            }
            state.attempts = state.attempts.saturating_add(1);
            state.failures = state.failures.saturating_add(u64::from(verdict.outcome != Outcome::Delivered));
        }
        self.give_leave_back(ending, reached(verdict), jitter);
    }

    fn give_leave_back(&mut self, ending: Ending, reached: Reached, jitter: f64) {
        let Some(leave) = self.leave.take() else { return };
        let (endpoint, telemetry) = (&self.endpoint, &self.endpoints.telemetry);
        let now = self.endpoints.clock.elapsed();
        let change = endpoint.state().ended(leave.webhook, ending, now, jitter);
        match change {
            Change::None => {}
            Change::Opened(wait) => telemetry.breaker_opened(&endpoint.id, wait),
            Change::Closed => telemetry.breaker_closed(&endpoint.id),
        }
        let change = endpoint.host.backoff().ended(leave.host, &endpoint.id, reached, now, jitter);
        match change {
            Change::None => {}
            Change::Opened(wait) => telemetry.host_left_alone(&endpoint.host.name, wait),
            Change::Closed => telemetry.host_answers_again(&endpoint.host.name),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Given up before its end, or never begun: the next one is to see.
        self.give_leave_back(Ending::Nothing, Reached::NotTried, 0.0);
        let (endpoint, endpoints) = (&self.endpoint, self.endpoints);
        let mut state = endpoint.state();
        // It was counted as this.
        let pace = state.pace;
        state.end();
        endpoint.host.connections().give_back(pace);
        endpoints.worker().give_back(pace);
        endpoints.note_pace(endpoint, &mut state);
        if state.waiters > 0 && state.in_use < state.slots.count() {
            endpoint.wake.notify_one();
        }
    }
}

fn ending_of(verdict: &Verdict, retry_after_max: Duration) -> Ending {
    match verdict.outcome {
        Outcome::Delivered | Outcome::Gone | Outcome::Refused => Ending::Answered,
        Outcome::Forbidden | Outcome::Invalid | Outcome::OurFault => Ending::Nothing,
        Outcome::RateLimited
        | Outcome::ServerError
        | Outcome::Timeout
        | Outcome::Dns
        | Outcome::Tls
        | Outcome::Connection => {
            let holds = verdict.status.is_some_and(|status| HOLDING_STATUSES.contains(&status));
            let asked = verdict.retry_after.filter(|asked| holds && !asked.is_zero());
            let hold = asked.map(|asked| asked.min(retry_after_max)).filter(|hold| !hold.is_zero());
            Ending::Failed { hold }
        }
    }
}

fn reached(verdict: &Verdict) -> Reached {
    match verdict.outcome {
        _ if verdict.status.is_some() => Reached::Yes,
        Outcome::Forbidden | Outcome::Invalid | Outcome::OurFault => Reached::NotTried,
        _ => Reached::No,
    }
}
