//! `POST /v1/events`: events by HTTP, with an operator's bearer token of full access.
//!
//! The body is one event, an array of events, or NDJSON. The valid events of a request are stored all or none. Answers:
//!
//! | status | when | body |
//! |---|---|---|
//! | 200 | at least one event was valid; all valid ones are stored | `{"accepted":2,"refused":1,"results":[..]}` |
//! | 400 | none was valid, or the request is not JSON, or has a parameter; nothing is stored | a problem, in the first case with the same beside it, in the last with `errors` |
//! | 401 | no token, or a wrong one | a problem |
//! | 403 | a token that is for looking only | a problem |
//! | 405 | it is no POST | a problem |
//! | 408 | the body did not arrive in time | a problem |
//! | 413 | the request is too large, or has too many events | a problem |
//! | 415 | the body is compressed | a problem |
//! | 503 | not stored, or not known to be; send it again after `Retry-After` seconds | a problem |
//!
//! A problem is a document of RFC 9457, as all of `/v1/` answers: `{"type":"about:blank","title":"..","status":400,"detail":".."}`,
//! and its words once more as `error`, where they stood before.
//!
//! A result is `{"status":"accepted","eventId":".."}` or `{"status":"refused","field":"body","error":".."}` (`field` is null
//! when no one field is at fault), in the order of the items. In a problem of the
//! request as a whole stands `requestId` too.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Extension, Router};
use serde::{Serialize, Serializer};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::described::{EventsShape, ReportShape};
use super::{Ingest, ItemResult, ItemsError, split};
use crate::incoming::{
    BodyError, Mistake, NotAdmitted, RequestId, admit_to_change, declared_bytes, drain, is_compressed, parameters,
    unknown, whole,
};
use crate::model::Tokens;
use crate::telemetry::chain;
use crate::traces::{Kind, Span, traceparent};

/// Where events come in.
const PATH: &str = "/v1/events";
/// What such a request is called in traces.
const POST: &str = "POST /v1/events";
/// Bytes of request bodies that are held at a time, over all requests, in units of a mebibyte.
const BODIES_MIB_MAX: usize = 64;
/// Items that are held at a time, over all requests of many items, in shares of [`ITEMS_PER_SHARE`]: one request of
/// [`super::ITEMS_MAX`], and some smaller ones. An item of 22 bytes takes some 25 times that while it is parsed and stored
/// (measured: 544 MB for ten times 100,000), so bodies alone do not tell what a request takes.
const ITEM_SHARES: usize = 64;
/// Items to a share. A request of fewer takes none, so that nobody waits behind others' bulk for a few events; of such
/// requests there are at most [`BODIES_MIB_MAX`] at a time.
const ITEMS_PER_SHARE: usize = 2048;
/// How long a request waits for its share of either.
const SHARE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a producer may take to send its body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the rest of a request that is refused is read and thrown away.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(10);
/// When a producer should try again after a 503.
const RETRY_AFTER_S: &str = "5";

/// What `POST /v1/events` asks and allows.
#[derive(Clone, Debug)]
pub struct HttpPolicy {
    /// Who is let in.
    pub tokens: Tokens,
    /// Bytes that a request may have.
    pub request_bytes_max: usize,
}

pub(crate) struct Door {
    ingest: Ingest,
    policy: HttpPolicy,
    bodies: Semaphore,
    items: Semaphore,
}

/// The route `POST /v1/events`.
pub fn router(ingest: Ingest, policy: HttpPolicy) -> Router {
    let shares = BODIES_MIB_MAX.max(mebibytes(policy.request_bytes_max) as usize);
    let door = Arc::new(Door { ingest, policy, bodies: Semaphore::new(shares), items: Semaphore::new(ITEM_SHARES) });
    let not_post = async |id: Named| Refusal::NotPost.response(id.as_deref());
    Router::new().route(PATH, post(take_events).fallback(not_post)).with_state(door)
}

/// The same before there is anything to store events in, for `reason`: whoever sends some is to send them again.
pub fn waiting_router(reason: watch::Receiver<String>) -> Router {
    let not_yet = async |State(reason): State<watch::Receiver<String>>, id: Named| {
        let reason = reason.borrow().clone();
        Refusal::NotStored(reason).response(id.as_deref())
    };
    Router::new().route(PATH, any(not_yet)).with_state(reason)
}

/// What the request is called.
pub(crate) type Named = Option<Extension<RequestId>>;

/// Takes events in: one, several, or lines of them.
///
/// The valid events of a request are stored all or none, and 200 says that they are stored. Sent again with the same eventId, an
/// event may be delivered twice, with the same delivery id.
#[utoipa::path(
    post, path = "/v1/events", tag = "events", operation_id = "takeEvents",
    request_body(
        content((EventsShape = "application/json"), (String = "application/x-ndjson")),
        description = "One event, an array of events, or lines of one event each."
    ),
    responses((
        status = 200, description = "At least one event was valid, and all that were are stored.", body = ReportShape,
        example = json!({"accepted": 1, "refused": 1, "results": [
            {"status": "accepted", "eventId": "416d7a25-aa40-4106-9703-16f6a3de841f"},
            {"status": "refused", "field": "body", "error": "`body` is missing"}
        ]})
    ))
)]
pub(crate) async fn take_events(
    State(door): State<Arc<Door>>,
    id: Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let mut span = door.ingest.tracer.begin(Kind::Server, POST, traceparent(&headers));
    let taken = door.take(&headers, query.as_deref(), &mut body, &mut span).await;
    let response = match taken {
        Ok(response) => response,
        Err(refusal) => {
            if !matches!(refusal, Refusal::TooSlow) {
                drain(&headers, body, DRAIN_WAIT_MAX).await;
            }
            refusal.response(id.as_deref())
        }
    };
    span.answered(PATH, id.as_deref().map_or("", RequestId::as_str), response.status().as_u16());
    response
}

/// Why a request was turned away as a whole.
enum Refusal {
    NotPost,
    NotAdmitted(NotAdmitted),
    Unknown(Vec<Mistake>),
    TooLarge(String),
    TooSlow,
    Compressed,
    Malformed(String),
    NotStored(String),
    NotConfirmed(String),
}

impl Door {
    async fn take(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &mut Body,
        span: &mut Span,
    ) -> Result<Response, Refusal> {
        // Who is not let in leaves no span either.
        self.check_token(headers).inspect_err(|_| span.discard())?;
        let unknown = unknown(&parameters(query), &[]);
        if !unknown.is_empty() {
            return Err(Refusal::Unknown(unknown));
        }
        if is_compressed(headers) {
            return Err(Refusal::Compressed);
        }
        let _body_share = self.body_share(headers).await?;
        let bytes = self.read(body).await?;
        let items = split(&bytes, is_ndjson(headers)).map_err(|error| match error {
            ItemsError::TooMany => Refusal::TooLarge(error.to_string()),
            ItemsError::Empty | ItemsError::NotJson(_) | ItemsError::BrokenArray => Refusal::Malformed(chain(&error)),
        })?;
        // After the body's share, and of another budget: whoever waits here holds nothing that one waits for who has both.
        let _items_share = acquire(&self.items, item_shares(items.len())).await?;
        let results = self.ingest.offer_within(&items, span).await.map_err(|error| {
            let words = chain(&error);
            if error.may_be_stored() { Refusal::NotConfirmed(words) } else { Refusal::NotStored(words) }
        })?;
        Ok(report(&results))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let admitted = admit_to_change(&self.policy.tokens, headers);
        if admitted == Err(NotAdmitted::WrongToken) {
            self.ingest.telemetry.token_refused(PATH);
        }
        admitted.map(drop).map_err(Refusal::NotAdmitted)
    }

    /// Waits for room in memory for the request's body.
    async fn body_share(&self, headers: &HeaderMap) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        let length = declared_bytes(headers).unwrap_or(self.policy.request_bytes_max);
        if length > self.policy.request_bytes_max {
            return Err(self.too_large());
        }
        acquire(&self.bodies, mebibytes(length)).await
    }

    async fn read(&self, body: &mut Body) -> Result<Bytes, Refusal> {
        let read = tokio::time::timeout(BODY_WAIT_MAX, whole(body, self.policy.request_bytes_max));
        read.await.map_err(|_| Refusal::TooSlow)?.map_err(|error| match error {
            BodyError::TooLarge => self.too_large(),
            BodyError::BrokenOff(words) => Refusal::Malformed(words),
        })
    }

    fn too_large(&self) -> Refusal {
        let max = self.policy.request_bytes_max;
        Refusal::TooLarge(format!("the request has more than {max} bytes; send its events in several requests"))
    }
}

/// Nothing to hold for no shares, for which nobody waits.
async fn acquire(budget: &Semaphore, shares: u32) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
    if shares == 0 {
        return Ok(None);
    }
    match tokio::time::timeout(SHARE_WAIT_MAX, budget.acquire_many(shares)).await {
        Ok(Ok(share)) => Ok(Some(share)),
        _ => Err(Refusal::NotStored("too many requests at once".to_owned())),
    }
}

/// Rounded down: none for a request of few items.
fn item_shares(items: usize) -> u32 {
    u32::try_from(items / ITEMS_PER_SHARE).unwrap_or(u32::MAX)
}

/// Rounded up, and at least one.
fn mebibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024 * 1024).max(1)).unwrap_or(u32::MAX)
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

fn report(results: &[ItemResult]) -> Response {
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    let report = |problem| Report { problem, accepted, refused: results.len() - accepted, results };
    if accepted > 0 {
        return ([(CONTENT_TYPE, "application/json")], text_of(&report(None))).into_response();
    }
    let status = StatusCode::BAD_REQUEST;
    problem(status, &report(Some(Problem::of(status, "none of these is an event; `results` says of each why"))))
}

/// An answer that is a problem document.
fn problem(status: StatusCode, document: &impl Serialize) -> Response {
    (status, [(CONTENT_TYPE, "application/problem+json")], text_of(document)).into_response()
}

#[expect(clippy::expect_used, reason = "numbers and texts under fixed names always are JSON")]
fn text_of(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("it is JSON")
}

/// What every problem document has (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl<'a> Problem<'a> {
    fn of(status: StatusCode, detail: &'a str) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self { r#type: "about:blank", title, status: status.as_u16(), detail }
    }
}

/// A request that was turned away as a whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused<'a> {
    #[serde(flatten)]
    problem: Problem<'a>,
    /// `detail`, where it stood before there were problem documents.
    error: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Mistake],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// What is told of a request's items, written item by item: a tree of 100,000 values would take more than the items.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    problem: Option<Problem<'a>>,
    accepted: usize,
    refused: usize,
    #[serde(serialize_with = "lines_of")]
    results: &'a [ItemResult],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Accepted {
        #[serde(rename = "eventId")]
        event_id: &'a str,
        status: &'static str,
    },
    Refused {
        error: String,
        field: Option<&'static str>,
        status: &'static str,
    },
}

fn lines_of<S: Serializer>(results: &[ItemResult], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(results.iter().map(|result| match result {
        Ok(accepted) => Line::Accepted { event_id: accepted.id.as_str(), status: "accepted" },
        Err(error) => Line::Refused { error: error.to_string(), field: error.field(), status: "refused" },
    }))
}

impl Refusal {
    fn response(self, id: Option<&RequestId>) -> Response {
        let mut errors = Vec::new();
        let (status, words) = match self {
            Self::NotPost => (StatusCode::METHOD_NOT_ALLOWED, "events come in here by POST".to_owned()),
            Self::NotAdmitted(why @ NotAdmitted::ReadOnly(_)) => (StatusCode::FORBIDDEN, why.to_string()),
            Self::NotAdmitted(why) => (StatusCode::UNAUTHORIZED, why.to_string()),
            Self::Unknown(unknown) => {
                errors = unknown;
                (StatusCode::BAD_REQUEST, Mistake::all_in_words(&errors))
            }
            Self::TooLarge(words) => (StatusCode::PAYLOAD_TOO_LARGE, words),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                format!("the request's body did not arrive within {} seconds", BODY_WAIT_MAX.as_secs()),
            ),
            Self::Compressed => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the request has a Content-Encoding; send its events as they are, not compressed".to_owned(),
            ),
            Self::Malformed(words) => (StatusCode::BAD_REQUEST, words),
            Self::NotStored(words) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("not stored, keep it and send it again: {words}"))
            }
            Self::NotConfirmed(words) => {
                let advice =
                    "some of it may be stored all the same, keep all of it and send it again with the same eventIds";
                (StatusCode::SERVICE_UNAVAILABLE, format!("not confirmed: {advice}: {words}"))
            }
        };
        let request_id = id.map(RequestId::as_str);
        let mut response = problem(
            status,
            &Refused { problem: Problem::of(status, &words), error: &words, errors: &errors, request_id },
        );
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::super::{Accepted, ITEMS_MAX};
    use super::*;
    use crate::clock::SystemClock;
    use crate::incoming::dripping;
    use crate::model::{EventError, EventId, TokenHash};
    use crate::queue::{Access, FileOptions, Queue};
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn a_report_tells_of_each_item_in_order_and_escapes_what_it_tells() {
        let accepted = Accepted { id: EventId::new("a\"b").expect("an id") };
        let broken = EventError::NotJson { detail: "at \"x\"".to_owned() };
        let results = [Ok(accepted), Err(EventError::Missing { field: "body" }), Err(broken)];
        let response = report(&results);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let text = response.into_body().collect().await.expect("a body").to_bytes();
        let told: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let missing = EventError::Missing { field: "body" }.to_string();
        let results = json!([
            {"status": "accepted", "eventId": "a\"b"},
            {"status": "refused", "field": "body", "error": missing},
            {"status": "refused", "field": null, "error": "the event is not JSON: at \"x\""},
        ]);
        assert_eq!(told, json!({"accepted": 1, "refused": 2, "results": results}));
        assert_eq!(report(&[Err(EventError::Missing { field: "body" })]).status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_waits_for_bulk_and_is_turned_away_in_time_while_few_items_pass() {
        let items = Semaphore::new(ITEM_SHARES);
        let largest = item_shares(ITEMS_MAX);
        let Ok(held) = acquire(&items, largest).await else { panic!("the largest request finds room") };
        assert!(matches!(acquire(&items, largest).await, Err(Refusal::NotStored(_))), "it would be twice the memory");
        let waiting = acquire(&items, largest);
        let few = async { acquire(&items, item_shares(ITEMS_PER_SHARE - 1)).await.is_ok() };
        let release = async { drop(held) };
        let (waited, few, ()) = tokio::join!(waiting, few, release);
        assert!(few, "few items wait for nobody");
        assert!(waited.is_ok(), "bulk comes in when the other is done");
    }

    #[tokio::test]
    async fn a_body_that_drips_in_is_given_up_after_its_time_and_gives_its_share_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared().expect("metrics"));
        let options = FileOptions { path: folder.path().join("queue.db"), bytes_max: None };
        let queue = Queue::open_sqlite(options, Access::Producer, Arc::clone(&clock), telemetry.clone()).await;
        let policy = super::super::Policy { event_bytes_max: 1 << 20, server: None };
        let ingest = Ingest::new(queue.expect("a queue"), clock, telemetry, policy);
        let policy =
            HttpPolicy { tokens: Tokens::new(Some(TokenHash::of("a-token")), []), request_bytes_max: 16 << 20 };
        let (bodies, items) = (Semaphore::new(BODIES_MIB_MAX), Semaphore::new(ITEM_SHARES));
        let door = Arc::new(Door { ingest, policy, bodies, items });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer a-token".parse().expect("a value"));
        tokio::time::pause();
        let began = tokio::time::Instant::now();

        let response = take_events(State(Arc::clone(&door)), None, RawQuery(None), headers, dripping()).await;

        assert_eq!(
            (response.status(), began.elapsed().as_secs()),
            (StatusCode::REQUEST_TIMEOUT, BODY_WAIT_MAX.as_secs())
        );
        let text = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(String::from_utf8_lossy(&text).contains("within 60 seconds"), "{text:?}");
        assert_eq!(door.bodies.available_permits(), BODIES_MIB_MAX);
    }
}
