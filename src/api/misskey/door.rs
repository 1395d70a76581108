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

    /// The parameters in a request's body. The admin's is read at once, however many others' bodies are slow to come: `is_admin`.
    pub(super) async fn read(&self, headers: &HeaderMap, body: &mut Body, is_admin: bool) -> Result<Params, ApiError> {
        let is_plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
            return Err(ApiError::compressed());
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return Err(ApiError::too_large(BODY_BYTES_MAX));
        }
        let _turn = if is_admin { None } else { Some(self.turn().await?) };
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

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, token) = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    Some(token.trim())
}

/// The token that a request comes with: as bearer token, else as the parameter `i`, as in Misskey.
pub(super) fn token<'a>(headers: &'a HeaderMap, params: &'a Params) -> Result<Option<&'a str>, ApiError> {
    if let Some(token) = bearer(headers) {
        return Ok(Some(token));
    }
    match params.value("i") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token)),
        Some(other) => Err(wrong("i", "a string", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_many_bodies_are_slow_to_come_the_admins_is_read() {
        let door = Door::new();
        let slow = u32::try_from(BODIES_MAX).expect("small");
        let _turns = door.bodies.try_acquire_many(slow).expect("all");
        let read = async |is_admin| door.read(&HeaderMap::new(), &mut Body::from("{}"), is_admin).await;
        assert_eq!(read(false).await.map(drop), Err(ApiError::busy("too many requests at once")));
        assert_eq!(read(true).await.map(drop), Ok(()));
    }
}
