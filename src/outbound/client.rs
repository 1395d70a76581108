//! The one HTTP client: pooled connections, one deadline per attempt, a limit on what is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{InvalidHeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response};

use super::clients::{Clients, Make};
use super::excerpt::{Excerpt, words_of};
use super::failure::{no_answer, not_answered};
use super::formats;
use super::names::{Names, SystemNames};
use super::proxy::Proxy;
use super::request::{self, Attempt};
use super::tls::{Authorities, Trust};
use crate::decide::{AddressPolicy, Exchange, NoAnswer};
use crate::model::{ClientCertificate, ClientCertificateError, Timestamp};

/// Bytes of an answer that are read; what comes after is not waited for.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// How long an idle connection is kept: less than the 5 s after which Node's servers close theirs (`keepAliveTimeout`), so
/// that few requests go out on a connection that is just being closed.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(4);

/// Makes requests to receivers. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    clients: Clients,
    timeout: Duration,
}

/// How requests leave, as the admin says.
#[derive(Clone, Debug, Default)]
pub struct Outlet {
    /// Authorities that are trusted beside those of the system.
    pub authorities: Authorities,
    /// Through which requests to receivers go; none: they go by themselves.
    pub proxy: Option<Proxy>,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// HTTP cannot.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] reqwest::Error),
    /// TLS cannot.
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    /// The user agent cannot be sent.
    #[error("the user agent cannot be sent: {0}")]
    UserAgent(#[from] InvalidHeaderValue),
    /// The client certificate cannot be used.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(#[from] ClientCertificateError),
}

/// How an attempt went.
#[derive(Debug)]
pub struct Answer {
    /// What came back.
    pub exchange: Exchange,
    /// The beginning of the answer's body as one line, without secrets of the webhook's, at most
    /// [`RESPONSE_KEPT_BYTES_MAX`](super::RESPONSE_KEPT_BYTES_MAX) bytes; empty when there was none.
    pub response: String,
    /// How long it took.
    pub took: Duration,
}

impl Client {
    /// A client that says `user_agent`, gives an attempt `timeout` unless its webhook says otherwise, and requests no address
    /// but those that `addresses` allows; they leave by `outlet`.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn new(
        user_agent: &str,
        timeout: Duration,
        addresses: AddressPolicy,
        outlet: &Outlet,
    ) -> Result<Self, ClientError> {
        let names: Arc<dyn Names> = Arc::new(SystemNames);
        Self::asking(&names, user_agent, timeout, addresses, outlet)
    }

    /// The same, which asks `names` for the addresses of names.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn asking(
        names: &Arc<dyn Names>,
        user_agent: &str,
        timeout: Duration,
        addresses: AddressPolicy,
        outlet: &Outlet,
    ) -> Result<Self, ClientError> {
        let make = Make {
            user_agent: user_agent.to_owned(),
            policy: Arc::new(addresses),
            names: Arc::clone(names),
            trust: Trust::new(&outlet.authorities)?,
            proxy: outlet.proxy.clone().map(Arc::new),
        };
        Ok(Self { clients: Clients::new(make)?, timeout })
    }

    /// How long an attempt may take unless its webhook says otherwise.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes `attempt` and tells how it went, within its deadline.
    pub async fn send(&self, attempt: &Attempt<'_>) -> Answer {
        let started = Instant::now();
        let timeout = attempt.webhook.options.timeout.unwrap_or(self.timeout);
        let (exchange, response) = match tokio::time::timeout(timeout, self.exchange(attempt)).await {
            Ok(answered) => answered,
            Err(_) => {
                let words = format!("no complete answer within {} ms", timeout.as_millis());
                nothing(Exchange::NoAnswer { kind: NoAnswer::Timeout, words })
            }
        };
        Answer { exchange, response, took: started.elapsed() }
    }

    async fn exchange(&self, attempt: &Attempt<'_>) -> (Exchange, String) {
        let body = formats::body(attempt.event, attempt.webhook);
        let headers = match request::headers(attempt, &body) {
            Ok(headers) => headers,
            Err(error) => return nothing(Exchange::NoAnswer { kind: NoAnswer::Invalid, words: error.to_string() }),
        };
        let mut request = Request::new(Method::POST, attempt.webhook.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into_body());
        let client = match self.clients.presenting(attempt.webhook.options.client_certificate.as_ref()) {
            Ok(client) => client,
            Err(error) => return nothing(Exchange::NoAnswer { kind: NoAnswer::Invalid, words: error.to_string() }),
        };
        let (exchange, response) = match client.execute(request).await {
            Ok(response) => {
                read(response, Excerpt::of(attempt.webhook)).await.unwrap_or_else(|error| nothing(no_answer(&error)))
            }
            Err(error) => nothing(not_answered(&error)),
        };
        (tell_expiry(exchange, attempt.webhook.options.client_certificate.as_ref(), attempt.now), response)
    }
}

/// An exchange in which nothing came back.
fn nothing(exchange: Exchange) -> (Exchange, String) {
    (exchange, String::new())
}

/// Adds to a failure that our certificate has expired, where that is most probably why: TLS fails, or is taken and the request
/// refused (nginx answers 400, Apache 403).
fn tell_expiry(mut exchange: Exchange, certificate: Option<&ClientCertificate>, now: Timestamp) -> Exchange {
    let Some(certificate) = certificate.filter(|certificate| certificate.expires_at() < now) else { return exchange };
    let expired = format!("the webhook's client certificate has expired on {}", certificate.expires_at().to_rfc3339());
    match &mut exchange {
        Exchange::NoAnswer { kind: NoAnswer::Tls | NoAnswer::Connection, words } => {
            words.push_str("; ");
            words.push_str(&expired);
        }
        Exchange::Answered { status: 400 | 401 | 403, excerpt, .. } => {
            *excerpt = if excerpt.is_empty() { expired } else { format!("({expired}) {excerpt}") };
        }
        _ => {}
    }
    exchange
}

/// Reads the answer to its end or its limit, and tells how its body begins. An answer that breaks off is none.
async fn read(mut response: Response, mut excerpt: Excerpt<'_>) -> Result<(Exchange, String), reqwest::Error> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut bytes_read = 0;
    while bytes_read < RESPONSE_BYTES_MAX
        && let Some(chunk) = response.chunk().await?
    {
        bytes_read += chunk.len();
        excerpt.add(&chunk);
    }
    let text = excerpt.text();
    let excerpt = if status.is_success() { String::new() } else { words_of(&text) };
    Ok((Exchange::Answered { status: status.as_u16(), retry_after, excerpt }, text))
}

/// Text from a stranger, fit for a log line or a table: one line, no control characters.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_client_certificate_has_expired_is_told_where_it_may_be_why() {
        let (chain, key) = (
            include_str!("../../tests/fixtures/tls/client.pem"),
            include_str!("../../tests/fixtures/tls/client-key.pem"),
        );
        let certificate = ClientCertificate::new(chain, key).expect("a certificate");
        let until = certificate.expires_at();
        let after = Timestamp::from_millis(until.as_millis() + 1);
        let answered = |status| Exchange::Answered { status, retry_after: None, excerpt: "bad".to_owned() };
        let silent = |kind| Exchange::NoAnswer { kind, words: "bad".to_owned() };
        let words = |exchange: Exchange, certificate, now| match tell_expiry(exchange, certificate, now) {
            Exchange::Answered { excerpt, .. } => excerpt,
            Exchange::NoAnswer { words, .. } => words,
        };
        for exchange in [answered(400), answered(403), silent(NoAnswer::Tls), silent(NoAnswer::Connection)] {
            let told = words(exchange.clone(), Some(&certificate), after);
            let expired = format!("certificate has expired on {}", until.to_rfc3339());
            assert!(told.contains("bad") && told.contains(&expired), "{told}");
            assert_eq!(words(exchange.clone(), Some(&certificate), until), "bad", "it has not expired");
            assert_eq!(words(exchange, None, after), "bad", "there is none");
        }
        for exchange in [answered(500), answered(404), silent(NoAnswer::Timeout)] {
            assert_eq!(words(exchange, Some(&certificate), after), "bad");
        }
    }

    #[test]
    fn a_strangers_text_becomes_one_harmless_line() {
        assert_eq!(one_line(b"<h1>\r\n\x1b[31mOops</h1>\n"), "<h1> [31mOops</h1>");
    }
}
