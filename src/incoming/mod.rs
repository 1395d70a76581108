//! What every HTTP request to us has in common, whoever takes it: whom it comes from, what it is called, the token it comes
//! with, its parameters, its body within limits, and what is done with the rest of it when it is refused.
//!
//! The ways in (`ingest`) and the management API read requests by these functions, each with limits and refusals of its own.
//! Nothing here knows what a request asks for.

mod admission;
mod proxies;
mod query;
mod request_id;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};

pub use admission::{NotAdmitted, admit, admit_to_change};
pub use proxies::Proxies;
pub use query::{Given, MISTAKES_MAX, Mistake, parameters, shortened, unknown};
pub use request_id::RequestId;

/// What is read, and thrown away, of a request that is refused before its end: four times the default limit of the largest.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a body is not there as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than are allowed.
    TooLarge,
    /// It broke off; in words.
    BrokenOff(String),
}

/// The bearer token of a request (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, token) = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    Some(token.trim())
}

/// The bytes that a request's body will have, where it says so.
pub fn declared_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a body is compressed: it would be refused as no JSON, in words that nobody understands.
pub fn is_compressed(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    !headers.get_all(CONTENT_ENCODING).iter().all(is_plain)
}

/// Reads a body to its end, for as long as it takes.
///
/// # Errors
/// When it has more than `bytes_max` bytes, of which no more than those were kept, or breaks off.
pub async fn whole(body: &mut Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(error) => Err(BodyError::BrokenOff(format!("the request's body broke off: {error}"))),
    }
}

/// Throws the rest of a refused request away, for at most `wait_max`: a producer that still sends when its connection is
/// closed sees a broken pipe, and never the answer that says why.
pub async fn drain(headers: &HeaderMap, body: Body, wait_max: Duration) {
    // Who waits for our leave to send its body does not get it, and has nothing under way.
    if headers.contains_key(EXPECT) {
        return;
    }
    let mut rest = Limited::new(body, DRAINED_BYTES_MAX);
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _read_or_given_up = tokio::time::timeout(wait_max, read).await;
}

/// A body of a space each second that never ends.
#[cfg(test)]
pub(crate) fn dripping() -> Body {
    let drip = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
    });
    Body::from_stream(drip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_bearer_token_is_found_however_its_scheme_is_written_and_nothing_else_is_one() {
        assert_eq!(bearer(&headers("authorization", "Bearer a-token")), Some("a-token"));
        assert_eq!(bearer(&headers("authorization", "bearer  a-token ")), Some("a-token"));
        for other in ["Basic a-token", "a-token", "Bearer"] {
            assert_eq!(bearer(&headers("authorization", other)), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_a_byte_further() {
        assert_eq!(whole(&mut Body::from("1234"), 4).await, Ok(Bytes::from_static(b"1234")));
        assert_eq!(whole(&mut Body::from("12345"), 4).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn of_who_waits_for_leave_to_send_nothing_is_awaited_and_of_others_no_longer_than_allowed() {
        let began = tokio::time::Instant::now();
        drain(&headers("expect", "100-continue"), dripping(), Duration::from_secs(5)).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        drain(&HeaderMap::new(), dripping(), Duration::from_secs(5)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }
}
