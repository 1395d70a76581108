//! `GET /v1/dead-letters` and `GET /v1/dead-letters/{id}`.
//!
//! Beside the parameters of [`super::asked`], a listing has `limit` (1 to 1000, default 100) and `cursor` (`next` of the page
//! before). 200: `{"deadLetters":[..],"next":..,"problems":[..]}`, and for one
//! `{"deadLetter":{..,"body":{..}},"attempts":[..],"lastResponse":..,"replays":[..]}`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::asked::{filter_of, which};
use super::{no_letter, record_failed};
use crate::api::operators::params::{Id, Params, in_path, in_query};
use crate::api::operators::problem::Problem;
use crate::api::operators::{OperatorsParts, found};
use crate::model::{DeliveryId, Timestamp, described};
use crate::record::{AttemptShape, Cursor, Filter, LetterShape, PAGE_MAX, Replayed, ReplayedShape, Summary};

const LIMIT_DEFAULT: u32 = 100;

/// Parameters of a listing, as the document has them; [`Asked`] reads them.
pub(in crate::api::operators) struct ListParams;

impl utoipa::IntoParams for ListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = which();
        parameters.push(in_query("limit", "How many.", described::limit()));
        parameters.push(in_query("cursor", "`next` of the page before.", described::letter_cursor()));
        parameters
    }
}

/// The id in the path.
pub(in crate::api::operators) struct IdParams;

impl utoipa::IntoParams for IdParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("id", "The delivery's id.", described::delivery_id())]
    }
}

/// Some of the dead letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetters)]
struct ListShape {
    /// Those that died last first.
    dead_letters: Vec<LetterShape>,
    /// The next page's `cursor`; null: this was the last.
    #[schema(required)]
    next: Option<String>,
    /// Letters of this page that cannot be read, in words; they hide no other.
    problems: Vec<String>,
}

/// A dead letter with what is known of it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetterShown)]
#[expect(dead_code, reason = "it is only described: the body is written as it came")]
struct ShownShape {
    dead_letter: WithBodyShape,
    /// Its attempts that the history has, the first one first.
    attempts: Vec<AttemptShape>,
    /// How the answer to the last of them began; null when there is none.
    #[schema(required)]
    last_response: Option<String>,
    /// When and by whom it was put back to work before, the first time first.
    replays: Vec<ReplayedShape>,
}

/// A dead letter with its event's body.
#[derive(ToSchema)]
#[schema(as = DeadLetterWithBody)]
#[expect(dead_code, reason = "it is only described: the body is written as it came")]
pub(in crate::api::operators) struct WithBodyShape {
    #[serde(flatten)]
    letter: LetterShape,
    /// The event's body, byte for byte as it came.
    body: Map<String, Value>,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    filter: Filter,
    limit: u32,
    cursor: Option<Cursor>,
}

impl Asked {
    fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let asked = Self {
            filter: filter_of(&mut params, now),
            limit: params.whole("limit", 1..=PAGE_MAX).unwrap_or(LIMIT_DEFAULT),
            cursor: params.get("cursor", str::parse::<Cursor>),
        };
        params.finish().map(|()| asked)
    }
}

/// Deliveries that were given up, those first that died last.
///
/// A page looks at 10,000 letters at most, so with filters it may have fewer than `limit`, even none, and a `next` to go on with.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "dead letters", operation_id = "listDeadLetters", params(ListParams),
    responses((status = 200, description = "A page.", body = ListShape, example = json!({
        "deadLetters": [{
            "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "generation": 0, "webhookId": "wh1", "reason": "refused",
            "diedAt": "2026-03-31T12:34:56.842Z", "since": "2026-03-31T12:34:56.789Z", "attempts": 1,
            "lastOutcome": "refused", "lastStatus": 404, "lastError": "the receiver answered 404: no such hook",
            "eventId": "416d7a25-aa40-4106-9703-16f6a3de841f", "type": "note", "userId": "9ks5o1w5k3x90001",
            "source": "default", "server": "https://misskey.example", "createdAt": 1774960496012_u64,
            "acceptedAt": "2026-03-31T12:34:56.789Z", "bodyBytes": 812
        }],
        "next": "1774960496842.msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "problems": []
    })))
)]
pub(in crate::api::operators) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { filter, limit, cursor } = Asked::read(query.as_deref(), parts.clock.now())?;
    let letters = &parts.operations.letters;
    let page = letters.list(&filter, limit, cursor).await.map_err(|error| record_failed(&error))?;
    let dead_letters = page.letters.iter().map(Summary::to_shape).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(found(&ListShape { dead_letters, next, problems: page.problems }))
}

/// One dead letter with its body, its attempts, and who put it back to work before.
#[utoipa::path(
    get, path = "/v1/dead-letters/{id}", tag = "dead letters", operation_id = "showDeadLetter", params(IdParams),
    responses((status = 200, description = "It is there.", body = ShownShape, example = json!({
        "deadLetter": {
            "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "generation": 0, "webhookId": "wh1", "reason": "refused",
            "diedAt": "2026-03-31T12:34:56.842Z", "since": "2026-03-31T12:34:56.789Z", "attempts": 1,
            "lastOutcome": "refused", "lastStatus": 404, "lastError": "the receiver answered 404: no such hook",
            "eventId": "416d7a25-aa40-4106-9703-16f6a3de841f", "type": "note", "userId": "9ks5o1w5k3x90001",
            "source": "default", "server": "https://misskey.example", "createdAt": 1774960496012_u64,
            "acceptedAt": "2026-03-31T12:34:56.789Z", "bodyBytes": 812,
            "body": { "note": { "id": "9ks5o1w5k3x90002" } }
        },
        "attempts": [], "lastResponse": "no such hook",
        "replays": [{ "generation": 1, "how": "replay", "by": "admin", "at": "2026-04-01T08:00:00.000Z" }]
    })))
)]
pub(in crate::api::operators) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    Id(id): Id<DeliveryId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let letters = &parts.operations.letters;
    let letter = letters.show(&id).await.map_err(|error| record_failed(&error))?.ok_or_else(|| no_letter(&id))?;
    let replays = letters.replays(&id).await.map_err(|error| record_failed(&error))?;
    let replays: Vec<_> = replays.iter().map(Replayed::to_shape).collect();
    let attempts = attempts_of(&parts, &id).await;
    let last_response = attempts.last().map(|attempt| attempt["response"].clone());
    let head = json!({ "attempts": attempts, "lastResponse": last_response, "replays": replays }).to_string();
    // The letter goes in as text, with its body as it came: that may hold what a JSON value of ours cannot.
    let letter = letter.to_json();
    let answer = format!("{{\"deadLetter\":{letter},{}", head.strip_prefix('{').unwrap_or(&head));
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], answer).into_response())
}

/// Its attempts as the history has them; none when it has none, or cannot be read: the letter is worth showing without.
async fn attempts_of(parts: &OperatorsParts, id: &DeliveryId) -> Vec<Value> {
    let Some(history) = &parts.history else { return Vec::new() };
    match history.show(id).await {
        Ok(Some((_, attempts))) => attempts.iter().map(|attempt| attempt.to_json()).collect(),
        Ok(None) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WebhookId;

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

    #[test]
    fn a_page_is_asked_for_by_filter_limit_and_cursor() {
        let all = Asked { filter: Filter::default(), limit: 100, cursor: None };
        assert_eq!(Asked::read(None, NOW).expect("nothing"), all);
        let query = "webhook=wh1&limit=7&cursor=5.msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg";
        let filter = Filter { webhook: WebhookId::new("wh1").ok(), ..Filter::default() };
        let cursor = "5.msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg".parse().ok();
        assert_eq!(Asked::read(Some(query), NOW).expect("right"), Asked { filter, limit: 7, cursor });
    }

    #[test]
    fn a_limit_or_a_cursor_that_is_none_is_named() {
        for (parameter, value, words) in [
            ("limit", "-1", "from 1 to 1000"),
            ("limit", "1001", "from 1 to 1000"),
            ("cursor", "5.msg_x", "it is no place in a list of dead letters"),
            ("cursor", "1774960496789.81234", "it is no place in a list of dead letters"),
            ("all", "true", "there is no such parameter"),
        ] {
            let told = format!("{:?}", Asked::read(Some(&format!("{parameter}={value}")), NOW).expect_err(parameter));
            assert!(told.contains(&format!("parameter: {parameter:?}")) && told.contains(words), "{told}");
        }
    }
}
