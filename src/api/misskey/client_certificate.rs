//! A webhook's client certificate, in a call's parameters and in answers.
//!
//! `clientCertificate` (the chain) and `clientKey` are PEM and come together; `clientCertificate: null` takes both away. Answered
//! is what tells a certificate, never the key:
//!
//! ```json
//! {"subject":"CN=...","sha256":"...","expiresAt":"..."}
//! ```

use serde::Serialize;
use serde_json::Value;

use super::error::ApiError;
use super::params::{Params, wrong};
use crate::model::{ClientCertificate, ClientCertificateError};

const CERTIFICATE: &str = "clientCertificate";
const KEY: &str = "clientKey";

/// What the parameters say of it; nothing when they say nothing.
pub(super) fn asked(params: &Params) -> Result<Option<Option<ClientCertificate>>, ApiError> {
    let missing = |name: &str, why: &str| Err(ApiError::param(name, why));
    match (text(params, CERTIFICATE)?, text(params, KEY)?) {
        (None, None) => Ok(None),
        (Some(None), None | Some(None)) => Ok(Some(None)),
        (Some(Some(_)), None | Some(None)) => missing(KEY, "it is missing: a certificate comes with its key"),
        (None | Some(None), Some(_)) => missing(CERTIFICATE, "it is missing: a key comes with its certificate"),
        (Some(Some(chain)), Some(Some(key))) => match ClientCertificate::new(chain, key) {
            Ok(certificate) => Ok(Some(Some(certificate))),
            Err(error @ ClientCertificateError::Certificate(_)) => Err(ApiError::param(CERTIFICATE, error.to_string())),
            Err(error @ ClientCertificateError::Key(_)) => Err(ApiError::param(KEY, error.to_string())),
        },
    }
}

fn text<'a>(params: &'a Params, name: &str) -> Result<Option<Option<&'a str>>, ApiError> {
    match params.value(name) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.as_str()).filter(|text| !text.is_empty()))),
        Some(other) => Err(wrong(name, "a string in PEM, or null", other)),
    }
}

/// What is told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientCertificateShape<'a> {
    subject: &'a str,
    sha256: &'a str,
    expires_at: String,
}

impl<'a> ClientCertificateShape<'a> {
    pub(super) fn of(certificate: &'a ClientCertificate) -> Self {
        Self {
            subject: certificate.subject(),
            sha256: certificate.sha256(),
            expires_at: certificate.expires_at().to_rfc3339(),
        }
    }
}
