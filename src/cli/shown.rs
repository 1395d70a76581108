//! A webhook as `hikyaku webhooks` shows it, in a table's cells and whole. Secrets are told only when asked for, signing keys
//! never: what receivers need of those is the public key.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CliError, Output, Table, signing};
use crate::model::{EventType, Origin, Owner, Secret, SigningKey, Status, Timestamp, Webhook};
use crate::record::{LatestAttempt, failing_since};

/// What is shown of a webhook, and when.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) secret: bool,
    pub(super) signing_secret: bool,
    pub(super) now: Timestamp,
}

/// The URL as it may be shown in a list: a query can hold a token.
pub(super) fn shown_url(webhook: &Webhook) -> String {
    let mut url = webhook.url.clone();
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    url.to_string()
}

/// The latest attempt's status in words where it is no HTTP status, and the day since which none has succeeded.
pub(super) fn latest_text(webhook: &Webhook, attempt: &LatestAttempt) -> String {
    let status = if attempt.status == 1 { "no answer".to_owned() } else { attempt.status.to_string() };
    match failing_since(webhook, Some(*attempt)) {
        Some(since) => format!("{status}, failing since {}", since.to_rfc3339().split('T').next().unwrap_or_default()),
        None => status,
    }
}

pub(super) fn owner_text(owner: &Owner) -> String {
    owner.user().map_or_else(|| "system".to_owned(), |user| format!("user {user}"))
}

pub(super) fn status_text(status: &Status) -> String {
    match status {
        Status::Active => "active".to_owned(),
        Status::Paused => "paused".to_owned(),
        Status::Deactivated(deactivation) => format!("deactivated ({})", deactivation.reason),
    }
}

/// The event types, and whether they are all that decides.
pub(super) fn types_text(webhook: &Webhook) -> String {
    let types = webhook.on.iter().map(EventType::as_str).collect::<Vec<_>>().join(",");
    match webhook.options.filters.len() {
        0 => types,
        1 => format!("{types} (1 filter)"),
        count => format!("{types} ({count} filters)"),
    }
}

pub(super) fn show(
    webhook: &Webhook,
    latest: Option<LatestAttempt>,
    shown: Shown,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let document = as_json(webhook, latest, shown);
    if json {
        return output.line(&document.to_string());
    }
    let Value::Object(fields) = document else { return Ok(()) };
    let mut table = Table::new(&[]);
    for (name, value) in fields {
        match value {
            Value::String(text) => table.whole_row([name, text]),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let row =
                    |(index, item): (usize, &Value)| table.whole_row([format!("{name}[{index}]"), item.to_string()]);
                items.iter().enumerate().for_each(row);
            }
            Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                table.whole_row([name, texts.collect::<Vec<_>>().join(",")]);
            }
            other => table.whole_row([name, other.to_string()]),
        }
    }
    table.lines().skip(1).try_for_each(|line| output.line(&line))
}

pub(super) fn as_json(webhook: &Webhook, latest: Option<LatestAttempt>, shown: Shown) -> Value {
    let secret = |secret: &Secret, reveal| match secret.expose() {
        "" => Value::from(""),
        text if reveal => Value::from(text),
        _ => Value::from("***"),
    };
    let seconds = |duration: &Duration| json!(duration.as_secs_f64());
    let options = &webhook.options;
    let signing = &options.signing;
    let deactivation = match &webhook.status {
        Status::Deactivated(deactivation) => Some(deactivation),
        Status::Active | Status::Paused => None,
    };
    json!({
        "id": webhook.id,
        "userId": webhook.owner.user(),
        "source": webhook.source,
        "name": webhook.name,
        "url": webhook.url.as_str(),
        "on": webhook.on,
        "active": webhook.status == Status::Active,
        "status": status_text(&webhook.status),
        "deactivatedAt": deactivation.map(|deactivation| deactivation.at.to_rfc3339()),
        "failingSince": failing_since(webhook, latest).map(Timestamp::to_rfc3339),
        "secret": secret(&webhook.secret, shown.secret),
        "format": options.format.as_str(),
        "sendSecret": options.send_secret,
        "signingSecret": signing.secret.current.as_ref().map(|text| secret(text, shown.signing_secret)),
        "signingPublicKey": signing.key.current.as_ref().map(SigningKey::public),
        "previousSigningSecrets": signing.secret.previous_at(shown.now).map(signing::previous_secret).collect::<Vec<_>>(),
        "previousSigningKeys": signing.key.previous_at(shown.now).map(signing::previous_key).collect::<Vec<_>>(),
        "clientCertificate": options.client_certificate.as_ref().map(|certificate| json!({
            "subject": certificate.subject(),
            "sha256": certificate.sha256(),
            "expiresAt": certificate.expires_at().to_rfc3339(),
        })),
        "retryScheduleS": options.retry_schedule.as_ref().map(|waits| waits.iter().map(seconds).collect::<Vec<_>>()),
        "maxAgeS": options.max_age.as_ref().map(seconds),
        "timeoutMs": options.timeout.map(|timeout| timeout.as_secs_f64() * 1000.0),
        "rateLimit": options.rate_limit.map(|limit| json!({"perSecond": limit.per_second(), "burst": limit.burst()})),
        "filters": options.filters,
        "declaredIn": match webhook.origin { Origin::Store => "store", Origin::Settings => "settings file" },
        "latestSentAt": latest.map(|latest| latest.sent_at.to_rfc3339()),
        "latestStatus": latest.map(|latest| latest.status),
    })
}
