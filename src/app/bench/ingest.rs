//! How fast Misskey's webhooks are answered: requests at a fixed rate, as Misskey's client sends them, to the real listener.
//!
//! The load is open: a request is due at its own time whatever became of those before, and its latency is counted from then,
//! so that a stall is seen by all that fall into it. Misskey sends at most 64 at a time for users' webhooks; so many
//! connections are kept here (`--concurrency`). Each event is new, goes through secret, receipt and fsync, is answered 204,
//! and is then taken from the queue and settled; no webhook asks for it, so nothing is delivered.
//!
//! The sender has a thread of its own. What all other threads of the process take of the processors meanwhile is the
//! server's; with `taskset -c 0 hikyaku bench --ingest` sender and server together have one core.

use std::cell::Cell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::Load;
use super::figures::{Percentiles, round2};
use super::stage::settings;
use crate::app::service::Service;
use crate::cli::Output;
use crate::config::MisskeyIngest;
use crate::decide::{Credential, IngestScope};
use crate::model::{Secret, Source};

const SECRET: &str = "the-secret-of-the-benchmark";
/// The sender's thread.
const SENDER: &str = "bench-misskey";
/// Until the first request is due, so that all connections wait for it.
const BEGIN_AFTER: Duration = Duration::from_millis(100);
/// An answer is a few lines.
const ANSWER_BYTES_MAX: usize = 4096;

/// Sends `load.events` requests, `rate` a second, and prints how they were answered.
pub(super) async fn run(load: &Load, rate: u32, json: bool, output: &mut Output) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let mut settings = settings(None, folder.path(), load)?;
    let credential = Credential::Secret { secret: Secret::new(SECRET), scope: IngestScope::Any };
    settings.misskey.ingest = vec![MisskeyIngest { source: Source::default(), credential }];
    let service = Service::start(settings, None).await?;
    let sender = Sender { address: service.address, rate, load: load.clone() };
    let before = processor_time()?;
    let (done, sent) = oneshot::channel();
    std::thread::Builder::new().name(SENDER.to_owned()).spawn(move || {
        let _nobody_may_wait = done.send(sender.run());
    })?;
    let sent = sent.await.context("the sender has ended by itself")??;
    let processor = processor_time()?.saturating_sub(before);
    service.stop().await;
    let figures = Figures::of(load, rate, sent, processor);
    if json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the threads of this process but the sender's have had of the processors: the first number of `schedstat`, in
/// nanoseconds (docs.kernel.org/scheduler/sched-stats.html).
fn processor_time() -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").context("processor time is told by /proc only")? {
        let task = task?.path();
        // A thread may end meanwhile.
        let Ok(name) = std::fs::read_to_string(task.join("comm")) else { continue };
        let Ok(times) = std::fs::read_to_string(task.join("schedstat")) else { continue };
        if name.trim() != SENDER {
            nanoseconds += times.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

struct Sender {
    address: SocketAddr,
    rate: u32,
    load: Load,
}

/// What was sent.
struct Sent {
    /// From when each request was due to its answer.
    latencies: Vec<Duration>,
    took: Duration,
}

impl Sender {
    fn run(&self) -> anyhow::Result<Sent> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..self.load.concurrency {
                let connection = TcpStream::connect(self.address).await?;
                connection.set_nodelay(true)?;
                connections.push(connection);
            }
            let (begin, next) = (Instant::now() + BEGIN_AFTER, Cell::new(0));
            let all = connections.into_iter().map(|connection| self.keep_sending(connection, begin, &next));
            let latencies = futures_util::future::try_join_all(all).await?.concat();
            Ok(Sent { latencies, took: begin.elapsed() })
        })
    }

    /// Sends, each at its time, the requests that are next whenever this connection is free.
    async fn keep_sending(
        &self,
        mut connection: TcpStream,
        begin: Instant,
        next: &Cell<u32>,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while next.get() < self.load.events {
            let number = next.replace(next.get() + 1);
            let request = request(self.load.bytes);
            let due = begin + Duration::from_secs_f64(f64::from(number) / f64::from(self.rate));
            tokio::time::sleep_until(due.into()).await;
            connection.write_all(request.as_bytes()).await?;
            check_answer(&mut connection).await?;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    }
}

/// A new event of about `bytes` bytes, in a request as Misskey's client writes it.
fn request(bytes: usize) -> String {
    let head = format!(
        r#"{{"server":"https://misskey.example","hookId":"ajbar5w5k3x90008","userId":"9ks5o1w5k3x90001","eventId":"{}","createdAt":1774960496789,"type":"note","body":{{"note":{{"text":""#,
        uuid::Uuid::new_v4()
    );
    let tail = "\"}}}";
    let body = format!("{head}{}{tail}", "x".repeat(bytes.saturating_sub(head.len() + tail.len())));
    format!(
        "POST /ingest/misskey HTTP/1.1\r\naccept: */*\r\naccept-encoding: gzip, deflate, br\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nuser-agent: Misskey-Hooks\r\nx-misskey-hook-id: ajbar5w5k3x90008\r\n\
         x-misskey-hook-secret: {SECRET}\r\nx-misskey-host: misskey.example\r\nHost: sidecar:8787\r\n\
         Connection: keep-alive\r\n\r\n{body}",
        body.len()
    )
}

async fn check_answer(connection: &mut TcpStream) -> anyhow::Result<()> {
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = connection.read_buf(&mut answer).await?;
        anyhow::ensure!(read > 0 && answer.len() < ANSWER_BYTES_MAX, "the server has closed a connection");
        anyhow::ensure!(
            answer.len() < 12 || answer.starts_with(b"HTTP/1.1 204"),
            "a request was not answered 204: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(())
}

struct Figures {
    load: Load,
    rate: u32,
    answered: usize,
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of one core.
    cores: f64,
    us_per_request: f64,
}

impl Figures {
    fn of(load: &Load, rate: u32, sent: Sent, processor: Duration) -> Self {
        let Sent { latencies, took } = sent;
        let answered = latencies.len();
        let count = f64::from(u32::try_from(answered).unwrap_or(u32::MAX)).max(1.0);
        let Percentiles { p50_ms, p99_ms, max_ms } = Percentiles::of(latencies);
        Self {
            load: load.clone(),
            rate,
            answered,
            per_s: count / took.as_secs_f64(),
            p50_ms,
            p99_ms,
            max_ms,
            cores: processor.as_secs_f64() / took.as_secs_f64(),
            us_per_request: processor.as_secs_f64() * 1e6 / count,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "events": self.load.events,
            "bytes": self.load.bytes,
            "concurrency": self.load.concurrency,
            "asked_per_s": self.rate,
            "answered": self.answered,
            "answered_per_s": round2(self.per_s),
            "p50_ms": round2(self.p50_ms),
            "p99_ms": round2(self.p99_ms),
            "max_ms": round2(self.max_ms),
            "server_cores": round2(self.cores),
            "server_us_per_request": round2(self.us_per_request),
        })
    }

    fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "{} requests of {} bytes at {} /s over {} connections, each stored in queue.db and answered 204",
                self.answered, self.load.bytes, self.rate, self.load.concurrency
            ),
            format!("answered  {:>9.1} /s", self.per_s),
            format!("p50       {:>9.2} ms", self.p50_ms),
            format!("p99       {:>9.2} ms", self.p99_ms),
            format!("longest   {:>9.2} ms", self.max_ms),
            format!("server    {:>9.2} of one core, {:.0} us a request", self.cores, self.us_per_request),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_latencies() {
        let load = Load { events: 200, concurrency: 1, bytes: 300 };
        let latencies: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let sent = Sent { latencies, took: Duration::from_secs(2) };
        let figures = Figures::of(&load, 100, sent, Duration::from_millis(500));
        let found = [figures.p50_ms, figures.p99_ms, figures.max_ms, figures.per_s, figures.cores];
        for (found, expected) in found.into_iter().zip([100.0, 198.0, 200.0, 100.0, 0.25]) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        assert!((figures.us_per_request - 2500.0).abs() < 1e-6);
    }

    #[test]
    fn a_request_has_the_bytes_that_were_asked_for_and_is_new_each_time() {
        let (one, other) = (request(1000), request(1000));
        assert!(one.contains("content-length: 1000\r\n") && one != other);
        assert_eq!(one.split_once("\r\n\r\n").expect("a body").1.len(), 1000);
    }
}
