//! The collector of traces: whether it takes any.

use std::time::Duration;

use crate::app::traces::collector;
use crate::cli::Finding;
use crate::config::Settings;
use crate::traces::ping;

const ABOUT: &str = "traces";
/// How long the collector may take, so that it is named before the whole look is given up.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(4);

/// What is found; nothing where traces are off.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let Some(collector) = collector(settings) else { return Vec::new() };
    let url = collector.url.clone();
    let asked = tokio::time::timeout(ANSWER_WAIT_MAX, ping(collector)).await;
    let late = |_| Err(format!("it has not answered within {} s", ANSWER_WAIT_MAX.as_secs()));
    vec![match asked.unwrap_or_else(late) {
        Ok(()) => Finding::ok(ABOUT, format!("{url} takes traces")),
        Err(why) => Finding::warning(
            ABOUT,
            format!("{url} takes no traces: {why}"),
            "is traces.otlp_url right, does the collector take OTLP over HTTP there, and is what it asks for in traces.headers? \
             Deliveries do not depend on it: docs/traces.md",
        ),
    }]
}
