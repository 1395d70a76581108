//! What the history has, as JSON: the same for the operators' API and the command line.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::kept::{KeptAttempt, KeptDelivery};
use crate::model::{Timestamp, described};

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub struct DeliveryShape {
    /// Its id, which the receiver gets as `webhook-id`.
    #[schema(schema_with = described::delivery_id)]
    id: String,
    /// The event that is delivered.
    #[schema(schema_with = described::id)]
    event_id: String,
    /// The event's type.
    #[schema(schema_with = described::id)]
    r#type: String,
    /// Whose event it is; null: a system event.
    #[schema(required)]
    user_id: Option<String>,
    /// Which Misskey the event came from.
    #[schema(schema_with = described::id)]
    source: String,
    /// Where it goes.
    #[schema(schema_with = described::token)]
    webhook_id: String,
    /// When the event was taken in; pages go by it.
    #[schema(schema_with = described::moment)]
    accepted_at: String,
    /// How often it was replayed.
    generation: u32,
    /// Attempts spent in this generation.
    attempts: u32,
    /// How far it has come.
    #[schema(schema_with = described::delivery_state)]
    state: &'static str,
    /// Why it waits, is dead or was dropped.
    #[schema(required)]
    reason: Option<String>,
    /// When it came to that.
    #[schema(schema_with = described::moment)]
    changed_at: String,
    /// When it is due, while it waits.
    #[schema(schema_with = described::moment_or_null, required)]
    due_at: Option<String>,
}

/// A delivery as a line of a listing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryLine)]
pub struct DeliveryLineShape {
    #[serde(flatten)]
    delivery: DeliveryShape,
    /// Its latest attempt, without what was answered; null when none was made.
    #[schema(required)]
    last_attempt: Option<AttemptShape>,
}

/// An attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Attempt)]
pub struct AttemptShape {
    /// In which generation of its delivery.
    generation: u32,
    /// Its number in its generation.
    attempt: u32,
    /// When it began.
    #[schema(schema_with = described::moment)]
    started_at: String,
    /// Milliseconds until its end.
    #[schema(minimum = 0)]
    took_ms: f64,
    /// What it came to.
    #[schema(schema_with = described::outcome)]
    outcome: &'static str,
    /// The HTTP status; null when there was no answer.
    #[schema(required)]
    status: Option<u16>,
    /// The failure in words.
    #[schema(required)]
    error: Option<String>,
    /// How the answer's body begins. Not in listings: it may hold what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<String>,
    /// The worker that made it.
    worker: String,
}

impl KeptDelivery {
    /// The delivery as a line of a listing: with its latest attempt, but for what was answered.
    pub fn to_line(&self, last: Option<&KeptAttempt>) -> DeliveryLineShape {
        let last_attempt = last.map(|last| AttemptShape { response: None, ..last.to_shape() });
        DeliveryLineShape { delivery: self.to_shape(), last_attempt }
    }

    /// The delivery.
    pub fn to_shape(&self) -> DeliveryShape {
        DeliveryShape {
            id: self.id.to_string(),
            event_id: self.event.to_string(),
            r#type: self.kind.to_string(),
            user_id: self.user.as_ref().map(ToString::to_string),
            source: self.source.to_string(),
            webhook_id: self.webhook.to_string(),
            accepted_at: self.accepted_at.to_rfc3339(),
            generation: self.generation,
            attempts: self.attempts,
            state: self.state.as_str(),
            reason: self.reason.clone(),
            changed_at: self.changed_at.to_rfc3339(),
            due_at: self.due.map(Timestamp::to_rfc3339),
        }
    }

    /// The delivery as a JSON value.
    pub fn to_json(&self) -> Value {
        json_of(&self.to_shape())
    }

    /// The line of a listing as a JSON value.
    pub fn to_json_with(&self, last: Option<&KeptAttempt>) -> Value {
        json_of(&self.to_line(last))
    }
}

impl KeptAttempt {
    /// The attempt.
    pub fn to_shape(&self) -> AttemptShape {
        let made = &self.made;
        AttemptShape {
            generation: self.generation,
            attempt: made.number,
            started_at: made.started_at.to_rfc3339(),
            took_ms: millis(made.took),
            outcome: made.outcome.as_str(),
            status: made.status,
            error: Some(made.error.clone()).filter(|error| !error.is_empty()),
            response: Some(made.response.clone()),
            worker: self.worker.clone(),
        }
    }

    /// The attempt as a JSON value.
    pub fn to_json(&self) -> Value {
        json_of(&self.to_shape())
    }
}

/// Milliseconds with three decimals, as the history keeps them: so short a number is read back as it was written.
fn millis(took: Duration) -> f64 {
    f64::from(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}

/// Texts and numbers under fixed names always are JSON.
fn json_of(shape: &impl Serialize) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}
