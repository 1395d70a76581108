//! `GET /v1/endpoints`: how each webhook stands with this worker, the worst first.
//!
//! | parameter | is |
//! |---|---|
//! | `sort` | the number by which the largest come first: one of [`Sort::ALL`]; default `failuresInARow` |
//! | `limit` | how many, 1 to 1000; default 100 |
//!
//! 200: `{"total":..,"endpoints":[..],"hostsLeftAlone":[..]}`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::params::{Params, in_query, quoted};
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::deliver::{EndpointSight, HostSight};
use crate::model::described;

/// Endpoints in one answer.
const LIMIT_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 100;

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

/// Parameters, as the document has them; [`Asked`] reads them.
pub(super) struct ListParams;

impl utoipa::IntoParams for ListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            in_query("sort", "The number by which the largest come first.", described_sort()),
            in_query("limit", "How many.", described::limit()),
        ]
    }
}

fn described_sort() -> Object {
    let names = Sort::ALL.map(|(name, _)| name);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).default(Some(names[0].into())).build()
}

/// How webhooks stand with this worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Endpoints)]
struct EndpointsShape {
    /// Webhooks that the worker knows something of.
    total: usize,
    /// The worst first.
    endpoints: Vec<EndpointShape>,
    /// Hosts that answered none of several webhooks.
    hosts_left_alone: Vec<HostShape>,
}

/// How a webhook stands with this worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Endpoint)]
struct EndpointShape {
    /// The webhook.
    #[schema(schema_with = described::token)]
    webhook_id: String,
    /// Scheme, name and port of its URL.
    host: String,
    /// `closed`: requests go through; `open`: none does; `probing`: one is under way, to see.
    breaker: &'static str,
    /// Milliseconds until the next probe, 0 when its time has come or it is under way; null when it is closed.
    #[schema(required)]
    open_for_ms: Option<u64>,
    /// Failures that are tried again, since the last answer.
    failures_in_a_row: u32,
    /// Requests under way.
    in_flight: u32,
    /// How many there may be now.
    slots: u32,
    /// Deliveries that wait in the worker for a slot.
    waiting: u32,
    /// `fast`, `slow`, or `unproven`: no answer yet.
    pace: &'static str,
    /// Running mean of answer times, in milliseconds.
    answer_ms: f64,
    /// Attempts made.
    attempts: u64,
    /// Those that did not deliver.
    failures: u64,
    /// Times that a delivery was put off for want of a slot, or because the webhook or its host was left alone.
    parked: u64,
}

/// A host that is left alone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Host)]
struct HostShape {
    /// Scheme, name and port.
    host: String,
    /// For how many milliseconds.
    left_alone_for_ms: u64,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    sort: Sort,
    limit: usize,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let sort = params.get("sort", |value| {
            let found = Sort::ALL.into_iter().find(|(name, _)| *name == value);
            let names = || Sort::ALL.map(|(name, _)| name).join(", ");
            found.map(|(_, sort)| sort).ok_or_else(|| format!("{} is none of {}", quoted(value), names()))
        });
        let limit = params.whole("limit", 1..=LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
        params.finish()?;
        Ok(Self { sort: sort.unwrap_or(Sort::FailuresInARow), limit: limit as usize })
    }
}

/// How each webhook stands with this worker, the worst first.
///
/// What is told is in the worker's memory: since it first met the webhook, was started, or the webhook was changed.
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "endpoints", operation_id = "listEndpoints", params(ListParams),
    responses((status = 200, description = "How they stand.", body = EndpointsShape, example = json!({
        "total": 1,
        "endpoints": [{
            "webhookId": "wh1", "host": "https://bot.example", "breaker": "open", "openForMs": 118000, "failuresInARow": 14,
            "inFlight": 0, "slots": 1, "waiting": 0, "pace": "slow", "answerMs": 10001.2, "attempts": 70, "failures": 14,
            "parked": 5123
        }],
        "hostsLeftAlone": []
    })))
)]
pub(super) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { sort, limit } = Asked::read(query.as_deref())?;
    let mut endpoints = parts.endpoints.each();
    let total = endpoints.len();
    // The same order each time for those that are alike.
    endpoints.sort_unstable_by(|a, b| sort.key(b).cmp(&sort.key(a)).then_with(|| a.webhook.cmp(&b.webhook)));
    let endpoints = endpoints.iter().take(limit).map(EndpointShape::of).collect();
    let hosts_left_alone = parts.endpoints.hosts_left_alone().iter().take(limit).map(HostShape::of).collect();
    Ok(found(&EndpointsShape { total, endpoints, hosts_left_alone }))
}

impl HostShape {
    fn of(host: &HostSight) -> Self {
        Self { host: host.host.clone(), left_alone_for_ms: ms(host.left_alone_for) }
    }
}

impl EndpointShape {
    fn of(endpoint: &EndpointSight) -> Self {
        Self {
            webhook_id: endpoint.webhook.to_string(),
            host: endpoint.host.clone(),
            breaker: endpoint.breaker.as_str(),
            open_for_ms: endpoint.open_for.map(ms),
            failures_in_a_row: endpoint.failures_in_a_row,
            in_flight: endpoint.in_flight,
            slots: endpoint.slots,
            waiting: endpoint.waiting,
            pace: endpoint.pace.as_str(),
            answer_ms: (endpoint.answer.as_secs_f64() * 1000.0 * 10.0).round() / 10.0,
            attempts: endpoint.attempts,
            failures: endpoint.failures,
            parked: endpoint.parked,
        }
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_a_mistake_is_named() {
        let asked = |query| Asked::read(Some(query));
        assert_eq!(Asked::read(None).expect("nothing"), Asked { sort: Sort::FailuresInARow, limit: 100 });
        assert_eq!(asked("limit=5&sort=parked").expect("right"), Asked { sort: Sort::Parked, limit: 5 });
        for (query, words) in [
            ("sort=worst", "is none of failuresInARow, failures, attempts"),
            ("limit=0", "is no whole number from 1 to 1000"),
            ("order=asc", "there is no such parameter; there are sort, limit"),
        ] {
            let told = format!("{:?}", asked(query).expect_err(query));
            assert!(told.contains(words), "{query}: {told}");
        }
    }
}
