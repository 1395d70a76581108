//! What is told of the spans that go to a collector: how many arrive, and how many do not.

use super::Telemetry;

impl Telemetry {
    /// The collector has taken so many spans.
    pub fn spans_sent(&self, count: u64) {
        self.metrics.traces.sent.inc_by(count);
    }

    /// So many spans were dropped: the collector is away or slow, and no more of them can wait.
    pub fn spans_dropped(&self, count: u64) {
        self.metrics.traces.dropped.inc_by(count);
    }

    /// So many spans were not wanted by the collector.
    pub fn spans_refused(&self, count: u64) {
        self.metrics.traces.refused.inc_by(count);
    }
}
