//! Webhooks and what is published for them, noted in the world's book.

use std::sync::Arc;

use bytes::Bytes;
use hikyaku::decide::{Step, Wait};
use hikyaku::model::{
    Arrival, Delivery, Event, EventId, EventType, Message, Owner, ParkReason, Source, Target, UserId, WebhookId,
    check_secret, check_url,
};
use hikyaku::record::DeadLetter;
use hikyaku::registry::NewWebhook;

use super::{HookSetup, Told, USER, World, webhook};

/// A webhook as the book knows it.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    id: WebhookId,
    user: Option<UserId>,
    source: Source,
    on: Vec<EventType>,
}

impl World {
    /// Registers a plain webhook.
    pub(crate) async fn hook(&mut self, id: &str, url: &str) {
        self.hook_with(id, url, HookSetup::default()).await;
    }

    /// Registers a webhook.
    pub(crate) async fn hook_with(&mut self, id: &str, url: &str, setup: HookSetup<'_>) {
        let user = setup.user.map(|user| UserId::new(user).expect("valid"));
        let hook = Hook {
            id: webhook(id),
            user: user.clone(),
            source: Source::new(setup.source).expect("valid"),
            on: setup.on.iter().map(|kind| EventType::new(kind).expect("valid")).collect(),
        };
        let new = NewWebhook {
            id: Some(hook.id.clone()),
            owner: user.map_or(Owner::System, Owner::User),
            source: hook.source.clone(),
            name: String::new(),
            url: check_url(url).expect("valid"),
            secret: check_secret(setup.secret).expect("valid"),
            on: hook.on.clone(),
            active: true,
            options: setup.options,
        };
        self.registry.create(new).await.expect("registered");
        self.hooks.push(hook);
    }

    /// Publishes a plain `note` of [`USER`].
    pub(crate) async fn note(&mut self) -> EventId {
        self.publish(&format!(r#"{{"type":"note","userId":"{USER}","body":{{}}}}"#)).await
    }

    /// Publishes an event, written as a producer would.
    pub(crate) async fn publish(&mut self, json: &str) -> EventId {
        self.next_event += 1;
        let arrival = Arrival {
            now: self.clock.now(),
            event_id: EventId::new(&format!("e{}", self.next_event)).expect("valid"),
            event_bytes_max: 2 << 20,
            source: None,
        };
        let event = Event::parse(&Bytes::copy_from_slice(json.as_bytes()), arrival).expect("an event");
        let id = event.id.clone();
        for hook in &self.hooks {
            if hook.user == event.user && hook.source == event.source && hook.on.contains(&event.kind) {
                self.book.insert((id.clone(), hook.id.clone()));
            }
        }
        self.publish_message(Message { event: Arc::new(event), target: Target::Subscribers }).await;
        id
    }

    /// Publishes a plain note for one webhook, as `change` makes it.
    pub(crate) async fn publish_delivery(&mut self, id: &str, change: impl FnOnce(&mut Delivery)) -> EventId {
        self.next_event += 1;
        let now = self.clock.now();
        let event_id = EventId::new(&format!("e{}", self.next_event)).expect("valid");
        let arrival = Arrival { now, event_id: event_id.clone(), event_bytes_max: 1 << 20, source: None };
        let json = format!(r#"{{"type":"note","userId":"{USER}","body":{{}}}}"#);
        let event = Event::parse(&Bytes::from(json), arrival).expect("an event");
        let mut delivery = Delivery::fresh(&event, webhook(id));
        change(&mut delivery);
        self.book.insert((event_id.clone(), webhook(id)));
        self.put_to_work(&event_id, &delivery);
        self.publish_message(Message { event: Arc::new(event), target: Target::One(delivery) }).await;
        event_id
    }

    /// Puts a dead letter back to work.
    pub(crate) async fn replay(&mut self, letter: &DeadLetter) {
        let delivery = letter.delivery.replayed(self.clock.now());
        self.put_to_work(&letter.event.id, &delivery);
        let message = Message { event: Arc::clone(&letter.event), target: Target::One(delivery) };
        self.publish_message(message).await;
        self.letters.remove(&letter.id, letter.delivery.generation).await.expect("removed");
    }

    /// Notes in the book that there must be a delivery of an event that hikyaku has made itself.
    pub(crate) fn expects(&mut self, event: &EventId, id: &str) {
        self.book.insert((event.clone(), webhook(id)));
    }

    /// Notes in the book that the webhook does not want the event.
    pub(crate) fn unwanted(&mut self, event: &EventId, id: &str) {
        self.book.remove(&(event.clone(), webhook(id)));
    }

    /// Notes in the book that the delivery waits from now on.
    fn put_to_work(&self, event: &EventId, delivery: &Delivery) {
        let wait = Wait::Park(ParkReason::NoSlot);
        let step = Step::Later { delivery: delivery.clone(), due: self.clock.now(), wait };
        let told = Told { event: event.clone(), webhook: delivery.webhook.clone(), step };
        self.ear.0.send_modify(|all| all.push(told));
    }

    async fn publish_message(&self, message: Message) {
        self.queue().publish(vec![message]).await.expect("published");
    }
}
