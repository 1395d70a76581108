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

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::params::{Id, Params, in_path, in_query, quoted};
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Timestamp, WebhookId, described};
use crate::record::{
    AttemptShape, DeliveryLineShape, DeliveryShape, HISTORY_PAGE_MAX, HistoryCursor, HistoryFilter, HistoryReader,
    RecordError, Replayed, ReplayedShape,
};

const LIMIT_DEFAULT: u32 = 100;

/// Parameters, as the document has them; [`Asked`] reads them.
pub(super) struct ListParams;

impl utoipa::IntoParams for ListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = which();
        parameters.push(in_query("limit", "How many.", described::limit()));
        parameters.push(in_query("cursor", "`next` of the page before.", described::delivery_cursor()));
        parameters
    }
}

/// The parameters that say which deliveries, as the document has them.
pub(super) fn which() -> Vec<Parameter> {
    let since = "Those whose event was taken in at this moment, or at this age, or later.";
    vec![
        in_query("webhook", "Those to this webhook.", described::token()),
        in_query("event", "Those of the event with this id.", described::id()),
        in_query("type", "Those of this event type.", described::id()),
        in_query("state", "Those that stand so.", described::delivery_state()),
        in_query("since", since, described::moment_or_age()),
        in_query("until", "Those whose event was taken in before this moment.", described::moment_or_age()),
    ]
}

/// The id in the path.
pub(super) struct ShowParams;

impl utoipa::IntoParams for ShowParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("id", "The delivery's id.", described::delivery_id())]
    }
}

/// Some of the deliveries.
#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
struct DeliveriesShape<'a> {
    /// Those taken in last first.
    deliveries: Vec<DeliveryLineShape>,
    /// The next page's `cursor`; null: this was the last.
    #[schema(required)]
    next: Option<String>,
    /// Deliveries of this page that cannot be read, in words; they hide no other.
    problems: &'a [String],
}

/// A delivery with its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryWithAttempts)]
struct ShownShape {
    delivery: DeliveryShape,
    /// The first one first; of more than 1,000 the latest.
    attempts: Vec<AttemptShape>,
    /// When and by whom it was put back to work, the first time first.
    replays: Vec<ReplayedShape>,
}

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
        let asked = Self {
            filter: filter_of(&mut params, now),
            limit: params.whole("limit", 1..=HISTORY_PAGE_MAX).unwrap_or(LIMIT_DEFAULT),
            cursor: params.get("cursor", str::parse::<HistoryCursor>),
        };
        params.finish().map(|()| asked)
    }
}

/// The parameters that say which deliveries.
pub(super) fn filter_of(params: &mut Params, now: Timestamp) -> HistoryFilter {
    let state = |text: &str| {
        let names = || DeliveryState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
        DeliveryState::from_name(text).ok_or_else(|| format!("{} is none of {}", quoted(text), names()))
    };
    let moment = |text: &str| moment(text, now);
    HistoryFilter {
        webhook: params.get("webhook", WebhookId::new),
        event: params.get("event", EventId::new),
        kind: params.get("type", EventType::new),
        state: params.get("state", state),
        since: params.get("since", moment),
        until: params.get("until", moment),
    }
}

/// A moment, or an age before `now`.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    Timestamp::parse(text, now).map_err(|error| format!("{}: {error}", quoted(text)))
}

/// Deliveries that the history has, those first whose event was taken in last.
///
/// Over all workers that write to the same store. A page looks at 10,000 deliveries at most, so with filters it may have fewer than
/// `limit`, even none, and a `next` to go on with.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries", operation_id = "listDeliveries", params(ListParams),
    responses((status = 200, description = "A page.", body = DeliveriesShape, example = json!({
        "deliveries": [{
            "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "eventId": "416d7a25-aa40-4106-9703-16f6a3de841f", "type": "note",
            "userId": "9ks5o1w5k3x90001", "source": "default", "webhookId": "wh1", "acceptedAt": "2026-03-31T12:34:56.789Z",
            "generation": 0, "attempts": 2, "state": "waiting", "reason": "retry", "changedAt": "2026-03-31T12:35:02.101Z",
            "dueAt": "2026-03-31T12:35:33.420Z",
            "lastAttempt": {
                "generation": 0, "attempt": 2, "startedAt": "2026-03-31T12:35:02.014Z", "tookMs": 86.412,
                "outcome": "server_error", "status": 503, "error": "the receiver answered 503: overloaded",
                "worker": "bot-host/4711"
            }
        }],
        "next": "1774960496789.81234", "problems": []
    })))
)]
pub(super) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { filter, limit, cursor } = Asked::read(query.as_deref(), parts.clock.now())?;
    let page = history(&parts)?.list(&filter, limit, cursor).await.map_err(|error| Problem::unavailable(&error))?;
    let deliveries = page.deliveries.iter().map(|(delivery, last)| delivery.to_line(last.as_ref())).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(found(&DeliveriesShape { deliveries, next, problems: &page.problems }))
}

/// One delivery with its attempts.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", tag = "deliveries", operation_id = "showDelivery",
    params(ShowParams),
    responses((status = 200, description = "It is there.", body = ShownShape, example = json!({
        "delivery": {
            "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "eventId": "416d7a25-aa40-4106-9703-16f6a3de841f", "type": "note",
            "userId": "9ks5o1w5k3x90001", "source": "default", "webhookId": "wh1", "acceptedAt": "2026-03-31T12:34:56.789Z",
            "generation": 0, "attempts": 1, "state": "delivered", "reason": null, "changedAt": "2026-03-31T12:34:56.842Z",
            "dueAt": null
        },
        "attempts": [{
            "generation": 0, "attempt": 1, "startedAt": "2026-03-31T12:34:56.801Z", "tookMs": 41.7, "outcome": "delivered",
            "status": 204, "error": null, "response": "", "worker": "bot-host/4711"
        }],
        "replays": []
    })))
)]
pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    Id(id): Id<DeliveryId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    match history(&parts)?.show(&id).await {
        Ok(Some((delivery, attempts))) => {
            let attempts = attempts.iter().map(|attempt| attempt.to_shape()).collect();
            let replays = parts.operations.letters.replays(&id).await.map_err(|error| Problem::unavailable(&error))?;
            let replays = replays.iter().map(Replayed::to_shape).collect();
            Ok(found(&ShownShape { delivery: delivery.to_shape(), attempts, replays }))
        }
        Ok(None) => Err(unknown(&id)),
        Err(error @ RecordError::Damaged { .. }) => {
            Err(Problem::of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        }
        Err(error) => Err(Problem::unavailable(&error)),
    }
}

pub(super) fn unknown(id: &DeliveryId) -> Problem {
    Problem::of(
        StatusCode::NOT_FOUND,
        format!(
            "the history has no delivery {id}: it was not begun yet, is past history.retention_s or history.count_max, or \
             could not be noted"
        ),
    )
}

pub(super) fn history(parts: &OperatorsParts) -> Result<&HistoryReader, Problem> {
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
            ("since", "99999999999years", "moments from 1970-01-01T00:00:00Z on are possible"),
            ("until", "1969-12-31T23:59:59Z", "it lies before 1970"),
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
