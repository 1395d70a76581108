//! `hikyaku serve`: the sidecar, until SIGTERM or SIGINT.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit};

use super::reload::Reloader;
use super::service::{Roles, Service};
use super::signals::{Asked, Signals};
use super::supervisor::Supervisor;
use super::{FAILED, logging, waiting};
use crate::cli::{CliError, Role, ServeArgs};
use crate::config::Settings;
use crate::model::{EventType, Subscribable, Webhook, WebhookId};
use crate::telemetry::Telemetry;

/// File descriptors beside those of receivers: files, connections to us, the runtime's own.
const OTHER_FILES: u64 = 1200;

/// File descriptors that may be needed: a connection each for `concurrency` receivers, and the rest.
pub(super) fn files_needed(concurrency: usize) -> u64 {
    concurrency as u64 + OTHER_FILES
}

/// What stopping takes beside the grace at most: dead letters are handed over, requests to us answered, files closed.
const STOP_BESIDES_MAX: Duration = Duration::from_secs(20);

/// Asks the system for as many file descriptors as may be needed: a connection each for `concurrency` receivers. Many
/// systems give a process 1,024 until it asks. Tells what is given and what is needed, when that is less.
pub(super) fn raise_file_limit(concurrency: usize) -> Option<(u64, u64)> {
    let needed = files_needed(concurrency);
    let given = file_limit(needed);
    make_table_of_files(given.min(needed));
    (given < needed).then_some((given, needed))
}

/// How many file descriptors there may be, after as many as are `needed` were asked for.
fn file_limit(needed: u64) -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else { return needed };
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let result = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
    if result.is_ok() { raised } else { current }
}

/// Has the system make its table for so many descriptors now. It would else be doubled when one more is opened, at 64, 128 and so on, and
/// whoever opens that one waits for all processors (Linux: `expand_fdtable`), 6 to 25 ms on two cores, with all who wait for the same thread.
fn make_table_of_files(descriptors: u64) {
    let last = i32::try_from(descriptors.saturating_sub(1)).unwrap_or(i32::MAX);
    // Closed at once; the table stays. Where that is not possible it is as before.
    drop(rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), last));
}

/// Runs until it is told to end. A second signal ends it at once; what is unfinished stays in the queue either way.
pub(super) async fn run(mut settings: Settings, args: &ServeArgs, file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    if let Some(why) = settings.server.is_open() {
        return Err(CliError::Usage(why).into());
    }
    let log = logging::start(&settings.log);
    let few_files = raise_file_limit(settings.delivery.concurrency);
    let mut signals = Signals::catch_all().context("signals cannot be caught")?;
    let supervisor = supervisor_of_process()?;
    let (queue, store) = (settings.queue.url.clone(), settings.store.url.clone());
    let longest_stop = settings.server.shutdown_grace + STOP_BESIDES_MAX;
    let (doubts, roles) = (doubtful_types(&settings), roles(&args.role));
    tokio::select! {
        waited = waiting::for_store(&settings, roles) => waited?,
        () = supervisor.while_waiting() => {}
        signal = signals.next() => {
            Telemetry::shared()?.lifecycle(&format!("{signal}: stopped while waiting for the store; nothing was taken"));
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut reloader = Reloader::new(file, args.listen, settings.clone());
    let mut service = Service::start_as(roles, settings, None, log).await?;
    let telemetry = service.telemetry.clone();
    for (webhook, why) in &doubts {
        telemetry.doubtful_type(webhook, why);
    }
    if let Some((given, needed)) = few_files {
        telemetry.few_file_descriptors(given, needed);
    }
    telemetry.lifecycle(&format!(
        "hikyaku {} listens on http://{}; metrics on http://{}/metrics; queue {}; store {}; {} webhooks",
        env!("CARGO_PKG_VERSION"),
        service.address,
        service.metrics_address,
        queue,
        store,
        service.registry.snapshot().count(),
    ));
    let watching = supervisor.watch(service.watched());
    let signal = loop {
        match told(&mut service, signals.asked()).await? {
            Asked::End(signal) => break signal,
            Asked::Reload => {
                supervisor.reloading();
                reloader.reload(&mut service).await;
                supervisor.ready(&service.watched().words());
            }
        }
    };
    supervisor.stopping(longest_stop);
    telemetry.lifecycle(&format!("{signal}: finishing what is in flight; the rest stays in the queue"));
    tokio::select! {
        () = service.stop() => {
            telemetry.lifecycle("stopped");
            drop(watching);
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            telemetry.lifecycle(&format!(
                "{signal} again: stopped at once, with exit code {FAILED}; what was in flight is sent again at the next start"
            ));
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// Who watches over this process.
fn supervisor_of_process() -> anyhow::Result<Supervisor> {
    Supervisor::of_process().or_else(|why| {
        Telemetry::shared()?.nobody_watches(&why);
        Ok(Supervisor::default())
    })
}

/// What was asked for; nothing: everything.
fn roles(asked: &[Role]) -> Roles {
    match asked {
        [] => Roles::ALL,
        some => Roles { ingest: some.contains(&Role::Ingest), worker: some.contains(&Role::Worker) },
    }
}

/// Which declared webhooks ask for types that are not known, and what was probably meant. They are served all the same: a
/// newer Misskey may send such events, and other producers any.
pub(super) fn doubtful_types(settings: &Settings) -> Vec<(WebhookId, String)> {
    let types = Subscribable::with(settings.misskey.extra_types.clone());
    let doubts = |webhook: &Webhook| {
        let unknown = webhook.on.iter().map(EventType::as_str).filter(|kind| !types.has(&webhook.owner, kind));
        let told = unknown.map(|kind| match types.of_others(&webhook.owner, kind) {
            Some(others) => format!("Misskey sends {kind:?} to {others} webhooks only, and this is none"),
            None => types.unknown(&webhook.owner, kind),
        });
        told.map(|why| (webhook.id.clone(), why)).collect::<Vec<_>>()
    };
    settings.webhooks.iter().flat_map(doubts).collect()
}

/// Waits for a signal.
///
/// # Errors
/// When the worker ends before: a process that takes events and delivers none must not look alive.
async fn told<T>(service: &mut Service, signal: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::select! {
        signal = signal => Ok(signal),
        () = service.failed() => anyhow::bail!(
            "the worker has ended by itself; this is a defect, and what it said is in the lines above. Nothing accepted is \
             lost: start hikyaku again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::config::{QueueUrl, StoreUrl};

    const LONGEST: Duration = Duration::from_secs(30);

    async fn started(folder: &std::path::Path) -> Service {
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse().expect("an address");
        settings.queue.url = QueueUrl::Sqlite(folder.join("queue.db"));
        settings.store.url = StoreUrl::Sqlite(folder.join("store.db"));
        Service::start(settings, None).await.expect("started")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_ends_by_itself_ends_the_server_with_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut service = started(folder.path()).await;
        assert_eq!(told(&mut service, ready("SIGTERM")).await.expect("the worker works"), "SIGTERM");
        service.queue.stop_consuming();
        let ended = tokio::time::timeout(LONGEST, told(&mut service, pending::<()>())).await;
        let error = ended.expect("the server went on without a worker").expect_err("no signal came").to_string();
        assert!(error.contains("ended by itself") && error.contains("start hikyaku again"), "{error}");
    }
}
