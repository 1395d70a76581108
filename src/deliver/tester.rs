//! Test sends: one dummy event to one webhook, at once, whatever its status and its types.
//!
//! Beside the queue and the worker, as Misskey's `WebhookTestService` is beside its own: nothing is stored or tried again,
//! no slot is taken, a failure is no dead letter and a 410 deactivates nothing. What it came to is the webhook's latest
//! status, and is told to whoever waits for it. At most [`TESTS_MAX`] are under way, each for at most [`TEST_WAIT_MAX`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::STATUS_OF_SILENCE;
use super::test_samples::dummy_event;
use crate::clock::SharedClock;
use crate::decide::classify;
use crate::model::{Delivery, DeliveryId, Event, EventId, EventType, Outcome, Owner, Source, Webhook};
use crate::outbound::{Attempt, Client};
use crate::record::Latest;
use crate::telemetry::SharedTelemetry;

/// Test sends under way at a time, over all webhooks.
pub const TESTS_MAX: usize = 16;
/// How long one may take, whatever the webhook's own timeout: somebody looks at a button.
const TEST_WAIT_MAX: Duration = Duration::from_secs(10);

/// Sends tests. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Tester {
    client: Client,
    latest: Arc<Latest>,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    /// The `server` of events of the default source.
    server: Option<String>,
    places: Arc<Semaphore>,
}

/// [`TESTS_MAX`] are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TESTS_MAX} test sends are under way; wait for one to end")]
pub struct TestsBusy;

/// What a test came to.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The dummy event's id.
    pub event: EventId,
    /// What went out as `webhook-id`.
    pub delivery: DeliveryId,
    /// The kind of success or failure.
    pub outcome: Outcome,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The failure in words; empty on success.
    pub words: String,
    /// How long it took.
    pub took: Duration,
}

impl Tester {
    /// A tester whose events of the default source come from `server`.
    pub fn new(
        client: Client,
        latest: Arc<Latest>,
        clock: SharedClock,
        telemetry: SharedTelemetry,
        server: Option<String>,
    ) -> Self {
        Self { client, latest, clock, telemetry, server, places: Arc::new(Semaphore::new(TESTS_MAX)) }
    }

    /// The dummy event of `kind` for `owner` at `source`; nothing when there is none, as of `reaction`.
    pub fn event(&self, owner: &Owner, source: &Source, kind: &EventType) -> Option<Event> {
        #[expect(clippy::expect_used, reason = "a UUID is an id")]
        let id = EventId::new(&uuid::Uuid::new_v4().to_string()).expect("a UUID is an id");
        let event = dummy_event(owner, source, kind, id, self.clock.now())?;
        let server = self.server.clone().filter(|_| *source == Source::default());
        Some(Event { server, ..event })
    }

    /// Sends `event` to `webhook` in a task of its own, which goes on when nobody waits for it.
    ///
    /// # Errors
    /// When too many are under way; nothing is sent.
    pub fn start(&self, mut webhook: Webhook, event: Event) -> Result<JoinHandle<Tested>, TestsBusy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TestsBusy)?;
        let own = webhook.options.timeout.unwrap_or_else(|| self.client.timeout());
        webhook.options.timeout = Some(own.min(TEST_WAIT_MAX));
        let tester = self.clone();
        Ok(tokio::spawn(async move {
            let tested = tester.send(&webhook, &event).await;
            drop(place);
            tested
        }))
    }

    async fn send(&self, webhook: &Webhook, event: &Event) -> Tested {
        let delivery = Delivery::fresh(event, webhook.id.clone());
        let id = delivery.id(event);
        let attempt = Attempt { event, delivery: &delivery, id: &id, webhook, now: self.clock.now(), trace: None };
        let answer = self.client.send(&attempt).await;
        let now = self.clock.now();
        let verdict = classify(&answer.exchange, now);
        if verdict.outcome != Outcome::OurFault {
            self.latest.note(&webhook.id, now, verdict.status.unwrap_or(STATUS_OF_SILENCE));
        }
        self.telemetry.test_sent(&webhook.id, verdict.outcome);
        Tested {
            event: event.id.clone(),
            delivery: id,
            outcome: verdict.outcome,
            status: verdict.status,
            words: verdict.words,
            took: answer.took,
        }
    }
}
