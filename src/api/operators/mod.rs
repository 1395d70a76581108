//! The operators' API, `/v1/...`: for whoever runs hikyaku, with a token ([`by`]).
//!
//! | path | answer |
//! |---|---|
//! | `GET /v1/endpoints` | how each webhook stands with this worker ([`endpoints`]) |
//! | `GET /v1/deliveries` | deliveries that the history has, by filters, a page at a time ([`deliveries`]) |
//! | `GET /v1/deliveries/{id}` | one of them with its attempts |
//! | `POST /v1/deliveries/resend`, `/v1/deliveries/{id}/resend` | sends again what was sent before ([`resending`]) |
//! | `/v1/dead-letters...` | deliveries that were given up: looked at, put back to work, deleted, exported, imported ([`dead_letters`]) |
//! | `POST /v1/forget` | erases a person ([`forgetting`]) |
//! | `GET /v1/stream` | what becomes of deliveries, as it happens ([`stream`]) |
//! | `GET /v1/webhooks`, `/v1/webhooks/{id}` | the registrations with their state ([`webhooks`]) |
//! | `GET /v1/queues`, `/v1/workers`, `/v1/status` | how it is ([`queues`], [`status`]) |
//! | `GET`, `PUT /v1/log-level` | which lines the log has ([`log_level`]) |
//! | `GET /openapi.json` | all of it, described ([`document`]); without a token |
//!
//! What is wrong is answered as RFC 9457 has it ([`problem`]): 400 names each parameter, or that a body is not taken ([`no_body`]), 401 and 403 are for the token, 404 for
//! what is not there, 405 for another method, 503 for a file that cannot be read now.

mod by;
mod dead_letters;
mod deliveries;
mod document;
mod endpoints;
mod forgetting;
mod log_level;
mod no_body;
mod params;
mod problem;
mod queues;
mod resending;
mod routes;
mod status;
mod stream;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use self::problem::{Problem, text_of};
use self::routes::Routes;
use super::readiness::Readiness;
use crate::clock::SharedClock;
use crate::deliver::{Endpoints, Live};
use crate::model::Tokens;
use crate::operate::Operations;
use crate::queue::Queue;
use crate::record::{DeadLetters, HistoryReader, Latest, Workers};
use crate::registry::Registry;
use crate::shown::Places;
use crate::telemetry::{LogSwitch, SharedTelemetry};

/// What the operators' API works with.
#[derive(Debug)]
pub struct OperatorsParts {
    /// How webhooks stand with this worker.
    pub endpoints: Arc<Endpoints>,
    /// The queue.
    pub queue: Queue,
    /// The webhooks.
    pub registry: Arc<Registry>,
    /// Their latest attempts.
    pub latest: Arc<Latest>,
    /// The dead letters.
    pub letters: Arc<DeadLetters>,
    /// The workers.
    pub workers: Arc<Workers>,
    /// Where queue and store are.
    pub places: Places,
    /// What is wrong with this process.
    pub readiness: Arc<Readiness>,
    /// What becomes of deliveries as it happens.
    pub live: Arc<Live>,
    /// Changes the level of the log.
    pub log: LogSwitch,
    /// What became of deliveries; none: that is not noted.
    pub history: Option<HistoryReader>,
    /// What there is of deliveries noted in the store, whether or not more is noted now.
    pub stored_history: HistoryReader,
    /// What is done to deliveries.
    pub operations: Operations,
    /// Bytes that an event may have.
    pub event_bytes_max: usize,
    /// Places for exports and imports.
    pub files: Arc<Semaphore>,
    /// Who is let in.
    pub tokens: Tokens,
    /// Time.
    pub clock: SharedClock,
    /// Where refusals are told.
    pub telemetry: SharedTelemetry,
}

/// Exports and imports under way at a time: each holds up to 16 MiB of bodies.
pub const FILES_MAX: usize = 4;

/// How long one request works that is about many. Less than clients and proxies wait by default (30 s and 60 s).
const WORK_MAX: Duration = Duration::from_secs(20);

/// The routes.
pub fn operators(parts: OperatorsParts) -> Router {
    let parts = Arc::new(parts);
    let Routes { router, known } = routes();
    let router = router.route_layer(from_fn_with_state(Arc::clone(&parts), by::let_in));
    document::described(Routes { router, known }).with_state(parts)
}

/// What is answered to all of it before there is anything to tell, for `reason`; it may be asked again after `again_s` seconds.
pub(super) fn waiting(reason: &watch::Receiver<String>, again_s: &'static str) -> Router {
    let not_yet = async move |State(reason): State<watch::Receiver<String>>| {
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE, reason.borrow().clone());
        ([(RETRY_AFTER, again_s)], problem).into_response()
    };
    let router = document::EVERY_PATH.iter().fold(Router::new(), |router, path| router.route(path, any(not_yet)));
    router.with_state(reason.clone())
}

/// What is answered to operators. Each stands in [`document`] too.
fn routes() -> Routes {
    Routes::default()
        .get("/v1/endpoints", endpoints::list)
        .get("/v1/deliveries", deliveries::list)
        .get("/v1/deliveries/{id}", deliveries::show)
        .get("/v1/stream", stream::listen)
        .get("/v1/webhooks", webhooks::list)
        .get("/v1/webhooks/{id}", webhooks::show)
        .get("/v1/queues", queues::show)
        .get("/v1/workers", status::workers)
        .get("/v1/status", status::show)
        .post("/v1/deliveries/resend", resending::resend)
        .post("/v1/deliveries/{id}/resend", resending::resend_one)
        .get("/v1/dead-letters", dead_letters::looking::list)
        .post("/v1/dead-letters/replay", dead_letters::acting::replay)
        .post("/v1/dead-letters/purge", dead_letters::acting::purge)
        .get("/v1/dead-letters/export", dead_letters::files::export)
        .post("/v1/dead-letters/import", dead_letters::files::import)
        .get("/v1/dead-letters/{id}", dead_letters::looking::show)
        .delete("/v1/dead-letters/{id}", dead_letters::acting::delete)
        .post("/v1/dead-letters/{id}/replay", dead_letters::acting::replay_one)
        .post("/v1/forget", forgetting::forget)
        .get("/v1/log-level", log_level::show)
        .put("/v1/log-level", log_level::set)
}

/// Runs `work` in a task of its own: a step that has begun is not broken off when the client goes away.
async fn on_its_own<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    let broken_off =
        |_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "it was broken off; doing it again does what is left");
    tokio::spawn(work).await.map_err(broken_off)
}

/// An answer that has what was asked for.
fn found(shape: &impl Serialize) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], text_of(shape)).into_response()
}
