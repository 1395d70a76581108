//! What the management API answers: Misskey's fields, and hikyaku's own after them.
//!
//! ```json
//! {"id":"..","userId":"..","name":"..","on":["note"],"url":"..","secret":"..","active":true,"latestSentAt":null,"latestStatus":null,
//!  "source":"default","deactivated":null,"failingSince":null,"format":"misskey","sendSecret":true,"signingSecret":null,
//!  "signingPublicKey":null,"previousSigningSecrets":[],"previousSigningKeys":[],"retryScheduleS":null,"maxAgeS":null,
//!  "timeoutMs":null,"rateLimit":null,"clientCertificate":null,"filters":[],"declared":false}
//! ```
//!
//! `signingPublicKey` is what receivers check `v1a` with; the key itself is never answered. The earlier ones are those that sign
//! now: `{"until":".."}`, and of keys `{"publicKey":"whpk_..","until":".."}`; `until` is null where only the settings file ends them.
//!
//! A webhook that hikyaku has deactivated is not active, and `deactivated` is `{"reason":"gone","at":".."}`. `failingSince`
//! says since when no attempt has succeeded; of a deactivated one, had succeeded then.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::client_certificate::ClientCertificateShape;
use crate::deliver::Tested;
use crate::model::{
    Condition, EventType, Origin, Secret, SigningKey, Source, Status, Timestamp, UserId, Webhook, WebhookId,
};
use crate::record::{LatestAttempt, failing_since};

/// A successful answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// 200, with this JSON.
    Json(String),
    /// 204.
    Nothing,
}

impl Answer {
    /// 200, with `value` as JSON.
    #[expect(clippy::expect_used, reason = "texts, numbers and lists under fixed names always are JSON")]
    pub(super) fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_string(value).expect("an answer is JSON"))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            Self::Nothing => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

/// A user's webhook.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserShape<'a> {
    id: &'a WebhookId,
    user_id: Option<&'a UserId>,
    name: &'a str,
    on: &'a [EventType],
    url: &'a str,
    secret: &'a str,
    active: bool,
    latest_sent_at: Option<String>,
    latest_status: Option<u16>,
    #[serde(flatten)]
    own: OwnShape<'a>,
}

/// A system webhook.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SystemShape<'a> {
    id: &'a WebhookId,
    is_active: bool,
    updated_at: String,
    latest_sent_at: Option<String>,
    latest_status: Option<u16>,
    name: &'a str,
    on: &'a [EventType],
    url: &'a str,
    secret: &'a str,
    #[serde(flatten)]
    own: OwnShape<'a>,
}

/// What Misskey does not have.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnShape<'a> {
    source: &'a Source,
    deactivated: Option<DeactivatedShape>,
    failing_since: Option<String>,
    format: &'static str,
    send_secret: bool,
    signing_secret: Option<&'a str>,
    signing_public_key: Option<String>,
    previous_signing_secrets: Vec<PreviousShape>,
    previous_signing_keys: Vec<PreviousShape>,
    retry_schedule_s: Option<Vec<f64>>,
    max_age_s: Option<u64>,
    timeout_ms: Option<u128>,
    rate_limit: Option<RateLimitShape>,
    client_certificate: Option<ClientCertificateShape<'a>>,
    filters: &'a [Condition],
    declared: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimitShape {
    per_second: f64,
    burst: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PreviousShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    until: Option<String>,
}

#[derive(Serialize)]
struct DeactivatedShape {
    reason: &'static str,
    at: String,
}

impl<'a> UserShape<'a> {
    pub(super) fn of(webhook: &'a Webhook, latest: Option<LatestAttempt>, now: Timestamp) -> Self {
        Self {
            id: &webhook.id,
            user_id: webhook.owner.user(),
            name: &webhook.name,
            on: &webhook.on,
            url: webhook.url.as_str(),
            secret: webhook.secret.expose(),
            active: webhook.status == Status::Active,
            latest_sent_at: latest.map(|latest| latest.sent_at.to_rfc3339()),
            latest_status: latest.map(|latest| latest.status),
            own: OwnShape::of(webhook, latest, now),
        }
    }
}

impl<'a> SystemShape<'a> {
    pub(super) fn of(webhook: &'a Webhook, latest: Option<LatestAttempt>, now: Timestamp) -> Self {
        Self {
            id: &webhook.id,
            is_active: webhook.status == Status::Active,
            updated_at: webhook.updated_at.to_rfc3339(),
            latest_sent_at: latest.map(|latest| latest.sent_at.to_rfc3339()),
            latest_status: latest.map(|latest| latest.status),
            name: &webhook.name,
            on: &webhook.on,
            url: webhook.url.as_str(),
            secret: webhook.secret.expose(),
            own: OwnShape::of(webhook, latest, now),
        }
    }
}

impl<'a> OwnShape<'a> {
    fn of(webhook: &'a Webhook, latest: Option<LatestAttempt>, now: Timestamp) -> Self {
        let options = &webhook.options;
        let deactivated = match &webhook.status {
            Status::Deactivated(why) => Some(DeactivatedShape { reason: why.reason.as_str(), at: why.at.to_rfc3339() }),
            Status::Active | Status::Paused => None,
        };
        let seconds = |waits: &Vec<std::time::Duration>| waits.iter().map(std::time::Duration::as_secs_f64).collect();
        Self {
            source: &webhook.source,
            deactivated,
            failing_since: failing_since(webhook, latest).map(Timestamp::to_rfc3339),
            format: options.format.as_str(),
            send_secret: options.send_secret,
            signing_secret: options.signing.secret.current.as_ref().map(Secret::expose),
            signing_public_key: options.signing.key.current.as_ref().map(SigningKey::public),
            previous_signing_secrets: options
                .signing
                .secret
                .previous_at(now)
                .map(|secret| PreviousShape { public_key: None, until: secret.until.map(Timestamp::to_rfc3339) })
                .collect(),
            previous_signing_keys: options
                .signing
                .key
                .previous_at(now)
                .map(|key| PreviousShape {
                    public_key: Some(key.signer.public()),
                    until: key.until.map(Timestamp::to_rfc3339),
                })
                .collect(),
            retry_schedule_s: options.retry_schedule.as_ref().map(seconds),
            max_age_s: options.max_age.map(|age| age.as_secs()),
            timeout_ms: options.timeout.map(|timeout| timeout.as_millis()),
            rate_limit: options
                .rate_limit
                .map(|limit| RateLimitShape { per_second: limit.per_second(), burst: limit.burst() }),
            client_certificate: options.client_certificate.as_ref().map(ClientCertificateShape::of),
            filters: &options.filters,
            declared: webhook.origin == Origin::Settings,
        }
    }
}

/// What a test came to, for who waits for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestedShape<'a> {
    event_id: &'a str,
    delivery_id: &'a str,
    outcome: &'static str,
    status: Option<u16>,
    took_ms: u128,
    error: Option<&'a str>,
}

impl<'a> TestedShape<'a> {
    pub(super) fn of(tested: &'a Tested) -> Self {
        Self {
            event_id: tested.event.as_str(),
            delivery_id: tested.delivery.as_str(),
            outcome: tested.outcome.as_str(),
            status: tested.status,
            took_ms: tested.took.as_millis(),
            error: Some(tested.words.as_str()).filter(|words| !words.is_empty()),
        }
    }
}
