//! What who comes for a webhook would be told at once, for those who ask before anybody comes, from whatever thread.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Endpoint, ShutBy, State};
use super::{Endpoints, LeftAlone, NoSlot};
use crate::model::Webhook;

/// Why a delivery would be put off at once.
enum PutOffBy {
    Shut(ShutBy),
    /// It answers none of its requests, and no slot is free or worth waiting for.
    Silence,
}

impl Endpoints {
    /// Whether who comes for `webhook` now would be put off at once. To ask changes nothing.
    pub(in crate::deliver) fn would_put_off(&self, webhook: &Webhook) -> bool {
        let endpoint = self.known_as(webhook);
        endpoint.is_some_and(|endpoint| self.put_off_by(&endpoint, &endpoint.state(), self.clock.elapsed()).is_some())
    }

    /// Gives who comes for `webhook` a turn, if it would be put off at once.
    pub(in crate::deliver) fn put_off(&self, webhook: &Webhook) -> Option<LeftAlone> {
        let (endpoint, now) = (self.known_as(webhook)?, self.clock.elapsed());
        let mut state = endpoint.state();
        match self.put_off_by(&endpoint, &state, now)? {
            PutOffBy::Shut(shut) => Some(state.shut_out(shut, now)),
            PutOffBy::Silence => match state.no_slot(now) {
                NoSlot::Silent(left_alone) => Some(left_alone),
                NoSlot::Behind(_) => None,
            },
        }
    }

    /// The endpoint of `webhook`, if anybody has come for it as it is.
    fn known_as(&self, webhook: &Webhook) -> Option<Arc<Endpoint>> {
        self.known().webhooks.get(&webhook.id).filter(|endpoint| endpoint.is_of(webhook)).cloned()
    }

    fn put_off_by(&self, endpoint: &Endpoint, state: &State, now: Duration) -> Option<PutOffBy> {
        match endpoint.shut(state, now) {
            // The one that is to see whether it is well must be in a worker's hands: it is not lost with what cannot be stored.
            Some(ShutBy::Breaker(_)) if !state.breaker.has_probe() => None,
            Some(shut) => Some(PutOffBy::Shut(shut)),
            None => self.is_silent(endpoint, state).then_some(PutOffBy::Silence),
        }
    }

    fn is_silent(&self, endpoint: &Endpoint, state: &State) -> bool {
        state.is_stalled() && !self.has_slot(endpoint, state) && self.turns_worth_waiting(state).is_none()
    }

    fn has_slot(&self, endpoint: &Endpoint, state: &State) -> bool {
        let (pace, held) = (state.pace_now(), state.in_use as usize);
        state.waiters == 0
            && state.in_use < state.slots.count()
            && endpoint.host.connections().share.has_room(pace, held)
            && self.worker().share.has_room(pace, held)
    }
}
