//! `hikyaku forget --user ID`: erases a person, and tells what there was.

use super::dead::usage;
use super::{CliError, ForgetArgs, Output};
use crate::model::{Source, UserId};
use crate::operate::{ForgetPlaces, ForgetReport, Operations};

/// Does it.
///
/// # Errors
/// When an argument is not allowed, or registry, history or store do not do it; typed again, it does the rest.
pub async fn forget(
    args: &ForgetArgs,
    operations: &Operations,
    places: ForgetPlaces<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let user = UserId::new(&args.user).map_err(|error| usage("--user", &error))?;
    let source = Source::new(&args.source).map_err(|error| usage("--source", &error))?;
    let report = operations.forget(places, &source, &user).await?;
    if args.json {
        return output.line(&report.to_json(&source, &user).to_string());
    }
    let ForgetReport { webhooks, declared, history, dead_letters } = &report;
    output.line(&format!("the user {user} of {source} is forgotten; erased were"))?;
    for (count, what) in [
        (*webhooks, "webhooks"),
        (history.deliveries, "deliveries of the history"),
        (history.attempts, "attempts of the history"),
        (history.bodies, "events' bodies of the history"),
        (*dead_letters, "dead letters"),
    ] {
        output.line(&format!("  {count} {what}"))?;
    }
    for webhook in declared {
        output.line(&format!(
            "the webhook {webhook} is declared in the settings file: take it out there, and start hikyaku again"
        ))?;
    }
    output.line("what is still in the queue is dropped as it comes by, and counted")
}
