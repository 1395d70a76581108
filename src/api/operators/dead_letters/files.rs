//! Dead letters as NDJSON, one a line: out as a stream of pages, in as a stream of batches, so that neither takes memory for more.
//!
//! Out, a letter that cannot be read is a line `{"problem":".."}`. A store that fails before the first page is answered with 503;
//! should it fail midway, the answer breaks off without its end, so that nobody takes it for whole. In, 200:
//! `{"added":2,"present":1,"forgotten":0,"refused":1,"errors":[{"line":3,"error":".."}],"dryRun":false}`, 400 when no line is a letter. What was
//! taken before the request broke off stays, and sending all again does the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::asked::{filter_of, flag, which};
use super::record_failed;
use crate::api::operators::by::By;
use crate::api::operators::params::{Params, in_query};
use crate::api::operators::problem::{Problem, ProblemShape};
use crate::api::operators::{OperatorsParts, found};
use crate::incoming::{drain, is_compressed};
use crate::model::described;
use crate::operate::{Exporting, Imported, Importing};
use crate::record::RecordError;

/// How long a client may take for its next piece.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the rest of a request that is refused is read and thrown away.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(10);

/// The parameters of an export, as the document has them.
pub(in crate::api::operators) struct ExportParams;

impl utoipa::IntoParams for ExportParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        which()
    }
}

/// The parameters of an import, as the document has them.
pub(in crate::api::operators) struct ImportParams;

impl utoipa::IntoParams for ImportParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_query("dryRun", "Only looks at the lines.", described::flag())]
    }
}

/// What became of the lines.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Imported)]
struct ImportedShape<'a> {
    /// Letters that were added; in a dry run, that would be.
    added: u64,
    /// Letters that were there already, or whose delivery was put back to work since.
    present: u64,
    /// Letters of somebody who was forgotten since, which are not taken.
    forgotten: u64,
    /// Lines that are no letters.
    refused: u64,
    /// The first hundred of those.
    errors: Vec<RefusedLineShape<'a>>,
    /// Whether nothing was stored.
    dry_run: bool,
}

/// A line that is no letter.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedLine)]
struct RefusedLineShape<'a> {
    /// Its number, from 1.
    line: u64,
    /// Why.
    error: &'a str,
}

/// An export, and the place that it takes.
struct Under {
    exporting: Exporting,
    _place: OwnedSemaphorePermit,
}

/// Dead letters as NDJSON, one a line, those first that died last.
///
/// A letter that cannot be read is a line `{"problem":".."}`. Should the store fail midway, the answer breaks off without its end.
#[utoipa::path(
    get, path = "/v1/dead-letters/export", tag = "dead letters", operation_id = "exportDeadLetters", params(ExportParams),
    responses((
        status = 200, description = "Lines, of each letter one.", content_type = "application/x-ndjson", body = String,
        example = json!({ "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "reason": "refused", "body": {} })
    ))
)]
pub(in crate::api::operators) async fn export(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::of(query.as_deref());
    let filter = filter_of(&mut params, parts.clock.now());
    params.finish()?;
    let mut under = Under { _place: place(&parts)?, exporting: Exporting::of(parts.operations.clone(), filter) };
    // Before the head of the answer goes out: what fails here can still be told.
    let first = under.exporting.next().await.map_err(|error| record_failed(&error))?;
    let first = stream::iter(first.map(|exported| Ok(Bytes::from(exported.lines))));
    let rest = stream::unfold(Some(under), async |under| {
        let mut under = under?;
        match under.exporting.next().await {
            Ok(None) => None,
            Ok(Some(exported)) => Some((Ok(Bytes::from(exported.lines)), Some(under))),
            // The answer ends without its end.
            Err(error) => Some((Err::<Bytes, RecordError>(error), None)),
        }
    });
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(first.chain(rest))).into_response())
}

/// Takes dead letters from NDJSON, as an export has them; what is there already stays as it is.
///
/// A line that is no letter is told by its number, and the rest goes on.
#[utoipa::path(
    post, path = "/v1/dead-letters/import", tag = "dead letters", operation_id = "importDeadLetters", params(ImportParams),
    request_body(content = String, content_type = "application/x-ndjson", description = "Lines of one dead letter each."),
    responses(
        (status = 200, description = "At least one line was a letter.", body = ImportedShape, example = json!({
            "added": 2, "present": 1, "forgotten": 0, "refused": 1, "dryRun": false,
            "errors": [{ "line": 3, "error": "reason: \"bored\" is unknown here" }]
        })),
        (status = 408, description = "Nothing more came for a minute.", body = ProblemShape, content_type = "application/problem+json"),
        (status = 415, description = "The body is compressed.", body = ProblemShape, content_type = "application/problem+json")
    )
)]
pub(in crate::api::operators) async fn import(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let imported = take(&parts, query.as_deref(), &headers, &mut body).await;
    match imported {
        Ok((imported, is_dry)) => {
            if imported.added > 0 && !is_dry {
                parts.telemetry.lifecycle(&format!("{} has imported {} dead letters", by.name(), imported.added));
                parts.telemetry.dead_letters_held(parts.operations.letters.total());
            }
            answer(&imported, is_dry)
        }
        Err(problem) => {
            drain(&headers, body, DRAIN_WAIT_MAX).await;
            problem.into_response()
        }
    }
}

async fn take(
    parts: &OperatorsParts,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Imported, bool), Problem> {
    let mut params = Params::of(query);
    let is_dry = params.get("dryRun", flag).unwrap_or(false);
    params.finish()?;
    if is_compressed(headers) {
        return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is compressed; send it as it is"));
    }
    let _place = place(parts)?;
    let mut importing = Importing::new(parts.operations.clone(), parts.event_bytes_max, is_dry);
    loop {
        let read = tokio::time::timeout(PIECE_WAIT_MAX, body.frame()).await;
        let broken = |status, why: &str| {
            let Imported { added, refused, .. } = importing.so_far();
            let so_far = format!("{added} letters were added before, and {refused} lines refused");
            Problem::of(status, format!("{why}; {so_far}. Send all again: what is there stays as it is"))
        };
        let frame = match read {
            Err(_) => return Err(broken(StatusCode::REQUEST_TIMEOUT, "nothing more came for a minute")),
            Ok(Some(Err(error))) => {
                return Err(broken(StatusCode::BAD_REQUEST, &format!("the request's body broke off: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
        };
        if let Ok(piece) = frame.into_data() {
            importing.push(&piece).await.map_err(|error| record_failed(&error))?;
        }
    }
    Ok((importing.finish().await.map_err(|error| record_failed(&error))?, is_dry))
}

fn place(parts: &OperatorsParts) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = |_| {
        let words = "as many exports and imports as may be are under way already; ask again when one has ended";
        Problem::of(StatusCode::SERVICE_UNAVAILABLE, words)
    };
    Arc::clone(&parts.files).try_acquire_owned().map_err(busy)
}

fn answer(imported: &Imported, dry_run: bool) -> Response {
    let Imported { added, present, forgotten, refused, errors } = imported;
    if let Some(detail) = imported.nothing_in_words() {
        return Problem::of(StatusCode::BAD_REQUEST, detail).into_response();
    }
    let errors = errors.iter().map(|refused| RefusedLineShape { line: refused.line, error: &refused.error }).collect();
    let (added, present, forgotten, refused) = (*added, *present, *forgotten, *refused);
    found(&ImportedShape { added, present, forgotten, refused, errors, dry_run })
}
