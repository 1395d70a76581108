//! Tells in the store, every few seconds, that this worker is there and how it does, so that whoever looks at one process sees
//! all of them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use super::endpoints::{EndpointSight, Endpoints};
use crate::clock::SharedClock;
use crate::model::{Timestamp, described};
use crate::record::{KnownWorker, Workers};
use crate::telemetry::{SharedTelemetry, Trouble};

/// How often a worker tells of itself.
pub const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Webhooks that do badly that a worker tells of.
const WORST_MAX: usize = 10;
/// How long the end waits for the last word.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(2);

/// How a worker does, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerReport {
    /// hikyaku's version.
    pub version: String,
    /// Whether it is on its way out: it finishes what is in flight.
    pub stopping: bool,
    /// Requests under way.
    pub in_flight: u64,
    /// How many there may be.
    pub concurrency: u64,
    /// Deliveries that wait in it for a slot.
    pub waiting: u64,
    /// Webhooks whose breaker does not let everything through.
    pub breakers_open: u64,
    /// Webhooks that fail, the worst first; at most ten.
    pub failing: Vec<FailingEndpoint>,
}

/// A webhook that fails, as a worker sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailingEndpoint {
    /// The webhook.
    #[schema(schema_with = described::token)]
    pub webhook_id: String,
    /// Scheme, name and port of its URL.
    pub host: String,
    /// Its breaker: `closed`, `open` or `probing`.
    pub breaker: String,
    /// Failures since its last answer.
    pub failures_in_a_row: u32,
}

impl WorkerReport {
    /// How the worker with `endpoints` does.
    pub fn of(endpoints: &Endpoints, concurrency: usize) -> Self {
        let each = endpoints.each();
        let sight = endpoints.sight();
        let mut failing: Vec<&EndpointSight> = each.iter().filter(|endpoint| endpoint.failures_in_a_row > 0).collect();
        failing.sort_by_key(|endpoint| (std::cmp::Reverse(endpoint.failures_in_a_row), endpoint.webhook.clone()));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stopping: false,
            in_flight: each.iter().map(|endpoint| u64::from(endpoint.in_flight)).sum(),
            concurrency: concurrency as u64,
            waiting: sight.waiting as u64,
            breakers_open: sight.breakers_open as u64,
            failing: failing.into_iter().take(WORST_MAX).map(FailingEndpoint::of).collect(),
        }
    }
}

impl FailingEndpoint {
    fn of(endpoint: &EndpointSight) -> Self {
        Self {
            webhook_id: endpoint.webhook.to_string(),
            host: endpoint.host.clone(),
            breaker: endpoint.breaker.as_str().to_owned(),
            failures_in_a_row: endpoint.failures_in_a_row,
        }
    }
}

/// What is told of, and where.
#[derive(Clone, Debug)]
pub struct HeartbeatParts {
    /// Where it is told.
    pub workers: Arc<Workers>,
    /// How webhooks stand.
    pub endpoints: Arc<Endpoints>,
    /// Requests that may be under way.
    pub concurrency: usize,
    /// What the worker is called.
    pub name: String,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Time.
    pub clock: SharedClock,
    /// Where trouble is told.
    pub telemetry: SharedTelemetry,
}

impl HeartbeatParts {
    async fn tell(&self, stopping: bool, trouble: &Trouble) {
        let report = WorkerReport { stopping, ..WorkerReport::of(&self.endpoints, self.concurrency) };
        let worker = KnownWorker {
            name: self.name.clone(),
            started_at: self.started_at,
            seen_at: self.clock.now(),
            report: serde_json::to_string(&report).unwrap_or_default(),
        };
        match self.workers.tell(worker).await {
            Ok(()) => trouble.succeeded(&self.telemetry),
            Err(error) => trouble.failed_by_the_clock(&error, &self.telemetry),
        }
    }
}

/// Tells until it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    parts: HeartbeatParts,
    telling: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts to tell.
    pub fn start(parts: HeartbeatParts) -> Self {
        let of_task = parts.clone();
        let telling = tokio::spawn(async move {
            let trouble = Trouble::none("this worker cannot tell the store that it is there");
            let mut ticks = tokio::time::interval(TOLD_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                of_task.tell(false, &trouble).await;
            }
        });
        Self { parts, telling }
    }

    /// Tells that the worker is on its way out.
    pub async fn stopping(&self) {
        self.telling.abort();
        let trouble = Trouble::none("this worker cannot tell the store that it stops");
        let _told_or_given_up = tokio::time::timeout(LEAVE_WAIT_MAX, self.parts.tell(true, &trouble)).await;
    }

    /// The worker has ended. Should the store not take that, it is seen as away, and forgotten in a day.
    pub async fn leave(self) {
        let _left_or_given_up = tokio::time::timeout(LEAVE_WAIT_MAX, self.parts.workers.leave(&self.parts.name)).await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.telling.abort();
    }
}
