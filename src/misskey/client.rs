//! One call to Misskey's API, and how its answer is read.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::error::MisskeyError;
use crate::model::Secret;
use crate::outbound::{Authorities, Caller, ClientError, Reply};

/// How long a call may take, all of it.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer: many times an account with everything that it has pinned.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Misskey's API at one origin. Clones share connections.
#[derive(Clone, Debug)]
pub struct Misskey {
    caller: Caller,
    /// The origin, with `/` as its path.
    url: Url,
}

impl Misskey {
    /// The Misskey at the origin of `url`; nothing is asked yet. Its addresses may be private: an admin has named it.
    /// `authorities` are trusted beside the system's.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn new(url: &Url, authorities: &Authorities) -> Result<Self, ClientError> {
        let user_agent = concat!("hikyaku/", env!("CARGO_PKG_VERSION"));
        let mut url = url.clone();
        url.set_path("/");
        Ok(Self { caller: Caller::new(user_agent, DEADLINE, &url, authorities)?, url })
    }

    /// Its origin, such as `https://misskey.example`: the `server` of its events.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// An address on it.
    pub(super) fn address(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Calls `endpoint` with `params`, an object, and `token` as its `i`; gives the answer's bytes, none for a 204.
    pub(super) async fn call(
        &self,
        endpoint: &str,
        token: Option<&Secret>,
        params: Value,
    ) -> Result<Bytes, MisskeyError> {
        self.call_for(endpoint, token, params, ANSWER_BYTES_MAX).await
    }

    /// The same, for an answer of at most `answer_bytes_max` bytes.
    pub(super) async fn call_for(
        &self,
        endpoint: &str,
        token: Option<&Secret>,
        mut params: Value,
        answer_bytes_max: usize,
    ) -> Result<Bytes, MisskeyError> {
        if let Some(token) = token {
            params["i"] = json!(token.expose());
        }
        let address = self.address(&format!("api/{endpoint}"));
        let reply = self.caller.post(&address, params.to_string().into(), answer_bytes_max).await?;
        match reply.status {
            200..300 => Ok(reply.body),
            _ => Err(MisskeyError::of(&reply)),
        }
    }

    /// Posts `params` to `endpoint`: the whole answer, whatever it says.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn post(&self, endpoint: &str, params: &Value) -> Result<Reply, MisskeyError> {
        let address = self.address(&format!("api/{endpoint}"));
        Ok(self.caller.post(&address, params.to_string().into(), ANSWER_BYTES_MAX).await?)
    }

    /// Calls `endpoint`, and reads the answer's JSON.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        token: Option<&Secret>,
        params: Value,
    ) -> Result<T, MisskeyError> {
        read(endpoint, &self.call(endpoint, token, params).await?)
    }
}

/// Reads what `endpoint` answered.
pub(super) fn read<'a, T: Deserialize<'a>>(endpoint: &str, answer: &'a [u8]) -> Result<T, MisskeyError> {
    serde_json::from_slice(answer).map_err(|error| MisskeyError::Unreadable {
        // Of the parser's words only what and where: they can quote the answer.
        what: format!("the answer to {endpoint} is not as expected ({})", told(&error)),
    })
}

fn told(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "another JSON than Misskey's",
        serde_json::error::Category::Syntax => "no JSON",
        serde_json::error::Category::Eof | serde_json::error::Category::Io => "cut off",
    };
    format!("{kind}, at line {} column {}", error.line(), error.column())
}
