//! What we found out of a webhook at run time, as a row of the store has it.

use crate::model::{Deactivation, DeactivationReason, Timestamp, WebhookId};

/// A row of `webhook_state`, or of an announcement.
pub(super) struct StateRow {
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) at: i64,
    pub(super) failing_since: Option<i64>,
}

impl StateRow {
    /// What it says. Stopped for a reason that is unknown here is still stopped: a newer hikyaku may have written it.
    pub(super) fn deactivation(&self) -> Deactivation {
        Deactivation {
            reason: DeactivationReason::from_name(&self.reason).unwrap_or(DeactivationReason::Failing),
            at: Timestamp::from_millis(self.at),
            failing_since: self.failing_since.map(Timestamp::from_millis),
        }
    }

    /// The webhook and what it says, if there can be such a webhook; what is odd about it goes to `problems`.
    pub(super) fn read(self, problems: &mut Vec<String>) -> Option<(WebhookId, Deactivation)> {
        let Ok(id) = WebhookId::new(&self.id) else {
            problems.push(format!("a row of webhook_state is skipped: {:?} is no webhook's id", self.id));
            return None;
        };
        if DeactivationReason::from_name(&self.reason).is_none() {
            problems.push(format!(
                "the webhook {id} was deactivated for a reason that is unknown here, {:?}; it is taken for failing",
                self.reason
            ));
        }
        Some((id, self.deactivation()))
    }
}
