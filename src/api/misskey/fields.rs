//! What a registration is made of, read from a call's parameters. The limits are Misskey's; what may be in a URL, a secret
//! and a name is the model's word.
//!
//! Hikyaku's own options: `format`, `sendSecret`, `retryScheduleS` (seconds), `maxAgeS` (seconds), `timeoutMs`, `rateLimit`,
//! `filters`, and what signs ([`super::signing`]). Each that is left out stays as it is; `null` goes back to the settings, and
//! takes a rate limit and filters away.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::client_certificate;
use super::error::ApiError;
use super::params::{Params, required, wrong};
use crate::model::{
    ATTEMPT_TIMEOUT_MS, Condition, EventType, Format, MAX_AGE_S, Options, Owner, RATE_BURST, RETRIES_MAX, RETRY_WAIT_S,
    RateLimit, RateLimitError, Secret, Source, Subscribable, UserId, Webhook, WebhookError, WebhookId, check_format,
    check_name, check_secret, check_source, check_url, each_once,
};

/// Characters that the name of a user's webhook has.
pub(super) const USER_NAME_CHARS: RangeInclusive<usize> = 1..=100;
/// Characters that the name of a system webhook has.
pub(super) const SYSTEM_NAME_CHARS: RangeInclusive<usize> = 1..=255;
/// Characters that a URL has.
const URL_CHARS: RangeInclusive<usize> = 1..=crate::model::URL_CHARS_MAX;
/// Event types of one webhook; Misskey and its forks know about twenty.
const TYPES_MAX: usize = 100;

/// What `error` means for the parameter `name`; its words begin with the field, which is told already.
pub(super) fn refused(name: &str, error: &WebhookError) -> ApiError {
    let words = error.to_string();
    let bare = words.split_once(": ").map_or(words.as_str(), |(_, bare)| bare);
    ApiError::param(name, bare)
}

pub(super) fn webhook_id(params: &Params, name: &str) -> Result<WebhookId, ApiError> {
    let text = required(name, params.text(name)?)?;
    WebhookId::new(text).map_err(|error| ApiError::param(name, error.to_string()))
}

pub(super) fn name(params: &Params, chars: RangeInclusive<usize>) -> Result<Option<String>, ApiError> {
    let text = params.text_of("name", chars)?;
    text.map(check_name).transpose().map_err(|error| refused("name", &error))
}

pub(super) fn url(params: &Params) -> Result<Option<Url>, ApiError> {
    let text = params.text_of("url", URL_CHARS)?;
    text.map(check_url).transpose().map_err(|error| refused("url", &error))
}

/// The secret; `null` is an empty one.
pub(super) fn secret(params: &Params) -> Result<Option<Secret>, ApiError> {
    let text = params.text_or_null("secret")?;
    text.map(check_secret).transpose().map_err(|error| refused("secret", &error))
}

/// The event types, each once; an empty list is allowed, as Misskey allows it.
pub(super) fn on(params: &Params, types: &Subscribable, owner: &Owner) -> Result<Option<Vec<EventType>>, ApiError> {
    let on = params.list("on", TYPES_MAX, |place, item| kind(place, item, types, owner))?;
    Ok(on.map(each_once))
}

/// The same, of the webhook `now`: who changes something else, and has to give them, has not chosen those that it has.
pub(super) fn changed_on(
    params: &Params,
    types: &Subscribable,
    now: &Webhook,
) -> Result<Option<Vec<EventType>>, ApiError> {
    let on = params.list("on", TYPES_MAX, |place, item| {
        let had = now.on.iter().find(|had| item == had.as_str());
        had.map_or_else(|| kind(place, item, types, &now.owner), |had| Ok(had.clone()))
    })?;
    Ok(on.map(each_once))
}

/// The type of a test.
pub(super) fn test_type(params: &Params, types: &Subscribable, owner: &Owner) -> Result<EventType, ApiError> {
    kind("type", required("type", params.value("type"))?, types, owner)
}

fn kind(place: &str, item: &Value, types: &Subscribable, owner: &Owner) -> Result<EventType, ApiError> {
    let Value::String(text) = item else { return Err(wrong(place, "a string", item)) };
    let kind = EventType::new(text).map_err(|error| ApiError::param(place, error.to_string()))?;
    known(place, text, types, owner).map(|()| kind)
}

/// Whether a registration may name `text`.
fn known(place: &str, text: &str, types: &Subscribable, owner: &Owner) -> Result<(), ApiError> {
    if types.has(owner, text) {
        return Ok(());
    }
    Err(ApiError::param(place, types.unknown(owner, text)))
}

pub(super) fn user_id(params: &Params) -> Result<Option<UserId>, ApiError> {
    let text = params.text("userId")?;
    text.map(UserId::new).transpose().map_err(|error| ApiError::param("userId", error.to_string()))
}

pub(super) fn source(params: &Params) -> Result<Option<Source>, ApiError> {
    let text = params.text("source")?;
    text.map(Source::new).transpose().map_err(|error| ApiError::param("source", error.to_string()))
}

/// The source that somebody chooses for a new webhook.
pub(super) fn chosen_source(source: Option<&Source>) -> Result<Source, ApiError> {
    let Some(source) = source else { return Ok(Source::default()) };
    check_source(source.as_str()).map_err(|error| refused("source", &error))
}

/// `options` with what the parameters say, or nothing when they say nothing.
pub(super) fn options(
    params: &Params,
    mut options: Options,
    types: &Subscribable,
    owner: &Owner,
) -> Result<Option<Options>, ApiError> {
    let mut any = false;
    if let Some(value) = params.value("format") {
        options.format = match value {
            Value::Null => Format::default(),
            Value::String(text) => check_format(text).map_err(|error| refused("format", &error))?,
            other => return Err(wrong("format", "a string or null", other)),
        };
        any = true;
    }
    if let Some(value) = params.value("sendSecret") {
        options.send_secret = match value {
            Value::Null => Options::default().send_secret,
            Value::Bool(send) => *send,
            other => return Err(wrong("sendSecret", "true, false or null", other)),
        };
        any = true;
    }
    if let Some(value) = params.value("retryScheduleS") {
        options.retry_schedule = match value {
            Value::Null => None,
            _ => params.list("retryScheduleS", RETRIES_MAX, wait)?,
        };
        any = true;
    }
    if let Some(value) = params.value("maxAgeS") {
        options.max_age = whole_or_null("maxAgeS", value, &MAX_AGE_S)?.map(Duration::from_secs);
        any = true;
    }
    if let Some(value) = params.value("timeoutMs") {
        options.timeout = whole_or_null("timeoutMs", value, &ATTEMPT_TIMEOUT_MS)?.map(Duration::from_millis);
        any = true;
    }
    if let Some(value) = params.value("rateLimit") {
        options.rate_limit = rate_limit(value)?;
        any = true;
    }
    if let Some(value) = params.value("filters") {
        options.filters = filters(value, types, owner)?;
        any = true;
    }
    if let Some(certificate) = client_certificate::asked(params)? {
        options.client_certificate = certificate;
        any = true;
    }
    Ok(any.then_some(options))
}

/// The conditions; a type that one of them names is held against what is known, as in `on`, for a condition for a type that
/// nobody sends would let everything through.
fn filters(value: &Value, types: &Subscribable, owner: &Owner) -> Result<Vec<Condition>, ApiError> {
    let filters = match value {
        Value::Null => Vec::new(),
        value => Condition::read_all("filters", value).map_err(|error| ApiError::param(&error.place, error.what))?,
    };
    for (at, condition) in filters.iter().enumerate() {
        for (of, kind) in condition.types.iter().enumerate() {
            known(&format!("filters[{at}].types[{of}]"), kind.as_str(), types, owner)?;
        }
    }
    Ok(filters)
}

/// `{"perSecond":5,"burst":10}`; without `burst` the model's own.
fn rate_limit(value: &Value) -> Result<Option<RateLimit>, ApiError> {
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        other => return Err(wrong("rateLimit", "an object such as {\"perSecond\":5,\"burst\":10}, or null", other)),
    };
    // All of it is ours, so a name that nobody knows is a slip.
    if let Some(name) = fields.keys().find(|name| !matches!(name.as_str(), "perSecond" | "burst")) {
        return Err(ApiError::param(
            format!("rateLimit.{name}"),
            "nothing is called so; known are perSecond and burst",
        ));
    }
    let per_second = match required("rateLimit.perSecond", fields.get("perSecond"))? {
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        other => return Err(wrong("rateLimit.perSecond", "a number", other)),
    };
    let burst = match fields.get("burst") {
        None | Some(Value::Null) => None,
        Some(burst) => {
            let allowed = u64::from(*RATE_BURST.start())..=u64::from(*RATE_BURST.end());
            whole_or_null("rateLimit.burst", burst, &allowed)?.and_then(|burst| u32::try_from(burst).ok())
        }
    };
    RateLimit::new(per_second, burst).map(Some).map_err(|error| match error {
        RateLimitError::PerSecond { .. } => ApiError::param("rateLimit.perSecond", error.to_string()),
        RateLimitError::Burst { .. } => ApiError::param("rateLimit.burst", error.to_string()),
    })
}

fn wait(place: &str, item: &Value) -> Result<Duration, ApiError> {
    match item.as_f64() {
        Some(seconds) if RETRY_WAIT_S.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Some(seconds) => Err(ApiError::param(
            place,
            format!("it is {seconds}, and {} to {} seconds are allowed", RETRY_WAIT_S.start(), RETRY_WAIT_S.end()),
        )),
        None => Err(wrong(place, "a number of seconds", item)),
    }
}

pub(super) fn whole_or_null(name: &str, value: &Value, allowed: &RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match number.as_u64() {
            Some(whole) if allowed.contains(&whole) => Ok(Some(whole)),
            _ => Err(ApiError::param(
                name,
                format!("it is {number}, and whole numbers from {} to {} are allowed", allowed.start(), allowed.end()),
            )),
        },
        other => Err(wrong(name, "a whole number", other)),
    }
}
