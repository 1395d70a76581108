//! Memory with a backlog: fill the queue, deliver a part of it, and tell the most memory the process has used.
//!
//! The queue is filled by a producer in the same process, so the figure includes it. `VmHWM` in `/proc/self/status` is the
//! peak of resident memory (proc(5)).

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;

use super::Load;
use super::queue_run::{Settled, fill, register};
use super::receiver::Receiver;
use super::stage::settings;
use crate::app::service::Service;
use crate::cli::Output;
use crate::deliver::Observer;

/// Of the backlog, this part is delivered while memory is watched.
const DELIVERED_PART: u32 = 20;

/// Fills the queue with `load.events` events and prints the peak of memory.
pub(super) async fn run(load: &Load, json: bool, output: &mut Output) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let mut settings = settings(None, folder.path(), load)?;
    register(&mut settings, receiver.url()).await?;
    fill(&settings, load).await?;
    let after_filling = peak_kib()?;
    let settled = Arc::new(Settled::default());
    let service = Service::start(settings, Some(Arc::clone(&settled) as Arc<dyn Observer>)).await?;
    settled.reach(u64::from(load.events / DELIVERED_PART).max(1)).await?;
    let queue = service.queue.clone();
    service.stop().await;
    let depths = queue.depths().await?;
    let waiting = depths.work + depths.delay + depths.dead;
    let peak = peak_kib()?;
    let (delivered, mib) = (receiver.answered(), |kib: u64| kib / 1024);
    let stored = u64::from(load.events);
    anyhow::ensure!(delivered + waiting == stored, "{stored} stored, but {delivered} delivered and {waiting} waiting");
    if json {
        output.line(
            &json!({"events": load.events, "bytes": load.bytes, "delivered": delivered, "waiting": waiting,
                "peak_filling_mib": mib(after_filling), "peak_mib": mib(peak)})
            .to_string(),
        )?;
    } else {
        output.line(&format!(
            "{} events of {} bytes stored, {delivered} delivered, {waiting} still waiting: at most {} MiB of memory ({} MiB while filling)",
            load.events, load.bytes, mib(peak), mib(after_filling)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("the memory used is told by /proc only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/self/status has no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
