//! The parameters of a call: one JSON object, from which each endpoint takes what it knows.
//!
//! As in Misskey, names that nobody knows are passed over. Not so names that somebody who knows hikyaku could have meant:
//! options of ours that are not there yet, our settings' spelling of those that are, and slips of the pen in their names. To
//! pass over those would hide a mistake: without its `filters` a webhook gets everything.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::ApiError;
use crate::model::nearest;

/// Options that hikyaku will have.
const NOT_YET: [&str; 2] = ["schedule", "headers"];
/// What the settings call an option, and what it is called here.
const SPELLINGS: [(&str, &str); 20] = [
    ("user_id", "userId"),
    ("signing_secret", "signingSecret"),
    ("signing_key", "signingKey"),
    ("generate_signing_secret", "generateSigningSecret"),
    ("generate_signing_key", "generateSigningKey"),
    ("signing_grace_s", "signingGraceS"),
    ("signingGrace", "signingGraceS"),
    ("send_secret", "sendSecret"),
    ("retry_schedule_s", "retryScheduleS"),
    ("retrySchedule", "retryScheduleS"),
    ("max_age_s", "maxAgeS"),
    ("maxAge", "maxAgeS"),
    ("timeout_ms", "timeoutMs"),
    ("timeout", "timeoutMs"),
    ("rate_limit", "rateLimit"),
    ("client_certificate", "clientCertificate"),
    ("client_certificate_file", "clientCertificate"),
    ("client_key", "clientKey"),
    ("client_key_file", "clientKey"),
    ("webhook_id", "webhookId"),
];

/// Names of ours that nobody else has anything near; answers have some that nothing sets, and who sends an answer back means well.
const OURS: [&str; 18] = [
    "clientCertificate",
    "clientKey",
    "override",
    "format",
    "filters",
    "sendSecret",
    "signingSecret",
    "signingKey",
    "generateSigningSecret",
    "generateSigningKey",
    "signingGraceS",
    "signingPublicKey",
    "previousSigningSecrets",
    "previousSigningKeys",
    "retryScheduleS",
    "maxAgeS",
    "timeoutMs",
    "rateLimit",
];

/// The parameters of a call.
#[derive(Debug)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Reads a request's body; an empty one has no parameters.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(params)) => Ok(Self(params)),
            Ok(other) => {
                Err(ApiError::request(format!("the body must be a JSON object, and this is {}", kind(&other))))
            }
            Err(error) if error.to_string().starts_with("recursion limit") => {
                let words = "the body has arrays and objects within each other, and nests deeper than 127 levels";
                Err(ApiError::request(words))
            }
            Err(error) => Err(ApiError::request(format!("the body is no JSON: {error}"))),
        }
    }

    /// Refuses names that would be passed over and were meant.
    pub(super) fn check_names(&self) -> Result<(), ApiError> {
        for name in self.0.keys() {
            if NOT_YET.contains(&name.as_str()) {
                return Err(ApiError::param(name, "hikyaku does not have this option yet; leave it out"));
            }
            if let Some((_, meant)) = SPELLINGS.iter().find(|(spelling, _)| spelling == name) {
                return Err(ApiError::param(name, format!("it is called {meant} here")));
            }
            if let Some(meant) = nearest(name, OURS.into_iter()).filter(|meant| *meant != name) {
                return Err(ApiError::param(name, format!("it is not known here; did you mean {meant}?")));
            }
        }
        Ok(())
    }

    /// The value of `name`, if it is given, whatever it is.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The object `name`, if it is given.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Object(inner)) => Ok(Some(Self(inner.clone()))),
            Some(other) => Err(wrong(name, "an object", other)),
        }
    }

    /// The text `name`, if it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", other)),
        }
    }

    /// The text `name`, if it is given; `null` is the empty one.
    pub(super) fn text_or_null(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            Some(Value::Null) => Ok(Some("")),
            _ => self.text(name),
        }
    }

    /// The text `name`, if it is given, of as many characters as allowed.
    pub(super) fn text_of(&self, name: &str, chars: RangeInclusive<usize>) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let (least, most) = (chars.start(), chars.end());
        match text.chars().count() {
            count if chars.contains(&count) => Ok(Some(text)),
            count => {
                Err(ApiError::param(name, format!("it has {count} characters, and {least} to {most} are allowed")))
            }
        }
    }

    /// True or false, if it is given.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }

    /// The list `name`, if it is given, of at most `max` items that `read` takes; it is told each item's place.
    pub(super) fn list<T>(
        &self,
        name: &str,
        max: usize,
        read: impl Fn(&str, &Value) -> Result<T, ApiError>,
    ) -> Result<Option<Vec<T>>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) if items.len() > max => {
                Err(ApiError::param(name, format!("it has {} items, and {max} are allowed", items.len())))
            }
            Some(Value::Array(items)) => {
                let read = |(place, item)| read(&format!("{name}[{place}]"), item);
                items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(wrong(name, "an array", other)),
        }
    }
}

/// What a parameter must not be without.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::param(name, "it is missing"))
}

/// A value of the wrong kind.
pub(super) fn wrong(param: &str, expected: &str, found: &Value) -> ApiError {
    ApiError::param(param, format!("it must be {expected}, and this is {}", kind(found)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
