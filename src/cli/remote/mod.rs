//! A running hikyaku, asked over its operators' API: what `--url` of `status`, `dead`, `deliveries`, `webhooks` and `forget` means.
//!
//! The operator names the address, so it may be a private one; requests go to that origin and nowhere else, are not redirected,
//! and have a deadline and a limit of bytes. The token comes from a file or a variable, never from an argument, which `ps` shows
//! to everyone on the machine. What comes back is told as it is told of queue and store themselves.

mod answers;
mod args;
mod dead;
mod dead_files;
mod deliveries;
mod registering;
mod webhooks;

use std::time::Duration;

use serde_json::Value;
use url::Url;

use self::args::{is_loopback, origin_of, token_of};
use super::deliveries::items;
use super::listing::Rows;
use super::{CliError, Output};
use crate::model::Secret;
use crate::outbound::{Asked, Authorities, Caller, Lines, Replying, Sent};

pub use self::answers::RemoteError;
pub use self::args::{Managing, Reading, RemoteArgs, TOKEN_VARIABLE};
pub use self::dead::dead_of;
pub use self::deliveries::deliveries_of;
pub use self::webhooks::webhooks_of;

/// How long a request may take, all of it: a page of a million records takes a moment, what is done to many goes in steps of 20 s.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long it is waited for the next piece of a long answer.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer: 1,000 deliveries have about one megabyte.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is asked along with a path.
pub(super) type Query = Vec<(&'static str, String)>;

/// A running hikyaku.
#[derive(Debug)]
pub struct Remote {
    caller: Caller,
    url: Url,
    token: Secret,
}

impl Remote {
    /// The hikyaku that `args` name, if they name one. `authorities` are trusted beside the system's; `token` is the content of the
    /// variable [`TOKEN_VARIABLE`].
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn of(
        args: &RemoteArgs,
        token: Option<&str>,
        authorities: &Authorities,
        output: &mut Output,
    ) -> Result<Option<Self>, CliError> {
        let Some(text) = &args.url else {
            return match args.token_file {
                None => Ok(None),
                Some(_) => Err(CliError::Usage("--token-file is for --url, which is missing".to_owned())),
            };
        };
        let url = origin_of(text)?;
        let token = token_of(args, token)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            output.note(
                "the token goes over the network as it is, since the address is http://; https:// keeps it secret",
            );
        }
        let user_agent = concat!("hikyaku/", env!("CARGO_PKG_VERSION"));
        let caller = Caller::new(user_agent, DEADLINE, &url, authorities).map_err(RemoteError::Client)?;
        Ok(Some(Self { caller, url, token }))
    }

    /// The same hikyaku, whose answers may take up to `deadline`.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self { caller: self.caller.within(deadline), url: self.url.clone(), token: self.token.clone() }
    }

    /// What `GET path` answers.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn get(&self, path: &str, query: &[(&'static str, String)]) -> Result<Value, CliError> {
        self.ask("GET", path, query, Sent::Nothing).await
    }

    /// The same, as text: for what may hold what a JSON value of ours cannot.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, CliError> {
        let (reply, origin) = (self.reply("GET", path, &[], Sent::Nothing).await?, self.origin());
        answers::text_of(&reply, &origin, &format!("GET {path}"))
    }

    /// How it is, as `GET /v1/status` answers.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn status(&self) -> Result<Value, CliError> {
        let told = self.get("/v1/status", &[]).await?;
        self.having("ready", told)
    }

    /// What `POST path` answers, without a body, which has `field`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn change(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        field: &str,
    ) -> Result<Value, CliError> {
        let answer = self.ask("POST", path, query, Sent::Nothing).await?;
        self.having(field, answer)
    }

    /// `answer`, which has `field` if it is hikyaku's.
    pub(super) fn having(&self, field: &str, answer: Value) -> Result<Value, CliError> {
        if answer.get(field).is_some() {
            return Ok(answer);
        }
        Err(RemoteError::Unreadable { origin: self.origin(), status: 200 }.into())
    }

    /// What `POST path` with `json` answers; null when that is nothing.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn post(&self, path: &str, json: &Value) -> Result<Value, CliError> {
        self.ask("POST", path, &[], Sent::Json(json.to_string().into_bytes())).await
    }

    /// What `POST path` with `lines` answers, however long they take to be sent.
    ///
    /// # Errors
    /// When they cannot be read, or it does not answer, or refuses.
    pub(super) async fn send(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        lines: Lines,
    ) -> Result<Value, CliError> {
        let replying = self.open("POST", path, query, Sent::Lines(lines)).await?;
        let answer = self.whole(replying, "POST", path).await?;
        self.having("added", answer)
    }

    /// What `GET path` answers, piece by piece.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn stream(&self, path: &str, query: &[(&'static str, String)]) -> Result<Streaming, CliError> {
        let replying = self.open("GET", path, query, Sent::Nothing).await?;
        if replying.status == 200 && replying.is_lines() {
            return Ok(Streaming { replying, origin: self.origin() });
        }
        let status = replying.status;
        self.whole(replying, "GET", path).await?;
        Err(RemoteError::Unreadable { origin: self.origin(), status }.into())
    }

    /// A page of the listing at `path`, whose answers have the list `name`: at most `limit` of what `query` means behind `after`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn page(
        &self,
        path: &str,
        name: &str,
        query: &[(&'static str, String)],
        limit: u32,
        after: Option<String>,
    ) -> Result<Rows<Value, String>, CliError> {
        let mut query = query.to_vec();
        query.push(("limit", limit.to_string()));
        query.extend(after.map(|cursor| ("cursor", cursor)));
        let mut page = self.get(path, &query).await?;
        let problems = items(&page["problems"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let next = page["next"].as_str().map(str::to_owned);
        let rows = match page[name].take() {
            Value::Array(rows) => rows,
            _ => return Err(RemoteError::Unreadable { origin: self.origin(), status: 200 }.into()),
        };
        Ok(Rows { rows, next, problems })
    }

    /// Where it is.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&'static str, String)],
        body: Sent,
    ) -> Result<Value, CliError> {
        let reply = self.reply(method, path, query, body).await?;
        answers::json_of(&reply, &self.origin(), &format!("{method} {path}"))
    }

    async fn reply(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&'static str, String)],
        body: Sent,
    ) -> Result<crate::outbound::Reply, CliError> {
        let reply = self.caller.ask(self.asked(method, path, query, body), ANSWER_BYTES_MAX).await;
        Ok(reply.map_err(|error| RemoteError::NoAnswer { origin: self.origin(), why: error.to_string() })?)
    }

    async fn open(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&'static str, String)],
        body: Sent,
    ) -> Result<Replying, CliError> {
        let opened = self.caller.open(self.asked(method, path, query, body)).await;
        Ok(opened.map_err(|error| RemoteError::NoAnswer { origin: self.origin(), why: error.to_string() })?)
    }

    async fn whole(&self, replying: Replying, method: &str, path: &str) -> Result<Value, CliError> {
        let reply = replying.all(ANSWER_BYTES_MAX, PIECE_WAIT_MAX).await;
        let reply = reply.map_err(|error| RemoteError::BrokeOff { origin: self.origin(), why: error.to_string() })?;
        answers::json_of(&reply, &self.origin(), &format!("{method} {path}"))
    }

    fn asked<'a>(
        &'a self,
        method: &'static str,
        path: &str,
        query: &[(&'static str, String)],
        body: Sent,
    ) -> Asked<'a> {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Asked { method, url, bearer: Some(&self.token), body }
    }
}

/// A long answer.
#[derive(Debug)]
pub(super) struct Streaming {
    replying: Replying,
    origin: String,
}

impl Streaming {
    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// When the answer broke off: it is not whole.
    pub(super) async fn piece(&mut self) -> Result<Option<bytes::Bytes>, CliError> {
        let piece = self.replying.piece(PIECE_WAIT_MAX).await;
        Ok(piece.map_err(|error| RemoteError::BrokeOff { origin: self.origin.clone(), why: error.to_string() })?)
    }
}
