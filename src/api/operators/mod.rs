//! The operators' API, `/v1/...`: for whoever runs hikyaku, with the admin token.
//!
//! | path | answer |
//! |---|---|
//! | `GET /v1/endpoints` | how each webhook stands with this worker ([`endpoints`]) |
//! | `GET /v1/deliveries` | deliveries that the history has, by filters, a page at a time ([`deliveries`]) |
//! | `GET /v1/deliveries/{id}` | one of them with its attempts |
//!
//! What is wrong is answered as RFC 9457 has it ([`problem`]): 400 names each parameter, 401 is for the token, 404 for what is
//! not there, 503 for a file that cannot be read now.

mod deliveries;
mod endpoints;
mod params;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use self::problem::Problem;
use crate::clock::SharedClock;
use crate::deliver::Endpoints;
use crate::incoming::bearer;
use crate::model::TokenHash;
use crate::record::HistoryReader;
use crate::telemetry::SharedTelemetry;

/// What the operators' API works with.
#[derive(Debug)]
pub struct OperatorsParts {
    /// How webhooks stand with this worker.
    pub endpoints: Arc<Endpoints>,
    /// What became of deliveries; none: that is not noted.
    pub history: Option<HistoryReader>,
    /// Whose token is let in; none: nobody's.
    pub token: Option<TokenHash>,
    /// Time.
    pub clock: SharedClock,
    /// Where refusals are told.
    pub telemetry: SharedTelemetry,
}

/// The routes.
pub fn operators(parts: OperatorsParts) -> Router {
    let parts = Arc::new(parts);
    Router::new()
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route_layer(from_fn_with_state(Arc::clone(&parts), admit))
        .method_not_allowed_fallback(async || Problem::of(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here"))
        .with_state(parts)
}

/// Lets requests with the token through.
async fn admit(State(parts): State<Arc<OperatorsParts>>, request: Request, next: Next) -> Response {
    match check_token(&parts, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(words) => Problem::unauthorized(words).into_response(),
    }
}

fn check_token(parts: &OperatorsParts, headers: &HeaderMap) -> Result<(), &'static str> {
    let Some(token) = &parts.token else { return Err("server.admin_token is not set, so nobody may look; set it") };
    match bearer(headers) {
        Some(given) if token.is(given) => Ok(()),
        Some(_) => {
            parts.telemetry.token_refused("/v1");
            Err("the bearer token is wrong")
        }
        None => Err("send the admin token as `Authorization: Bearer ...`"),
    }
}

/// An answer that has what was asked for.
fn found(body: &Value) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
