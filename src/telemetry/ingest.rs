//! What happens to the requests of Misskey's webhooks.

use std::error::Error;

use super::{Telemetry, chain};
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

    /// Something was sent that had been taken in before; its sender was told that it is stored.
    pub fn ingest_duplicate(&self) {
        self.metrics.ingest.duplicates.inc();
    }

    /// Something was taken in although the store could not tell whether it had been before, or does not remember it.
    pub fn ingest_unremembered(&self, error: &dyn Error) {
        self.metrics.ingest.unremembered.inc();
        if let Some(silenced) = self.trouble_lines.allow() {
            let error = chain(error);
            tracing::error!(
                silenced,
                "an event was taken in and may be once more, should Misskey send it again: {error}"
            );
        }
    }
}
