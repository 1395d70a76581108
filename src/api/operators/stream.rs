//! `GET /v1/stream`: what becomes of deliveries, as it happens, as server-sent events.
//!
//! | parameter | is |
//! |---|---|
//! | `webhook` | only what is about this webhook |
//! | `kind` | only this: `delivered`, `failed`, `parked`, `dead`, `dropped` |
//!
//! ```text
//! event: delivered
//! data: {"at":"..","id":"msg_..","eventId":"..","webhookId":"..",..}
//! ```
//!
//! Beside those kinds: `missed` with `{"missed":12}` when the listener was too slow, and `end` when hikyaku stops. A comment
//! comes every 15 s, so that nobody takes the silence for a broken connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::OperatorsParts;
use super::params::{Params, in_query, quoted};
use super::problem::{Problem, text_of};
use crate::deliver::{HappeningKind, Heard, LISTENERS_MAX, Listener};
use crate::model::{WebhookId, described};

/// How long nothing may come.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// What is sent at once: a client that connects sees that it is heard.
const HELLO: &[u8] = b": hikyaku\n\n";

/// Parameters, as the document has them; [`Asked`] reads them.
pub(super) struct StreamParams;

impl utoipa::IntoParams for StreamParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            in_query("webhook", "Only what is about this webhook.", described::token()),
            in_query("kind", "Only this.", described_kind()),
        ]
    }
}

fn described_kind() -> Object {
    let names = HappeningKind::ALL.map(HappeningKind::as_str);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    webhook: Option<WebhookId>,
    kind: Option<HappeningKind>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let kind = |text: &str| {
            let names = || HappeningKind::ALL.map(HappeningKind::as_str).join(", ");
            let found = HappeningKind::ALL.into_iter().find(|kind| kind.as_str() == text);
            found.ok_or_else(|| format!("{} is none of {}", quoted(text), names()))
        };
        let asked = Self { webhook: params.get("webhook", WebhookId::new), kind: params.get("kind", kind) };
        params.finish().map(|()| asked)
    }

    /// What the listener gets of it, if anything.
    fn told(&self, heard: &Heard) -> Option<Bytes> {
        let event = |name: &str, data: &str| Some(format!("event: {name}\ndata: {data}\n\n").into());
        match heard {
            Heard::Happening(happening) => {
                let is_wanted = self.kind.is_none_or(|kind| kind == happening.kind)
                    && self.webhook.as_ref().is_none_or(|webhook| happening.is_of(webhook));
                if is_wanted { event(happening.kind.as_str(), &text_of(&**happening)) } else { None }
            }
            Heard::Missed(missed) => event("missed", &format!("{{\"missed\":{missed}}}")),
            Heard::End => event("end", "{}"),
        }
    }
}

/// What becomes of deliveries, as it happens, as server-sent events.
///
/// Of this worker's deliveries, from now on. The event's name is what happened: `delivered`, `failed` (and tried again), `parked`,
/// `dead` or `dropped`; its data is a JSON object. Whoever does not keep up gets `missed` with how many are gone; `end` comes when
/// hikyaku stops.
#[utoipa::path(
    get, path = "/v1/stream", tag = "deliveries", operation_id = "streamDeliveries", params(StreamParams),
    responses((status = 200, description = "They follow.", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn listen(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref())?;
    let listener = parts.live.listen().ok_or_else(|| {
        let words = format!("{LISTENERS_MAX} listen already, and more may not; try again when one of them has gone");
        Problem::of(StatusCode::SERVICE_UNAVAILABLE, words)
    })?;
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(told(asked, listener))).into_response())
}

/// What `listener` hears of what is `asked` for, until the end.
fn told(asked: Asked, listener: Listener) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    let hello = futures_util::stream::iter([Ok(Bytes::from_static(HELLO))]);
    let rest = futures_util::stream::unfold(Some((asked, listener)), async |state| {
        let (asked, mut listener) = state?;
        let silence = tokio::time::sleep(SILENCE_MAX);
        tokio::pin!(silence);
        loop {
            let heard = tokio::select! {
                heard = listener.next() => heard,
                () = &mut silence => return Some((Ok(Bytes::from_static(b": still here\n\n")), Some((asked, listener)))),
            };
            if let Some(bytes) = asked.told(&heard) {
                let state = if matches!(heard, Heard::End) { None } else { Some((asked, listener)) };
                return Some((Ok(bytes), state));
            }
        }
    });
    futures_util::StreamExt::chain(hello, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_a_mistake_is_named() {
        assert_eq!(Asked::read(None).expect("nothing"), Asked::default());
        let asked = Asked { webhook: WebhookId::new("wh1").ok(), kind: Some(HappeningKind::Dead) };
        assert_eq!(Asked::read(Some("kind=dead&webhook=wh1")).expect("right"), asked);
        for (query, words) in [
            ("kind=lost", "is none of delivered, failed, parked, dead, dropped"),
            ("webhook=a%20b", "it has the character ' '"),
            ("since=1h", "there is no such parameter"),
        ] {
            let told = format!("{:?}", Asked::read(Some(query)).expect_err(query));
            assert!(told.contains(words), "{query}: {told}");
        }
    }
}
