//! `hikyaku bench`: deliveries per second on this machine, as a ratio to bare POSTs in the same run.
//!
//! Each run measures, with the same events, concurrency, client library and receiver, one after the other:
//! - `bare`: reqwest POSTs and nothing else, on a thread of its own with a current-thread runtime, as the worker has;
//! - `accept`: storing the events in the SQLite queue, each batch fsynced before it is acknowledged;
//! - `drain`: from the waiting queue to the receiver, each delivery settled durably;
//! - `end_to_end`: storing and delivering at the same time, from the first event offered to the last one settled.
//!
//! The receiver answers keep-alive requests on loopback from a thread of its own. Rates of single runs are noisy; medians
//! and ratios are what to compare.

mod backlog;
mod bare;
mod figures;
mod queue_run;
mod receiver;

use std::process::ExitCode;

use bytes::Bytes;

use self::figures::{Figures, Run};
use self::receiver::Receiver;
use crate::cli::{BenchArgs, Output};

/// What is measured.
#[derive(Clone, Debug)]
struct Load {
    events: u32,
    concurrency: usize,
    bytes: usize,
}

/// Measures and prints.
pub(super) async fn run(args: &BenchArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let load = Load { events: args.events, concurrency: args.concurrency as usize, bytes: args.bytes as usize };
    if let Some(events) = args.backlog {
        return backlog::run(&Load { events, ..load }, args.json, output).await;
    }
    let receiver = Receiver::start()?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        output.note(&format!(
            "run {number} of {}: {} events of {} bytes, concurrency {}",
            args.runs, load.events, load.bytes, load.concurrency
        ));
        runs.push(Run {
            bare: bare::post(&load, receiver.url()).await?,
            queue: queue_run::drain(&load, receiver.url()).await?,
            end_to_end: queue_run::end_to_end(&load, receiver.url()).await?,
        });
    }
    let figures = Figures::of(&load, &runs);
    if args.json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(ExitCode::SUCCESS)
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
