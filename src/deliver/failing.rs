//! Webhooks that fail: how long each has, and switching off those that have for too long, or are gone.
//!
//! After each attempt the worker tells its verdict here ([`Failing::follow`]). The rule is `decide::after_attempt`'s; here is
//! what it asks for: the streaks of the webhooks that are failing now, in memory, and how much time has passed by the clock
//! that nobody sets. Each change is noted with the latest attempts, by which the store has it within half a second, and from
//! which it comes back at the next start: then only the wall clock knows how long ago the last failure was.
//!
//! What an owner changes begins anew: an answer that was asked for before says nothing of what is there now. So does what was
//! switched off and is activated again, because its streak ends where it is switched off.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::STATUS_OF_SILENCE;
use crate::clock::SharedClock;
use crate::decide::{Course, Verdict, after_attempt};
use crate::model::{DeactivationReason, Outcome, Status, Streak, Timestamp, Webhook, WebhookId};
use crate::record::{Latest, LatestAttempt};
use crate::registry::{Known, Registry, Snapshot};
use crate::telemetry::SharedTelemetry;

/// Webhooks beyond which those that are no more are looked for among the failing ones.
const UNCHECKED_MAX: usize = 1024;

/// The webhooks that are failing.
#[derive(Debug)]
pub(super) struct Failing {
    registry: Arc<Registry>,
    latest: Arc<Latest>,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    /// How long a webhook may fail; none: for ever.
    limit: Option<Duration>,
    /// Told when a webhook was switched off.
    deactivated: Arc<Notify>,
    runs: RefCell<HashMap<WebhookId, Run>>,
    /// How many there may be before those of webhooks that are no more are forgotten.
    unchecked_max: RefCell<usize>,
}

/// A webhook that is failing.
#[derive(Clone, Copy, Debug)]
struct Run {
    streak: Streak,
    /// The webhook's last change when it failed last: what was changed since is another.
    updated_at: Timestamp,
    last: Moment,
}

/// When it failed last.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// In this process: by the clock that only moves on.
    Here(Duration),
    /// In an earlier one: by the wall clock.
    Before(Timestamp),
}

impl Failing {
    /// Those that were failing when the latest attempts were written last.
    pub(super) fn new(
        known: HashMap<WebhookId, LatestAttempt>,
        registry: Arc<Registry>,
        latest: Arc<Latest>,
        clock: SharedClock,
        telemetry: SharedTelemetry,
        limit: Option<Duration>,
        deactivated: Arc<Notify>,
    ) -> Self {
        let snapshot = registry.snapshot();
        let mut runs = HashMap::new();
        for (id, attempt) in known {
            let (Some(streak), Known::Webhook(webhook)) = (attempt.failing, snapshot.find(&id)) else { continue };
            match webhook.status {
                // Its streak ended there, and the process before that could be noted.
                Status::Deactivated(_) => latest.note_course(&id, attempt.sent_at, attempt.status, Course::Well),
                Status::Active | Status::Paused if attempt.sent_at < webhook.updated_at => {}
                Status::Active | Status::Paused => {
                    let (updated_at, last) = (webhook.updated_at, Moment::Before(attempt.sent_at));
                    runs.insert(id, Run { streak, updated_at, last });
                }
            }
        }
        let (runs, unchecked_max) = (RefCell::new(runs), RefCell::new(UNCHECKED_MAX));
        Self { registry, latest, clock, telemetry, limit, deactivated, runs, unchecked_max }
    }

    /// Notes what an attempt for `webhook`, as it was then, came to, and switches the webhook off if that is due.
    pub(super) async fn follow(&self, webhook: &Webhook, verdict: &Verdict) {
        if verdict.outcome == Outcome::OurFault {
            return;
        }
        // What was under way when it was deleted leaves nothing of it behind.
        if matches!(self.registry.snapshot().find(&webhook.id), Known::Deleted) {
            return;
        }
        let now = self.clock.now();
        let status = verdict.status.unwrap_or(STATUS_OF_SILENCE);
        let course = self.course(webhook, verdict.outcome, now);
        self.latest.note_course(&webhook.id, now, status, course);
        let Course::Failing { streak, stop: Some(reason), .. } = course else { return };
        if self.deactivate(webhook, reason, streak.since).await {
            self.runs.borrow_mut().remove(&webhook.id);
            self.latest.note_course(&webhook.id, now, status, Course::Well);
        }
    }

    fn course(&self, webhook: &Webhook, outcome: Outcome, now: Timestamp) -> Course {
        let snapshot = self.registry.snapshot();
        let Known::Webhook(current) = snapshot.find(&webhook.id) else { return Course::Unmoved };
        if current.updated_at != webhook.updated_at || matches!(current.status, Status::Deactivated(_)) {
            return Course::Unmoved;
        }
        let elapsed = self.clock.elapsed();
        let mut runs = self.runs.borrow_mut();
        let run = runs.get(&webhook.id).filter(|run| run.updated_at == webhook.updated_at);
        let before = run.map(|run| {
            let pause = match run.last {
                Moment::Here(last) => elapsed.saturating_sub(last),
                Moment::Before(last) => now.since(last),
            };
            (run.streak, pause)
        });
        let course = after_attempt(outcome, before, now, self.limit);
        match course {
            Course::Unmoved => {}
            Course::Well => drop(runs.remove(&webhook.id)),
            Course::Failing { streak, .. } => {
                let run = Run { streak, updated_at: webhook.updated_at, last: Moment::Here(elapsed) };
                runs.insert(webhook.id.clone(), run);
                self.forget_deleted(&mut runs, &snapshot);
            }
        }
        course
    }

    /// Forgets the webhooks that are no more, so that no more are remembered than there are.
    fn forget_deleted(&self, runs: &mut HashMap<WebhookId, Run>, snapshot: &Snapshot) {
        let mut max = self.unchecked_max.borrow_mut();
        if runs.len() > *max {
            runs.retain(|id, _| matches!(snapshot.find(id), Known::Webhook(_)));
            *max = runs.len().saturating_mul(2).max(UNCHECKED_MAX);
        }
    }

    /// Switches it off; whether its streak has ended with that.
    async fn deactivate(&self, webhook: &Webhook, reason: DeactivationReason, since: Timestamp) -> bool {
        match self.registry.deactivate_unless_changed(&webhook.id, reason, Some(since), webhook.updated_at).await {
            Ok(true) => {
                self.telemetry.webhook_deactivated(&webhook.id, reason, since);
                self.deactivated.notify_one();
                true
            }
            Ok(false) => true,
            Err(error) => {
                self.telemetry
                    .trouble("a webhook that fails cannot be deactivated; its next failure tries again", &error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
