//! `hikyaku bench --record`: what the history costs, in a file or, with `--store`, in PostgreSQL; over a file, or with `--queue` over
//! RabbitMQ. The same waiting queue is drained without it and with it, one after the other, in each run the other way round than in the
//! one before; the ratios of the runs' pairs are what to compare.

use std::process::ExitCode;

use serde_json::json;
use url::Url;

use super::Load;
use super::figures::{median, round2};
use super::own_schema::OwnSchema;
use super::queue_run::drain_by;
use super::stage::settings;
use crate::app::own_queues::OwnQueues;
use crate::app::signals::Signals;
use crate::cli::{BenchArgs, Output};

/// A run: deliveries a second without and with it, and what was missing in it.
struct Pair {
    off: f64,
    on: f64,
    missing: u64,
}

/// Measures and prints.
pub(super) async fn run(
    load: &Load,
    args: &BenchArgs,
    receiver: &Url,
    signals: &mut Signals,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    let (runs, store) = (args.runs, args.store.as_deref());
    let mut pairs = Vec::new();
    for number in 1..=runs {
        output.note(&format!("run {number} of {runs}: {} events of {} bytes", load.events, load.bytes));
        let on_first = number % 2 == 0;
        let first = drained(load, args, receiver, signals, on_first).await?;
        let second = drained(load, args, receiver, signals, !on_first).await?;
        let (off, on) = if on_first { (second, first) } else { (first, second) };
        pairs.push(Pair { off: off.0, on: on.0, missing: on.1 });
    }
    let of = |figure: fn(&Pair) -> f64| median(pairs.iter().map(figure).collect());
    let (off, on, ratio) = (of(|pair| pair.off), of(|pair| pair.on), of(|pair| pair.on / pair.off));
    let missing: u64 = pairs.iter().map(|pair| pair.missing).sum();
    if args.json {
        let figures = json!({
            "queue": if args.queue.is_some() { "rabbitmq" } else { "sqlite" },
            "store": if store.is_some() { "postgresql" } else { "sqlite" },
            "events": load.events,
            "bytes": load.bytes,
            "concurrency": load.concurrency,
            "runs": runs,
            "off_per_s": off.round(),
            "on_per_s": on.round(),
            "on_to_off": round2(ratio),
            "missing": missing,
        });
        output.line(&figures.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(&format!(
        "{} events of {} bytes, concurrency {}, medians of {runs} runs",
        load.events, load.bytes, load.concurrency
    ))?;
    output.line(&format!("{:<25}{off:>8.0} /s   1.00", "without the history"))?;
    output.line(&format!("{:<25}{on:>8.0} /s   {ratio:.2} of those without; {missing} entries missing", "with it"))?;
    Ok(ExitCode::SUCCESS)
}

/// Deliveries a second, and the entries that are missing.
async fn drained(
    load: &Load,
    args: &BenchArgs,
    receiver: &Url,
    signals: &mut Signals,
    recorded: bool,
) -> anyhow::Result<(f64, u64)> {
    let folder = tempfile::tempdir()?;
    let queues = OwnQueues::of("bench", args.queue.as_deref())?;
    let mut settings = settings(queues.as_ref(), folder.path(), load)?;
    settings.history.enabled = recorded;
    let schema = args.store.as_deref().map(OwnSchema::of).transpose()?;
    if let Some(schema) = &schema {
        schema.put_into(&mut settings);
    }
    let drained = tokio::select! {
        drained = drain_by(settings, load, receiver) => drained,
        signal = signals.next() => Err(anyhow::anyhow!("interrupted by {signal}")),
    };
    // However it ended; its own end is told first.
    let removed = remove(queues, schema).await;
    let drained = drained?;
    removed?;
    Ok((drained.drain, drained.missing))
}

/// Removes what a run had of its own, all of it that can be.
async fn remove(queues: Option<OwnQueues>, schema: Option<OwnSchema>) -> anyhow::Result<()> {
    let queues = match queues {
        Some(queues) => queues.remove().await,
        None => Ok(()),
    };
    if let Some(schema) = schema {
        schema.remove().await?;
    }
    queues
}
