//! What the parties of the demo say, before it is put side by side.
//!
//! From whoever runs the demo: publisher and registry say what is due, receivers, store and queue where it is. Nothing
//! here is checked or counted; the report does both.

use std::time::Duration;

use crate::app::demo::words::{DeliveryRef, ReceiverKind, Violations};
use crate::model::{DeathReason, Event, EventId, EventType, Owner, WebhookId};

/// An event that was accepted.
#[derive(Clone, Debug)]
pub struct AcceptedEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub kind: EventType,
    /// Whose it is.
    pub owner: Owner,
}

impl From<&Event> for AcceptedEvent {
    fn from(event: &Event) -> Self {
        let owner = event.user.clone().map_or(Owner::System, Owner::User);
        Self { id: event.id.clone(), kind: event.kind.clone(), owner }
    }
}

/// A webhook of the demo.
#[derive(Clone, Debug)]
pub struct RegisteredWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it points.
    pub receiver: ReceiverKind,
    /// Whose events it gets.
    pub owner: Owner,
    /// The event types it gets.
    pub on: Vec<EventType>,
}

impl RegisteredWebhook {
    /// Whether `event` is one that it subscribes to.
    pub(in crate::app::demo) fn wants(&self, event: &AcceptedEvent) -> bool {
        self.owner == event.owner && self.on.contains(&event.kind)
    }
}

/// Fresh events of one type that the worker did not queue for a webhook, because it had been deactivated.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The webhook.
    pub webhook: WebhookId,
    /// The events' type.
    pub kind: EventType,
    /// How many.
    pub count: u64,
}

/// What the parties say.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Events that the queue has accepted.
    pub events: Vec<AcceptedEvent>,
    /// Webhooks that were registered.
    pub webhooks: Vec<RegisteredWebhook>,
    /// Deliveries that got a 2xx, as the receivers say. A repeat is no problem: delivery is at least once.
    pub delivered: Vec<DeliveryRef>,
    /// Dead letters in the store.
    pub dead: Vec<(DeliveryRef, DeathReason)>,
    /// Deliveries in the queue.
    pub waiting: Vec<DeliveryRef>,
    /// What the worker did not queue.
    pub skipped: Vec<Skipped>,
    /// HTTP requests that the worker made, by webhook.
    pub attempts: Vec<(WebhookId, u64)>,
    /// What receivers got that they should not.
    pub violations: Violations,
    /// How long it took.
    pub elapsed: Duration,
}
