//! Calls to a server that an admin names (Misskey's API, a running hikyaku's): one request, and its whole answer within bounds.
//!
//! Unlike an attempt, a call needs what the server says, so an answer that breaks off or is too long is none. What the
//! answer means is the caller's word.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Method, Request, Response};
use url::Url;

use super::client::ClientError;
use super::failure::{ELSEWHERE, too_many_interim, words};
use super::guard::{Guarded, NotAnswered};
use super::names::{Names, SystemNames};
use super::tls::{Authorities, Trust};
use crate::decide::parse_retry_after;
use crate::model::{Secret, Timestamp};

/// The content type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// Makes calls. Clones share connections.
#[derive(Clone, Debug)]
pub struct Caller {
    http: Guarded,
    deadline: Duration,
    headers: HeaderMap,
}

/// What is asked of a server.
#[derive(Debug)]
pub struct Asked<'a> {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// What, which is on that server.
    pub url: Url,
    /// The bearer token.
    pub bearer: Option<&'a Secret>,
    /// The body.
    pub body: Sent,
}

/// What is sent to a server.
#[derive(Debug, Default)]
pub enum Sent {
    /// Nothing.
    #[default]
    Nothing,
    /// JSON.
    Json(Vec<u8>),
    /// Lines of JSON, as they come.
    Lines(Lines),
    /// Bytes, of which the caller's own headers say what they are.
    AsSaid(Vec<u8>),
}

/// Lines of JSON, in pieces.
#[derive(Debug)]
pub struct Lines(Body);

impl Lines {
    /// Those of `pieces`. A piece that cannot be had breaks the request off.
    pub fn of(pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static) -> Self {
        Self(Body::wrap(StreamBody::new(pieces.map_ok(Frame::data))))
    }
}

/// An answer that comes in pieces.
#[derive(Debug)]
pub struct Replying {
    /// The status.
    pub status: u16,
    response: Response,
}

impl Replying {
    /// Whether it is lines of JSON.
    pub fn is_lines(&self) -> bool {
        self.response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(LINES.as_bytes()))
    }

    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// When none came `within` that time, or the answer broke off: it is not whole.
    pub async fn piece(&mut self, within: Duration) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout(within, self.response.chunk()).await {
            Ok(piece) => piece.map_err(|error| CallError::NoAnswer(words(&error))),
            Err(_) => Err(CallError::NoAnswer(format!("nothing more came for {} s", within.as_secs_f64()))),
        }
    }

    /// All of it, at most `answer_bytes_max` bytes.
    ///
    /// # Errors
    /// When it broke off, or is too long.
    pub async fn all(mut self, answer_bytes_max: usize, within: Duration) -> Result<Reply, CallError> {
        let header = |name| self.response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header(DATE).and_then(date_of);
        let retry_after = header(RETRY_AFTER).and_then(|text| parse_retry_after(text, date.unwrap_or_default()));
        let mut body = Vec::new();
        while let Some(piece) = self.piece(within).await? {
            if body.len() + piece.len() > answer_bytes_max {
                return Err(CallError::TooLarge { max: answer_bytes_max });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status: self.status, body: body.into(), date, retry_after })
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
    /// The header `Date`: the server's clock, in whole seconds.
    pub date: Option<Timestamp>,
    /// The header `Retry-After`; where it names a moment, how long after [`Self::date`] that is.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// None came, or not all of it.
    #[error("{0}")]
    NoAnswer(String),
    /// It has more bytes than are read.
    #[error("its answer has more than {max} bytes")]
    TooLarge {
        /// The bytes that are read.
        max: usize,
    },
}

impl Caller {
    /// Makes calls to the origin of `server`, and nowhere else, that say `user_agent`, each with `deadline` for all of it.
    /// An admin has named it, so its addresses may be private. `authorities` are trusted beside
    /// those of the system.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn new(
        user_agent: &str,
        deadline: Duration,
        server: &Url,
        authorities: &Authorities,
    ) -> Result<Self, ClientError> {
        let names: Arc<dyn Names> = Arc::new(SystemNames);
        let http = Guarded::to_server(user_agent, server, &names, &Trust::new(authorities)?)?;
        Ok(Self { http, deadline, headers: HeaderMap::new() })
    }

    /// The same caller, with `deadline`.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same caller, with `headers` on each of its calls.
    #[must_use]
    pub fn saying(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Posts `json` to `url`, which is on that server, and reads the answer to its end, at most `answer_bytes_max` bytes.
    ///
    /// # Errors
    /// When there is no whole answer within the deadline and the limit. The server may have done what was asked.
    pub async fn post(&self, url: &Url, json: Vec<u8>, answer_bytes_max: usize) -> Result<Reply, CallError> {
        let asked = Asked { method: "POST", url: url.clone(), bearer: None, body: Sent::Json(json) };
        self.ask(asked, answer_bytes_max).await
    }

    /// Asks, and reads the answer to its end, at most `answer_bytes_max` bytes.
    ///
    /// # Errors
    /// When there is no whole answer within the deadline and the limit. The server may have done what was asked.
    pub async fn ask(&self, asked: Asked<'_>, answer_bytes_max: usize) -> Result<Reply, CallError> {
        match tokio::time::timeout(self.deadline, self.exchange(asked, answer_bytes_max)).await {
            Ok(replied) => replied,
            Err(_) => Err(CallError::NoAnswer(format!("no complete answer within {} s", self.deadline.as_secs_f64()))),
        }
    }

    async fn exchange(&self, asked: Asked<'_>, answer_bytes_max: usize) -> Result<Reply, CallError> {
        self.open(asked).await?.all(answer_bytes_max, self.deadline).await
    }

    /// Asks, and waits for the answer to begin, however long that takes: a long body may have to be sent before.
    ///
    /// # Errors
    /// When none begins.
    pub async fn open(&self, asked: Asked<'_>) -> Result<Replying, CallError> {
        let no_answer = |error: reqwest::Error| CallError::NoAnswer(words(&error));
        let no_header = |_| CallError::NoAnswer("the token has a character that no header carries".to_owned());
        let method = Method::from_bytes(asked.method.as_bytes()).unwrap_or_default();
        let mut request = Request::new(method, asked.url);
        request.headers_mut().clone_from(&self.headers);
        if let Some(token) = asked.bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(no_header)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let (kind, body): (Option<&'static str>, Option<Body>) = match asked.body {
            Sent::Nothing => (None, None),
            Sent::Json(json) => (Some("application/json"), Some(json.into())),
            Sent::Lines(Lines(body)) => (Some(LINES), Some(body)),
            Sent::AsSaid(bytes) => (None, Some(bytes.into())),
        };
        if let Some(kind) = kind {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        *request.body_mut() = body;
        let response = self.http.execute(request).await.map_err(|error| match error {
            NotAnswered::Failed(error) => no_answer(error),
            NotAnswered::Unanswered(error) => CallError::NoAnswer(words(&error)),
            NotAnswered::TooManyInterim => CallError::NoAnswer(too_many_interim()),
            NotAnswered::Elsewhere => CallError::NoAnswer(ELSEWHERE.to_owned()),
            NotAnswered::Forbidden(forbidden) => CallError::NoAnswer(forbidden.to_string()),
        })?;
        Ok(Replying { status: response.status().as_u16(), response })
    }
}

/// The moment that an HTTP date names (RFC 9110, section 5.6.7).
fn date_of(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
}
