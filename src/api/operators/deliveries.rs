//! `GET /v1/deliveries` and `GET /v1/deliveries/{id}`: what the history has.
//!
//! | parameter | is |
//! |---|---|
//! | `webhook`, `event`, `type`, `state` | those to this webhook, of this event, of this type, that stand so |
//! | `since`, `until` | those whose event was taken in at this moment or later, before this moment |
//! | `limit` | how many, 1 to 1000; default 100 |
//! | `cursor` | `next` of the page before |
//!
//! 200: `{"deliveries":[..],"next":..,"problems":[..]}`, and `{"delivery":{..},"attempts":[..]}` for one.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::params::{Params, quoted};
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Timestamp, WebhookId};
use crate::record::{HISTORY_PAGE_MAX, HistoryCursor, HistoryFilter, HistoryReader, RecordError};

const LIMIT_DEFAULT: u32 = 100;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    filter: HistoryFilter,
    limit: u32,
    cursor: Option<HistoryCursor>,
}

impl Asked {
    fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let state = |text: &str| {
            let names = || DeliveryState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
            DeliveryState::from_name(text).ok_or_else(|| format!("{} is none of {}", quoted(text), names()))
        };
        let moment = |text: &str| Timestamp::parse(text, now).ok_or_else(|| no_moment(text));
        let asked = Self {
            filter: HistoryFilter {
                webhook: params.get("webhook", WebhookId::new),
                event: params.get("event", EventId::new),
                kind: params.get("type", EventType::new),
                state: params.get("state", state),
                since: params.get("since", moment),
                until: params.get("until", moment),
            },
            limit: params.whole("limit", 1..=HISTORY_PAGE_MAX).unwrap_or(LIMIT_DEFAULT),
            cursor: params.get("cursor", str::parse::<HistoryCursor>),
        };
        params.finish().map(|()| asked)
    }
}

fn no_moment(text: &str) -> String {
    format!("{} is neither a moment in UTC like 2026-11-22T10:00:00Z nor an age like 2h", quoted(text))
}

pub(super) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { filter, limit, cursor } = Asked::read(query.as_deref(), parts.clock.now())?;
    let page = history(&parts)?.list(&filter, limit, cursor).await.map_err(|error| Problem::unavailable(&error))?;
    let deliveries: Vec<Value> =
        page.deliveries.iter().map(|(delivery, last)| delivery.to_json_with(last.as_ref())).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(found(&json!({ "deliveries": deliveries, "next": next, "problems": page.problems })))
}

pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let id = DeliveryId::from_text(&id)
        .map_err(|error| Problem::of(StatusCode::BAD_REQUEST, format!("{}: {error}", quoted(&id))))?;
    Params::of(query.as_deref()).finish()?;
    match history(&parts)?.show(&id).await {
        Ok(Some((delivery, attempts))) => {
            let attempts: Vec<Value> = attempts.iter().map(|attempt| attempt.to_json()).collect();
            Ok(found(&json!({ "delivery": delivery.to_json(), "attempts": attempts })))
        }
        Ok(None) => Err(Problem::of(
            StatusCode::NOT_FOUND,
            format!(
                "the history has no delivery {id}: it was not begun yet, is past history.retention_s or history.count_max, \
                 or could not be noted"
            ),
        )),
        Err(error @ RecordError::Damaged { .. }) => {
            Err(Problem::of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        }
        Err(error) => Err(Problem::unavailable(&error)),
    }
}

fn history(parts: &OperatorsParts) -> Result<&HistoryReader, Problem> {
    parts.history.as_ref().ok_or_else(|| {
        Problem::of(StatusCode::NOT_FOUND, "there is no history, since history.enabled is false; set it to true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

    #[test]
    fn what_is_asked_for_is_read() {
        let all = Asked { filter: HistoryFilter::default(), limit: 100, cursor: None };
        assert_eq!(Asked::read(None, NOW).expect("nothing"), all);
        let query = "webhook=wh1&event=e1&type=note&state=dead&since=2h&until=2026-03-31T12:34:56Z&limit=7&cursor=5.6";
        let filter = HistoryFilter {
            webhook: WebhookId::new("wh1").ok(),
            event: EventId::new("e1").ok(),
            kind: EventType::new("note").ok(),
            state: Some(DeliveryState::Dead),
            since: Some(NOW.minus(std::time::Duration::from_secs(7200))),
            until: Some(Timestamp::from_millis(1_774_960_496_000)),
        };
        let some = Asked { filter, limit: 7, cursor: "5.6".parse().ok() };
        assert_eq!(Asked::read(Some(query), NOW).expect("right"), some);
    }

    #[test]
    fn each_mistake_names_its_parameter() {
        for (parameter, value, words) in [
            ("webhook", "a%20b", "it has the character ' '"),
            ("event", "", "it is empty"),
            ("type", "%0a", "control character"),
            ("state", "asleep", "none of waiting, delivered, dead, dropped"),
            ("since", "yesterday", "like 2026-11-22T10:00:00Z nor an age like 2h"),
            ("until", "-1", "nor an age"),
            ("limit", "1001", "from 1 to 1000"),
            ("cursor", "5", "it is no place in a list of deliveries"),
            ("webhok", "wh1", "there is no such parameter"),
        ] {
            let problem = Asked::read(Some(&format!("{parameter}={value}")), NOW).expect_err(parameter);
            let told = format!("{problem:?}");
            assert!(told.contains(&format!("parameter: {parameter:?}")) && told.contains(words), "{told}");
        }
    }
}
