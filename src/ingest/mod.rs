//! The way in: whatever a producer offers becomes events here, and is stored before anyone is told so (promise 1).
//!
//! [`Ingest::offer`] takes the items of one request or one file, refuses each that is no event, and stores the valid ones
//! all or none. The ways in (HTTP, CLI) differ in how they cut bytes into items ([`items`]) and how they answer.

mod http;
mod items;

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::SharedClock;
use crate::model::{Arrival, Event, EventError, EventId, Message, Source, Target};
use crate::queue::{Queue, QueueError};
use crate::telemetry::SharedTelemetry;

pub use http::{HttpPolicy, router};
pub use items::{ITEMS_MAX, ItemsError, split, without_bom};

/// Takes events in. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: Queue,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    policy: Policy,
}

/// What is taken in, and what it gets where it does not say.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Bytes that an event may have.
    pub event_bytes_max: usize,
    /// The `server` of events of the source `default` that do not say theirs.
    pub server: Option<String>,
}

/// What became of one item.
pub type ItemResult = Result<Accepted, EventError>;

/// An event that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id, given or made.
    pub id: EventId,
}

impl Ingest {
    /// Takes events into `queue`.
    pub fn new(queue: Queue, clock: SharedClock, telemetry: SharedTelemetry, policy: Policy) -> Self {
        Self { queue, clock, telemetry, policy }
    }

    /// Stores the events among `items`, all or none, and tells for each item, in order, what became of it.
    ///
    /// # Errors
    /// Nothing of it is stored; the producer must keep all of it and may offer it again.
    pub async fn offer(&self, items: &[Bytes]) -> Result<Vec<ItemResult>, QueueError> {
        let parsed: Vec<Result<Event, EventError>> = items.iter().map(|item| self.parse(item)).collect();
        let results = parsed
            .iter()
            .map(|event| match event {
                Ok(event) => Ok(Accepted { id: event.id.clone() }),
                Err(error) => Err(error.clone()),
            })
            .collect();
        self.store(parsed.into_iter().flatten().collect()).await?;
        Ok(results)
    }

    fn parse(&self, item: &Bytes) -> Result<Event, EventError> {
        let event_bytes_max = self.policy.event_bytes_max;
        let arrival = Arrival { now: self.clock.now(), event_id: new_event_id(), event_bytes_max };
        let mut event = Event::parse(item, arrival).inspect_err(|_| self.telemetry.event_refused())?;
        if event.server.is_none() && event.source == Source::default() {
            event.server.clone_from(&self.policy.server);
        }
        Ok(event)
    }

    async fn store(&self, events: Vec<Event>) -> Result<(), QueueError> {
        if events.is_empty() {
            return Ok(());
        }
        let sources: Vec<Source> = events.iter().map(|event| event.source.clone()).collect();
        let messages = events
            .into_iter()
            .map(|event| Message { event: Arc::new(event), target: Target::Subscribers })
            .collect::<Vec<_>>();
        let count = messages.len() as u64;
        match self.queue.publish(messages).await {
            Ok(()) => {
                self.count_accepted(sources);
                Ok(())
            }
            Err(error) => {
                self.telemetry.events_not_stored(count, &error);
                Err(error)
            }
        }
    }

    fn count_accepted(&self, mut sources: Vec<Source>) {
        sources.sort_unstable();
        for same in sources.chunk_by(|a, b| a == b) {
            self.telemetry.events_accepted(&same[0], same.len() as u64);
        }
    }
}

/// An id for an event that came without one: a random UUID, as Misskey makes them.
fn new_event_id() -> EventId {
    let text = uuid::Uuid::new_v4().to_string();
    #[expect(clippy::expect_used, reason = "36 characters of ASCII are an id")]
    EventId::new(&text).expect("a UUID is an id")
}
