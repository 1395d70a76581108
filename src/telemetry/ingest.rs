//! What happens to the requests of Misskey's webhooks.

use super::Telemetry;
use crate::model::IngestRefusal;

impl Telemetry {
    /// A request of a Misskey's webhook was not taken in. `source` is what its path named and `hook` the webhook's id at
    /// Misskey, where they are known; neither is believed.
    pub fn ingest_refused(&self, reason: IngestRefusal, source: &str, hook: &str, words: &str) {
        self.metrics.ingest.misskey_refused(reason).inc();
        if matches!(reason, IngestRefusal::NotAnEvent | IngestRefusal::TooLarge) {
            self.event_refused();
        }
        let Some(silenced) = self.ingest_lines.allow() else { return };
        // What Misskey will not send again is a loss unless somebody mends the cause.
        match reason {
            IngestRefusal::NotConfigured => {
                tracing::error!(source, hook, silenced, "a Misskey's webhook was refused: {words}");
            }
            _ => tracing::warn!(%reason, source, hook, silenced, "a Misskey's webhook was refused: {words}"),
        }
    }
}
