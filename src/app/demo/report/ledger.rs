//! What the parties say, put side by side: each delivery that is due, each place where one is, and the sums over them.
//!
//! The due deliveries are worked out from events and webhooks alone, so that they do not follow from what anybody else
//! says. A sum is over a webhook, an event type or everything; whether sums fit is not decided here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::inputs::{Inputs, RegisteredWebhook};
use super::{Sums, TypeRow, WebhookRow};
use crate::app::demo::words::DeliveryRef;
use crate::model::{DeliveryId, EventType, Owner, WebhookId};

/// A delivery that is due: which event's for which webhook.
pub(super) struct Due<'a> {
    pub(super) webhook: &'a WebhookId,
    pub(super) kind: &'a EventType,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Delivered,
    Dead,
    Waiting,
}

impl Place {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead-lettered",
            Self::Waiting => "waiting",
        }
    }
}

/// What is due, and where it is.
pub(super) struct Ledger<'a> {
    pub(super) inputs: &'a Inputs,
    /// By the delivery's id.
    pub(super) due: HashMap<String, Due<'a>>,
    /// Every mention of a delivery; of a receiver's repeats only the first.
    pub(super) placed: Vec<(Place, &'a DeliveryRef)>,
}

impl<'a> Ledger<'a> {
    /// Puts `inputs` side by side.
    pub(super) fn of(inputs: &'a Inputs) -> Self {
        Self { inputs, due: due(inputs), placed: placed(inputs) }
    }

    /// The sums over everything.
    pub(super) fn total(&self) -> Sums {
        self.sums(|_, _| true)
    }

    /// A row for each webhook, as they were registered.
    pub(super) fn by_webhook(&self) -> Vec<WebhookRow> {
        self.inputs.webhooks.iter().map(|webhook| self.webhook_row(webhook)).collect()
    }

    /// A row for each type that anybody mentions, by name.
    pub(super) fn by_type(&self) -> Vec<TypeRow> {
        types(self.inputs).into_iter().map(|kind| self.type_row(kind)).collect()
    }

    /// How many of the due deliveries `counts` picks by webhook and type.
    pub(super) fn expected(&self, counts: impl Fn(&WebhookId, &EventType) -> bool) -> u64 {
        count(self.due.values().filter(|due| counts(due.webhook, due.kind)))
    }

    /// The sums over what `counts` picks by webhook and type.
    fn sums(&self, counts: impl Fn(&WebhookId, &EventType) -> bool) -> Sums {
        let at = |place| count(self.placed.iter().filter(|(p, one)| *p == place && counts(&one.webhook, &one.kind)));
        let skips = self.inputs.skipped.iter().filter(|one| counts(&one.webhook, &one.kind));
        let skipped = skips.map(|one| one.count).sum();
        Sums {
            deliveries: self.expected(&counts).saturating_sub(skipped),
            delivered: at(Place::Delivered),
            dead: at(Place::Dead),
            waiting: at(Place::Waiting),
            skipped,
        }
    }

    fn webhook_row(&self, webhook: &RegisteredWebhook) -> WebhookRow {
        let mut dead_by_reason = BTreeMap::new();
        for (_, reason) in self.inputs.dead.iter().filter(|(one, _)| one.webhook == webhook.id) {
            *dead_by_reason.entry(reason.as_str()).or_default() += 1;
        }
        let attempts = self.inputs.attempts.iter().filter(|(id, _)| *id == webhook.id);
        WebhookRow {
            webhook: webhook.id.clone(),
            receiver: webhook.receiver.as_str(),
            owner: if webhook.owner == Owner::System { "system" } else { "user" },
            sums: self.sums(|id, _| *id == webhook.id),
            attempts: attempts.map(|(_, attempts)| attempts).sum(),
            dead_by_reason,
        }
    }

    fn type_row(&self, kind: EventType) -> TypeRow {
        TypeRow {
            accepted: count(self.inputs.events.iter().filter(|event| event.kind == kind)),
            sums: self.sums(|_, other| *other == kind),
            kind,
        }
    }
}

fn due(inputs: &Inputs) -> HashMap<String, Due<'_>> {
    let pairs = inputs.webhooks.iter().flat_map(|webhook| {
        let wanted = inputs.events.iter().filter(|event| webhook.wants(event));
        wanted.map(move |event| (webhook, event))
    });
    pairs
        .map(|(webhook, event)| {
            let id = DeliveryId::of(&event.id, &webhook.id).to_string();
            (id, Due { webhook: &webhook.id, kind: &event.kind })
        })
        .collect()
}

fn placed(inputs: &Inputs) -> Vec<(Place, &DeliveryRef)> {
    let mut taken = BTreeSet::new();
    let delivered = inputs.delivered.iter().filter(|one| taken.insert((&one.webhook, &one.delivery)));
    let mut placed: Vec<(Place, &DeliveryRef)> = delivered.map(|one| (Place::Delivered, one)).collect();
    placed.extend(inputs.dead.iter().map(|(one, _)| (Place::Dead, one)));
    placed.extend(inputs.waiting.iter().map(|one| (Place::Waiting, one)));
    placed
}

fn types(inputs: &Inputs) -> BTreeSet<EventType> {
    let accepted = inputs.events.iter().map(|event| &event.kind);
    let skipped = inputs.skipped.iter().map(|one| &one.kind);
    let placed = inputs.delivered.iter().chain(inputs.dead.iter().map(|(one, _)| one)).chain(&inputs.waiting);
    accepted.chain(skipped).chain(placed.map(|one| &one.kind)).cloned().collect()
}

/// How many `items` there are.
pub(super) fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
