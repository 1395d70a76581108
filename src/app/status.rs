//! `hikyaku status`: asks a running hikyaku, or looks at queue and store itself.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::FAILED;
use super::commands::log_errors;
use super::operating::places;
use super::service::open_queue;
use super::store::store_of_a_command;
use crate::cli::{self, CliError, Output, Remote, RemoteArgs, StatusArgs, TOKEN_VARIABLE};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::queue::Access;
use crate::record::{DeadLetters, Retention, Workers};
use crate::registry::Registry;
use crate::shown::{Looked, StatusShape};
use crate::telemetry::Telemetry;

/// `hikyaku status`.
pub(super) async fn status(settings: &Settings, args: &StatusArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let told = match remote(settings, &args.remote, output)? {
        Some(remote) => remote.status().await?,
        None => serde_json::to_value(looked(settings).await?)?,
    };
    let is_ready = cli::status(&told, args.json, output)?;
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The running hikyaku that `args` name, if they name one.
pub(super) fn remote(settings: &Settings, args: &RemoteArgs, output: &mut Output) -> Result<Option<Remote>, CliError> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    Remote::of(args, token.as_deref(), &settings.outbound.authorities, output)
}

/// How it is, by what lies there. Nothing is made that is not there yet.
async fn looked(settings: &Settings) -> anyhow::Result<StatusShape> {
    [settings.queue.url.file(), settings.store.url.file()].into_iter().flatten().try_for_each(must_be_there)?;
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let store = store_of_a_command(settings).await?;
    let (seals, declared) = (settings.store.seals.clone(), settings.webhooks.clone());
    let registry = Registry::open(&store, seals, declared, Arc::clone(&clock)).await?;
    let retention = Retention { age: settings.dead_letters.retention, count_max: settings.dead_letters.count_max };
    let letters = DeadLetters::in_store(&store, retention, Arc::clone(&clock)).await?;
    let workers = Workers::in_store(&store).await?;
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let places = places(settings);
    let looked = Looked { queue: &queue, registry: &registry, letters: &letters, workers: &workers, places: &places };
    let told = StatusShape::of(looked, registry.health().into_iter().collect(), clock.now()).await;
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
