//! One delivery in the worker's hands: from how its webhook stands, over a token, a slot and an attempt, to its next step.
//!
//! Every decision is `decide::next_step`'s; here its inputs are fetched and its answers performed, up to but not including
//! the settling of the message.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::endpoints::{Endpoints, LeftAlone, NoSlot, Turn};
use super::failing::Failing;
use super::rates::{NoToken, Place, Rates};
use super::traced;
use crate::clock::SharedClock;
use crate::decide::{
    self, Content, Happening, Policy as RetryPolicy, Standing, Step, Verdict, Wait, behind, classify, next_step, passes,
};
use crate::model::{Delivery, DeliveryId, Event, Outcome, Status, Webhook};
use crate::outbound::{Attempt, Client};
use crate::queue::Queue;
use crate::record::{Attempted, Forgotten};
use crate::registry::{Known, Registry};
use crate::telemetry::{SharedTelemetry, Telemetry};
use crate::traces::{Span, Tracer};

/// What every pursuit shares.
#[derive(Debug)]
pub(super) struct Pursuer {
    pub(super) registry: Arc<Registry>,
    /// Whose events are dropped.
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) failing: Failing,
    pub(super) client: Client,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
    pub(super) tracer: Tracer,
    pub(super) rates: Rates,
    pub(super) endpoints: Arc<Endpoints>,
    /// Where outcomes go: while it takes none, no attempt is begun.
    pub(super) queue: Queue,
    /// Has no permits: it is closed when the end has come.
    pub(super) end: Semaphore,
    pub(super) retry: RetryPolicy,
}

/// A delivery, its id, and whether it is only now made from a fresh event.
#[derive(Clone, Debug)]
pub(super) struct Pursuit {
    pub(super) delivery: Delivery,
    pub(super) id: DeliveryId,
    pub(super) fresh: bool,
}

/// How far a pursuit came.
#[derive(Debug)]
pub(super) struct Pursued {
    /// What is next for the delivery.
    pub(super) step: Step,
    /// The attempt that was made for it, if one was.
    pub(super) attempt: Option<Attempted>,
}

impl From<Step> for Pursued {
    fn from(step: Step) -> Self {
        Self { step, attempt: None }
    }
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

impl Pursuer {
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

    /// Brings the delivery as far as it goes now, and tells what is next; nothing when the worker's end came before its turn.
    /// An attempt is a step of `span`.
    pub(super) async fn pursue(&self, event: &Event, pursuit: &Pursuit, span: &Span) -> Option<Pursued> {
        let delivery = &pursuit.delivery;
        let webhook = match self.take_up(event, pursuit) {
            Ok(webhook) => webhook,
            Err(step) => return Some(step.into()),
        };
        if let Some(left_alone) = self.endpoints.left_alone(&webhook) {
            return Some(self.left_alone(delivery, &webhook, left_alone).into());
        }
        let place = match self.rates.line_up(&webhook).await {
            Ok(place) => place,
            Err(no_token) => return Some(self.no_token(delivery, &webhook, no_token).into()),
        };
        let (turn, webhook) = loop {
            let mut turn = match self.turn(&webhook).await? {
                Ok(turn) => turn,
                Err(NoSlot::Behind(turn)) => {
                    let no_slot = Happening::NoSlot { turn };
                    return Some(self.decide(delivery, &no_slot, &self.policy_of(&webhook)).into());
                }
                Err(NoSlot::Silent(left_alone)) => {
                    return Some(self.left_alone(delivery, &webhook, left_alone).into());
                }
            };
            // It may have been paused, changed or deactivated while this waited.
            let webhook = match self.take_up(event, pursuit) {
                Ok(webhook) => webhook,
                Err(step) => return Some(step.into()),
            };
            if let Err(left_alone) = turn.ask_leave() {
                return Some(self.left_alone(delivery, &webhook, left_alone).into());
            }
            match self.rates.take(&webhook) {
                Ok(()) => break (turn, webhook),
                Err(wait) => {
                    // Nobody else waits for it with this.
                    drop(turn);
                    if !wait_in(place.as_ref(), wait).await {
                        return Some(self.no_token(delivery, &webhook, self.rates.put_off(&webhook)).into());
                    }
                }
            }
        };
        drop(place);
        let (verdict, attempt) = self.attempt(event, pursuit, &webhook, turn, span).await;
        self.failing.follow(&webhook, &verdict).await;
        let step = self.decide(delivery, &Happening::Attempted(verdict), &self.policy_of(&webhook));
        Some(Pursued { step: self.behind_others(step, &webhook), attempt })
    }

    /// A retry of a webhook that is left alone by now would only be put off: it takes its turn at once.
    fn behind_others(&self, step: Step, webhook: &Webhook) -> Step {
        let is_retry = matches!(step, Step::Later { wait: Wait::Retry, .. });
        match is_retry.then(|| self.endpoints.retry_turn(webhook)).flatten() {
            Some(turn) => behind(step, turn, &self.policy_of(webhook), self.clock.now()),
            None => step,
        }
    }

    fn no_token(&self, delivery: &Delivery, webhook: &Webhook, NoToken { turn }: NoToken) -> Step {
        self.decide(delivery, &Happening::NoToken { turn }, &self.policy_of(webhook))
    }

    fn left_alone(&self, delivery: &Delivery, webhook: &Webhook, left_alone: LeftAlone) -> Step {
        let LeftAlone { reason, wait, comeback } = left_alone;
        self.decide(delivery, &Happening::LeftAlone { reason, wait, comeback }, &self.policy_of(webhook))
    }

    /// A slot at a time when the outcome can be stored; nothing when the end came first.
    async fn turn(&self, webhook: &Webhook) -> Option<Result<Turn<'_>, NoSlot>> {
        loop {
            if !self.queue.takes() {
                tokio::select! {
                    () = self.queue.until_it_takes() => {}
                    _closed = self.end.acquire() => return None,
                }
            }
            let turn = match self.endpoints.acquire(webhook).await {
                Ok(turn) => turn,
                Err(no_slot) => return Some(Err(no_slot)),
            };
            if self.end.is_closed() {
                return None;
            }
            if self.queue.takes() {
                return Some(Ok(turn));
            }
        }
    }

    /// The webhook, if an attempt is to be made now; else what is next.
    fn take_up(&self, event: &Event, pursuit: &Pursuit) -> Result<Arc<Webhook>, Step> {
        let snapshot = self.registry.snapshot();
        self.rates.follow(&snapshot);
        self.endpoints.follow(&snapshot);
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

    /// Makes a request; tells what it came to, and that as the history has it.
    async fn attempt(
        &self,
        event: &Event,
        pursuit: &Pursuit,
        webhook: &Webhook,
        turn: Turn<'_>,
        span: &Span,
    ) -> (Verdict, Option<Attempted>) {
        let Pursuit { delivery, id, .. } = pursuit;
        let now = self.clock.now();
        let in_flight = InFlight::begin(&self.telemetry);
        let mut span = traced::attempt(span, event, delivery, webhook);
        let trace = self.tracer.told(&span);
        let answer = self.client.send(&Attempt { event, delivery, id, webhook, now, trace }).await;
        let verdict = classify(&answer.exchange, self.clock.now());
        traced::attempted(&mut span, &verdict);
        drop(span);
        turn.ended(&verdict, answer.took, self.clock.jitter());
        in_flight.ended(verdict.outcome, answer.took);
        if verdict.outcome == Outcome::OurFault {
            self.telemetry
                .trouble("an attempt could not be made here, and costs none", &OurFault(verdict.words.clone()));
        }
        let attempt = Attempted::of(delivery, &verdict, now, answer.took, answer.response);
        (verdict, attempt)
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

/// Waits in `place` for a token that comes after `wait`; who has no place, because there was no limit, does not wait.
async fn wait_in(place: Option<&Place<'_>>, wait: std::time::Duration) -> bool {
    match place {
        Some(place) => place.wait(wait).await,
        None => false,
    }
}

fn standing_of(webhook: &Webhook) -> Standing {
    match webhook.status {
        Status::Active => Standing::Active,
        Status::Paused => Standing::Paused,
        Status::Deactivated(_) => Standing::Deactivated,
    }
}

/// Why an attempt could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OurFault(String);

/// A request under way; counted down however it ends.
struct InFlight<'a>(Option<&'a Telemetry>);

impl<'a> InFlight<'a> {
    fn begin(telemetry: &'a Telemetry) -> Self {
        telemetry.attempt_started();
        Self(Some(telemetry))
    }

    fn ended(mut self, outcome: Outcome, took: std::time::Duration) {
        if let Some(telemetry) = self.0.take() {
            telemetry.attempt_ended(outcome, took);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(telemetry) = self.0 {
            telemetry.attempt_abandoned();
        }
    }
}
