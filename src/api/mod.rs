//! What hikyaku answers by HTTP: Misskey's management API ([`management`]), and about itself: alive, ready, measured.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | 200 `ok` while the process runs |
//! | `GET /readyz` | 200 `ready`, or 503 with the reasons, a line each |
//! | `GET /metrics` | Prometheus' text format 0.0.4 |
//! | `GET /v1/...` | for operators, with the admin token ([`operators`]) |
//!
//! None of the first three asks a database or the queue; what they tell is kept in memory by those who know.

mod listener;
mod misskey;
mod operators;
mod readiness;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::ingest;
use crate::telemetry::SharedTelemetry;

pub use listener::{Limited, Limits};
pub use misskey::{ManagementParts, ManagementPolicy, management, no_management};
pub use operators::{FILES_MAX, OperatorsParts, operators};
pub use readiness::Readiness;

/// When to ask again one that waits for its store: it looks for that at least every two seconds.
const RETRY_AFTER_S: &str = "5";

/// The routes of health and metrics.
pub fn router(readiness: Arc<Readiness>, telemetry: SharedTelemetry) -> Router {
    let metrics = Router::new().route("/metrics", get(measured)).with_state((Arc::clone(&readiness), telemetry));
    let health = Router::new().route("/readyz", get(ready)).with_state(readiness);
    Router::new().route("/healthz", get(|| async { "ok\n" })).merge(health).merge(metrics)
}

/// What is answered before there is anything to serve: the process lives, is not ready for `reason`, and whatever is sent to it,
/// on the first routes, is to be sent again.
pub fn waiting(reason: &watch::Receiver<String>, telemetry: SharedTelemetry) -> (Router, Router) {
    let operators = operators::waiting(reason, RETRY_AFTER_S);
    let events = Router::new().fallback(not_yet).with_state(reason.clone());
    let events = events.merge(operators).merge(ingest::waiting_router(reason.clone()));
    let ready = Router::new().route("/readyz", get(not_yet)).with_state(reason.clone());
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(telemetry);
    (events, Router::new().route("/healthz", get(|| async { "ok\n" })).merge(ready).merge(metrics))
}

async fn not_yet(State(reason): State<watch::Receiver<String>>) -> Response {
    let words = format!("{}\n", *reason.borrow());
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_S)], words).into_response()
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    let reasons = readiness.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let mut words = reasons.join("\n");
    words.push('\n');
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}

async fn measured(State((readiness, telemetry)): State<(Arc<Readiness>, SharedTelemetry)>) -> Response {
    readiness.tell(&telemetry);
    metrics(State(telemetry)).await
}

async fn metrics(State(telemetry): State<SharedTelemetry>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry.render()).into_response()
}
