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
use serde_json::{Value, json};

use super::params::{Params, quoted};
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::deliver::EndpointSight;

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

pub(super) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { sort, limit } = Asked::read(query.as_deref())?;
    let mut endpoints = parts.endpoints.each();
    let total = endpoints.len();
    // The same order each time for those that are alike.
    endpoints.sort_unstable_by(|a, b| sort.key(b).cmp(&sort.key(a)).then_with(|| a.webhook.cmp(&b.webhook)));
    let endpoints: Vec<Value> = endpoints.iter().take(limit).map(shape).collect();
    let hosts = parts.endpoints.hosts_left_alone();
    let hosts: Vec<Value> = hosts
        .iter()
        .take(limit)
        .map(|host| json!({ "host": host.host, "leftAloneForMs": ms(host.left_alone_for) }))
        .collect();
    Ok(found(&json!({ "total": total, "endpoints": endpoints, "hostsLeftAlone": hosts })))
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
