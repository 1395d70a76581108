//! Requests that change something and take no body: what is meant stands in their path and query.
//!
//! Whoever sends one thinks that it says what is meant, so it is a mistake, told before anything is done. Empty ones pass, and `{}`,
//! which clients send that always send JSON. A handler that takes none has [`NoBody`] as its last argument.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use super::problem::Problem;
use crate::incoming::{BodyError, drain, whole};

/// Bytes that nothing may have: `{}` with blanks in it.
const NOTHING_BYTES_MAX: usize = 64;
/// How long it may take to come, or else the rest of a body to be read and thrown away.
const BODY_WAIT_MAX: Duration = Duration::from_secs(5);

/// That a request has no body.
pub(super) struct NoBody;

impl<S: Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (head, mut body) = request.into_parts();
        let read = tokio::time::timeout(BODY_WAIT_MAX, whole(&mut body, NOTHING_BYTES_MAX)).await;
        match read {
            Err(_) => {
                Err(Problem::of(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive within 5 seconds"))
            }
            Ok(Err(BodyError::BrokenOff(words))) => Err(Problem::of(StatusCode::BAD_REQUEST, words)),
            Ok(Ok(bytes)) if says_nothing(&bytes) => Ok(Self),
            Ok(Ok(_) | Err(BodyError::TooLarge)) => {
                drain(&head.headers, body, BODY_WAIT_MAX).await;
                let words = "this takes no body: say what is meant in the path and the query, and send nothing, or {}";
                Err(Problem::of(StatusCode::BAD_REQUEST, words))
            }
        }
    }
}

fn says_nothing(bytes: &Bytes) -> bool {
    let said: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    said.is_empty() || said == b"{}"
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse;

    use super::*;
    use crate::incoming::dripping;

    async fn refused(body: Body) -> Option<StatusCode> {
        let taken = NoBody::from_request(Request::new(body), &()).await;
        taken.err().map(|problem| problem.into_response().status())
    }

    #[tokio::test]
    async fn nothing_is_taken_and_anything_else_is_a_mistake() {
        for nothing in ["", "{}", "\r\n", " {\t}\n"] {
            assert_eq!(refused(Body::from(nothing)).await, None, "{nothing:?}");
        }
        for something in ["{\"all\":true}", "[]", "null", "0", "{", "all=true", &"{} ".repeat(100)] {
            assert_eq!(refused(Body::from(something.to_owned())).await, Some(StatusCode::BAD_REQUEST), "{something:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_drips_in_is_not_waited_for() {
        let began = tokio::time::Instant::now();
        assert_eq!(refused(dripping()).await, Some(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed(), BODY_WAIT_MAX);
    }
}
