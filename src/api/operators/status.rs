//! `GET /v1/status` and `GET /v1/workers`: how it all is, and which workers there are.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::params::Params;
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::shown::{Looked, LookedStore, StatusShape, WorkerShape};

/// The workers.
#[derive(Serialize, ToSchema)]
#[schema(as = Workers)]
struct WorkersShape {
    /// By name.
    workers: Vec<WorkerShape>,
}

/// How hikyaku is: queue, store, workers, webhooks and dead letters.
///
/// 200 whatever is wrong, and `problems` says what; `/readyz` is for machines that need a status.
#[utoipa::path(
    get, path = "/v1/status", tag = "health", operation_id = "showStatus",
    responses((status = 200, description = "How it is.", body = StatusShape, example = json!({
        "version": "0.1.0", "ready": true, "problems": [], "notices": [],
        "queues": {
            "backend": "sqlite", "place": "queue.db", "connected": true, "problems": [], "oldestWaitingSince": null,
            "queues": [{"name": "work", "depth": 0, "unsettled": 0}]
        },
        "store": {"backend": "sqlite", "place": "store.db"},
        "workers": [{
            "name": "bot-host/4711", "state": "working", "startedAt": "2026-03-31T12:34:56.789Z",
            "seenAt": "2026-03-31T13:34:56.789Z", "version": "0.1.0", "stopping": false, "inFlight": 3, "concurrency": 2048,
            "waiting": 0, "breakersOpen": 1,
            "failing": [{"webhookId": "wh1", "host": "https://bot.example", "breaker": "open", "failuresInARow": 14}]
        }],
        "webhooks": {"total": 12, "active": 10, "paused": 1, "deactivated": 1}, "deadLetters": 4
    })))
)]
pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let kept = LookedStore {
        registry: &parts.registry,
        letters: &parts.letters,
        workers: &parts.workers,
        history: parts.history.as_ref(),
    };
    let looked = Looked { queue: &parts.queue, kept: Some(kept), places: &parts.places };
    let (reasons, history_trouble) = (parts.readiness.reasons(), parts.readiness.history_trouble());
    let status = StatusShape::of(looked, reasons, history_trouble, parts.clock.now()).await;
    Ok(found(&status))
}

/// Which workers there are on this store.
///
/// Each tells of itself every five seconds. One that ended is not told of; one that was killed is `away`, until a day has passed.
#[utoipa::path(
    get, path = "/v1/workers", tag = "health", operation_id = "listWorkers",
    responses((status = 200, description = "All of them.", body = WorkersShape, example = json!({
        "workers": [{
            "name": "bot-host/4711", "state": "working", "startedAt": "2026-03-31T12:34:56.789Z",
            "seenAt": "2026-03-31T13:34:56.789Z", "version": "0.1.0", "stopping": false, "inFlight": 3, "concurrency": 2048,
            "waiting": 0, "breakersOpen": 0, "failing": []
        }]
    })))
)]
pub(super) async fn workers(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let workers = parts.workers.list().await.map_err(|error| Problem::unavailable(&error))?;
    let now = parts.clock.now();
    let workers = workers.into_iter().map(|worker| WorkerShape::of(worker, now)).collect();
    Ok(found(&WorkersShape { workers }))
}
