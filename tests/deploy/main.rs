//! What lies in `deploy/` and the program as it is deployed, held by the tools that others will use on it.
//!
//! This binary does not link the library: it runs the program and tools, and is built in seconds.
#![expect(clippy::expect_used, reason = "a test stops where something is not as it should be")]

mod compose;
mod containers;
mod debian;
mod dockerfile;
mod grafana;
mod kubernetes;
mod metrics;
mod prometheus;
mod served;
mod support;
mod systemd;
mod tools;
