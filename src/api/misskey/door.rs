//! The way in: a request's body, read within limits of size, time and memory, and the token it comes with.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;
use super::params::{Params, wrong};
use crate::incoming::{BodyError, bearer, declared_bytes, is_compressed, whole};

/// Bytes that a request's body may have: many times the longest URL, secret, name and list of types, each character
/// escaped.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bodies that are read at a time: 4 MiB.
const BODIES_MAX: usize = 64;
/// How long a request waits for its turn to be read.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a body may take.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

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
        if is_compressed(headers) {
            return Err(ApiError::compressed());
        }
        if declared_bytes(headers).is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(ApiError::too_large(BODY_BYTES_MAX));
        }
        let _turn = if is_admin { None } else { Some(self.turn().await?) };
        let read = tokio::time::timeout(BODY_WAIT_MAX, whole(body, BODY_BYTES_MAX)).await;
        let bytes = read.map_err(|_| ApiError::too_slow(BODY_WAIT_MAX.as_secs()))?.map_err(|error| match error {
            BodyError::TooLarge => ApiError::too_large(BODY_BYTES_MAX),
            BodyError::BrokenOff(words) => ApiError::request(words),
        })?;
        Params::read(&bytes)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match tokio::time::timeout(TURN_WAIT_MAX, self.bodies.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::busy("too many requests at once")),
        }
    }
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
