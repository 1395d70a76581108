//! What the history has, as JSON: the same for the operators' API and the command line.

use serde_json::{Value, json};

use super::kept::{KeptAttempt, KeptDelivery};
use crate::model::Timestamp;

impl KeptDelivery {
    /// The delivery as a line of a listing: with its latest attempt, but for what was answered, which may hold what was sent.
    pub fn to_json_with(&self, last: Option<&KeptAttempt>) -> Value {
        let mut last = last.map(KeptAttempt::to_json).unwrap_or_default();
        if let Some(fields) = last.as_object_mut() {
            fields.remove("response");
        }
        let mut line = self.to_json();
        line["lastAttempt"] = last;
        line
    }

    /// The delivery as a JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id.as_str(),
            "eventId": self.event,
            "type": self.kind,
            "userId": self.user,
            "source": self.source,
            "webhookId": self.webhook,
            "acceptedAt": self.accepted_at.to_rfc3339(),
            "generation": self.generation,
            "attempts": self.attempts,
            "state": self.state.as_str(),
            "reason": self.reason,
            "changedAt": self.changed_at.to_rfc3339(),
            "dueAt": self.due.map(Timestamp::to_rfc3339),
        })
    }
}

impl KeptAttempt {
    /// The attempt as a JSON object.
    pub fn to_json(&self) -> Value {
        let made = &self.made;
        json!({
            "generation": self.generation,
            "attempt": made.number,
            "startedAt": made.started_at.to_rfc3339(),
            "tookMs": made.took.as_secs_f64() * 1000.0,
            "outcome": made.outcome.as_str(),
            "status": made.status,
            "error": if made.error.is_empty() { Value::Null } else { Value::from(made.error.as_str()) },
            "response": made.response,
            "worker": self.worker,
        })
    }
}
