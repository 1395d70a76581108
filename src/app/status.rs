//! `hikyaku status`: asks a running hikyaku, or looks at queue and store itself. What one that runs here cannot do, such as write its
//! history, nothing that lies there shows, so its metrics are asked for too; whether they come is none of this command's affair.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::FAILED;
use super::check::running;
use super::commands::log_errors;
use super::operating::places;
use super::service::open_queue;
use super::store::{history_reader, store_of_a_command};
use crate::cli::{self, CliError, Output, Remote, RemoteArgs, StatusArgs, TOKEN_VARIABLE};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Settings;
use crate::queue::Access;
use crate::record::{DeadLetters, HistoryReader, Retention, Workers};
use crate::registry::Registry;
use crate::shown::{Looked, LookedStore, StatusShape};
use crate::store::Store;
use crate::telemetry::{Telemetry, chain};

/// How long a hikyaku that may run here may take to answer from memory.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// `hikyaku status`.
pub(super) async fn status(settings: &Settings, args: &StatusArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let told = match remote(settings, &args.remote, output)? {
        Some(remote) => remote.status().await?,
        None => {
            let address = running::address(&settings.server, None);
            let failing = tokio::time::timeout(ANSWER_WAIT_MAX, running::failing(address));
            let (told, failing) = tokio::join!(looked(settings), failing);
            let mut told = told?;
            told.add_trouble(address, &failing.ok().flatten().unwrap_or_default());
            serde_json::to_value(told)?
        }
    };
    let is_ready = cli::status(&told, args.json, output)?;
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The running hikyaku that `args` name, if they name one.
pub(super) fn remote(settings: &Settings, args: &RemoteArgs, output: &mut Output) -> Result<Option<Remote>, CliError> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    Remote::of(args, token.as_deref(), &settings.outbound.authorities, output)
}

/// What is in the store.
struct Kept {
    registry: Registry,
    letters: DeadLetters,
    workers: Workers,
    history: Option<HistoryReader>,
}

impl Kept {
    async fn open(settings: &Settings, store: &Store, clock: &SharedClock) -> anyhow::Result<Self> {
        let (seals, declared) = (settings.store.seals.clone(), settings.webhooks.clone());
        let retention = Retention { age: settings.dead_letters.retention, count_max: settings.dead_letters.count_max };
        Ok(Self {
            registry: Registry::open(store, seals, declared, Arc::clone(clock)).await?,
            letters: DeadLetters::in_store(store, retention, Arc::clone(clock)).await?,
            workers: Workers::in_store(store).await?,
            history: settings.history.enabled.then(|| history_reader(settings, store)),
        })
    }

    fn looked(&self) -> LookedStore<'_> {
        LookedStore {
            registry: &self.registry,
            letters: &self.letters,
            workers: &self.workers,
            history: self.history.as_ref(),
        }
    }
}

/// How it is, by what lies there. Nothing is made that is not there yet. A store that cannot be opened is a problem, told with the
/// queue, which is worth the more to know then.
async fn looked(settings: &Settings) -> anyhow::Result<StatusShape> {
    [settings.queue.url.file(), settings.store.url.file()].into_iter().flatten().try_for_each(must_be_there)?;
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let store = store_of_a_command(settings).await?;
    let kept = Kept::open(settings, &store, &clock).await;
    let queue = match open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await {
        Ok(queue) => queue,
        Err(error) => return Err(kept.err().unwrap_or_else(|| error.into())),
    };
    let problems = match &kept {
        Ok(kept) => kept.registry.health().into_iter().collect(),
        Err(error) => vec![chain(error.as_ref())],
    };
    let kept = kept.as_ref().ok().map(Kept::looked);
    let looked = Looked { queue: &queue, kept, places: &places(settings) };
    let told = StatusShape::of(looked, problems, None, clock.now()).await;
    queue.close().await;
    Ok(told)
}

fn must_be_there(path: &Path) -> Result<(), CliError> {
    if path.exists() {
        return Ok(());
    }
    Err(CliError::NotFound(format!(
        "there is no file {} yet: `hikyaku serve` makes it; is it the right settings file, and the right folder?",
        path.display()
    )))
}
