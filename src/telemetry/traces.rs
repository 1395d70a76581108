//! What is told of the spans that go to a collector: how many arrive, and how many do not.

use std::error::Error;

use super::{Telemetry, chain};

/// What does not work then.
const WHAT: &str = "traces cannot be sent; deliveries go on, and spans are dropped";

impl Telemetry {
    /// The collector has taken so many spans.
    pub fn spans_sent(&self, count: u64) {
        self.metrics.traces.sent.inc_by(count);
    }

    /// So many spans were dropped: the collector is away or slow, and no more of them can wait.
    pub fn spans_dropped(&self, count: u64) {
        self.metrics.traces.dropped.inc_by(count);
    }

    /// Spans do not arrive. Told once, until they do again: no delivery suffers, and they are counted.
    pub fn traces_not_sent(&self, why: &dyn Error) {
        tracing::warn!("{WHAT} (hikyaku_trace_spans_total): {}", chain(why));
    }

    /// That is over.
    pub fn traces_sent_again(&self) {
        self.recovered(WHAT);
    }

    /// So many spans were not wanted by the collector.
    pub fn spans_refused(&self, count: u64) {
        self.metrics.traces.refused.inc_by(count);
    }
}
