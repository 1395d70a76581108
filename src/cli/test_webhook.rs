//! `hikyaku webhooks test`: a dummy event to one webhook, once, and what it came to.

use serde_json::{Value, json};

use super::webhooks::{secret_of, usage, webhook_id};
use super::{CliError, Output};
use crate::deliver::{Tested, Tester};
use crate::model::{EventType, Outcome, check_url};
use crate::record::Latest;
use crate::registry::Registry;

/// Arguments of `webhooks test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The webhook's id
    pub id: String,
    /// The event's type, e.g. note; Misskey's own have dummy events, but for reaction
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: String,
    /// Send it there instead
    #[arg(long)]
    pub url: Option<String>,
    /// Send this secret instead; `-` reads it from standard input
    #[arg(long)]
    pub secret: Option<String>,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}

/// Sends the test, and tells whether the receiver has taken it. What it came to is the webhook's latest status.
///
/// # Errors
/// When an argument is not allowed or there is no such webhook; nothing was sent.
pub async fn test_webhook(
    args: &TestArgs,
    registry: &Registry,
    latest: &Latest,
    tester: &Tester,
    output: &mut Output,
) -> Result<bool, CliError> {
    let webhook = registry.show(&webhook_id(&args.id)?)?;
    let kind = EventType::new(&args.kind).map_err(|error| usage("--type", &error))?;
    let Some(event) = tester.event(&webhook.owner, &webhook.source, &kind) else {
        return Err(usage("--type", &format!("{kind:?} has no dummy event for this webhook; choose another type")));
    };
    let mut webhook = webhook.as_ref().clone();
    if let Some(url) = &args.url {
        webhook.url = check_url(url).map_err(|error| usage("--url", &error))?;
    }
    if let Some(secret) = &args.secret {
        webhook.secret = secret_of(secret)?;
    }
    let sending = tester.start(webhook, event).map_err(|error| CliError::Usage(error.to_string()))?;
    let tested = sending.await.map_err(|error| CliError::NotFound(format!("the test was not sent: {error}")))?;
    latest.flush().await?;
    tell(&document_of(&tested), args.json, output)
}

fn document_of(tested: &Tested) -> Value {
    json!({
        "eventId": tested.event,
        "deliveryId": tested.delivery.as_str(),
        "outcome": tested.outcome.as_str(),
        "status": tested.status,
        "tookMs": u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX),
        "error": Some(&tested.words).filter(|words| !words.is_empty()),
    })
}

/// Tells what a test came to, which is as the management API answers it; whether the receiver has taken it.
pub(super) fn tell(tested: &Value, json: bool, output: &mut Output) -> Result<bool, CliError> {
    let outcome = tested["outcome"].as_str().unwrap_or_default();
    let is_taken = outcome == Outcome::Delivered.as_str();
    if json {
        output.line(&tested.to_string())?;
        return Ok(is_taken);
    }
    let took_ms = &tested["tookMs"];
    match (tested["status"].as_u64(), tested["error"].as_str()) {
        (Some(status), None) => output.line(&format!("delivered: {status} after {took_ms} ms"))?,
        (_, words) => {
            let words = words.unwrap_or_default();
            output.line(&format!("not delivered ({outcome}): {words}, after {took_ms} ms"))?;
        }
    }
    Ok(is_taken)
}
