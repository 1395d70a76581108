//! The collector of traces: whether it takes any.

use crate::app::traces::collector;
use crate::cli::Finding;
use crate::config::Settings;
use crate::traces::ping;

const ABOUT: &str = "traces";

/// What is found; nothing where traces are off.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let Some(collector) = collector(settings) else { return Vec::new() };
    let url = collector.url.clone();
    vec![match ping(collector).await {
        Ok(()) => Finding::ok(ABOUT, format!("{url} takes traces")),
        Err(why) => Finding::warning(
            ABOUT,
            format!("{url} takes no traces: {why}"),
            "is traces.otlp_url right, does the collector take OTLP over HTTP there, and is what it asks for in traces.headers? \
             Deliveries do not depend on it: docs/traces.md",
        ),
    }]
}
