//! A webhook as operators see it, with its state.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{ClientCertificate, Condition, Origin, Secret, SigningKey, Status, Timestamp, Webhook, described};
use crate::record::{LatestAttempt, failing_since};

/// What stands for a secret that is not told.
const HIDDEN: &str = "***";

/// What is told of a webhook that not everybody may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revealed {
    /// The secret that its receiver gets in clear text.
    pub secret: bool,
    /// The secret that signs.
    pub signing_secret: bool,
    /// Its URL behind the host: a chat's has a secret there.
    pub path: bool,
}

/// A webhook with its state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub struct WebhookShape {
    /// Its id.
    #[schema(schema_with = described::token)]
    id: String,
    /// Whose it is; null: a system webhook.
    #[schema(required)]
    user_id: Option<String>,
    /// Which Misskey's events it gets.
    #[schema(schema_with = described::id)]
    source: String,
    /// What it is called.
    name: String,
    /// Where events go. With a token that is for looking only, `/...` stands for what comes behind the host.
    url: String,
    /// The event types that it gets.
    on: Vec<String>,
    /// Whether it gets events.
    active: bool,
    /// `active`, `paused`, or `deactivated (..)` with the reason.
    status: String,
    /// When hikyaku deactivated it.
    #[schema(schema_with = described::moment_or_null, required)]
    deactivated_at: Option<String>,
    /// Since when no attempt has succeeded.
    #[schema(schema_with = described::moment_or_null, required)]
    failing_since: Option<String>,
    /// `***`: it has a secret; empty: it has none.
    secret: String,
    /// In what form it gets its events.
    format: &'static str,
    /// Whether the secret is sent in clear text.
    send_secret: bool,
    /// `***`: its requests are signed with a secret; null: they are not.
    #[schema(required)]
    signing_secret: Option<String>,
    /// What receivers check `v1a` signatures with.
    #[schema(required)]
    signing_public_key: Option<String>,
    /// Earlier signing secrets that sign besides.
    previous_signing_secrets: Vec<PreviousSecretShape>,
    /// Earlier signing keys that sign besides.
    previous_signing_keys: Vec<PreviousKeyShape>,
    /// The client certificate that it is shown.
    #[schema(required)]
    client_certificate: Option<CertificateShape>,
    /// The waits between attempts, in seconds; null: those of the settings.
    #[schema(required)]
    retry_schedule_s: Option<Vec<f64>>,
    /// After how many seconds a delivery expires; null: as the settings say.
    #[schema(required)]
    max_age_s: Option<f64>,
    /// How many milliseconds an attempt may take; null: as the settings say.
    #[schema(required)]
    timeout_ms: Option<f64>,
    /// How many requests a second it gets at most; null: as many as it takes.
    #[schema(required)]
    rate_limit: Option<RateLimitShape>,
    /// Conditions for the content of its events.
    #[schema(value_type = Vec<Object>)]
    filters: Vec<Condition>,
    /// `store`, or `settings file`.
    declared_in: &'static str,
    /// When its latest attempt was made.
    #[schema(schema_with = described::moment_or_null, required)]
    latest_sent_at: Option<String>,
    /// What that was answered; 1: nothing.
    #[schema(required)]
    latest_status: Option<u16>,
}

/// An earlier signing secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviousSecret)]
struct PreviousSecretShape {
    /// Until when it signs; null: until the settings file ends it.
    #[schema(schema_with = described::moment_or_null, required)]
    until: Option<String>,
}

/// An earlier signing key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PreviousKey)]
struct PreviousKeyShape {
    /// What its signatures are checked with.
    public_key: String,
    /// Until when it signs; null: until the settings file ends it.
    #[schema(schema_with = described::moment_or_null, required)]
    until: Option<String>,
}

/// A client certificate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClientCertificate)]
struct CertificateShape {
    /// Whose it is.
    subject: String,
    /// Its fingerprint.
    sha256: String,
    /// Until when it is valid.
    #[schema(schema_with = described::moment)]
    expires_at: String,
}

/// A rate limit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RateLimit)]
struct RateLimitShape {
    /// Requests a second.
    per_second: f64,
    /// Requests at once after a pause.
    burst: u32,
}

impl WebhookShape {
    /// `webhook` at `now`, with its `latest` attempt.
    pub fn of(webhook: &Webhook, latest: Option<LatestAttempt>, now: Timestamp, revealed: Revealed) -> Self {
        let options = &webhook.options;
        let signing = &options.signing;
        let deactivation = match &webhook.status {
            Status::Deactivated(deactivation) => Some(deactivation),
            Status::Active | Status::Paused => None,
        };
        Self {
            id: webhook.id.to_string(),
            user_id: webhook.owner.user().map(ToString::to_string),
            source: webhook.source.to_string(),
            name: webhook.name.clone(),
            url: url_of(webhook, revealed),
            on: webhook.on.iter().map(ToString::to_string).collect(),
            active: webhook.status == Status::Active,
            status: status_text(&webhook.status),
            deactivated_at: deactivation.map(|deactivation| deactivation.at.to_rfc3339()),
            failing_since: failing_since(webhook, latest).map(Timestamp::to_rfc3339),
            secret: secret_of(&webhook.secret, revealed.secret),
            format: options.format.as_str(),
            send_secret: options.send_secret,
            signing_secret: signing.secret.current.as_ref().map(|secret| secret_of(secret, revealed.signing_secret)),
            signing_public_key: signing.key.current.as_ref().map(SigningKey::public),
            previous_signing_secrets: signing
                .secret
                .previous_at(now)
                .map(|previous| PreviousSecretShape { until: previous.until.map(Timestamp::to_rfc3339) })
                .collect(),
            previous_signing_keys: signing
                .key
                .previous_at(now)
                .map(|previous| PreviousKeyShape {
                    public_key: previous.signer.public(),
                    until: previous.until.map(Timestamp::to_rfc3339),
                })
                .collect(),
            client_certificate: options.client_certificate.as_ref().map(CertificateShape::of),
            retry_schedule_s: options
                .retry_schedule
                .as_ref()
                .map(|waits| waits.iter().map(Duration::as_secs_f64).collect()),
            max_age_s: options.max_age.as_ref().map(Duration::as_secs_f64),
            timeout_ms: options.timeout.map(|timeout| timeout.as_secs_f64() * 1000.0),
            rate_limit: options
                .rate_limit
                .map(|limit| RateLimitShape { per_second: limit.per_second(), burst: limit.burst() }),
            filters: options.filters.clone(),
            declared_in: match webhook.origin {
                Origin::Store => "store",
                Origin::Settings => "settings file",
            },
            latest_sent_at: latest.map(|latest| latest.sent_at.to_rfc3339()),
            latest_status: latest.map(|latest| latest.status),
        }
    }
}

impl CertificateShape {
    fn of(certificate: &ClientCertificate) -> Self {
        Self {
            subject: certificate.subject().to_owned(),
            sha256: certificate.sha256().to_owned(),
            expires_at: certificate.expires_at().to_rfc3339(),
        }
    }
}

fn status_text(status: &Status) -> String {
    match status {
        Status::Active => "active".to_owned(),
        Status::Paused => "paused".to_owned(),
        Status::Deactivated(deactivation) => format!("deactivated ({})", deactivation.reason),
    }
}

fn secret_of(secret: &Secret, is_revealed: bool) -> String {
    match secret.expose() {
        text if is_revealed || text.is_empty() => text.to_owned(),
        _ => HIDDEN.to_owned(),
    }
}

fn url_of(webhook: &Webhook, revealed: Revealed) -> String {
    if revealed.path {
        return webhook.url.to_string();
    }
    format!("{}/...", webhook.url.origin().ascii_serialization())
}
