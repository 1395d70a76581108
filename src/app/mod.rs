//! The commands, put together: each one makes the parts that the modules below offer, joins them, and runs them to an end.
//!
//! This is the outermost layer: it may import everything, and nobody imports it but `main`.

mod bench;
mod check;
mod commands;
mod delivering;
pub mod demo;
mod front;
mod kept;
mod listeners;
mod logging;
mod management;
mod operating;
mod own_queues;
mod reconcile;
mod reload;
mod serve;
mod service;
mod signals;
mod standing;
mod status;
mod store;
mod supervisor;
mod traces;
mod waiting;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{self, Args, CliError, Command, Output};
use crate::clock::SystemClock;
use crate::config::{Settings, SettingsError};

/// Done, but something was wrong; the command has said what.
const FAILED: u8 = 1;
/// The settings or the arguments are wrong; nothing was done.
const MISUSED: u8 = 2;
/// How long blocking work (name look-ups, a read of standard input) may hold up the end of the process.
const LEFTOVERS_WAIT_MAX: Duration = Duration::from_millis(200);

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // A wrong argument ends here, with clap's words and exit code 2.
    let args = Args::parse();
    let mut output = Output::default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.note(&format!("error: no thread can be started: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let result = runtime.block_on(run(args, &mut output));
    runtime.shutdown_timeout(LEFTOVERS_WAIT_MAX);
    match result {
        Ok(code) => code,
        Err(error) => explain(&error, &mut output),
    }
}

async fn run(args: Args, output: &mut Output) -> anyhow::Result<ExitCode> {
    if let Command::Demo(demo) = args.command {
        return demo::run(&demo, output).await;
    }
    if let Command::Bench(bench) = args.command {
        return bench::run(&bench, output).await;
    }
    // These need no settings.
    match &args.command {
        Command::Completions(args) => return done(cli::completions(args, output)),
        Command::Man(args) => return done(cli::man(args, output)),
        Command::Check(check) => return check::run(args.config.as_deref(), variables(), check, output).await,
        _ => {}
    }
    let settings = read_settings(args.config.as_deref())?;
    match args.command {
        Command::Serve(serve) => serve::run(settings, &serve, args.config).await,
        Command::Reconcile(reconcile) => commands::reconcile(&settings, &reconcile, output).await,
        Command::Publish(publish) => commands::publish(&settings, &publish, output).await,
        Command::Webhooks(args) => match status::remote(&settings, &args.remote.or(args.command.remote()), output)? {
            Some(remote) => went(cli::webhooks_of(&remote, args.command, output).await),
            None => commands::webhooks(settings, args.command, output).await,
        },
        Command::Forget(forget) => match status::remote(&settings, &forget.remote, output)? {
            Some(remote) => went(cli::forget_at(&remote, &forget, output).await.map(|()| true)),
            None => commands::forget(settings, &forget, output).await,
        },
        Command::Dead(args) => match status::remote(&settings, &args.remote, output)? {
            Some(remote) => went(cli::dead_of(&remote, args.command, &SystemClock::shared(), output).await),
            None => commands::dead(&settings, args.command, output).await,
        },
        Command::Deliveries(args) => match status::remote(&settings, &args.remote, output)? {
            Some(remote) => went(cli::deliveries_of(&remote, args.command, &SystemClock::shared(), output).await),
            None => commands::deliveries(&settings, args.command, output).await,
        },
        Command::Status(args) => status::status(&settings, &args, output).await,
        Command::Rejected(command) => commands::rejected(&settings, command, output).await,
        Command::Misskey(command) => commands::misskey(settings, command, output).await,
        Command::Demo(_) | Command::Bench(_) | Command::Check(_) | Command::Completions(_) | Command::Man(_) => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The settings of the process, as they are now.
fn read_settings(file: Option<&Path>) -> Result<Settings, SettingsError> {
    Settings::load(file, variables())
}

/// The variables of the process. Not `vars()`, which panics at one that is no Unicode; ours are.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What a command came to that either did it or says why not.
fn done(result: Result<(), CliError>) -> anyhow::Result<ExitCode> {
    Ok(result.map(|()| ExitCode::SUCCESS)?)
}

/// What a command came to that tells whether all went well.
fn went(well: Result<bool, CliError>) -> anyhow::Result<ExitCode> {
    Ok(if well? { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Says what went wrong, with all its causes, and with which exit code that ends.
fn explain(error: &anyhow::Error, output: &mut Output) -> ExitCode {
    if let Some(settings) = error.downcast_ref::<SettingsError>() {
        output.note(&format!("error: the settings are wrong; nothing was started\n{settings}"));
        return ExitCode::from(MISUSED);
    }
    let cli = error.downcast_ref::<CliError>();
    if cli.is_some_and(CliError::is_closed_pipe) {
        return ExitCode::SUCCESS;
    }
    output.note(&format!("error: {}", crate::telemetry::chain(error.as_ref())));
    ExitCode::from(if matches!(cli, Some(CliError::Usage(_))) { MISUSED } else { FAILED })
}
