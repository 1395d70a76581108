//! One delivery in the worker's hands: from how its webhook stands, over a token, a slot and an attempt, to its next step.
//!
//! What is decided is the outlook's; here it is performed, up to but not including the settling of the message.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::endpoints::{NoSlot, Turn};
use super::failing::Failing;
use super::outlook::{Outlook, Pursuit};
use super::rates::{NoToken, Place, Rates};
use super::traced;
use crate::decide::{Happening, Step, Verdict, classify};
use crate::model::{Delivery, Event, Outcome, Webhook};
use crate::outbound::{Attempt, Client};
use crate::queue::Queue;
use crate::record::Attempted;
use crate::telemetry::{SharedTelemetry, Telemetry};
use crate::traces::{Span, Tracer};

/// What every pursuit shares.
#[derive(Debug)]
pub(super) struct Pursuer {
    pub(super) outlook: Arc<Outlook>,
    pub(super) failing: Failing,
    pub(super) client: Client,
    pub(super) telemetry: SharedTelemetry,
    pub(super) tracer: Tracer,
    pub(super) rates: Rates,
    /// Where outcomes go: while it takes none, no attempt is begun.
    pub(super) queue: Queue,
    /// Has no permits: it is closed when the end has come.
    pub(super) end: Semaphore,
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

impl Pursuer {
    /// Brings the delivery as far as it goes now, and tells what is next; nothing when the worker's end came before its turn.
    /// An attempt is a step of `span`.
    pub(super) async fn pursue(&self, event: &Event, pursuit: &Pursuit, span: &Span) -> Option<Pursued> {
        let delivery = &pursuit.delivery;
        let webhook = match self.take_up(event, pursuit) {
            Ok(webhook) => webhook,
            Err(step) => return Some(step.into()),
        };
        if let Some(left_alone) = self.outlook.endpoints.left_alone(&webhook) {
            return Some(self.outlook.left_alone(delivery, &webhook, left_alone).into());
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
                    return Some(self.outlook.next(delivery, &webhook, &no_slot).into());
                }
                Err(NoSlot::Silent(left_alone)) => {
                    return Some(self.outlook.left_alone(delivery, &webhook, left_alone).into());
                }
            };
            // It may have been paused, changed or deactivated while this waited.
            let webhook = match self.take_up(event, pursuit) {
                Ok(webhook) => webhook,
                Err(step) => return Some(step.into()),
            };
            if let Err(left_alone) = turn.ask_leave() {
                return Some(self.outlook.left_alone(delivery, &webhook, left_alone).into());
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
        let step = self.outlook.next(delivery, &webhook, &Happening::Attempted(verdict));
        Some(Pursued { step: self.outlook.behind_others(step, &webhook), attempt })
    }

    fn no_token(&self, delivery: &Delivery, webhook: &Webhook, NoToken { turn }: NoToken) -> Step {
        self.outlook.next(delivery, webhook, &Happening::NoToken { turn })
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
            let turn = match self.outlook.endpoints.acquire(webhook).await {
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
        let snapshot = self.outlook.registry.snapshot();
        self.rates.follow(&snapshot);
        self.outlook.endpoints.follow(&snapshot);
        self.outlook.take_up(event, pursuit)
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
        let now = self.outlook.clock.now();
        let in_flight = InFlight::begin(&self.telemetry);
        let mut span = traced::attempt(span, event, delivery, webhook);
        let trace = self.tracer.told(&span);
        let answer = self.client.send(&Attempt { event, delivery, id, webhook, now, trace }).await;
        let verdict = classify(&answer.exchange, self.outlook.clock.now());
        traced::attempted(&mut span, &verdict);
        drop(span);
        turn.ended(&verdict, answer.took, self.outlook.clock.jitter());
        in_flight.ended(verdict.outcome, answer.took);
        if verdict.outcome == Outcome::OurFault {
            self.telemetry
                .trouble("an attempt could not be made here, and costs none", &OurFault(verdict.words.clone()));
        }
        let attempt = Attempted::of(delivery, &verdict, now, answer.took, answer.response);
        (verdict, attempt)
    }
}

/// Waits in `place` for a token that comes after `wait`; who has no place, because there was no limit, does not wait.
async fn wait_in(place: Option<&Place<'_>>, wait: std::time::Duration) -> bool {
    match place {
        Some(place) => place.wait(wait).await,
        None => false,
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
