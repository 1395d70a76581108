//! Traces: which steps an event went through, and how long each took, told to a collector by OTLP (OpenTelemetry's protocol).
//!
//! ```text
//!  ingest, deliver --Tracer::begin--> Span --(ended or dropped)--> channel --exporter task--> POST otlp_url, protobuf
//! ```
//!
//! A [`Tracer`] that is off, which is the default, makes spans that are nothing and cost nothing. One that is on makes spans whose
//! context ([`TraceContext`](crate::model::TraceContext)) goes with the event through the queue, so that what comes of it hours later,
//! in another process, belongs to the same trace. What ended waits in a channel of [`SPANS_MAX`] and is sent by a task of its own
//! ([`Exporting`]): nobody ever waits for the collector, and what there is no room for is dropped and counted.
//!
//! No span has a body, a secret, or an address beyond a host's name. Which spans there are, docs/traces.md says.

mod exporter;
mod otlp;
mod span;
mod tracer;

pub use exporter::{Exporting, ping};
pub use otlp::{Named, TRACES_PATH};
pub use span::{Kind, Span};
pub use tracer::{Collector, SPANS_MAX, Tracer, TracerPolicy, traceparent};

/// The names of what spans tell: OpenTelemetry's where it has one (semantic conventions 1.37: HTTP, messaging), else ours.
pub mod names {
    /// `messaging.system`.
    pub const SYSTEM: &str = "messaging.system";
    /// `messaging.destination.name`: the lane.
    pub const DESTINATION: &str = "messaging.destination.name";
    /// `messaging.operation.name`.
    pub const OPERATION: &str = "messaging.operation.name";
    /// `messaging.operation.type`.
    pub const OPERATION_TYPE: &str = "messaging.operation.type";
    /// `messaging.message.id`: the event's id.
    pub const MESSAGE: &str = "messaging.message.id";
    /// `messaging.batch.message_count`.
    pub const BATCH: &str = "messaging.batch.message_count";
    /// `messaging.message.body.size`.
    pub const BODY_SIZE: &str = "messaging.message.body.size";
    /// `http.request.method`.
    pub const METHOD: &str = "http.request.method";
    /// `http.route`.
    pub const ROUTE: &str = "http.route";
    /// `http.response.status_code`.
    pub const STATUS: &str = "http.response.status_code";
    /// `http.request.resend_count`: absent at the first attempt.
    pub const RESENDS: &str = "http.request.resend_count";
    /// `server.address`.
    pub const SERVER: &str = "server.address";
    /// `server.port`.
    pub const PORT: &str = "server.port";
    /// `url.scheme`.
    pub const SCHEME: &str = "url.scheme";
    /// `error.type`: an outcome, or a word of ours.
    pub const ERROR: &str = "error.type";
    /// What the request is called in log lines and answers.
    pub const REQUEST: &str = "hikyaku.request.id";
    /// The event's id.
    pub const EVENT: &str = "hikyaku.event.id";
    /// The event's type.
    pub const EVENT_TYPE: &str = "hikyaku.event.type";
    /// Which Misskey it came from.
    pub const SOURCE: &str = "hikyaku.event.source";
    /// Milliseconds since the event was accepted, when a worker took it.
    pub const SINCE_ACCEPTED: &str = "hikyaku.event.since_accepted_ms";
    /// How many events of a request were none.
    pub const REFUSED: &str = "hikyaku.events.refused";
    /// The delivery's id.
    pub const DELIVERY: &str = "hikyaku.delivery.id";
    /// How often it was put back to work.
    pub const GENERATION: &str = "hikyaku.delivery.generation";
    /// Which attempt of the generation it is, from 1.
    pub const ATTEMPT: &str = "hikyaku.delivery.attempt";
    /// What is next for it.
    pub const STEP: &str = "hikyaku.delivery.step";
    /// Why.
    pub const REASON: &str = "hikyaku.delivery.reason";
    /// How long until it comes back.
    pub const WAIT: &str = "hikyaku.delivery.wait_ms";
    /// The webhook's id.
    pub const WEBHOOK: &str = "hikyaku.webhook.id";
    /// What an attempt came to.
    pub const OUTCOME: &str = "hikyaku.attempt.outcome";
    /// How many deliveries a message asked for.
    pub const DELIVERIES: &str = "hikyaku.deliveries";
    /// How many webhooks' filters kept it from them.
    pub const FILTERED: &str = "hikyaku.deliveries.filtered";
    /// How many follow-ups it left behind.
    pub const FOLLOW_UPS: &str = "hikyaku.follow_ups";
}
