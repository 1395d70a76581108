//! The way in: whatever a producer offers becomes events here, and is stored before anyone is told so (promise 1).
//!
//! [`Ingest::offer`] takes the items of one request or one file, refuses each that is no event, and stores the valid ones
//! all or none. The ways in (HTTP, CLI) differ in how they cut bytes into items ([`items`]) and how they answer. What a
//! Misskey's own webhook sends ([`misskey`]) is one event, read where its secret is checked, and stored by
//! [`Ingest::accept`].

mod described;
mod http;
mod items;
mod misskey;
mod once;
mod reconcile;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::SharedClock;
use crate::model::{Arrival, Event, EventError, EventId, Message, Source, Target};
use crate::queue::{Lane, Queue, QueueError};
use crate::record::Receipts;
use crate::telemetry::SharedTelemetry;
use crate::traces::{Kind, Span, Tracer, names};

pub(crate) use http::__path_take_events;
pub use http::{HttpPolicy, router, waiting_router};
pub use items::{ITEMS_MAX, ItemsError, split, without_bom};
pub use misskey::{MisskeyPolicy, misskey_router};
pub use reconcile::{Reach, ReconcileError, Reconciled, Reconciler, Reconciling, RefusedJob};

use once::UnderWay;

/// Where Misskey's webhooks post; behind it, the source can stand. A proxy may have it behind a prefix.
pub const MISSKEY_PATH: &str = "/ingest/misskey";
/// Items parsed before other tasks get their turn: health checks would wait for 100,000 at once.
const ITEMS_PER_TURN: usize = 256;

/// Takes events in. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: Queue,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    policy: Policy,
    /// What the queue does not remember itself.
    receipts: Option<Arc<Receipts>>,
    tracer: Tracer,
    under_way: Arc<UnderWay>,
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
        Self { queue, clock, telemetry, policy, receipts: None, tracer: Tracer::default(), under_way: Arc::default() }
    }

    /// Remembers in `receipts` what was taken in by [`Ingest::accept`], where the queue does not remember it itself.
    pub fn remembering_in(self, receipts: Arc<Receipts>) -> Self {
        Self { receipts: Some(receipts), ..self }
    }

    /// Begins its spans by `tracer`.
    pub fn traced_by(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// What begins its spans.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Stores the events among `items`, all or none, and tells for each item, in order, what became of it.
    ///
    /// # Errors
    /// Nothing of it is stored, or it is not known; the producer must keep all of it and may offer it again.
    pub async fn offer(&self, items: &[Bytes]) -> Result<Vec<ItemResult>, QueueError> {
        self.offer_within(items, &Span::default()).await
    }

    /// The same, as a step of `span`.
    ///
    /// # Errors
    /// As [`Self::offer`].
    pub async fn offer_within(&self, items: &[Bytes], span: &Span) -> Result<Vec<ItemResult>, QueueError> {
        let mut offered = Offered::default();
        offered.results.reserve_exact(items.len());
        for (index, item) in items.iter().enumerate() {
            if index % ITEMS_PER_TURN == ITEMS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            offered.push(self.parse(item));
        }
        let (mut messages, sources) = (offered.messages, offered.sources);
        if messages.is_empty() {
            return Ok(offered.results);
        }
        let mut publishing = match messages.as_slice() {
            [only] => self.publishing_one(span, &only.event),
            several => {
                let mut publishing = self.publishing(span);
                publishing.number(names::BATCH, several.len());
                publishing
            }
        };
        for message in &mut messages {
            Arc::make_mut(&mut message.event).trace = publishing.context();
        }
        self.store(messages, sources).await.inspect_err(|_| publishing.failed("not_stored"))?;
        Ok(offered.results)
    }

    fn parse(&self, item: &Bytes) -> Result<Event, EventError> {
        let event_bytes_max = self.policy.event_bytes_max;
        let arrival = Arrival { now: self.clock.now(), event_id: new_event_id(), event_bytes_max, source: None };
        let event = Event::parse(item, arrival).inspect_err(|_| self.telemetry.event_refused())?;
        Ok(self.with_server(event))
    }

    fn with_server(&self, mut event: Event) -> Event {
        if event.server.is_none() && event.source == Source::default() {
            event.server.clone_from(&self.policy.server);
        }
        event
    }

    /// The step of `span` that stores events.
    fn publishing(&self, span: &Span) -> Span {
        let mut publishing = span.child(Kind::Producer, "publish work");
        publishing.word(names::SYSTEM, self.tracer.system());
        publishing.word(names::DESTINATION, Lane::Work.as_str());
        publishing.word(names::OPERATION, "publish");
        publishing.word(names::OPERATION_TYPE, "send");
        publishing
    }

    fn publishing_one(&self, span: &Span, event: &Event) -> Span {
        let mut publishing = self.publishing(span);
        publishing.of_event(event);
        publishing
    }

    async fn store(&self, messages: Vec<Message>, sources: BTreeMap<Source, u64>) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        self.queue.publish(messages).await.inspect_err(|error| self.telemetry.events_not_stored(count, error))?;
        for (source, count) in &sources {
            self.telemetry.events_accepted(source, *count);
        }
        Ok(())
    }
}

/// What becomes of the items of one offer: an event is kept once, as the message that is stored.
#[derive(Default)]
struct Offered {
    results: Vec<ItemResult>,
    messages: Vec<Message>,
    /// How many events each source has.
    sources: BTreeMap<Source, u64>,
}

impl Offered {
    fn push(&mut self, parsed: Result<Event, EventError>) {
        self.results.push(parsed.map(|event| {
            let id = event.id.clone();
            match self.sources.get_mut(&event.source) {
                Some(count) => *count += 1,
                None => drop(self.sources.insert(event.source.clone(), 1)),
            }
            self.messages.push(Message { event: Arc::new(event), target: Target::Subscribers });
            Accepted { id }
        }));
    }
}

/// An id for an event that came without one: a random UUID, as Misskey makes them.
fn new_event_id() -> EventId {
    let text = uuid::Uuid::new_v4().to_string();
    #[expect(clippy::expect_used, reason = "36 characters of ASCII are an id")]
    EventId::new(&text).expect("a UUID is an id")
}
