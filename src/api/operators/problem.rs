//! What is wrong with a request, as a problem document (RFC 9457).
//!
//! ```json
//! {"type":"about:blank","title":"Bad Request","status":400,"detail":"limit: ...",
//!  "errors":[{"parameter":"limit","detail":"\"0\" is no number from 1 to 1000"}]}
//! ```
//!
//! `type` is `about:blank`, which says that the problem is no more than its status (section 4.2.1); `errors` is ours, and names
//! each parameter that is wrong.

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use crate::incoming::Mistake;
use crate::incoming::NotAdmitted;
use crate::telemetry::chain;

/// A request that is not done, and why.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<Mistake>,
}

/// What is wrong with a request (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemShape<'a> {
    /// `about:blank`: the problem is no more than its status.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, and how to mend it, for people.
    detail: &'a str,
    /// Each parameter that is wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [Mistake],
}

impl Problem {
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    /// Whoever asks is not let in.
    pub(super) fn refused(why: &NotAdmitted) -> Self {
        let status = match why {
            NotAdmitted::ReadOnly(_) => StatusCode::FORBIDDEN,
            NotAdmitted::Nobody | NotAdmitted::NoToken | NotAdmitted::WrongToken => StatusCode::UNAUTHORIZED,
        };
        Self::of(status, why.to_string())
    }

    pub(super) fn mistakes(errors: Vec<Mistake>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: Mistake::all_in_words(&errors), errors }
    }

    /// Something of ours does not work now.
    pub(super) fn unavailable(error: &dyn std::error::Error) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, chain(error))
    }

    fn shape(&self) -> ProblemShape<'_> {
        ProblemShape {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = [(CONTENT_TYPE, "application/problem+json")];
        let mut answer = (self.status, content, text_of(&self.shape())).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

/// A shape as JSON.
#[expect(clippy::expect_used, reason = "texts, numbers and lists under fixed names always are JSON")]
pub(super) fn text_of(shape: &impl Serialize) -> String {
    serde_json::to_string(shape).expect("a shape is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_each_parameter_that_is_wrong() {
        let mistake = |parameter: &str| Mistake { parameter: parameter.to_owned(), detail: "it is wrong".to_owned() };
        let problem = Problem::mistakes(vec![mistake("limit"), mistake("since")]);
        assert_eq!(
            serde_json::to_value(problem.shape()).expect("JSON"),
            json!({
                "type": "about:blank", "title": "Bad Request", "status": 400,
                "detail": "limit: it is wrong; since: it is wrong",
                "errors": [
                    {"parameter": "limit", "detail": "it is wrong"},
                    {"parameter": "since", "detail": "it is wrong"},
                ],
            })
        );
        assert_eq!(problem.into_response().headers()[CONTENT_TYPE], "application/problem+json");
        let refused = Problem::refused(&NotAdmitted::NoToken).into_response();
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
