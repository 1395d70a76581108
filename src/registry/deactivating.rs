//! Webhooks that we stop: noted with the reason, and kept to be told to their owners until somebody says that they were.

use super::{Registry, RegistryError, cache};
use crate::model::{Deactivation, DeactivationReason, Timestamp, WebhookId};
use crate::registry::Known;

/// That we have deactivated a webhook, which its owner is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The webhook; it may have been changed, activated or deleted since.
    pub webhook: WebhookId,
    /// When and why.
    pub deactivation: Deactivation,
}

impl Registry {
    /// Notes that we stop sending to a webhook, stored or declared. `false`: we had already, and that reason and time
    /// stand; or there is no such webhook.
    ///
    /// # Errors
    /// What the store says.
    pub async fn deactivate(&self, id: &WebhookId, reason: DeactivationReason) -> Result<bool, RegistryError> {
        self.deactivate_unless_changed(id, reason, None, Timestamp::from_millis(i64::MAX)).await
    }

    /// As [`Self::deactivate`], but not when its owner has changed or activated the webhook since `seen`, which is the
    /// `updated_at` of what an answer was for: an answer of the old address says nothing of the new one. `failing_since` is
    /// since when no attempt had succeeded.
    ///
    /// # Errors
    /// What the store says.
    pub async fn deactivate_unless_changed(
        &self,
        id: &WebhookId,
        reason: DeactivationReason,
        failing_since: Option<Timestamp>,
        seen: Timestamp,
    ) -> Result<bool, RegistryError> {
        let shared = &self.shared;
        let stopped = Deactivation { reason, at: shared.clock.now(), failing_since };
        let declared = shared.declared(id).is_some();
        let _turn = shared.turn.lock().await;
        let Some(step) = shared.store.deactivate(id, stopped.clone(), declared, seen).await? else {
            return Ok(false);
        };
        shared.follow(step, |snapshot| {
            if let Known::Webhook(webhook) = snapshot.find(id) {
                let webhook = cache::deactivated(webhook, stopped);
                snapshot.put(webhook);
            }
        });
        Ok(true)
    }

    /// What is still to be told, the oldest first, at most `max`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn announcements(&self, max: usize) -> Result<Vec<Announcement>, RegistryError> {
        Ok(self.shared.store.announcements(max).await?)
    }

    /// Notes that it was told.
    ///
    /// # Errors
    /// What the store says; it is still to be told.
    pub async fn announced(&self, told: &Announcement) -> Result<(), RegistryError> {
        Ok(self.shared.store.announced(told.clone()).await?)
    }
}
