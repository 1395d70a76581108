//! The way in: a request's body, read within limits of size, time and memory, and the token it comes with.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;
use super::params::{Params, wrong};

/// Bytes that a request's body may have: many times the longest URL, secret, name and list of types, each character
/// escaped.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bodies that are read at a time: 4 MiB.
const BODIES_MAX: usize = 64;
/// How long a request waits for its turn to be read.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a body may take.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// What is read, and thrown away, of a request that is refused before its end.
const DRAINED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long that may take.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Lets so many in at a time.
#[derive(Debug)]
pub(super) struct Door {
    bodies: Semaphore,
}

impl Door {
    pub(super) fn new() -> Self {
        Self { bodies: Semaphore::new(BODIES_MAX) }
    }

    /// The parameters in a request's body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: &mut Body) -> Result<Params, ApiError> {
        let is_plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
            return Err(ApiError::compressed());
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return Err(ApiError::too_large(BODY_BYTES_MAX));
        }
        let _turn = self.turn().await?;
        Params::read(&whole(body).await?)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match tokio::time::timeout(TURN_WAIT_MAX, self.bodies.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::busy("too many requests at once")),
        }
    }
}

async fn whole(body: &mut Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_WAIT_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Err(_) => Err(ApiError::too_slow(BODY_WAIT_MAX.as_secs())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(BODY_BYTES_MAX)),
        Ok(Err(error)) => Err(ApiError::request(format!("the request's body broke off: {error}"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Throws the rest of a refused request away: who still sends when its connection is closed never sees the answer.
pub(super) async fn drain(body: Body) {
    let mut rest = Limited::new(body, DRAINED_BYTES_MAX);
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _read_or_given_up = tokio::time::timeout(DRAIN_WAIT_MAX, read).await;
}

/// The token that a request comes with: as bearer token, else as the parameter `i`, as in Misskey.
pub(super) fn token<'a>(headers: &'a HeaderMap, params: &'a Params) -> Result<Option<&'a str>, ApiError> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if let Some((_, token)) = bearer {
        return Ok(Some(token.trim()));
    }
    match params.value("i") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token)),
        Some(other) => Err(wrong("i", "a string", other)),
    }
}
