//! `hikyaku forget --user ID`: erases a person, and tells what there was.

use std::time::Duration;

use serde_json::Value;

use super::dead::usage;
use super::{CliError, ForgetArgs, Output, Remote};
use crate::model::{Source, UserId};
use crate::operate::{ForgetPlaces, forget as erase};

/// How long a running hikyaku may take: it walks over all that it keeps.
const WITHIN: Duration = Duration::from_secs(600);

/// Does it, by what is kept here; `queue_trouble` tells why the queue cannot be reached, if it cannot.
///
/// # Errors
/// When an argument is not allowed, or registry, history or store do not do it; typed again, it does the rest.
pub async fn forget(
    args: &ForgetArgs,
    places: ForgetPlaces<'_>,
    queue_trouble: impl Future<Output = Option<String>>,
    output: &mut Output,
) -> Result<(), CliError> {
    let (source, user) = whom(args)?;
    let (report, queue_trouble) = tokio::join!(erase(places, &source, &user), queue_trouble);
    let mut report = report?;
    report.queue_trouble = queue_trouble;
    tell(&report.to_json(&source, &user), args.json, output)
}

/// Has a running hikyaku do it.
///
/// # Errors
/// When an argument is not allowed, or it does not answer or does not do it; typed again, it does the rest.
pub async fn forget_at(remote: &Remote, args: &ForgetArgs, output: &mut Output) -> Result<(), CliError> {
    let (source, user) = whom(args)?;
    let query = [("user", user.to_string()), ("source", source.to_string())];
    let report = remote.within(WITHIN).change("/v1/forget", &query, "webhooks").await?;
    tell(&report, args.json, output)
}

fn whom(args: &ForgetArgs) -> Result<(Source, UserId), CliError> {
    let user = UserId::new(&args.user).map_err(|error| usage("--user", &error))?;
    let source = Source::new(&args.source).map_err(|error| usage("--source", &error))?;
    Ok((source, user))
}

fn tell(report: &Value, json: bool, output: &mut Output) -> Result<(), CliError> {
    if json {
        return output.line(&report.to_string());
    }
    let text = |name: &str| report[name].as_str().unwrap_or_default();
    output.line(&format!("the user {} of {} is forgotten; erased were", text("user"), text("source")))?;
    for (name, what) in [
        ("webhooks", "webhooks"),
        ("deliveries", "deliveries of the history"),
        ("attempts", "attempts of the history"),
        ("bodies", "events' bodies of the history"),
        ("deadLetters", "dead letters"),
    ] {
        output.line(&format!("  {} {what}", report[name]))?;
    }
    for webhook in report["declaredWebhooks"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output.line(&format!(
            "the webhook {webhook} is declared in the settings file: take it out there, and start hikyaku again"
        ))?;
    }
    if let Some(trouble) = report["queueTrouble"].as_str() {
        output.line(&format!("the queue cannot be reached now, and need not be: {trouble}"))?;
    }
    output.line("what is still in the queue is dropped as it comes by, and counted")
}
