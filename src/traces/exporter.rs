//! Sends ended spans to the collector, in a task of its own.
//!
//! A request has at most [`BATCH_MAX`] spans. One that the collector cannot take now (it is away, or answers 429, 502, 503 or 504, as
//! OTLP says) is sent again for at most [`AGAIN_FOR`], while what ends meanwhile waits in the channel or is dropped; one that it does
//! not want is not sent again. What does not arrive is counted, and the log says so when that begins and when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::otlp::{self, Named};
use super::span::Ended;
use super::tracer::{Collector, TracerPolicy};
use crate::clock::Backoff;
use crate::outbound::{Asked, CallError, Caller, ClientError, Reply, Sent, one_line};
use crate::telemetry::SharedTelemetry;

/// Spans of one request: as OpenTelemetry's SDKs have it (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
const BATCH_MAX: usize = 512;
/// How long the first span of a request waits for others.
const GATHER_FOR: Duration = Duration::from_millis(250);
/// How long a request is sent again.
const AGAIN_FOR: Duration = Duration::from_secs(60);
/// Waits between tries, unless the collector says how long.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LONGEST: Duration = Duration::from_secs(10);
/// How long sending what is left may take at the end.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read, and of those that are quoted.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const QUOTED_BYTES_MAX: usize = 200;
/// A shorter word of a header is taken to be no secret, such as `Basic`.
const SECRET_BYTES_MIN: usize = 7;

/// What sends spans.
#[derive(Debug)]
pub struct Exporting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Why spans did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it answered {status}{words}")]
    Answered { status: u16, words: String },
    #[error("of {sent} spans it did not take {rejected}{words}")]
    Rejected { sent: usize, rejected: u64, words: String },
    #[error("{left} spans were left at the end, after {} s", FLUSH_WAIT_MAX.as_secs())]
    Left { left: u64 },
}

impl Exporting {
    pub(super) fn start(
        policy: &TracerPolicy,
        collector: Collector,
        waiting: mpsc::Receiver<Ended>,
        telemetry: SharedTelemetry,
    ) -> Result<Self, ClientError> {
        let who = Named { service: policy.service.clone(), instance: policy.instance.clone() };
        let post = Post::new(who, collector)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Exporter { post, telemetry, fails: AtomicBool::new(false), stopped }.run(waiting));
        Ok(Self { stop, task })
    }

    /// Sends what has ended until now, within 3 s, and ends. What is left is dropped and counted.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ended_or_panicked = self.task.await;
    }
}

/// Makes requests to the collector.
struct Post {
    caller: Caller,
    who: Named,
    url: url::Url,
    /// What of the headers' values is not to be quoted.
    secrets: Vec<String>,
}

impl Post {
    fn new(who: Named, collector: Collector) -> Result<Self, ClientError> {
        let Collector { url, mut headers, timeout, authorities } = collector;
        let words = headers.values().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let secrets =
            words.flat_map(str::split_whitespace).filter(|word| word.len() >= SECRET_BYTES_MIN).map(str::to_owned);
        let secrets = secrets.collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(otlp::CONTENT_TYPE));
        let user_agent = concat!("hikyaku/", env!("CARGO_PKG_VERSION"));
        let caller = Caller::new(user_agent, timeout, &url, &authorities)?.saying(headers);
        Ok(Self { caller, who, url, secrets })
    }

    fn answered(&self, reply: &Reply) -> NotTaken {
        NotTaken::Answered { status: reply.status, words: self.quoted(&reply.body) }
    }

    /// The beginning of what the collector says, which may be protobuf with words in it, and may repeat what it was sent.
    fn quoted(&self, bytes: &[u8]) -> String {
        let mut line = one_line(bytes);
        for secret in &self.secrets {
            line = line.replace(secret.as_str(), "***");
        }
        let end = line.floor_char_boundary(QUOTED_BYTES_MAX);
        if line.is_empty() { line } else { format!(": {}", &line[..end]) }
    }

    async fn post(&self, spans: &[Ended]) -> Result<Reply, CallError> {
        let body = Sent::AsSaid(otlp::request(&self.who, spans));
        let asked = Asked { method: "POST", url: self.url.clone(), bearer: None, body };
        self.caller.ask(asked, ANSWER_BYTES_MAX).await
    }
}

/// Sends no span, and tells why the collector would not take any.
///
/// # Errors
/// In words.
pub async fn ping(collector: Collector) -> Result<(), String> {
    let who = Named { service: String::new(), instance: String::new() };
    let post = Post::new(who, collector).map_err(|error| error.to_string())?;
    match post.post(&[]).await {
        Ok(reply) if (200..300).contains(&reply.status) => Ok(()),
        Ok(reply) => Err(post.answered(&reply).to_string()),
        Err(error) => Err(error.to_string()),
    }
}

struct Exporter {
    post: Post,
    telemetry: SharedTelemetry,
    /// Whether the log has been told that spans do not arrive.
    fails: AtomicBool,
    stopped: watch::Receiver<bool>,
}

impl Exporter {
    async fn run(self, mut waiting: mpsc::Receiver<Ended>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let mut stopped = self.stopped.clone();
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            }
            // Others end soon after the first; nobody is woken for each of them.
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = tokio::time::sleep(GATHER_FOR) => {}
            }
            loop {
                while batch.len() < BATCH_MAX
                    && let Ok(next) = waiting.try_recv()
                {
                    batch.push(next);
                }
                if batch.is_empty() || *self.stopped.borrow() {
                    break;
                }
                tokio::select! {
                    () = self.send(&batch) => batch.clear(),
                    // What is under way is sent once more below: better twice than not.
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
            }
        }
        self.flush(batch, waiting).await;
    }

    /// Sends what is left, each once.
    async fn flush(&self, mut batch: Vec<Ended>, mut waiting: mpsc::Receiver<Ended>) {
        waiting.close();
        let deadline = Instant::now() + FLUSH_WAIT_MAX;
        loop {
            while batch.len() < BATCH_MAX
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            if batch.is_empty() {
                return;
            }
            match tokio::time::timeout_at(deadline, self.send(&batch)).await {
                Ok(()) => batch.clear(),
                Err(_) => {
                    let left = (batch.len() + waiting.len()) as u64;
                    self.failed(&NotTaken::Left { left });
                    self.telemetry.spans_dropped(left);
                    return;
                }
            }
        }
    }

    /// Sends `batch`, for as long as it makes sense, and counts what came of it.
    async fn send(&self, batch: &[Ended]) {
        let count = batch.len() as u64;
        let began = Instant::now();
        let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        loop {
            let (error, wait) = match self.post.post(batch).await {
                Ok(reply) if (200..300).contains(&reply.status) => return self.arrived(batch.len(), &reply),
                Ok(reply) if is_for_later(reply.status) => (self.post.answered(&reply), reply.retry_after),
                Ok(reply) => {
                    self.failed(&self.post.answered(&reply));
                    return self.telemetry.spans_refused(count);
                }
                Err(error) => (NotTaken::Call(error), None),
            };
            self.failed(&error);
            let wait = next_wait(waits.next_wait(), wait, began.elapsed()).filter(|_| !*self.stopped.borrow());
            let Some(wait) = wait else { return self.telemetry.spans_dropped(count) };
            let mut stopped = self.stopped.clone();
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn failed(&self, why: &NotTaken) {
        if !self.fails.swap(true, Ordering::Relaxed) {
            self.telemetry.traces_not_sent(why);
        }
    }

    fn arrived(&self, sent: usize, reply: &Reply) {
        let (rejected, why) = otlp::rejected(&reply.body);
        let rejected = rejected.min(sent as u64);
        self.telemetry.spans_sent(sent as u64 - rejected);
        if rejected == 0 {
            if self.fails.swap(false, Ordering::Relaxed) {
                self.telemetry.traces_sent_again();
            }
            return;
        }
        self.telemetry.spans_refused(rejected);
        let error = NotTaken::Rejected { sent, rejected, words: self.post.quoted(why.as_bytes()) };
        self.failed(&error);
    }
}

/// Whether what was answered so may be sent again (OTLP, "Retryable Response Codes").
fn is_for_later(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// How long until a request is sent again that was sent first `since` ago; nothing when it is not. Whoever asks for a longer wait than
/// it has left is asked once more at its end, and nobody sooner than `planned`.
fn next_wait(planned: Duration, asked: Option<Duration>, since: Duration) -> Option<Duration> {
    let left = AGAIN_FOR.checked_sub(since).filter(|left| !left.is_zero())?;
    Some(planned.max(asked.unwrap_or_default()).min(left))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;
    use crate::outbound::Authorities;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_collector_is_asked_again_as_it_says_but_neither_at_once_nor_for_longer_than_a_minute() {
        assert_eq!(next_wait(SECOND, None, Duration::ZERO), Some(SECOND));
        assert_eq!(next_wait(SECOND, Some(3 * SECOND), SECOND), Some(3 * SECOND));
        assert_eq!(next_wait(SECOND, Some(Duration::ZERO), SECOND), Some(SECOND));
        assert_eq!(next_wait(SECOND, Some(Duration::from_secs(u64::MAX)), 2 * SECOND), Some(58 * SECOND));
        assert_eq!(next_wait(SECOND, None, 60 * SECOND), None);
        assert_eq!(next_wait(SECOND, Some(SECOND), Duration::MAX), None);
    }

    #[test]
    fn what_the_collector_says_is_quoted_without_what_it_was_sent_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer hunter2hunter2"));
        headers.insert("x-tenant", HeaderValue::from_static("t1"));
        let url = url::Url::parse("http://127.0.0.1:4318/v1/traces").expect("a URL");
        let collector = Collector { url, headers, timeout: SECOND, authorities: Authorities::default() };
        let post = Post::new(Named { service: String::new(), instance: String::new() }, collector).expect("a client");
        assert_eq!(post.quoted(b"no Bearer hunter2hunter2 here\nof t1"), ": no Bearer *** here of t1");
        assert_eq!(post.quoted(b""), "");
    }
}
