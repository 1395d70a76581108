//! The operators' API, `/v1/...`: for whoever runs hikyaku, with a token ([`by`]).
//!
//! | path | answer |
//! |---|---|
//! | `GET /v1/endpoints` | how each webhook stands with this worker ([`endpoints`]) |
//! | `GET /v1/deliveries` | deliveries that the history has, by filters, a page at a time ([`deliveries`]) |
//! | `GET /v1/deliveries/{id}` | one of them with its attempts |
//! | `GET /v1/stream` | what becomes of deliveries, as it happens ([`stream`]) |
//! | `GET /v1/webhooks`, `/v1/webhooks/{id}` | the registrations with their state ([`webhooks`]) |
//! | `GET /v1/queues`, `/v1/workers`, `/v1/status` | how it is ([`queues`], [`status`]) |
//! | `GET /openapi.json` | all of it, described ([`document`]); without a token |
//!
//! What is wrong is answered as RFC 9457 has it ([`problem`]): 400 names each parameter, 401 and 403 are for the token, 404 for
//! what is not there, 405 for another method, 503 for a file that cannot be read now.

mod by;
mod deliveries;
mod document;
mod endpoints;
mod params;
mod problem;
mod queues;
mod routes;
mod status;
mod stream;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use self::problem::text_of;
use self::routes::Routes;
use super::readiness::Readiness;
use crate::clock::SharedClock;
use crate::deliver::{Endpoints, Live};
use crate::model::Tokens;
use crate::queue::Queue;
use crate::record::{DeadLetters, HistoryReader, Latest, Workers};
use crate::registry::Registry;
use crate::shown::Places;
use crate::telemetry::SharedTelemetry;

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
    /// What became of deliveries; none: that is not noted.
    pub history: Option<HistoryReader>,
    /// Who is let in.
    pub tokens: Tokens,
    /// Time.
    pub clock: SharedClock,
    /// Where refusals are told.
    pub telemetry: SharedTelemetry,
}

/// The routes.
pub fn operators(parts: OperatorsParts) -> Router {
    let parts = Arc::new(parts);
    let Routes { router, known } = routes();
    let router = router.route_layer(from_fn_with_state(Arc::clone(&parts), by::let_in));
    document::described(Routes { router, known }).with_state(parts)
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
}

/// An answer that has what was asked for.
fn found(shape: &impl Serialize) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], text_of(shape)).into_response()
}
