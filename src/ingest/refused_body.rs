//! What is done with the body of a request that is refused before its end.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Limited};

/// What is read, and thrown away, of a request that is refused before its end: four times the default limit.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Throws the rest of a refused request away, for at most `wait_max`: a producer that still sends when its connection is
/// closed sees a broken pipe, and never the answer that says why.
pub(super) async fn drain(headers: &HeaderMap, body: Body, wait_max: Duration) {
    // Who waits for our leave to send its body does not get it, and has nothing under way.
    if headers.contains_key(EXPECT) {
        return;
    }
    let mut rest = Limited::new(body, DRAINED_BYTES_MAX);
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _read_or_given_up = tokio::time::timeout(wait_max, read).await;
}

/// Whether a body is compressed: it would be refused as no JSON, in words that nobody understands.
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    !headers.get_all(CONTENT_ENCODING).iter().all(is_plain)
}
