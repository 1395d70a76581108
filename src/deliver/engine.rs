//! The engine: many messages at once in one task, each from lease to settlement.
//!
//! Messages end in any order. A message is settled when each of its deliveries has a next step; what does not end there
//! becomes a follow-up, stored in the same step that removes the message (promise 2). When settling fails, the outcome is
//! kept and settling is tried again; nothing is sent again for it. When the queue has closed under it, the engine ends
//! rather than send what it can no longer settle.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use super::outlook::{FanOut, Pursuit};
use super::pulse::Beating;
use super::pursuit::{Pursued, Pursuer};
use super::reports::Reports;
use super::settle::settle;
use super::traced;
use crate::decide::Step;
use crate::model::{Delivery, Event, Target};
use crate::queue::{Consumer, Death, FollowUp, Lease};
use crate::telemetry::of_trace;
use crate::traces::{Span, names};

/// Takes messages and brings them to their end.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) pursuer: Pursuer,
    pub(super) reports: Arc<Reports>,
    /// Deliveries in hand at which no further message is taken; one message's fan-out may go over.
    pub(super) pursuits_max: usize,
    pub(super) pursuits: Cell<usize>,
    /// How long what is in flight may take at shutdown.
    pub(super) grace: Duration,
    /// Told when a message could not be settled because the queue has closed.
    pub(super) queue_closed: Notify,
}

/// Why the engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// The queue closed under it.
    QueueClosed,
}

impl Engine {
    /// Works until `stop` is told or the queue closes, then finishes what is in flight within the grace. Whoever asks by `beating`
    /// is answered for as long as it works.
    pub(super) async fn run(
        self,
        mut work: Consumer,
        mut retry: Consumer,
        mut stop: watch::Receiver<bool>,
        mut beating: Beating,
    ) -> End {
        let mut messages = FuturesUnordered::new();
        let end = {
            let stopped = stop.wait_for(|stop| *stop);
            let queue_closed = self.queue_closed.notified();
            tokio::pin!(stopped, queue_closed);
            loop {
                // What ends makes room for what comes, so it goes first.
                tokio::select! {
                    biased;
                    _ = &mut stopped => break End::Stopped,
                    () = &mut queue_closed => break End::QueueClosed,
                    () = beating.beat() => {}
                    Some(()) = messages.next(), if !messages.is_empty() => {}
                    lease = next_of(&mut work, &mut retry), if self.has_room() => {
                        let Some(lease) = lease else { break End::QueueClosed };
                        messages.push(self.message(lease));
                    }
                }
            }
        };
        // What was prefetched goes back to the queue, and no attempt is begun any more.
        drop((work, retry));
        self.pursuer.end.close();
        let finish = async {
            loop {
                tokio::select! {
                    biased;
                    () = beating.beat() => {}
                    next = messages.next() => if next.is_none() { break },
                }
            }
        };
        if tokio::time::timeout(self.grace, finish).await.is_err() {
            let left = messages.len();
            self.pursuer.telemetry.lifecycle(&format!(
                "{left} messages were not finished within the grace; they stay in the queue and are sent at the next start"
            ));
        }
        end
    }

    fn has_room(&self) -> bool {
        self.pursuits.get() < self.pursuits_max
    }

    async fn message(&self, mut lease: Lease) {
        let span = traced::taken(&self.pursuer.tracer, &mut lease);
        of_trace(span.trace(), self.brought_to_its_end(lease, span)).await;
    }

    async fn brought_to_its_end(&self, mut lease: Lease, mut span: Span) {
        let event = Arc::clone(&lease.message.event);
        let FanOut { pursuits, filtered } = match &lease.message.target {
            Target::Subscribers => self.pursuer.outlook.fan_out(&event),
            Target::One(delivery) | Target::Later { delivery, .. } => {
                FanOut { pursuits: vec![Pursuit::again(&event, delivery.clone())], ..FanOut::default() }
            }
        };
        if pursuits.is_empty() && filtered == 0 {
            self.pursuer.telemetry.event_unwanted();
        }
        span.number(names::DELIVERIES, pursuits.len());
        if filtered > 0 {
            span.number(names::FILTERED, filtered);
        }
        let pursued = self.pursue_all(&event, &pursuits, &span).await;
        if !pursuits.is_empty() && pursued.iter().all(Option::is_none) {
            return span.discard();
        }
        let each = pursuits.iter().zip(&pursued);
        let follow_ups: Vec<FollowUp> = each
            .filter_map(|(pursuit, pursued)| {
                self.follow_up(&pursuit.delivery, pursued.as_ref().map(|pursued| &pursued.step))
            })
            .collect();
        let settling = traced::settling(&span, &self.pursuer.tracer, &follow_ups);
        let settled = settle(&mut lease, &follow_ups, &self.pursuer.telemetry).await;
        drop(settling);
        match settled {
            Ok(()) => {
                let each = pursuits.into_iter().zip(pursued);
                let begun = each.filter_map(|(pursuit, pursued)| Some((pursuit, pursued?)));
                self.reports.settled(&event, begun, filtered);
            }
            Err(_closed) => self.queue_closed.notify_one(),
        }
    }

    /// How far each came; nothing for one that was not begun because the end had come.
    async fn pursue_all(&self, event: &Event, pursuits: &[Pursuit], span: &Span) -> Vec<Option<Pursued>> {
        // Each is counted until it ends, whatever the others of its event need: one that hangs takes up no more than itself.
        let pursue = |pursuit| {
            let counted = Counted::begin(&self.pursuits);
            async move {
                let mut span = traced::delivery(span, event, pursuit);
                let pursued = self.pursuer.pursue(event, pursuit, &span).await;
                match &pursued {
                    Some(pursued) => traced::stepped(&mut span, &pursued.step, self.pursuer.outlook.clock.now()),
                    None => span.discard(),
                }
                drop(counted);
                pursued
            }
        };
        if let [only] = pursuits {
            return vec![pursue(only).await];
        }
        futures_util::future::join_all(pursuits.iter().map(pursue)).await
    }

    fn follow_up(&self, before: &Delivery, step: Option<&Step>) -> Option<FollowUp> {
        let now = self.pursuer.outlook.clock.now();
        // Not begun: it is due as it is at the next start.
        let Some(step) = step else { return Some(FollowUp::Later { delivery: before.clone(), due: now }) };
        match step {
            Step::Later { delivery, due, .. } => Some(FollowUp::Later { delivery: delivery.clone(), due: *due }),
            Step::Dead { delivery, reason } => {
                let death = Death { reason: *reason, at: now };
                Some(FollowUp::Dead { delivery: delivery.clone(), death })
            }
            Step::Attempt | Step::Done | Step::Skip(_) | Step::Drop(_) => None,
        }
    }
}

/// The next lease of either lane; nothing once one of them has ended. Fresh and returning messages take turns by chance, so
/// that neither keeps the other waiting.
async fn next_of(work: &mut Consumer, retry: &mut Consumer) -> Option<Lease> {
    tokio::select! {
        lease = work.next() => lease,
        lease = retry.next() => lease,
    }
}

/// A delivery in hand, counted down however it ends.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn begin(total: &'a Cell<usize>) -> Self {
        total.set(total.get().saturating_add(1));
        Self(total)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
