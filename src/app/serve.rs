//! `hikyaku serve`: the sidecar, until SIGTERM or SIGINT.

use std::process::ExitCode;

use anyhow::Context;
use rustix::process::{Resource, Rlimit};

use super::service::Service;
use super::signals::Signals;
use super::{FAILED, logging};
use crate::cli::ServeArgs;
use crate::config::Settings;

/// File descriptors beside those of receivers: files, connections to us, the runtime's own.
const OTHER_FILES: u64 = 1200;

/// Asks the system for as many file descriptors as may be needed: a connection each for `concurrency` receivers. Many
/// systems give a process 1,024 until it asks. Tells what is given and what is needed, when that is less.
fn raise_file_limit(concurrency: usize) -> Option<(u64, u64)> {
    let needed = concurrency as u64 + OTHER_FILES;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let current = limit.current.filter(|current| *current < needed)?;
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let result = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
    let given = if result.is_ok() { raised } else { current };
    (given < needed).then_some((given, needed))
}

/// Runs until it is told to end. A second signal ends it at once; what is unfinished stays in the queue either way.
pub(super) async fn run(mut settings: Settings, args: &ServeArgs) -> anyhow::Result<ExitCode> {
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    logging::start(&settings.log);
    let few_files = raise_file_limit(settings.delivery.concurrency);
    let mut signals = Signals::catch().context("signals cannot be caught")?;
    let (queue, store) = (settings.queue.url.clone(), settings.store.path.clone());
    let mut service = Service::start(settings, None).await?;
    let telemetry = service.telemetry.clone();
    if let Some((given, needed)) = few_files {
        telemetry.few_file_descriptors(given, needed);
    }
    telemetry.lifecycle(&format!(
        "hikyaku {} listens on http://{}; metrics on http://{}/metrics; queue {}; store {}; {} webhooks",
        env!("CARGO_PKG_VERSION"),
        service.address,
        service.metrics_address,
        queue,
        store.display(),
        service.registry.snapshot().count(),
    ));
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = service.failed() => anyhow::bail!(
            "the worker has ended by itself; this is a defect, and what it said is in the lines above. Nothing accepted is \
             lost: start hikyaku again"
        ),
    };
    telemetry.lifecycle(&format!("{signal}: finishing what is in flight; the rest stays in the queue"));
    tokio::select! {
        () = service.stop() => {
            telemetry.lifecycle("stopped");
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            telemetry.lifecycle(&format!("{signal} again: stopped at once; what was in flight is sent again at the next start"));
            Ok(ExitCode::from(FAILED))
        }
    }
}
