//! Deliveries to webhooks that are deleted. They are not put back to work: a worker would drop them, and they would be gone.

use std::collections::BTreeMap;

use super::Operations;
use crate::model::WebhookId;
use crate::registry::Known;

/// How many deliveries to each such webhook there are.
#[derive(Debug, Default)]
pub(super) struct ToDeleted(BTreeMap<WebhookId, u64>);

impl ToDeleted {
    /// There are so many more.
    pub(super) fn add(&mut self, webhook: &WebhookId, count: u64) {
        *self.0.entry(webhook.clone()).or_default() += count;
    }

    /// How many there are in all.
    pub(super) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// What is to be known of each webhook, of at most `max`; `what` the deliveries are called.
    pub(super) fn words(&self, what: &str, max: usize) -> Vec<String> {
        let told = |(webhook, count): (&WebhookId, &u64)| {
            format!("the webhook {webhook} is deleted: {count} {what} to it are not sent, and stay as they are")
        };
        self.0.iter().take(max).map(told).collect()
    }
}

impl Operations {
    /// Learns which webhooks there are now.
    pub(super) async fn look_for_webhooks(&self) {
        self.registry.refresh().await;
    }

    /// Whether that webhook was deleted.
    pub(super) fn is_deleted(&self, webhook: &WebhookId) -> bool {
        matches!(self.registry.snapshot().find(webhook), Known::Deleted)
    }
}
