//! How a delivery stands before it is tried: by the registrations, by who is forgotten, by how its webhook does.
//!
//! Every decision is `decide::next_step`'s; here its inputs are fetched. Nothing waits here, so it can be asked from any thread.

use std::borrow::Cow;
use std::sync::Arc;

use super::endpoints::{Endpoints, LeftAlone};
use crate::clock::SharedClock;
use crate::decide::{self, Content, Happening, Policy as RetryPolicy, Standing, Step, Wait, behind, next_step, passes};
use crate::model::{Delivery, DeliveryId, Event, Status, Webhook};
use crate::record::Forgotten;
use crate::registry::{Known, Registry};

/// What is known of deliveries before they are tried.
#[derive(Debug)]
pub(super) struct Outlook {
    pub(super) registry: Arc<Registry>,
    /// Whose events are dropped.
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) clock: SharedClock,
    pub(super) retry: RetryPolicy,
}

/// A delivery, its id, and whether it is only now made from a fresh event.
#[derive(Clone, Debug)]
pub(super) struct Pursuit {
    pub(super) delivery: Delivery,
    pub(super) id: DeliveryId,
    pub(super) fresh: bool,
}

/// What a message asks for.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    /// Its deliveries.
    pub(super) pursuits: Vec<Pursuit>,
    /// The webhooks that subscribe to its event and whose filters do not let it through.
    pub(super) filtered: u64,
}

impl Pursuit {
    /// A delivery that was made before.
    pub(super) fn again(event: &Event, delivery: Delivery) -> Self {
        Self { id: delivery.id(event), delivery, fresh: false }
    }

    fn fresh(event: &Event, webhook: &Webhook) -> Self {
        let delivery = Delivery::fresh(event, webhook.id.clone());
        Self { id: delivery.id(event), delivery, fresh: true }
    }
}

impl Outlook {
    /// The deliveries of a fresh event: one for every webhook that subscribes to it and whose filters let it through.
    pub(super) fn fan_out(&self, event: &Event) -> FanOut {
        let snapshot = self.registry.snapshot();
        let content = Content::of(&event.body);
        let mut fan_out = FanOut::default();
        for webhook in snapshot.subscribers(event) {
            if passes(&webhook.options.filters, &event.kind, &content) {
                fan_out.pursuits.push(Pursuit::fresh(event, webhook));
            } else {
                fan_out.filtered = fan_out.filtered.saturating_add(1);
            }
        }
        fan_out
    }

    /// The delivery of the fresh `event` and when it is due, if one webhook alone is to have it and would not be tried now: a turn is
    /// taken for it.
    pub(super) fn foresee(&self, event: &Event) -> Option<(Pursuit, Step)> {
        let snapshot = self.registry.snapshot();
        let mut subscribers = snapshot.subscribers(event);
        let webhook = subscribers.next().filter(|webhook| self.endpoints.would_put_off(webhook))?;
        if subscribers.next().is_some() || !passes(&webhook.options.filters, &event.kind, &Content::of(&event.body)) {
            return None;
        }
        let pursuit = Pursuit::fresh(event, webhook);
        self.take_up(event, &pursuit).ok()?;
        let left_alone = self.endpoints.put_off(webhook)?;
        let step = self.left_alone(&pursuit.delivery, webhook, left_alone);
        Some((pursuit, step))
    }

    /// The webhook, if an attempt is to be made now; else what is next.
    pub(super) fn take_up(&self, event: &Event, pursuit: &Pursuit) -> Result<Arc<Webhook>, Step> {
        let snapshot = self.registry.snapshot();
        let (standing, webhook) = match snapshot.find(&pursuit.delivery.webhook) {
            Known::Webhook(webhook) => (standing_of(webhook), Some(webhook)),
            Known::Deleted => (Standing::Deleted, None),
            Known::Unknown => (Standing::Unknown, None),
        };
        let standing = if self.forgotten.has(event) { Standing::Forgotten } else { standing };
        let policy = webhook.map_or(Cow::Borrowed(&self.retry), |webhook| self.policy_of(webhook));
        let happening = Happening::Taken { standing, fresh: pursuit.fresh };
        match (self.decide(&pursuit.delivery, &happening, &policy), webhook) {
            (Step::Attempt, Some(webhook)) => Ok(Arc::clone(webhook)),
            (step, _) => Err(step),
        }
    }

    pub(super) fn left_alone(&self, delivery: &Delivery, webhook: &Webhook, left_alone: LeftAlone) -> Step {
        let LeftAlone { reason, wait, comeback } = left_alone;
        self.next(delivery, webhook, &Happening::LeftAlone { reason, wait, comeback })
    }

    /// What is next for a delivery to `webhook` after `happening`.
    pub(super) fn next(&self, delivery: &Delivery, webhook: &Webhook, happening: &Happening) -> Step {
        self.decide(delivery, happening, &self.policy_of(webhook))
    }

    /// A retry of a webhook that is left alone by now would only be put off: it takes its turn at once.
    pub(super) fn behind_others(&self, step: Step, webhook: &Webhook) -> Step {
        let is_retry = matches!(step, Step::Later { wait: Wait::Retry, .. });
        match is_retry.then(|| self.endpoints.retry_turn(webhook)).flatten() {
            Some(turn) => behind(step, turn, &self.policy_of(webhook), self.clock.now()),
            None => step,
        }
    }

    fn decide(&self, delivery: &Delivery, happening: &Happening, policy: &RetryPolicy) -> Step {
        next_step(delivery, happening, policy, self.clock.now(), self.clock.jitter())
    }

    /// The settings, or the webhook's own options where it has some.
    fn policy_of(&self, webhook: &Webhook) -> Cow<'_, RetryPolicy> {
        let options = &webhook.options;
        if options.retry_schedule.is_none() && options.max_age.is_none() {
            return Cow::Borrowed(&self.retry);
        }
        Cow::Owned(decide::Policy {
            schedule: options.retry_schedule.clone().unwrap_or_else(|| self.retry.schedule.clone()),
            max_age: options.max_age.unwrap_or(self.retry.max_age),
            retry_after_max: self.retry.retry_after_max,
        })
    }
}

fn standing_of(webhook: &Webhook) -> Standing {
    match webhook.status {
        Status::Active => Standing::Active,
        Status::Paused => Standing::Paused,
        Status::Deactivated(_) => Standing::Deactivated,
    }
}
