//! What signs a webhook's requests, read from a call's parameters, and made here when the call asks for that.
//!
//! `signingSecret` (`whsec_...`) and `signingKey` (`whsk_...`) set one, `null` takes it away with those before it.
//! `generateSigningSecret` and `generateSigningKey` have one made. `signingGraceS` says for how many seconds the one before signs
//! besides; alone, until when all earlier ones that still sign do.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Management;
use super::error::ApiError;
use super::fields::{self, refused, whole_or_null};
use super::params::{Params, wrong};
use crate::model::{
    Options, Owner, SIGNING_GRACE_S, Secret, SigningChange, SigningKey, WebhookError, check_signing_key,
    check_signing_secret,
};
use crate::registry::{RegistryError, made_signing_key, made_signing_secret};

/// What answers have, and a new webhook cannot be given; and what to do instead.
const ONLY_ANSWERED: [(&str, &str); 3] = [
    (
        "signingPublicKey",
        "it follows from the key: give the key itself as signingKey, or have one made by generateSigningKey; or leave it out",
    ),
    (
        "previousSigningSecrets",
        "a new webhook has none: create it with the earlier secret as signingSecret, then update it with the new one, \
         and both sign for signingGraceS",
    ),
    (
        "previousSigningKeys",
        "a new webhook has none: create it with the earlier key as signingKey, then update it with the new one, and both \
         sign for signingGraceS",
    ),
];

/// As answers say that there is none.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// What a call asks of what signs.
pub(super) struct Asked {
    /// What to change.
    pub(super) change: SigningChange,
    /// What of it was made here, and nobody knows yet.
    pub(super) made: Made,
}

/// What was made here: the secret, and of a key the part that receivers need.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_public_key: Option<String>,
}

impl Made {
    pub(super) fn is_empty(&self) -> bool {
        self.signing_secret.is_none() && self.signing_public_key.is_none()
    }
}

impl Management {
    /// What `params` ask of what signs.
    pub(super) fn signing(&self, params: &Params) -> Result<Asked, ApiError> {
        let secret = given(params, "signingSecret", check_signing_secret)?;
        let key = given(params, "signingKey", check_signing_key)?;
        let new_secret =
            self.made(params, "generateSigningSecret", ("signingSecret", secret.is_some()), made_signing_secret)?;
        let new_key = self.made(params, "generateSigningKey", ("signingKey", key.is_some()), made_signing_key)?;
        let grace = params.value("signingGraceS").map(|value| whole_or_null("signingGraceS", value, &SIGNING_GRACE_S));
        let made = Made {
            signing_secret: new_secret.as_ref().map(|secret: &Secret| secret.expose().to_owned()),
            signing_public_key: new_key.as_ref().map(SigningKey::public),
        };
        let change = SigningChange {
            secret: new_secret.map(Some).or(secret),
            key: new_key.map(Some).or(key),
            grace: grace.transpose()?.flatten().map(Duration::from_secs),
            grace_default: self.signing_grace,
        };
        Ok(Asked { change, made })
    }

    /// The options of a webhook to be made.
    pub(super) fn new_options(&self, params: &Params, owner: &Owner) -> Result<Options, ApiError> {
        for (name, what_to_do) in ONLY_ANSWERED {
            if params.value(name).is_some_and(|value| !is_nothing(value)) {
                return Err(ApiError::param(name, what_to_do));
            }
        }
        let mut options = fields::options(params, Options::default(), &self.types, owner)?.unwrap_or_default();
        let Asked { change, .. } = self.signing(params)?;
        if change.grace.is_some() {
            let why = "a new webhook has no earlier secret or key; leave it out";
            return Err(ApiError::param("signingGraceS", why));
        }
        options.signing.change(&change, self.parts.clock.now());
        Ok(options)
    }

    /// One made here, when `generate` asks for it; not when another is given too.
    fn made<K>(
        &self,
        params: &Params,
        generate: &str,
        (name, is_given): (&str, bool),
        make: fn() -> Result<K, RegistryError>,
    ) -> Result<Option<K>, ApiError> {
        match params.value(generate) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::Bool(true)) if is_given => {
                Err(ApiError::param(generate, format!("{name} is given too; leave one of them out")))
            }
            Some(Value::Bool(true)) => {
                make().map(Some).map_err(|error| self.refused(&error, ApiError::internal(error.to_string())))
            }
            Some(other) => Err(wrong(generate, "true, false or null", other)),
        }
    }
}

/// What `name` sets; `null` and an empty text take away.
fn given<K>(
    params: &Params,
    name: &str,
    check: fn(&str) -> Result<K, WebhookError>,
) -> Result<Option<Option<K>>, ApiError> {
    match params.text_or_null(name)? {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => check(text).map(|signer| Some(Some(signer))).map_err(|error| refused(name, &error)),
    }
}
