//! `POST /ingest/misskey` and `/ingest/misskey/{source}`: where an unmodified Misskey's webhooks point.
//!
//! Misskey sends one event a request, `{"server","hookId","userId","eventId","createdAt","type","body"}` (a system webhook's
//! has no `userId`), and the webhook's secret in clear text in `X-Misskey-Hook-Secret`. The source is the path's (`default`
//! without one), whatever the body says; whose event it is must be within the secret's scope (`decide::Gate`). An event
//! without `userId` is a system event, whoever sends it.
//!
//! Misskey waits 5 s for an answer, tries again after 5xx and no answer (4 times in about 11 minutes), follows redirects with
//! the secret, and throws the event away after any 4xx but 429. So every answer comes within [`ANSWER_WAIT_MAX`], and is 4xx
//! only where trying again is pointless:
//!
//! | status | when |
//! |---|---|
//! | 204 | the event is stored durably, now or when it was sent before |
//! | 400 | it is no event |
//! | 401 | no secret, a wrong one, or one that may not bring this event |
//! | 404 | the settings name no such source |
//! | 405 | not a POST |
//! | 413 | it is too large |
//! | 503 | not stored, or not known to be in time, or no `[[misskey.ingest]]` is set at all; `Retry-After` |
//!
//! What Misskey sends again is taken in once ([`Ingest::accept`]): it keeps `hookId` and `eventId` through its retries. All
//! but 204 have a body `{"error":"..","requestId":".."}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{Extension, Router};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::{Ingest, MISSKEY_PATH, new_event_id};
use crate::decide::{Admission, Credential, Gate};
use crate::incoming::{BodyError, RequestId, declared_bytes, drain, is_compressed, whole};
use crate::model::{Arrival, Draft, Event, EventError, IngestRefusal, ReceiptKey, Source, UserId};
use crate::queue::{Once, QueueError};
use crate::telemetry::chain;
use crate::traces::{Kind, Span, traceparent};

/// Within what every request is answered: Misskey's own limit is 5 s, from before it looks our name up and connects.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(4);
/// When Misskey should try again; it waits a minute anyway.
const RETRY_AFTER_S: &str = "30";
/// Most of Misskey's bodies are smaller than this.
const BODY_UNIT_BYTES: usize = 16 * 1024;
/// Bodies of at most a unit that are held at a time, over all requests: 32 MiB, and more of them than there are
/// connections, so that nobody who sends slowly, or claims much and sends nothing, keeps ordinary events out.
const SMALL_BODIES_MAX: usize = 2048;
/// Bytes of all other bodies that are held at a time, in units: 32 MiB.
const LARGE_UNITS_MAX: u32 = 2048;
/// What a request is called in traces.
const POST: &str = "POST /ingest/misskey";
/// Carries the secret, in clear text.
const SECRET_HEADER: &str = "x-misskey-hook-secret";
/// Carries the webhook's id at Misskey; shown in the log, and nothing else.
const HOOK_HEADER: &str = "x-misskey-hook-id";

/// Who may bring what.
#[derive(Clone, Debug, Default)]
pub struct MisskeyPolicy {
    /// Each source with what opens it; of a source there may be several.
    pub credentials: Vec<(Source, Credential)>,
}

struct Door {
    ingest: Ingest,
    gates: BTreeMap<Source, Gate>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// The gate of each source.
pub(super) fn gates_of(policy: MisskeyPolicy) -> BTreeMap<Source, Gate> {
    let mut gates = BTreeMap::new();
    for (source, credential) in policy.credentials {
        gates.entry(source.clone()).or_insert_with(|| Gate::new(source)).add(credential);
    }
    gates
}

/// All that stands behind the path of the endpoint.
type NamedSource = Result<Path<String>, PathRejection>;
/// What the request is called.
type Named = Option<Extension<RequestId>>;

/// The routes `POST /ingest/misskey` and `POST /ingest/misskey/{source}`, each with and without a slash at its end. All else
/// below them is an unknown source, so that a slip in a webhook's URL is counted and told in words.
pub fn misskey_router(ingest: Ingest, policy: MisskeyPolicy) -> Router {
    let door = Arc::new(Door::new(ingest, gates_of(policy)));
    let of_default = async |State(door): State<Arc<Door>>, id: Named, headers: HeaderMap, body: Body| {
        door.answer(Source::default().as_str(), id.as_deref(), headers, body).await
    };
    let of_named =
        async |State(door): State<Arc<Door>>, source: NamedSource, id: Named, headers: HeaderMap, body: Body| {
            // What is no UTF-8 is no source.
            let source = source.map(|Path(source)| source).unwrap_or_default();
            door.answer(source.trim_end_matches('/'), id.as_deref(), headers, body).await
        };
    Router::new()
        .route(MISSKEY_PATH, only(post(of_default)))
        .route(&format!("{MISSKEY_PATH}/"), only(post(of_default)))
        .route(&format!("{MISSKEY_PATH}/{{*source}}"), only(post(of_named)))
        .with_state(door)
}

/// Says in words that nothing but POST is known here: whoever opens the address in a browser wants to know that it is there.
fn only<S: Clone + Send + Sync + 'static>(post: MethodRouter<S>) -> MethodRouter<S> {
    post.fallback(async |id: Named| {
        let words = "this is where a Misskey's webhook points, which sends POST";
        (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], error_body(id.as_deref(), words)).into_response()
    })
}

impl Door {
    fn new(ingest: Ingest, gates: BTreeMap<Source, Gate>) -> Self {
        let small = Arc::new(Semaphore::new(SMALL_BODIES_MAX));
        let large = Arc::new(Semaphore::new(LARGE_UNITS_MAX as usize));
        Self { ingest, gates, small, large }
    }

    async fn answer(&self, source: &str, id: Option<&RequestId>, headers: HeaderMap, mut body: Body) -> Response {
        let deadline = Instant::now() + ANSWER_WAIT_MAX;
        let mut span = self.ingest.tracer.begin(Kind::Server, POST, traceparent(&headers));
        let taken = self.take(source, &headers, &mut body, deadline, &span).await;
        let status = taken.as_ref().map_or_else(Refusal::status, |()| StatusCode::NO_CONTENT);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) {
            // Who is not let in leaves no span either.
            span.discard();
        }
        span.answered(MISSKEY_PATH, id.map_or("", RequestId::as_str), status.as_u16());
        drop(span);
        let Err(refusal) = taken else { return StatusCode::NO_CONTENT.into_response() };
        let hook = headers.get(HOOK_HEADER).and_then(|hook| hook.to_str().ok()).unwrap_or_default();
        self.ingest.telemetry.ingest_refused(refusal.reason(), cut(source), cut(hook), &refusal.words());
        drain(&headers, body, deadline.saturating_duration_since(Instant::now())).await;
        refusal.response(id)
    }

    async fn take(
        &self,
        source: &str,
        headers: &HeaderMap,
        body: &mut Body,
        deadline: Instant,
        span: &Span,
    ) -> Result<(), Refusal> {
        let gate = self.gate(source)?;
        let secret = headers.get(SECRET_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
        if secret.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let room = self.room_for(headers, deadline).await?;
        let bytes = self.read(body, deadline).await?;
        let (event, receipt) = self.admitted(gate, secret, headers, &bytes)?;
        match timeout_at(deadline, self.ingest.accept(event, receipt, room, span)).await {
            Ok(Ok(Once::Stored | Once::Known)) => Ok(()),
            Ok(Err(error)) => Err(Refusal::NotStored(error)),
            Err(_) => Err(Refusal::NotInTime),
        }
    }

    fn gate(&self, source: &str) -> Result<&Gate, Refusal> {
        if self.gates.is_empty() {
            return Err(Refusal::NotConfigured);
        }
        let source = Source::new(source).map_err(|_| Refusal::UnknownSource)?;
        self.gates.get(&source).ok_or(Refusal::UnknownSource)
    }

    /// Waits for room in memory for the request's body.
    async fn room_for(&self, headers: &HeaderMap, deadline: Instant) -> Result<OwnedSemaphorePermit, Refusal> {
        let max = self.ingest.policy.event_bytes_max;
        let length = declared_bytes(headers).unwrap_or(max);
        if length > max {
            return Err(Refusal::TooLarge { max });
        }
        let (bodies, units) = match u32::try_from(length.div_ceil(BODY_UNIT_BYTES)).unwrap_or(u32::MAX) {
            0 | 1 => (&self.small, 1),
            units => (&self.large, units.min(LARGE_UNITS_MAX)),
        };
        match timeout_at(deadline, Arc::clone(bodies).acquire_many_owned(units)).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Refusal::Busy),
        }
    }

    async fn read(&self, body: &mut Body, deadline: Instant) -> Result<Bytes, Refusal> {
        let max = self.ingest.policy.event_bytes_max;
        match timeout_at(deadline, whole(body, max)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(BodyError::TooLarge)) => Err(Refusal::TooLarge { max }),
            Ok(Err(BodyError::BrokenOff(_))) | Err(_) => Err(Refusal::Incomplete),
        }
    }

    /// The event, if it is one and the secret may bring it, and what names it among all that its Misskey sends. Who has no
    /// right secret is told so first, and nothing else.
    fn admitted(
        &self,
        gate: &Gate,
        secret: &[u8],
        headers: &HeaderMap,
        bytes: &Bytes,
    ) -> Result<(Event, Option<ReceiptKey>), Refusal> {
        let event_bytes_max = self.ingest.policy.event_bytes_max;
        let draft = Draft::find(bytes, event_bytes_max);
        let user = draft.as_ref().map_err(Clone::clone).and_then(Draft::user);
        match (gate.admits(secret, user.as_ref().ok().and_then(Option::as_ref)), user) {
            (Admission::WrongSecret, _) => return Err(Refusal::WrongSecret),
            (Admission::OutOfScope, Ok(user)) => return Err(Refusal::OutOfScope { user }),
            (Admission::OutOfScope | Admission::Admitted, Err(_)) if is_compressed(headers) => {
                return Err(Refusal::Compressed);
            }
            (Admission::OutOfScope | Admission::Admitted, Err(error)) => return Err(Refusal::NotAnEvent(error)),
            (Admission::Admitted, Ok(_)) => {}
        }
        let arrival = Arrival {
            now: self.ingest.clock.now(),
            event_id: new_event_id(),
            event_bytes_max,
            source: Some(gate.source().clone()),
        };
        let draft = draft.map_err(Refusal::NotAnEvent)?;
        let receipt = draft.receipt(gate.source());
        Ok((draft.read(arrival).map_err(Refusal::NotAnEvent)?, receipt))
    }
}

/// As much of a text that a stranger chose as fits into a log line.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

/// Why a request was not taken in.
enum Refusal {
    NotConfigured,
    UnknownSource,
    NoSecret,
    WrongSecret,
    OutOfScope { user: Option<UserId> },
    TooLarge { max: usize },
    Compressed,
    NotAnEvent(EventError),
    Busy,
    Incomplete,
    NotStored(QueueError),
    NotInTime,
}

impl Refusal {
    fn reason(&self) -> IngestRefusal {
        match self {
            Self::NotConfigured => IngestRefusal::NotConfigured,
            Self::UnknownSource => IngestRefusal::UnknownSource,
            Self::NoSecret => IngestRefusal::NoSecret,
            Self::WrongSecret => IngestRefusal::WrongSecret,
            Self::OutOfScope { .. } => IngestRefusal::OutOfScope,
            Self::TooLarge { .. } => IngestRefusal::TooLarge,
            Self::Compressed | Self::NotAnEvent(_) => IngestRefusal::NotAnEvent,
            Self::Busy => IngestRefusal::Busy,
            Self::Incomplete => IngestRefusal::Incomplete,
            Self::NotStored(_) => IngestRefusal::NotStored,
            Self::NotInTime => IngestRefusal::NotInTime,
        }
    }

    fn status(&self) -> StatusCode {
        match self.reason() {
            IngestRefusal::NoSecret | IngestRefusal::WrongSecret | IngestRefusal::OutOfScope => {
                StatusCode::UNAUTHORIZED
            }
            IngestRefusal::UnknownSource => StatusCode::NOT_FOUND,
            IngestRefusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            IngestRefusal::NotAnEvent => StatusCode::BAD_REQUEST,
            // Its lack is ours to mend, and Misskey keeps the event meanwhile.
            IngestRefusal::NotConfigured
            | IngestRefusal::Busy
            | IngestRefusal::Incomplete
            | IngestRefusal::NotStored
            | IngestRefusal::NotInTime => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn words(&self) -> String {
        let limit_s = ANSWER_WAIT_MAX.as_secs();
        match self {
            Self::NotConfigured => "hikyaku has no [[misskey.ingest]] in its settings, so it cannot tell who may post \
                                    here; set one, with the secret of Misskey's webhook, and start it again"
                .to_owned(),
            Self::UnknownSource => "no [[misskey.ingest]] in hikyaku's settings has this source; the path must be \
                                    /ingest/misskey, or end with a source that is there"
                .to_owned(),
            Self::NoSecret => "X-Misskey-Hook-Secret is missing or empty; give Misskey's webhook the secret that \
                               [[misskey.ingest]] in hikyaku's settings has"
                .to_owned(),
            Self::WrongSecret => {
                "the secret is wrong, or it is another user's; Misskey's webhook must have the one that \
                                  [[misskey.ingest]] in hikyaku's settings has for this source"
                    .to_owned()
            }
            Self::OutOfScope { user: None } => {
                "the secret is not one for system events, and an event without userId is \
                                                one; it needs a secret with the scope system or any"
                    .to_owned()
            }
            Self::OutOfScope { user: Some(user) } => {
                format!("the secret's scope does not cover events of the user {user}")
            }
            Self::TooLarge { max } => format!("the event has more bytes than the {max} that are allowed"),
            Self::Compressed => "the request has a Content-Encoding; it must come as it is, not compressed".to_owned(),
            Self::NotAnEvent(error) => error.to_string(),
            Self::Busy => "not stored, send it again: too many requests at once".to_owned(),
            Self::Incomplete => format!("not stored, send it again: the request did not arrive within {limit_s} s"),
            Self::NotStored(error) => format!("not stored, send it again: {}", chain(error)),
            Self::NotInTime => {
                format!("not known to be stored, send it again: the queue did not answer within {limit_s} s")
            }
        }
    }
}

impl Refusal {
    fn response(self, id: Option<&RequestId>) -> Response {
        let status = self.status();
        let mut response = (status, error_body(id, &self.words())).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

fn error_body(id: Option<&RequestId>, words: &str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], RequestId::refusal(id, words))
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_LENGTH;

    use super::*;
    use crate::clock::SystemClock;
    use crate::decide::IngestScope;
    use crate::incoming::dripping;
    use crate::model::Secret;
    use crate::queue::{Access, FileOptions, Queue};
    use crate::telemetry::Telemetry;

    /// Misskey's own limit, which begins before ours does.
    const MISSKEYS_LIMIT: Duration = Duration::from_secs(5);

    async fn door(folder: &std::path::Path) -> Door {
        let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared().expect("metrics"));
        let options = FileOptions { path: folder.join("queue.db"), bytes_max: None };
        let queue = Queue::open_sqlite(options, Access::Producer, Arc::clone(&clock), telemetry.clone()).await;
        let policy = super::super::Policy { event_bytes_max: 1 << 20, server: None };
        let ingest = Ingest::new(queue.expect("a queue"), clock, telemetry, policy);
        let mut gate = Gate::new(Source::default());
        gate.add(Credential::Secret { secret: Secret::new("right"), scope: IngestScope::Any });
        Door::new(ingest, BTreeMap::from([(Source::default(), gate)]))
    }

    fn headers() -> HeaderMap {
        HeaderMap::from_iter([(SECRET_HEADER.parse().expect("a name"), HeaderValue::from_static("right"))])
    }

    #[tokio::test]
    async fn a_body_that_drips_in_is_answered_503_before_misskey_gives_up_and_gives_its_room_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path()).await;
        tokio::time::pause();
        let began = Instant::now();
        let response = door.answer("default", None, headers(), dripping()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], RETRY_AFTER_S);
        assert!(began.elapsed() < MISSKEYS_LIMIT, "{:?}", began.elapsed());
        assert_eq!(door.large.available_permits(), LARGE_UNITS_MAX as usize);
    }

    #[tokio::test]
    async fn what_finds_no_room_in_memory_is_answered_503_before_misskey_gives_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path()).await;
        let others = Arc::clone(&door.large).acquire_many_owned(LARGE_UNITS_MAX).await.expect("free");
        tokio::time::pause();
        let began = Instant::now();
        let response = door.answer("default", None, headers(), Body::from(r#"{"type":"note","body":{}}"#)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(began.elapsed() < MISSKEYS_LIMIT, "{:?}", began.elapsed());
        drop(others);
    }

    #[tokio::test]
    async fn while_large_bodies_take_all_their_room_an_event_as_misskey_sends_them_comes_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path()).await;
        let _others = Arc::clone(&door.large).acquire_many_owned(LARGE_UNITS_MAX).await.expect("free");
        let mut headers = headers();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(BODY_UNIT_BYTES));
        let event = format!("{:1$}", r#"{"type":"note","body":{}}"#, BODY_UNIT_BYTES);
        assert_eq!(door.answer("default", None, headers, Body::from(event)).await.status(), StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn a_refused_body_that_drips_in_does_not_keep_its_answer_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path()).await;
        tokio::time::pause();
        let began = Instant::now();
        let response = door.answer("default", None, HeaderMap::new(), dripping()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(began.elapsed() < MISSKEYS_LIMIT, "{:?}", began.elapsed());
    }
}
