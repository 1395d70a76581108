//! Tells what became of deliveries, once that is durable: metrics and log, those who watch, the history, an observer.

use std::sync::Arc;

use super::live::Live;
use super::outlook::Pursuit;
use super::pursuit::Pursued;
use super::worker::Observer;
use crate::clock::SharedClock;
use crate::decide::{SkipReason, Step, Wait};
use crate::model::Event;
use crate::record::{Attempted, Entry, Forgotten, History};
use crate::telemetry::SharedTelemetry;

/// Who is told. It can be done from any thread.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// Those who watch.
    pub(super) live: Option<Arc<Live>>,
    /// Where it is noted what becomes of deliveries, if it is.
    pub(super) history: Option<Arc<History>>,
    /// Of whom nothing is noted any more.
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) telemetry: SharedTelemetry,
    pub(super) clock: SharedClock,
}

impl Reports {
    /// Tells how far each of the deliveries of `event` came, of which `filtered` more were not made.
    pub(super) fn settled(&self, event: &Event, each: impl IntoIterator<Item = (Pursuit, Pursued)>, filtered: u64) {
        self.telemetry.deliveries_filtered(filtered);
        let mut has_body = false;
        for (pursuit, Pursued { step, attempt }) in each {
            self.tell(event, &pursuit, &step);
            if let Some(live) = &self.live {
                live.settled(event, &pursuit.delivery, &pursuit.id, &step, attempt.as_ref());
            }
            has_body |= self.note(event, &pursuit, &step, attempt, !has_body);
        }
    }

    /// Notes in the history what became of a delivery, with the event's body if it `may` have that and is to; tells whether there
    /// was something to note.
    fn note(&self, event: &Event, pursuit: &Pursuit, step: &Step, attempt: Option<Attempted>, may: bool) -> bool {
        let Some(history) = &self.history else { return false };
        // It may have been forgotten while this was under way.
        if self.forgotten.has(event) {
            return false;
        }
        let Pursuit { delivery, id, .. } = pursuit;
        let Some(entry) = Entry::of(event, id, delivery, step, attempt, self.clock.now()) else { return false };
        let bytes = event.body.bytes().len();
        // A fresh event's body goes with the first of its deliveries. What comes again has left it there, unless the history had a gap
        // then, so it goes along once more when that ends.
        let with_body =
            may && if pursuit.fresh { history.wants_body(bytes) } else { ends(step) && history.has_room(bytes) };
        history.note(if with_body { entry.with_body(event) } else { entry });
        true
    }

    fn tell(&self, event: &Event, pursuit: &Pursuit, step: &Step) {
        let Pursuit { delivery: before, id, .. } = pursuit;
        if let Some(observer) = &self.observer {
            observer.settled(event, before, step);
        }
        let (telemetry, clock) = (&self.telemetry, &self.clock);
        let webhook = &before.webhook;
        match step {
            Step::Done => {
                let latency = clock.now().since(event.created_at);
                telemetry.delivered(&event.id, id, webhook, before.attempts.saturating_add(1), latency);
            }
            Step::Later { delivery, due, wait: Wait::Retry } => {
                let error = delivery.last.as_ref().map_or("", |last| &last.error);
                telemetry.retry_planned(&event.id, id, webhook, delivery.attempts, due.since(clock.now()), error);
            }
            Step::Later { due, wait: Wait::Park(reason), .. } => {
                telemetry.parked(&event.id, id, webhook, *reason, due.since(clock.now()));
            }
            Step::Dead { delivery, reason } => {
                let error = delivery.last.as_ref().map_or("no attempt was made", |last| &last.error);
                telemetry.dead_lettered(&event.id, id, webhook, *reason, error);
            }
            Step::Drop(reason) => telemetry.dropped(&event.id, id, webhook, *reason),
            Step::Skip(SkipReason::Paused | SkipReason::Deactivated) => telemetry.delivery_skipped(),
            // `pursue` never leaves it at that.
            Step::Attempt => {}
        }
    }
}

/// Whether a delivery comes to its end by that.
fn ends(step: &Step) -> bool {
    matches!(step, Step::Done | Step::Dead { .. } | Step::Drop(_))
}
