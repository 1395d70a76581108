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
//! `--backlog`, `--ingest`, `--isolation`, `--outage` and `--record` measure something else in their place: memory, how soon
//! Misskey's webhooks are answered, what bad receivers cost the healthy ones, what one that is away costs the machine, and what
//! the history costs.
//!
//! The receiver answers keep-alive requests on loopback from a thread of its own. Rates of single runs are noisy; medians
//! and ratios are what to compare.

mod backlog;
mod bare;
mod bare_amqp;
mod cpu;
mod endpoints;
mod figures;
mod ingest;
mod isolation;
mod ledger;
mod outage;
mod own_schema;
mod pace;
mod queue_run;
mod receiver;
mod recording;
mod stage;

use std::process::ExitCode;

use bytes::Bytes;
use url::Url;

use self::figures::{Figures, QueueKind, Run};
use self::receiver::Receiver;
use super::own_queues::OwnQueues;
use super::signals::Signals;
use crate::cli::{BenchArgs, Output};

/// Messages prefetched for each request in flight, within what the settings and RabbitMQ allow.
const PREFETCH_PER_REQUEST: usize = 8;
const PREFETCH_MIN: usize = 64;
const PREFETCH_MAX: usize = 2000;

/// What an event's id begins with; its number follows.
const EVENT_ID: &str = "bench-";

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
    if let Some(events) = args.backlog {
        return backlog::run(&Load { events, ..load }, args.json, output).await;
    }
    if let Some(rate) = args.ingest {
        return ingest::run(&load, rate, args.json, output).await;
    }
    if args.isolation {
        return isolation::run(args, output).await;
    }
    if let Some(waiting) = args.outage {
        return outage::run(args, waiting, output).await;
    }
    let mut signals = Signals::catch()?;
    let receiver = Receiver::start()?;
    if args.record {
        return recording::run(&load, args, receiver.url(), &mut signals, output).await;
    }
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let own = OwnQueues::of("bench", args.queue.as_deref())?;
        output.note(&format!(
            "run {number} of {}: {} events of {} bytes, concurrency {}",
            args.runs, load.events, load.bytes, load.concurrency
        ));
        let broker = own.as_ref().zip(args.queue.as_deref());
        if let Some(own) = &own {
            output.note(&own.words());
        }
        let measured = tokio::select! {
            measured = measure(broker, &load, receiver.url()) => measured,
            signal = signals.next() => Err(anyhow::anyhow!("interrupted by {signal}")),
        };
        // However it ended; its own end is told first.
        let removed = match &own {
            Some(own) => own.remove().await,
            None => Ok(()),
        };
        runs.push(measured?);
        removed?;
    }
    let kind = if args.queue.is_some() { QueueKind::RabbitMq } else { QueueKind::Sqlite };
    let figures = Figures::of(&load, &runs, kind);
    if args.json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One run of each kind: on a file, or on queues of its own at a URL.
async fn measure(broker: Option<(&OwnQueues, &str)>, load: &Load, receiver: &Url) -> anyhow::Result<Run> {
    let bare = match broker {
        None => bare::post(load, receiver).await?,
        Some((own, amqp)) => {
            queue_run::fill_for_bare_loop(own, load).await?;
            bare_amqp::drain(load, amqp, &format!("{}work", own.prefix()), receiver).await?
        }
    };
    let own = broker.map(|(own, _)| own);
    let queue = queue_run::drain(own, load, receiver).await?;
    let end_to_end = queue_run::end_to_end(own, load, receiver).await?;
    Ok(Run { bare, queue, end_to_end })
}

/// The event `number`, of `user`, of about `bytes` bytes on the wire.
fn event(user: &str, number: u32, bytes: usize) -> Bytes {
    let head = format!(
        r#"{{"type":"note","userId":"{user}","eventId":"{EVENT_ID}{number}","createdAt":1774960496789,"server":"https://misskey.example","body":{{"note":{{"text":""#
    );
    let tail = "\"}}}";
    let filler = "x".repeat(bytes.saturating_sub(head.len() + tail.len()));
    Bytes::from(format!("{head}{filler}{tail}"))
}
