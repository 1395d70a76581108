//! What is told of the history: that it falls behind or cannot be written, that this is over, and how much it holds.

use super::{Telemetry, to_i64};

impl Telemetry {
    /// The history in `place`, a file or a database, cannot be written, or not fast enough. Told once, until it is written again.
    pub fn history_behind(&self, place: &str, why: &str) {
        self.metrics.parts.troubles.inc();
        tracing::warn!(
            "the history in {place} falls behind: {why}. Deliveries go on; what happens is kept in memory while there is room, \
             and then missing in the history (hikyaku_record_dropped_total)"
        );
    }

    /// That is over; so many entries are missing.
    pub fn history_recovered(&self, place: &str, missing: u64, words: &str) {
        tracing::info!(missing, "the history in {place} is written again; {words}");
    }

    /// At the end of the process so many entries were not written.
    pub fn history_left(&self, place: &str, missing: u64) {
        tracing::warn!(
            missing,
            "the history in {place} could not be written to the end; {missing} entries are missing"
        );
    }

    /// How many deliveries and attempts the history holds.
    pub fn history_held(&self, deliveries: u64, attempts: u64) {
        self.metrics.history.deliveries.set(to_i64(deliveries));
        self.metrics.history.attempts.set(to_i64(attempts));
    }

    /// What happened was noted without the event's body, since too many came.
    pub fn history_body_left_out(&self) {
        self.metrics.history.bodies_left_out.inc();
    }

    /// Deliveries were removed from the history because they were too old or too many.
    pub fn history_pruned(&self, deliveries: u64) {
        self.metrics.history.pruned.inc_by(deliveries);
    }
}
