//! The engine: many messages at once in one task, each from lease to settlement.
//!
//! Messages end in any order. A message is settled when each of its deliveries has a next step; what does not end there
//! becomes a follow-up, stored in the same step that removes the message (promise 2). When settling fails, the outcome is
//! kept and settling is tried again; nothing is sent again for it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::pursuit::{Pursuer, Pursuit};
use super::settle::settle;
use super::worker::Observer;
use crate::decide::{SkipReason, Step, Wait};
use crate::model::{Delivery, Event, Target};
use crate::queue::{Consumer, Death, FollowUp, Lease};

/// Takes messages and brings them to their end.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) pursuer: Pursuer,
    /// Deliveries in hand at which no further message is taken; one message's fan-out may go over.
    pub(super) pursuits_max: usize,
    pub(super) pursuits: Cell<usize>,
    /// How long what is in flight may take at shutdown.
    pub(super) grace: Duration,
}

impl Engine {
    /// Works until `stop` is told, then finishes what is in flight within the grace.
    pub(super) async fn run(self, mut work: Consumer, mut retry: Consumer, mut stop: watch::Receiver<bool>) {
        let mut messages = FuturesUnordered::new();
        loop {
            let room = self.pursuits.get() < self.pursuits_max;
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(()) = messages.next(), if !messages.is_empty() => {}
                Some(lease) = retry.next(), if room => messages.push(self.message(lease)),
                Some(lease) = work.next(), if room => messages.push(self.message(lease)),
                else => break,
            }
        }
        // What was prefetched goes back to the queue.
        drop((work, retry));
        let finish = async { while messages.next().await.is_some() {} };
        if tokio::time::timeout(self.grace, finish).await.is_err() {
            let left = messages.len();
            self.pursuer.telemetry.lifecycle(&format!(
                "{left} messages were not finished within the grace; they stay in the queue and are sent at the next start"
            ));
        }
    }

    async fn message(&self, mut lease: Lease) {
        let event = Arc::clone(&lease.message.event);
        let pursuits = match &lease.message.target {
            Target::Subscribers => self.pursuer.fan_out(&event),
            Target::One(delivery) => vec![Pursuit { delivery: delivery.clone(), fresh: false }],
        };
        let steps = self.pursue_all(&event, &pursuits).await;
        let follow_ups: Vec<FollowUp> = steps.iter().filter_map(|step| self.follow_up(step)).collect();
        if settle(&mut lease, &follow_ups, &self.pursuer.telemetry).await.is_ok() {
            for (pursuit, step) in pursuits.iter().zip(&steps) {
                self.tell(&event, &pursuit.delivery, step);
            }
        }
    }

    async fn pursue_all(&self, event: &Event, pursuits: &[Pursuit]) -> Vec<Step> {
        let _counted = Counted::begin(&self.pursuits, pursuits.len());
        if let [only] = pursuits {
            return vec![self.pursuer.pursue(event, only).await];
        }
        futures_util::future::join_all(pursuits.iter().map(|pursuit| self.pursuer.pursue(event, pursuit))).await
    }

    fn follow_up(&self, step: &Step) -> Option<FollowUp> {
        match step {
            Step::Later { delivery, due, .. } => Some(FollowUp::Later { delivery: delivery.clone(), due: *due }),
            Step::Dead { delivery, reason } => {
                let death = Death { reason: *reason, at: self.pursuer.clock.now() };
                Some(FollowUp::Dead { delivery: delivery.clone(), death })
            }
            Step::Attempt | Step::Done | Step::Skip(_) | Step::Drop(_) => None,
        }
    }

    /// Tells what became of a delivery, once that is durable.
    fn tell(&self, event: &Event, before: &Delivery, step: &Step) {
        if let Some(observer) = &self.observer {
            observer.settled(event, before, step);
        }
        let (telemetry, clock) = (&self.pursuer.telemetry, &self.pursuer.clock);
        let (id, webhook) = (before.id(event), &before.webhook);
        match step {
            Step::Done => {
                let latency = clock.now().since(event.created_at);
                telemetry.delivered(&id, webhook, before.attempts.saturating_add(1), latency);
            }
            Step::Later { delivery, due, wait: Wait::Retry } => {
                let error = delivery.last.as_ref().map_or("", |last| &last.error);
                telemetry.retry_planned(&id, webhook, delivery.attempts, due.since(clock.now()), error);
            }
            Step::Later { due, wait: Wait::Park(reason), .. } => {
                telemetry.parked(&id, webhook, *reason, due.since(clock.now()));
            }
            Step::Dead { delivery, reason } => {
                let error = delivery.last.as_ref().map_or("", |last| &last.error);
                telemetry.dead_lettered(&id, webhook, *reason, error);
            }
            Step::Drop(reason) => telemetry.dropped(&id, webhook, *reason),
            Step::Skip(SkipReason::Paused | SkipReason::Deactivated) => telemetry.delivery_skipped(),
            // `pursue` never leaves it at that.
            Step::Attempt => {}
        }
    }
}

/// Deliveries in hand, counted down however they end.
struct Counted<'a> {
    total: &'a Cell<usize>,
    count: usize,
}

impl<'a> Counted<'a> {
    fn begin(total: &'a Cell<usize>, count: usize) -> Self {
        total.set(total.get().saturating_add(count));
        Self { total, count }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.total.set(self.total.get().saturating_sub(self.count));
    }
}
