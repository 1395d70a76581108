//! What a Misskey tells everyone of itself: `meta`, which needs no token.

use serde::Deserialize;
use serde_json::json;

use super::client::{Misskey, read};
use super::error::MisskeyError;
use crate::model::Timestamp;

/// A Misskey, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its version, which forks have too, such as `2026.3.2`.
    pub version: String,
    /// Its own address; what its events have as their `server`.
    pub uri: Option<String>,
    /// Its clock when it answered, in whole seconds, where it or what stands before it says so.
    pub now: Option<Timestamp>,
}

/// What `meta` answers, of some hundred fields.
#[derive(Deserialize)]
struct Meta {
    version: String,
    #[serde(default)]
    uri: Option<String>,
}

impl Misskey {
    /// Asks it who it is.
    ///
    /// # Errors
    /// When it does not answer, or is no Misskey.
    pub async fn about(&self) -> Result<About, MisskeyError> {
        let reply = self.post("meta", &json!({"detail": false})).await?;
        if !(200..300).contains(&reply.status) {
            return Err(MisskeyError::of(&reply));
        }
        let Meta { version, uri } = read("meta", &reply.body)?;
        Ok(About { version, uri, now: reply.date })
    }
}
