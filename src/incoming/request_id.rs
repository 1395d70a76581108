//! What a request is called, by whoever made it and by us.
//!
//! A reverse proxy or a producer may name its request in `X-Request-Id`; a name that is well formed is kept, so that one search
//! finds the request in everyone's log. Anything else gets a name of ours. What a stranger chose stands in log lines and answers,
//! so it is short, and of characters that mean nothing in either.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

/// Carries the name, in requests and answers; in no RFC, and in use everywhere.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters that a name may have: a UUID has 36, Amazon's trace ids some 70.
const CHARS_MAX: usize = 128;

/// Names one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The name that a request with `headers` came with, or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(name), None) if is_well_formed(name.as_bytes()) => Self(name.clone()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let text = uuid::Uuid::new_v4().simple().encode_lower(&mut text);
        #[expect(clippy::expect_used, reason = "hexadecimal digits are a header's value")]
        Self(HeaderValue::from_str(text).expect("digits"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // What was accepted is ASCII.
        self.0.to_str().unwrap_or_default()
    }

    /// The body of a refusal: `{"error":"..","requestId":".."}`, without the latter where the request has no name.
    pub fn refusal(of: Option<&Self>, words: &str) -> String {
        match of {
            Some(id) => json!({"error": words, "requestId": id.as_str()}).to_string(),
            None => json!({"error": words}).to_string(),
        }
    }

    /// Writes it into the headers of an answer.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }
}

fn is_well_formed(name: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=CHARS_MAX).contains(&name.len()) && name.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&[u8]]) -> RequestId {
        let names = names.iter().map(|name| (REQUEST_ID, HeaderValue::from_bytes(name).expect("a value")));
        RequestId::of(&names.collect())
    }

    #[test]
    fn a_well_formed_name_is_kept_and_any_other_is_replaced_by_one_that_is() {
        let longest = "x".repeat(CHARS_MAX);
        for kept in ["a", "Root=1-67891233-abcdef012345678912345678", "a/b+c_d.e:f==", longest.as_str()] {
            assert_eq!(of(&[kept.as_bytes()]).as_str(), kept);
        }
        let too_long = "x".repeat(CHARS_MAX + 1);
        let ill_formed: [&[u8]; 7] = [b"", b"a b", b"a\tb", b"a\"b", b"{}", "\u{202e}".as_bytes(), too_long.as_bytes()];
        for replaced in ill_formed {
            let made = of(&[replaced]);
            assert!(is_well_formed(made.as_str().as_bytes()) && made.as_str().len() == 32, "{made:?}");
        }
        assert_ne!(of(&[b"a", b"b"]).as_str(), "a", "of two names nobody knows which is meant");
        assert_ne!(of(&[]), of(&[]), "each request has its own");
    }
}
