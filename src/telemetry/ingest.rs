//! What happens to the requests of Misskey's webhooks, and to what Misskey gave up.

use std::error::Error;

use super::{Telemetry, chain};
use crate::model::IngestRefusal;

/// What reconciling came to, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// Deliveries that Misskey gave up.
    pub found: usize,
    /// Those that were addressed to us.
    pub ours: usize,
    /// Those of ours that were taken in.
    pub taken_in: usize,
    /// Those of ours that had been accepted before.
    pub known: usize,
    /// Those of ours that may not come in.
    pub refused: usize,
    /// Whether Misskey's list was full, so that older ones may be lost.
    pub is_full: bool,
}

impl Telemetry {
    /// An event that Misskey gave up was fetched from it and stored.
    pub fn event_reconciled(&self) {
        self.metrics.ingest.reconciled.inc();
    }

    /// What Misskey gave up was looked through; `is_news` when somebody wants to know.
    pub fn reconciled(&self, came: Reconciliation, is_news: bool) {
        let Reconciliation { found, ours, taken_in, known, refused, is_full } = came;
        let lost = if is_full { "; Misskey's list is full, so it may have lost older ones" } else { "" };
        let words = format!(
            "reconciled: of {found} deliveries that Misskey gave up, {ours} were for us: {taken_in} taken in, {known} known \
             already, {refused} refused{lost}"
        );
        if is_news { tracing::info!("{words}") } else { tracing::debug!("{words}") }
    }

    /// Something that Misskey gave up was addressed to us and may not come in. The ids are a stranger's, cut to be shown.
    pub fn reconciliation_refused(&self, hook: &str, event: &str, why: &str) {
        if let Some(silenced) = self.ingest_lines.allow() {
            tracing::warn!(hook, event, silenced, "what Misskey gave up sending here was refused: {why}");
        }
    }

    /// What Misskey gave up cannot be looked through; it is tried again.
    pub fn not_reconciled(&self, words: &str, can_pass: bool) {
        if can_pass {
            tracing::warn!("not reconciled, and tried again: {words}");
        } else {
            tracing::error!("not reconciled; what Misskey gave up while hikyaku was away is not taken in: {words}");
        }
    }

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
