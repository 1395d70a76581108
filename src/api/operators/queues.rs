//! `GET /v1/queues`: what lies in the queue, and whether it can be used.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::params::Params;
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::shown::QueuesShape;

/// What lies in the queue, lane by lane, and whether it can be used.
///
/// Counted now, of the whole queue; `unsettled` is of this process alone. A queue that does not answer is told here too, with what
/// is wrong in words.
#[utoipa::path(
    get, path = "/v1/queues", tag = "health", operation_id = "showQueues",
    responses((status = 200, description = "How it is.", body = QueuesShape, example = json!({
        "backend": "sqlite", "place": "queue.db", "connected": true, "problems": [],
        "oldestWaitingSince": "2026-03-31T12:34:56.789Z",
        "queues": [
            {"name": "work", "depth": 3, "unsettled": 3}, {"name": "delay", "depth": 128, "unsettled": 0},
            {"name": "dead", "depth": 0, "unsettled": 0}, {"name": "rejected", "depth": 0, "unsettled": null}
        ]
    })))
)]
pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let place = &parts.places;
    Ok(found(&QueuesShape::of(&parts.queue, place.queue_backend, &place.queue).await))
}
