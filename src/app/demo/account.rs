//! What the worker says became of each delivery, heard while it happens.
//!
//! The engine tells each settlement here; the demo asks how far it is, what waits, and of which events nothing was settled.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::report::{AcceptedEvent, Skipped};
use super::words::DeliveryRef;
use crate::decide::Step;
use crate::deliver::Observer;
use crate::model::{Delivery, Event, EventId, EventType, WebhookId};

/// What the worker says became of each delivery.
#[derive(Debug, Default)]
pub(super) struct Account {
    entries: Mutex<Entries>,
    /// Told of each settlement.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    counts: Counts,
    waiting: HashMap<String, DeliveryRef>,
    /// Events of which something was settled.
    told: HashSet<EventId>,
    skipped: HashMap<(WebhookId, EventType), u64>,
    attempts: HashMap<WebhookId, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) waiting: u64,
    pub(super) skipped: u64,
}

impl Account {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> Counts {
        let entries = self.entries();
        Counts { waiting: entries.waiting.len() as u64, ..entries.counts }
    }

    pub(super) fn waiting(&self) -> Vec<DeliveryRef> {
        self.entries().waiting.values().cloned().collect()
    }

    /// Of `events`, those of which nothing was settled.
    pub(super) fn untold<'a>(&self, events: &'a [AcceptedEvent]) -> Vec<&'a AcceptedEvent> {
        let entries = self.entries();
        events.iter().filter(|event| !entries.told.contains(&event.id)).collect()
    }

    pub(super) fn skipped(&self) -> Vec<Skipped> {
        let skipped = self.entries().skipped.clone();
        skipped.into_iter().map(|((webhook, kind), count)| Skipped { webhook, kind, count }).collect()
    }

    pub(super) fn attempts(&self) -> Vec<(WebhookId, u64)> {
        self.entries().attempts.clone().into_iter().collect()
    }
}

impl Observer for Account {
    fn settled(&self, event: &Event, before: &Delivery, step: &Step) {
        let mut entries = self.entries();
        let id = before.id(event).to_string();
        entries.waiting.remove(&id);
        entries.told.insert(event.id.clone());
        let spent = match step {
            Step::Done => {
                entries.counts.delivered += 1;
                1
            }
            Step::Later { delivery, .. } => {
                let waiting =
                    DeliveryRef { webhook: before.webhook.clone(), delivery: id.clone(), kind: event.kind.clone() };
                entries.waiting.insert(id, waiting);
                delivery.attempts - before.attempts
            }
            Step::Dead { delivery, .. } => {
                entries.counts.dead += 1;
                delivery.attempts - before.attempts
            }
            Step::Skip(_) => {
                entries.counts.skipped += 1;
                *entries.skipped.entry((before.webhook.clone(), event.kind.clone())).or_default() += 1;
                0
            }
            Step::Drop(_) | Step::Attempt => 0,
        };
        *entries.attempts.entry(before.webhook.clone()).or_default() += u64::from(spent);
        drop(entries);
        self.changed.notify_one();
    }
}
