//! Who asks: each request to the operators' API comes from an operator, by its token, before anything of it is read.
//!
//! What changes something, which is every method but GET, needs a token of full access. A handler that notes who did it
//! takes [`By`] as an argument.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::OperatorsParts;
use super::problem::Problem;
use crate::incoming::{NotAdmitted, admit, admit_to_change, drain};
use crate::model::Operator;

/// How long the rest of a request that is refused is read and thrown away.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

/// The operator that a request comes from.
#[derive(Clone, Debug)]
pub(super) struct By(pub(super) Operator);

impl By {
    /// Who, as it is noted of what they did.
    pub(super) fn name(&self) -> String {
        self.0.name.to_string()
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route that has a handler lies behind `let_in`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::refused(&NotAdmitted::NoToken))
    }
}

/// Lets requests of operators through.
pub(super) async fn let_in(State(parts): State<Arc<OperatorsParts>>, mut request: Request, next: Next) -> Response {
    let only_looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let admitted = if only_looks { admit } else { admit_to_change }(&parts.tokens, request.headers());
    match admitted {
        Ok(operator) => {
            request.extensions_mut().insert(By(operator.clone()));
            next.run(request).await
        }
        Err(refusal) => {
            if refusal == NotAdmitted::WrongToken {
                parts.telemetry.token_refused("/v1");
            }
            let (head, body) = request.into_parts();
            drain(&head.headers, body, DRAIN_WAIT_MAX).await;
            Problem::refused(&refusal).into_response()
        }
    }
}

/// What there is no path for.
pub(super) async fn unknown_path() -> Problem {
    Problem::of(StatusCode::NOT_FOUND, "there is nothing under this path; GET /openapi.json tells what there is")
}

/// What there is a path for, but no such method.
pub(super) async fn wrong_method() -> Problem {
    Problem::of(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not answer to this method; the header Allow names those that it answers to",
    )
}
