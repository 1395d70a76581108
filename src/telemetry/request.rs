//! Which HTTP request to us a line is about: every line that is written while a request is worked on has its name.

use std::time::Duration;

use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::model::TraceId;

/// `work`, done for the request `id`.
pub fn of_request<F: Future>(id: &str, work: F) -> Instrumented<F> {
    // The level of a span is the least at which lines have it: all of them.
    work.instrument(tracing::error_span!("request", id))
}

/// `work` in a task of its own, done for the same request as what starts it, if that is one.
pub fn of_same_request<F: Future>(work: F) -> Instrumented<F> {
    work.in_current_span()
}

/// `work`, done for an event of the trace `id`, where traces are on and that one is recorded.
pub fn of_trace<F: Future>(id: Option<TraceId>, work: F) -> Instrumented<F> {
    work.instrument(id.map_or_else(tracing::Span::none, |id| tracing::error_span!("trace", trace_id = %id)))
}

/// A request was answered; `path` is our own word for where it went, without what its sender put there.
pub fn answered(method: &str, path: &str, status: u16, took: Duration) {
    tracing::debug!(method, path, status, took_ms = took.as_millis(), "answered");
}
