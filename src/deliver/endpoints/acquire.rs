//! A slot for a delivery, at once or within the patience.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::endpoint::{Endpoint, State};
use super::{Endpoints, NoSlot, Turn};
use crate::model::Webhook;

impl Endpoints {
    /// A slot of `webhook`, at once or within the patience.
    ///
    /// # Errors
    /// When its turn would come later: when that is.
    pub(in crate::deliver) async fn acquire(&self, webhook: &Webhook) -> Result<Turn<'_>, NoSlot> {
        let endpoint = self.of(webhook);
        let turns = {
            let mut state = endpoint.state();
            // Who comes now does not pass those that wait.
            if state.waiters == 0 && self.try_take(&endpoint, &mut state) {
                return Ok(Turn::new(self, Arc::clone(&endpoint)));
            }
            match self.turns_worth_waiting(&state) {
                Some(turns) => turns,
                None => return Err(state.no_slot(self.clock.elapsed())),
            }
        };
        let waiting = Waiting::begin(self, &endpoint);
        let taken = tokio::time::timeout(self.policy.patience, self.wait(&endpoint)).await.is_ok();
        drop(waiting);
        if taken {
            return Ok(Turn::new(self, endpoint));
        }
        // It is slower than it was taken to be; those who come next need not find that out by waiting.
        let mut state = endpoint.state();
        state.slots.took_at_least(self.policy.patience / turns.max(1));
        Err(state.no_slot(self.clock.elapsed()))
    }

    async fn wait(&self, endpoint: &Arc<Endpoint>) {
        loop {
            let woken = endpoint.wake.notified();
            woken.await;
            let mut state = endpoint.state();
            if self.try_take(endpoint, &mut state) {
                // There may be more than one.
                if state.in_use < state.slots.count() && state.waiters > 1 {
                    endpoint.wake.notify_one();
                }
                return;
            }
        }
    }

    /// Takes a slot, and a part of what the worker and the host have for all, if there is one of each. If only the latter is in
    /// full use, one of the webhook's waiters is woken when that changes.
    fn try_take(&self, endpoint: &Arc<Endpoint>, state: &mut State) -> bool {
        if state.in_use >= state.slots.count() {
            return false;
        }
        self.note_pace(endpoint, state);
        let (pace, held) = (state.pace, state.in_use as usize);
        let mut host = endpoint.host.connections();
        let mut worker = self.worker();
        for pool in [&mut host, &mut worker] {
            if !pool.share.has_room(pace, held) {
                pool.want(endpoint, pace);
                return false;
            }
        }
        host.share.take(pace);
        worker.share.take(pace);
        state.begin();
        true
    }

    /// Counts the requests under way of `endpoint` anew when it has become slow, or fast.
    pub(super) fn note_pace(&self, endpoint: &Endpoint, state: &mut State) {
        let (from, to) = (state.pace, state.pace_now());
        if from != to {
            let held = state.in_use as usize;
            endpoint.host.connections().share.change(held, from, to);
            self.worker().share.change(held, from, to);
            state.pace = to;
        }
    }

    /// How many answers one more waiter has to wait for, if that is worth its place.
    pub(super) fn turns_worth_waiting(&self, state: &State) -> Option<u32> {
        let crowded = self.crowded.load(Ordering::Relaxed).max(1);
        if state.waiters as usize >= (self.policy.waiters_max / crowded).max(1) {
            return None;
        }
        let turns = state.slots.turns(state.waiters);
        // Less, not as much: who has waited for the whole patience in vain has shown that it is not worth it.
        (state.slots.mean().saturating_mul(turns) < self.policy.patience).then_some(turns)
    }
}

/// A delivery that waits for a slot.
struct Waiting<'a> {
    endpoints: &'a Endpoints,
    endpoint: &'a Endpoint,
}

impl<'a> Waiting<'a> {
    fn begin(endpoints: &'a Endpoints, endpoint: &'a Endpoint) -> Self {
        let mut state = endpoint.state();
        state.waiters += 1;
        if state.waiters == 1 {
            endpoints.crowded.fetch_add(1, Ordering::Relaxed);
        }
        Self { endpoints, endpoint }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.endpoint.state();
        state.waiters -= 1;
        if state.waiters == 0 {
            self.endpoints.crowded.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
