//! `hikyaku bench`: deliveries per second on this machine, as a ratio to bare POSTs in the same run.
//!
//! Each run measures, with the same events, concurrency, client library and receiver, one after the other:
//! - `bare`: reqwest POSTs and nothing else, on a thread of its own with a current-thread runtime, as the worker has; with
//!   `--queue amqp://...` a loop of lapin and reqwest that drains such a queue on the same broker, with the same prefetch,
//!   and acknowledges each message by itself;
//! - `accept`: storing the events in the queue, each batch fsynced (or confirmed) before it is acknowledged;
//! - `drain`: from the waiting queue to the receiver, each delivery settled durably;
//! - `end_to_end`: storing and delivering at the same time, from the first event offered to the last one settled.
//!
//! The receiver answers keep-alive requests on loopback from a thread of its own. Rates of single runs are noisy; medians
//! and ratios are what to compare.

mod backlog;
mod bare;
mod bare_amqp;
mod figures;
mod queue_run;
mod receiver;
mod stage;

use std::process::ExitCode;

use bytes::Bytes;
use url::Url;

use self::figures::{Figures, QueueKind, Run};
use self::receiver::Receiver;
use self::stage::Stage;
use super::commands::not_a_queue;
use super::signals::Signals;
use crate::cli::{BenchArgs, CliError, Output};
use crate::config::QueueUrl;
use crate::queue::BrokerUrl;

/// Messages prefetched for each request in flight, within what the settings and RabbitMQ allow.
const PREFETCH_PER_REQUEST: usize = 8;
const PREFETCH_MIN: usize = 64;
const PREFETCH_MAX: usize = 2000;

/// What is measured.
#[derive(Clone, Debug)]
struct Load {
    events: u32,
    concurrency: usize,
    bytes: usize,
}

impl Load {
    /// Messages that a worker, or a bare loop, holds at most.
    fn prefetch(&self) -> usize {
        self.concurrency.saturating_mul(PREFETCH_PER_REQUEST).clamp(PREFETCH_MIN, PREFETCH_MAX)
    }
}

/// Measures and prints.
pub(super) async fn run(args: &BenchArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let load = Load { events: args.events, concurrency: args.concurrency as usize, bytes: args.bytes as usize };
    let broker = broker_of(args)?;
    if let Some(events) = args.backlog {
        return backlog::run(&Load { events, ..load }, args.json, output).await;
    }
    let mut signals = Signals::catch()?;
    let receiver = Receiver::start()?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        output.note(&format!(
            "run {number} of {}: {} events of {} bytes, concurrency {}",
            args.runs, load.events, load.bytes, load.concurrency
        ));
        let stage = broker.as_ref().map_or_else(Stage::file, |(url, _)| Stage::broker(url));
        if let Some(prefix) = stage.prefix_to_delete() {
            output.note(&format!("the queues of this run begin with {prefix}, and are deleted at its end"));
        }
        let amqp = broker.as_ref().map(|(_, amqp)| *amqp);
        let measured = tokio::select! {
            measured = measure(&stage, &load, amqp, receiver.url()) => measured,
            signal = signals.next() => Err(anyhow::anyhow!("interrupted by {signal}")),
        };
        // However it ended; its own end is told first.
        let cleared = stage.clear().await;
        runs.push(measured?);
        cleared?;
    }
    let figures = Figures::of(&load, &runs, amqp_or_file(&broker));
    if args.json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The broker that `--queue` names, parsed and as it was written.
fn broker_of(args: &BenchArgs) -> Result<Option<(BrokerUrl, &str)>, CliError> {
    let Some(url) = &args.queue else { return Ok(None) };
    match QueueUrl::parse(url).map_err(|what| not_a_queue(url, &what))? {
        QueueUrl::RabbitMq(broker) => Ok(Some((broker, url))),
        QueueUrl::Sqlite(_) => {
            let words = "--queue is for RabbitMQ, amqp://...; without it each run has a file of its own";
            Err(CliError::Usage(words.to_owned()))
        }
    }
}

fn amqp_or_file(broker: &Option<(BrokerUrl, &str)>) -> QueueKind {
    if broker.is_some() { QueueKind::RabbitMq } else { QueueKind::Sqlite }
}

/// One run of each kind.
async fn measure(stage: &Stage<'_>, load: &Load, amqp: Option<&str>, receiver: &Url) -> anyhow::Result<Run> {
    let bare = match amqp {
        None => bare::post(load, receiver).await?,
        Some(amqp) => {
            queue_run::fill_for_bare_loop(stage, load).await?;
            bare_amqp::drain(load, amqp, &stage.work_queue(), receiver).await?
        }
    };
    let queue = queue_run::drain(stage, load, receiver).await?;
    let end_to_end = queue_run::end_to_end(stage, load, receiver).await?;
    Ok(Run { bare, queue, end_to_end })
}

/// An event of about `bytes` bytes on the wire.
fn event(number: u32, bytes: usize) -> Bytes {
    let head = format!(
        r#"{{"type":"note","userId":"bench","eventId":"bench-{number}","createdAt":1774960496789,"server":"https://misskey.example","body":{{"note":{{"text":""#
    );
    let tail = "\"}}}";
    let filler = "x".repeat(bytes.saturating_sub(head.len() + tail.len()));
    Bytes::from(format!("{head}{filler}{tail}"))
}
