//! `hikyaku status`: how it is, in words or as JSON: queue, store, workers, webhooks that fail, dead letters.

use serde_json::Value;

use super::{CliError, Output, Table};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Which hikyaku.
    #[command(flatten)]
    pub remote: super::RemoteArgs,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}

/// Tells `status`, which is as `GET /v1/status` answers it; whether nothing is wrong.
///
/// # Errors
/// When it cannot be written.
pub fn status(status: &Value, json: bool, output: &mut Output) -> Result<bool, CliError> {
    let is_ready = status["ready"] == true;
    if json {
        output.line(&status.to_string())?;
        return Ok(is_ready);
    }
    let notices = list(&status["notices"]);
    output.line(match (is_ready, notices) {
        (false, _) => "something is wrong:",
        (true, []) => "all is well",
        (true, _) => "it works, and this is worth a look:",
    })?;
    for words in list(&status["problems"]).iter().chain(notices) {
        output.line(&format!("  {}", text(words)))?;
    }
    output.line("")?;
    let mut table = Table::new(&[]);
    table.whole_row(["queue".to_owned(), queue_words(&status["queues"])]);
    table.whole_row(["store".to_owned(), place_words(&status["store"])]);
    table.whole_row(["webhooks".to_owned(), webhooks_words(&status["webhooks"])]);
    table.whole_row(["dead letters".to_owned(), text(&status["deadLetters"])]);
    table.lines().skip(1).try_for_each(|line| output.line(&line))?;
    workers(&status["workers"], output)?;
    Ok(is_ready)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, str::to_owned)
}

fn place_words(of: &Value) -> String {
    format!("{} ({})", text(&of["place"]), text(&of["backend"]))
}

fn queue_words(queues: &Value) -> String {
    let answers = if queues["connected"] == true { "" } else { ", does not answer" };
    let lanes = list(&queues["queues"]).iter().map(|lane| {
        let held = lane["unsettled"].as_u64().filter(|held| *held > 0);
        let held = held.map(|held| format!(" ({held} in hand)")).unwrap_or_default();
        format!("{} {}{held}", text(&lane["name"]), text(&lane["depth"]))
    });
    let lanes = lanes.collect::<Vec<_>>().join(", ");
    let oldest = queues["oldestWaitingSince"].as_str();
    let oldest = oldest.map(|since| format!("; the oldest waits since {since}")).unwrap_or_default();
    format!("{}{answers}: {lanes}{oldest}", place_words(queues))
}

fn webhooks_words(webhooks: &Value) -> String {
    if webhooks.is_null() {
        return text(webhooks);
    }
    let count = |name: &str| text(&webhooks[name]);
    let [total, active, paused, deactivated] = ["total", "active", "paused", "deactivated"].map(count);
    format!("{total}: {active} active, {paused} paused, {deactivated} deactivated")
}

fn workers(workers: &Value, output: &mut Output) -> Result<(), CliError> {
    output.line("")?;
    let is_known = workers.is_array();
    let workers = list(workers);
    if workers.is_empty() {
        return output.line(if is_known { "no workers" } else { "which workers there are cannot be read" });
    }
    let mut table =
        Table::new(&["WORKER", "STATE", "VERSION", "SINCE", "SEEN", "IN FLIGHT", "WAITING", "BREAKERS OPEN"]);
    let mut failing = Table::new(&["FAILING WEBHOOK", "HOST", "BREAKER", "FAILURES", "WORKER"]);
    let mut fails = false;
    for worker in workers {
        let of = |name: &str| text(&worker[name]);
        let in_flight = format!("{} of {}", of("inFlight"), of("concurrency"));
        let [name, state, version] = ["name", "state", "version"].map(of);
        let [since, seen, waiting, open] = ["startedAt", "seenAt", "waiting", "breakersOpen"].map(of);
        table.row([name.clone(), state, version, since, seen, in_flight, waiting, open]);
        for endpoint in list(&worker["failing"]) {
            let of = |name: &str| text(&endpoint[name]);
            fails = true;
            failing.row([of("webhookId"), of("host"), of("breaker"), of("failuresInARow"), name.clone()]);
        }
    }
    table.lines().try_for_each(|line| output.line(&line))?;
    if fails {
        output.line("")?;
        failing.lines().try_for_each(|line| output.line(&line))?;
    }
    Ok(())
}
