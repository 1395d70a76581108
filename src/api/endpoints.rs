//! `GET /v1/endpoints`: how each webhook stands with this worker, the worst first; for operators, with the admin token.
//!
//! | parameter | is |
//! |---|---|
//! | `sort` | the number by which the largest come first: one of [`Sort::ALL`]; default `failuresInARow` |
//! | `limit` | how many, 1 to 1000; default 100 |
//!
//! 200: `{"total":..,"endpoints":[..],"hostsLeftAlone":[..]}`; 400 with words on a bad parameter; 401 without the token.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::deliver::{EndpointSight, Endpoints};
use crate::incoming::bearer;
use crate::model::TokenHash;

/// Endpoints in one answer.
const LIMIT_MAX: usize = 1000;
const LIMIT_DEFAULT: usize = 100;

struct Operators {
    endpoints: Arc<Endpoints>,
    token: Option<TokenHash>,
}

/// What endpoints are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    FailuresInARow,
    Failures,
    Attempts,
    Parked,
    InFlight,
    Waiting,
    AnswerMs,
}

impl Sort {
    const ALL: [(&'static str, Self); 7] = [
        ("failuresInARow", Self::FailuresInARow),
        ("failures", Self::Failures),
        ("attempts", Self::Attempts),
        ("parked", Self::Parked),
        ("inFlight", Self::InFlight),
        ("waiting", Self::Waiting),
        ("answerMs", Self::AnswerMs),
    ];

    fn key(self, endpoint: &EndpointSight) -> u64 {
        match self {
            Self::FailuresInARow => u64::from(endpoint.failures_in_a_row),
            Self::Failures => endpoint.failures,
            Self::Attempts => endpoint.attempts,
            Self::Parked => endpoint.parked,
            Self::InFlight => u64::from(endpoint.in_flight),
            Self::Waiting => u64::from(endpoint.waiting),
            Self::AnswerMs => u64::try_from(endpoint.answer.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    sort: Sort,
    limit: usize,
}

impl Query {
    fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self { sort: Sort::FailuresInARow, limit: LIMIT_DEFAULT };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sort" => {
                    let found = Sort::ALL.into_iter().find(|(name, _)| *name == value);
                    let names = || Sort::ALL.map(|(name, _)| name).join(", ");
                    asked.sort = found.ok_or_else(|| format!("sort: {value:?} is none of {}", names()))?.1;
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    asked.limit =
                        limit.ok_or_else(|| format!("limit: {value:?} is no number from 1 to {LIMIT_MAX}"))?;
                }
                _ => return Err(format!("{name:?} is no parameter here; there are sort and limit")),
            }
        }
        Ok(asked)
    }
}

/// The route, for whoever has `token`; without one, for nobody.
pub fn endpoints(endpoints: Arc<Endpoints>, token: Option<TokenHash>) -> Router {
    Router::new().route("/v1/endpoints", get(list)).with_state(Arc::new(Operators { endpoints, token }))
}

async fn list(State(operators): State<Arc<Operators>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if let Err(words) = check_token(operators.token.as_ref(), &headers) {
        let mut refused = answer(StatusCode::UNAUTHORIZED, &json!({ "error": words }));
        refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return refused;
    }
    let Query { sort, limit } = match Query::parse(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err(words) => return answer(StatusCode::BAD_REQUEST, &json!({ "error": words })),
    };
    let mut endpoints = operators.endpoints.each();
    let total = endpoints.len();
    // The same order each time for those that are alike.
    endpoints.sort_unstable_by(|a, b| sort.key(b).cmp(&sort.key(a)).then_with(|| a.webhook.cmp(&b.webhook)));
    let endpoints: Vec<Value> = endpoints.iter().take(limit).map(shape).collect();
    let hosts = operators.endpoints.hosts_left_alone();
    let hosts: Vec<Value> = hosts
        .iter()
        .take(limit)
        .map(|host| json!({ "host": host.host, "leftAloneForMs": ms(host.left_alone_for) }))
        .collect();
    answer(StatusCode::OK, &json!({ "total": total, "endpoints": endpoints, "hostsLeftAlone": hosts }))
}

fn check_token(token: Option<&TokenHash>, headers: &HeaderMap) -> Result<(), &'static str> {
    let Some(token) = token else { return Err("server.admin_token is not set, so nobody may look; set it") };
    match bearer(headers) {
        Some(given) if token.is(given) => Ok(()),
        Some(_) => Err("the bearer token is wrong"),
        None => Err("send the admin token as `Authorization: Bearer ...`"),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn shape(endpoint: &EndpointSight) -> Value {
    json!({
        "webhookId": endpoint.webhook.as_str(),
        "host": endpoint.host,
        "breaker": endpoint.breaker.as_str(),
        "openForMs": endpoint.open_for.map(ms),
        "failuresInARow": endpoint.failures_in_a_row,
        "inFlight": endpoint.in_flight,
        "slots": endpoint.slots,
        "waiting": endpoint.waiting,
        "pace": endpoint.pace.as_str(),
        "answerMs": (endpoint.answer.as_secs_f64() * 1000.0 * 10.0).round() / 10.0,
        "attempts": endpoint.attempts,
        "failures": endpoint.failures,
        "parked": endpoint.parked,
    })
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_a_mistake_is_named() {
        assert_eq!(Query::parse(""), Ok(Query { sort: Sort::FailuresInARow, limit: 100 }));
        assert_eq!(Query::parse("limit=5&sort=parked"), Ok(Query { sort: Sort::Parked, limit: 5 }));
        for (query, words) in [
            ("sort=worst", "sort: \"worst\" is none of failuresInARow, failures, attempts"),
            ("limit=0", "limit: \"0\" is no number from 1 to 1000"),
            ("limit=ten", "limit: \"ten\" is no number"),
            ("order=asc", "\"order\" is no parameter here; there are sort and limit"),
        ] {
            let error = Query::parse(query).expect_err(query);
            assert!(error.starts_with(words), "{query}: {error}");
        }
    }
}
