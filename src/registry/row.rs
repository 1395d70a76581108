//! A webhook as a row: what the columns hold, written and read back.
//!
//! `on` is a JSON array of event types; `options` a JSON object, to which later versions add keys:
//!
//! ```json
//! {"retryScheduleMs":[5000,30000],"maxAgeMs":345600000,"timeoutMs":10000,"format":"discord","sendSecret":true,
//!  "signingSecret":"whsec_...","previousSigningSecrets":[{"text":"whsec_...","until":1774960496789}],
//!  "signingKey":"whsk_...","previousSigningKeys":[{"text":"whsk_...","until":1774960496789}],"rateLimit":{"perSecond":5.0,"burst":10},
//!  "filters":[{"path":"/note/visibility","equals":"public"}],
//!  "clientCertificate":{"chain":"-----BEGIN CERTIFICATE-----...","key":"-----BEGIN PRIVATE KEY-----..."}}
//! ```
//!
//! Absent or null is "as the settings say". `url`, `secret` and `options` are sealed when `sealed_by` names a key: any of them
//! can hold what only its receiver may know. What cannot be read back is told without the values.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::seal::{Place, Seals};
use crate::model::{
    ClientCertificate, Condition, EventType, Format, IdError, Options, Origin, Owner, Previous, RateLimit, Secret,
    Signers, Signing, SigningKey, Source, Status, Timestamp, UserId, Webhook, WebhookError, WebhookId, check_format,
    check_signing_key, check_signing_secret, check_stored_name,
};

/// A row of either store, by the names of [`COLUMNS`]. What cannot be read is told in words that begin with the name.
pub(super) trait Columns {
    fn text(&self, name: &'static str) -> Result<String, String>;
    fn text_or_null(&self, name: &'static str) -> Result<Option<String>, String>;
    fn millis(&self, name: &'static str) -> Result<i64, String>;
    fn flag(&self, name: &'static str) -> Result<bool, String>;
}

/// The columns that [`read`] wants, in its order.
pub(super) const COLUMNS: &str =
    r#"id, user_id, source, name, url, secret, "on", active, options, created_at, updated_at, sealed_by"#;
/// Those of them that are sealed.
pub(super) const SEALED: [&str; 3] = ["url", "secret", "options"];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_schedule_ms: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default = "yes")]
    send_secret: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previous_signing_secrets: Vec<StoredPrevious>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previous_signing_keys: Vec<StoredPrevious>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filters: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit: Option<StoredRateLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<StoredCertificate>,
}

/// Both in PEM.
#[derive(Serialize, Deserialize)]
struct StoredCertificate {
    chain: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredRateLimit {
    per_second: f64,
    burst: u32,
}

/// A secret or key that was the current one, and until when it signs, in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct StoredPrevious {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

impl StoredPrevious {
    fn all_of<K>(signers: &Signers<K>, text: impl Fn(&K) -> String) -> Vec<Self> {
        let stored = |previous: &Previous<K>| Self {
            text: text(&previous.signer),
            until: previous.until.map(Timestamp::as_millis),
        };
        signers.previous.iter().map(stored).collect()
    }
}

/// A secret or key with those before it.
fn read_signers<K>(
    current: Option<&str>,
    previous: &[StoredPrevious],
    check: fn(&str) -> Result<K, WebhookError>,
) -> Result<Signers<K>, String> {
    let read = |text: &str| check(text).map_err(|error| format!("options: {error}"));
    let previous = previous
        .iter()
        .map(|stored| Ok(Previous { signer: read(&stored.text)?, until: stored.until.map(Timestamp::from_millis) }));
    Ok(Signers { current: current.map(read).transpose()?, previous: previous.collect::<Result<_, String>>()? })
}

fn yes() -> bool {
    true
}

fn ms_of(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// The text of the column `options`.
pub(super) fn write_options(options: &Options) -> serde_json::Result<String> {
    let secret_text = |secret: &Secret| secret.expose().to_owned();
    let filters: Result<_, serde_json::Error> = options.filters.iter().map(serde_json::to_value).collect();
    let stored = StoredOptions {
        retry_schedule_ms: options.retry_schedule.as_ref().map(|waits| waits.iter().copied().map(ms_of).collect()),
        max_age_ms: options.max_age.map(ms_of),
        timeout_ms: options.timeout.map(ms_of),
        format: (options.format != Format::default()).then(|| options.format.as_str().to_owned()),
        send_secret: options.send_secret,
        signing_secret: options.signing.secret.current.as_ref().map(secret_text),
        previous_signing_secrets: StoredPrevious::all_of(&options.signing.secret, secret_text),
        signing_key: options.signing.key.current.as_ref().map(SigningKey::expose),
        previous_signing_keys: StoredPrevious::all_of(&options.signing.key, SigningKey::expose),
        rate_limit: options
            .rate_limit
            .map(|limit| StoredRateLimit { per_second: limit.per_second(), burst: limit.burst() }),
        filters: filters?,
        client_certificate: options.client_certificate.as_ref().map(|certificate| StoredCertificate {
            chain: certificate.chain().to_owned(),
            key: certificate.key().expose().to_owned(),
        }),
    };
    serde_json::to_string(&stored)
}

/// The text of the column `on`.
pub(super) fn write_on(on: &[EventType]) -> serde_json::Result<String> {
    serde_json::to_string(on)
}

/// Reads a row of [`COLUMNS`], without its deactivation.
///
/// # Errors
/// The column that cannot be read, and why, in words without the value of a secret.
pub(super) fn read(row: &impl Columns, seals: &Seals) -> Result<Webhook, String> {
    let sealed = |name: &'static str| open(row, name, seals);
    let user = row.text_or_null("user_id")?;
    Ok(Webhook {
        id: text(row, "id", WebhookId::new)?,
        owner: match user {
            Some(user) => Owner::User(UserId::new(&user).map_err(|error| format!("user_id: {error}"))?),
            None => Owner::System,
        },
        source: text(row, "source", Source::new)?,
        name: check_stored_name(&row.text("name")?).map_err(|error| error.to_string())?,
        url: read_url(&sealed("url")?)?,
        // What may be a secret has become less over time; one that is stored stays in use.
        secret: Secret::new(&sealed("secret")?),
        on: read_on(&row.text("on")?)?,
        status: if row.flag("active")? { Status::Active } else { Status::Paused },
        options: options(row, seals)?,
        origin: Origin::Store,
        created_at: Timestamp::from_millis(row.millis("created_at")?),
        updated_at: Timestamp::from_millis(row.millis("updated_at")?),
    })
}

/// The text of a column that may be sealed.
pub(super) fn open(row: &impl Columns, name: &'static str, seals: &Seals) -> Result<String, String> {
    let (id, by) = (row.text("id")?, row.text_or_null("sealed_by")?);
    seals.open(Place { webhook: &id, column: name }, by.as_deref(), row.text(name)?)
}

fn text<T>(row: &impl Columns, name: &'static str, make: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    make(&row.text(name)?).map_err(|error| format!("{name}: {error}"))
}

/// As `check_url`, but for the length: that was checked when the URL came in, and percent-encoding has lengthened it since.
fn read_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("url: it is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(WebhookError::UrlScheme { scheme: url.scheme().to_owned() }.to_string());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(WebhookError::UrlCredentials.to_string());
    }
    Ok(url)
}

fn read_on(text: &str) -> Result<Vec<EventType>, String> {
    let kinds: Vec<String> =
        serde_json::from_str(text).map_err(|error| format!("on: it is no JSON array of texts ({error})"))?;
    kinds.iter().map(|kind| EventType::new(kind).map_err(|error| format!("on: {error}"))).collect()
}

/// The column `options`.
pub(super) fn options(row: &impl Columns, seals: &Seals) -> Result<Options, String> {
    read_options(&open(row, "options", seals)?)
}

fn read_options(text: &str) -> Result<Options, String> {
    // The parser's words would quote the value, and that may be the signing secret.
    let stored: StoredOptions = serde_json::from_str(text)
        .map_err(|error| format!("options: no JSON object of the right shape, at its character {}", error.column()))?;
    let format: Result<Option<Format>, WebhookError> = stored.format.as_deref().map(check_format).transpose();
    let (secrets, keys) = (&stored.previous_signing_secrets, &stored.previous_signing_keys);
    let signing = Signing {
        secret: read_signers(stored.signing_secret.as_deref(), secrets, check_signing_secret)?,
        key: read_signers(stored.signing_key.as_deref(), keys, check_signing_key)?,
    };
    let certificate =
        stored.client_certificate.map(|stored| ClientCertificate::new(&stored.chain, &stored.key)).transpose();
    let rate_limit = stored.rate_limit.map(|limit| RateLimit::new(limit.per_second, Some(limit.burst))).transpose();
    Ok(Options {
        retry_schedule: stored.retry_schedule_ms.map(|waits| waits.into_iter().map(Duration::from_millis).collect()),
        max_age: stored.max_age_ms.map(Duration::from_millis),
        timeout: stored.timeout_ms.map(Duration::from_millis),
        format: format.map_err(|error| format!("options: {error}"))?.unwrap_or_default(),
        send_secret: stored.send_secret,
        signing,
        client_certificate: certificate.map_err(|error| format!("options: clientCertificate: {error}"))?,
        rate_limit: rate_limit.map_err(|error| format!("options: rateLimit: {error}"))?,
        filters: Condition::read_all("filters", &stored.filters.into()).map_err(|error| format!("options: {error}"))?,
    })
}

/// What is told of a row that cannot be read because of `why`.
pub(super) fn skipped(id: &str, why: &str) -> String {
    format!(
        "the webhook {id} of the store is skipped and gets nothing: {why}. Set that field anew with `hikyaku webhooks update \
         {id}`, or delete the webhook"
    )
}
