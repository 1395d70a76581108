//! Deliveries to webhooks that are deleted. They are not put back to work: a worker would drop them, and they would be gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::OperateError;
use crate::model::WebhookId;
use crate::record::RecordError;
use crate::registry::{Known, Registry, Snapshot, tombstones};
use crate::store::Store;

/// Who knows which webhooks are deleted.
#[derive(Clone, Debug)]
pub enum DeletedWebhooks {
    /// The registry of a process that serves.
    Registry(Arc<Registry>),
    /// The store, for a command, which may have no key to what the registry keeps; and which webhooks its settings declare.
    Store(Store, Arc<HashSet<WebhookId>>),
}

/// Which webhooks are deleted, and how many deliveries to each there are.
#[derive(Debug)]
pub(super) struct ToDeleted {
    known: Deleted,
    counts: BTreeMap<WebhookId, u64>,
}

#[derive(Debug)]
enum Deleted {
    By(Arc<Snapshot>),
    Those(HashSet<WebhookId>),
}

impl DeletedWebhooks {
    /// Those that are now.
    pub(super) async fn look(&self) -> Result<ToDeleted, OperateError> {
        let known = match self {
            Self::Registry(registry) => {
                registry.refresh().await;
                Deleted::By(registry.snapshot())
            }
            Self::Store(store, declared) => {
                let mut deleted = tombstones(store).await.map_err(RecordError::Store)?;
                deleted.retain(|id| !declared.contains(id));
                Deleted::Those(deleted)
            }
        };
        Ok(ToDeleted { known, counts: BTreeMap::new() })
    }
}

impl ToDeleted {
    /// Whether that webhook is.
    pub(super) fn is(&self, webhook: &WebhookId) -> bool {
        match &self.known {
            Deleted::By(snapshot) => matches!(snapshot.find(webhook), Known::Deleted),
            Deleted::Those(deleted) => deleted.contains(webhook),
        }
    }

    /// There are so many more to it.
    pub(super) fn add(&mut self, webhook: &WebhookId, count: u64) {
        *self.counts.entry(webhook.clone()).or_default() += count;
    }

    /// How many there are in all.
    pub(super) fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// What is to be known of each webhook, of at most `max`; `what` the deliveries are called.
    pub(super) fn words(&self, what: &str, max: usize) -> Vec<String> {
        let told = |(webhook, count): (&WebhookId, &u64)| {
            format!("the webhook {webhook} is deleted: {count} {what} to it are not sent, and stay as they are")
        };
        self.counts.iter().take(max).map(told).collect()
    }
}
