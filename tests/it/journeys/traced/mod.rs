//! Traces: what a collector is told of an event's way, and that nobody waits for a collector.

mod collectors;
mod contexts;
mod whole;

use serde_json::Value;

/// What a producer began.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

/// An attribute of a span.
fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
    &span["attributes"][name]
}
