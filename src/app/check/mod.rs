//! `hikyaku check`: whether a running hikyaku is well.
//!
//! `--health` and `--ready` are for a container's health check, which has no shell and no other program to ask with: one
//! request to the address of the settings, and nothing of queue or store is touched.

mod running;

use std::path::Path;
use std::process::ExitCode;

use super::FAILED;
use crate::cli::{CheckArgs, Output};
use crate::config::Settings;

/// `hikyaku check`, with the settings file that was named, if one was, and the process's variables.
///
/// # Errors
/// When the answer cannot be written, or the settings are wrong.
pub(super) async fn run(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    args: &CheckArgs,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(file, variables);
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
