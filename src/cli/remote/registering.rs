//! `hikyaku webhooks --url ... create`, `update` and `test`, over Misskey's management API, which a token of full access opens. What
//! is told in the end is what the operators' API then says of the webhook, as for one that lies here.
//!
//! Options are read here, files and standard input with them, and sent as they were found right; secrets and keys that are to be made
//! are made there.

use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use super::Remote;
use super::webhooks::{found, managed};
use crate::cli::args::{CreateArgs, UpdateArgs};
use crate::cli::shown;
use crate::cli::signing;
use crate::cli::test_webhook::tell as tell_test;
use crate::cli::webhooks::{NOTHING_TO_CHANGE, note_misfit, options, owner_of, secret_of, usage};
use crate::cli::{CliError, OptionArgs, Output, TestArgs};
use crate::model::{Options, Owner, RateLimit, Secret, SigningKey, check_format};

/// Where users' webhooks are managed, and where the system's are.
const PATHS: [&str; 2] = ["/api/i/webhooks", "/api/admin/system-webhook"];

pub(super) async fn create(remote: &Remote, args: CreateArgs, output: &mut Output) -> Result<(), CliError> {
    if args.id.is_some() {
        return Err(usage("--id", &"over --url a webhook gets an id that is made there; leave it out"));
    }
    known_types_only(args.any.any_type)?;
    if args.name.trim().is_empty() {
        return Err(usage("--name", &"it is missing: over --url a webhook needs a name, as on Misskey"));
    }
    let owner = owner_of(args.user)?;
    // Standard input is read in this order.
    let secret = secret_of(&args.secret)?;
    let mut params = params_of(&args.options, None)?;
    let active = !args.paused;
    let path = match owner {
        Owner::User(user) => {
            params.insert("userId".to_owned(), json!(user));
            params.insert("active".to_owned(), json!(active));
            PATHS[0]
        }
        Owner::System => {
            params.insert("isActive".to_owned(), json!(active));
            PATHS[1]
        }
    };
    for (name, value) in [
        ("name", json!(args.name)),
        ("url", json!(args.url)),
        ("on", json!(trimmed(&args.on))),
        ("secret", json!(secret.expose())),
        ("source", json!(args.source)),
    ] {
        params.insert(name.to_owned(), value);
    }
    let made = remote.post(&format!("{path}/create"), &Value::Object(params)).await?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    show(remote, &id, &made, args.options.generate_signing_secret, args.json, output).await
}

pub(super) async fn update(remote: &Remote, args: UpdateArgs, output: &mut Output) -> Result<(), CliError> {
    known_types_only(args.any.any_type)?;
    let now = found(remote, &args.id).await?;
    let secret = args.secret.as_deref().map(secret_of).transpose()?;
    let mut params = params_of(&args.options, limit_of(&now))?;
    let is_system = now["userId"].is_null();
    let given = [
        ("name", args.name.as_ref().map(|name| json!(name))),
        ("url", args.url.as_ref().map(|url| json!(url))),
        ("on", args.on.as_ref().map(|on| json!(trimmed(on)))),
        ("secret", secret.as_ref().map(|secret| json!(secret.expose()))),
        (if is_system { "isActive" } else { "active" }, args.active.map(|active| json!(active))),
    ];
    params.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if params.is_empty() {
        return Err(CliError::Usage(NOTHING_TO_CHANGE.to_owned()));
    }
    if is_system {
        whole(remote, &now, &mut params).await?;
    }
    let changed = managed(remote, &now, "update", Value::Object(params)).await?;
    show(remote, &args.id, &changed, args.options.generate_signing_secret, args.json, output).await
}

/// Adds to `params` what stays: of a system webhook the management API takes all of it anew.
async fn whole(remote: &Remote, now: &Value, params: &mut Map<String, Value>) -> Result<(), CliError> {
    let is_deactivated = now["status"].as_str().is_some_and(|status| status.starts_with("deactivated"));
    if is_deactivated && !params.contains_key("isActive") {
        let words = "the webhook is deactivated, and over --url a change of a system webhook says whether it is active: give \
                     --active true or --active false with it";
        return Err(CliError::Usage(words.to_owned()));
    }
    let told = managed(remote, now, "show", json!({})).await?;
    if told["name"] == "" && !params.contains_key("name") {
        return Err(usage("--name", &"the webhook has none, and over --url a system webhook needs one, as on Misskey"));
    }
    for name in ["isActive", "name", "on", "url", "secret"] {
        params.entry(name).or_insert_with(|| told[name].clone());
    }
    Ok(())
}

/// Sends the test, and tells whether the receiver has taken it.
pub(super) async fn test(remote: &Remote, args: &TestArgs, output: &mut Output) -> Result<bool, CliError> {
    let webhook = found(remote, &args.id).await?;
    let mut overriding = Map::new();
    overriding.extend(args.url.as_ref().map(|url| ("url".to_owned(), json!(url))));
    if let Some(secret) = &args.secret {
        overriding.insert("secret".to_owned(), json!(secret_of(secret)?.expose()));
    }
    let mut params = json!({ "webhookId": webhook["id"], "type": args.kind, "wait": true });
    if !overriding.is_empty() {
        params["override"] = Value::Object(overriding);
    }
    let path = PATHS[usize::from(webhook["userId"].is_null())];
    let tested = remote.post(&format!("{path}/test"), &params).await?;
    if tested.is_null() {
        return Err(usage(
            "--type",
            &format!("{:?} has no dummy event for this webhook; choose another type", args.kind),
        ));
    }
    tell_test(&tested, args.json, output)
}

/// Shows the webhook as it has become; `answer` has the secret that was made for it, if `generated`.
async fn show(
    remote: &Remote,
    id: &str,
    answer: &Value,
    generated: bool,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut webhook = found(remote, id).await?;
    if generated {
        webhook["signingSecret"] = answer["signingSecret"].clone();
    }
    let text = |name: &str| webhook[name].as_str().unwrap_or_default();
    if let (Ok(format), Ok(url)) = (check_format(text("format")), Url::parse(text("url"))) {
        note_misfit(format, &url, id, output);
    }
    shown::show(&webhook, json, output)
}

fn known_types_only(any_type: bool) -> Result<(), CliError> {
    if any_type {
        return Err(usage(
            "--any-type",
            &"that hikyaku knows which types it takes: its misskey.extra_types names more",
        ));
    }
    Ok(())
}

fn trimmed(on: &[String]) -> Vec<&str> {
    on.iter().map(|kind| kind.trim()).collect()
}

/// The rate limit of a webhook as it is told.
fn limit_of(webhook: &Value) -> Option<RateLimit> {
    let limit = &webhook["rateLimit"];
    let burst = limit["burst"].as_u64().and_then(|burst| u32::try_from(burst).ok());
    RateLimit::new(limit["perSecond"].as_f64()?, burst).ok()
}

/// The parameters for what `args` say of options, of a webhook whose rate limit is `limit`.
fn params_of(args: &OptionArgs, limit: Option<RateLimit>) -> Result<Map<String, Value>, CliError> {
    let given = OptionArgs { generate_signing_secret: false, generate_signing_key: false, ..args.clone() };
    let signing = signing::asked(&given, Duration::ZERO)?;
    let checked = options(args, Options { rate_limit: limit, ..Options::default() })?.unwrap_or_default();
    // The API takes whole numbers only, and says so of others.
    let millis = |time: Duration| match time.as_micros() % 1000 {
        0 => json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        _ => json!(time.as_secs_f64() * 1000.0),
    };
    let age = |age: Duration| if age.subsec_nanos() == 0 { json!(age.as_secs()) } else { json!(age.as_secs_f64()) };
    let seconds = |waits: &Vec<Duration>| json!(waits.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
    let limited = |limit: RateLimit| json!({ "perSecond": limit.per_second(), "burst": limit.burst() });
    let certificate = checked.client_certificate.as_ref();
    let has_certificate = args.client_certificate.is_some();
    let filters = || json!(checked.filters);
    let params = [
        ("format", args.format.as_ref().map(|_| json!(checked.format.as_str()))),
        ("sendSecret", args.send_secret.map(|send| json!(send))),
        (
            "retryScheduleS",
            args.retry_schedule.as_ref().map(|_| checked.retry_schedule.as_ref().map_or(Value::Null, seconds)),
        ),
        ("maxAgeS", args.max_age.as_ref().map(|_| checked.max_age.map_or(Value::Null, age))),
        ("timeoutMs", args.timeout.as_ref().map(|_| checked.timeout.map_or(Value::Null, millis))),
        (
            "rateLimit",
            (args.rate_limit.is_some() || args.rate_burst.is_some())
                .then(|| checked.rate_limit.map_or(Value::Null, limited)),
        ),
        ("filters", (args.no_filters || !args.filter.is_empty()).then(filters)),
        ("clientCertificate", has_certificate.then(|| certificate.map_or(Value::Null, |of| json!(of.chain())))),
        ("clientKey", certificate.map(|of| json!(of.key().expose()))),
        (
            "signingSecret",
            signing.secret.map(|secret| secret.as_ref().map_or(Value::Null, |of: &Secret| json!(of.expose()))),
        ),
        ("signingKey", signing.key.map(|key| key.as_ref().map_or(Value::Null, |of: &SigningKey| json!(of.expose())))),
        ("generateSigningSecret", args.generate_signing_secret.then_some(Value::Bool(true))),
        ("generateSigningKey", args.generate_signing_key.then_some(Value::Bool(true))),
        ("signingGraceS", args.signing_grace.map(|seconds| json!(seconds))),
    ];
    Ok(params.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}
