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
use serde_json::{Value, json};

use crate::telemetry::chain;

/// A request that is not done, and why.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<Mistake>,
}

/// A parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its name.
    pub(super) parameter: String,
    /// What is wrong, and what would be right.
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::of(StatusCode::UNAUTHORIZED, detail)
    }

    pub(super) fn mistakes(errors: Vec<Mistake>) -> Self {
        let each = errors.iter().map(|mistake| format!("{}: {}", mistake.parameter, mistake.detail));
        let detail = each.collect::<Vec<_>>().join("; ");
        Self { status: StatusCode::BAD_REQUEST, detail, errors }
    }

    /// Something of ours does not work now.
    pub(super) fn unavailable(error: &dyn std::error::Error) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, chain(error))
    }

    fn json(&self) -> Value {
        let mut document = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            let error = |mistake: &Mistake| json!({"parameter": mistake.parameter, "detail": mistake.detail});
            document["errors"] = self.errors.iter().map(error).collect();
        }
        document
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = [(CONTENT_TYPE, "application/problem+json")];
        let mut answer = (self.status, content, self.json().to_string()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_each_parameter_that_is_wrong() {
        let mistake = |parameter: &str| Mistake { parameter: parameter.to_owned(), detail: "it is wrong".to_owned() };
        let problem = Problem::mistakes(vec![mistake("limit"), mistake("since")]);
        assert_eq!(
            problem.json(),
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
        let refused = Problem::unauthorized("no token").into_response();
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
