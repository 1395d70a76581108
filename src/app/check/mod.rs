//! `hikyaku check`: what is wrong with settings, queue, store, Misskey and this machine, and how to mend it.
//!
//! Everything is looked at side by side, each look with a limit in time, and nothing is changed: no file is made, no table,
//! no queue. A finding is about one thing; which level it has: *error* for what does not work, *warning* for what may soon
//! not, *ok* for the rest.
//!
//! `--health` and `--ready` are for a container's health check, which has no shell and no other program to ask with: one
//! request to the address of the settings, and nothing of queue or store is touched.

mod broker;
mod clock;
mod database;
mod files;
mod host;
mod misskey;
pub(super) mod running;
mod traces;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{FAILED, MISUSED, commands};
use crate::cli::{self, CheckArgs, Finding, Output};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{QueueUrl, Settings, SettingsError, StoreUrl};

/// How long one look may take, unless it says otherwise.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(5);
/// What is read when no other file is named.
const SETTINGS_FILE: &str = "hikyaku.toml";

/// `hikyaku check`, with the settings file that was named, if one was, and the process's variables.
///
/// # Errors
/// When the answer cannot be written.
pub(super) async fn run(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    args: &CheckArgs,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(file, variables);
    if args.health || args.ready {
        return of_running(settings, args, output).await;
    }
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            cli::check(&of_settings(&error), args, output)?;
            return Ok(ExitCode::from(MISUSED));
        }
    };
    commands::log_errors(&settings);
    let file = file.map(Path::to_owned).or_else(|| Some(PathBuf::from(SETTINGS_FILE)).filter(|file| file.exists()));
    let findings = look(&settings, file.as_deref(), args).await;
    let is_good = cli::check(&findings, args, output)?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// One finding for each problem.
fn of_settings(error: &SettingsError) -> Vec<Finding> {
    let finding = |problem: &crate::config::Problem| {
        Finding::error("settings", problem.to_string(), "hikyaku.example.toml shows every setting with what it may be")
    };
    error.problems().iter().map(finding).collect()
}

/// Everything, side by side.
async fn look(settings: &Settings, file: Option<&Path>, args: &CheckArgs) -> Vec<Finding> {
    let time = SystemClock::shared();
    let (queue, store, files, misskey, traces, address) = tokio::join!(
        in_time("queue", broker::WAIT_MAX, of_queue(settings)),
        in_time("store", LOOK_WAIT_MAX, of_store(settings, &time)),
        in_time("files", LOOK_WAIT_MAX, of_files(settings)),
        in_time("misskey", LOOK_WAIT_MAX, misskey::look(settings, &time)),
        in_time("traces", LOOK_WAIT_MAX, traces::look(settings)),
        in_time("address", LOOK_WAIT_MAX, host::listening(settings, args.listen)),
    );
    let mut findings = host::settings(settings, file);
    findings.extend([queue, store, files, misskey, traces].into_iter().flatten());
    findings.push(host::open_files(settings));
    findings.extend(address);
    findings
}

async fn of_queue(settings: &Settings) -> Vec<Finding> {
    match &settings.queue.url {
        QueueUrl::Sqlite(_) => Vec::new(),
        QueueUrl::RabbitMq(url) => broker::look(settings, url).await,
    }
}

async fn of_store(settings: &Settings, time: &SharedClock) -> Vec<Finding> {
    match &settings.store.url {
        StoreUrl::Sqlite(_) => Vec::new(),
        StoreUrl::Postgres(url) => database::look(url, time).await,
    }
}

async fn of_files(settings: &Settings) -> Vec<Finding> {
    let places = files::places(settings);
    let looked = tokio::task::spawn_blocking(move || places.iter().flat_map(files::look).collect());
    looked.await.unwrap_or_default()
}

/// What `look`, which is about `about`, finds within `limit`.
async fn in_time(about: &'static str, limit: Duration, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(limit, look).await.unwrap_or_else(|_| {
        let what = format!("nothing was found out within {} s", limit.as_secs());
        vec![Finding::error(
            about,
            what,
            "it is there and does not answer: is its machine overloaded, or a firewall in between?",
        )]
    })
}

/// `--health` and `--ready`.
async fn of_running(
    settings: Result<Settings, SettingsError>,
    args: &CheckArgs,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let asked = match settings {
        Ok(settings) => running::ask(running::address(&settings.server, args.listen), path).await,
        Err(error) => Err(format!("the settings are wrong, so nobody knows where hikyaku listens\n{error}")),
    };
    match asked {
        Ok(answer) if answer.is_good() => {
            output.line(answer.words())?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(answer) => {
            output.note(answer.words());
            Ok(ExitCode::from(FAILED))
        }
        // Never another code: a container's health check knows 0 and 1 only.
        Err(why) => {
            output.note(&format!("error: {why}"));
            Ok(ExitCode::from(FAILED))
        }
    }
}
