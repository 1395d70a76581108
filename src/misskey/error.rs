//! How a call to Misskey fails, and how its own refusals are read.
//!
//! ```json
//! {"error":{"message":"No such webhook.","code":"NO_SUCH_WEBHOOK","id":"fb0fea69-da18-45b1-828d-bd4fd1612518","kind":"client"}}
//! ```

use serde::Deserialize;

use crate::outbound::{CallError, Reply, one_line};

/// Bytes of Misskey's words that are kept.
const WORDS_BYTES_MAX: usize = 256;
/// Misskey's code for too many calls; it passes by itself.
const RATE_LIMIT_EXCEEDED: &str = "RATE_LIMIT_EXCEEDED";

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisskeyError {
    /// Misskey cannot be reached, or cannot answer for now; the same call can succeed later.
    #[error("Misskey does not answer: {why}")]
    Away {
        /// What happened instead of an answer.
        why: String,
    },
    /// Misskey answered no, in its own words.
    #[error("Misskey refuses: {0}")]
    Refused(Refusal),
    /// What answers is not what we know as Misskey.
    #[error("what answers at misskey.url is not understood: {what}")]
    Unreadable {
        /// What is wrong with the answer.
        what: String,
    },
}

/// Misskey's no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Such as `PERMISSION_DENIED`.
    pub code: String,
    /// In words, one line.
    pub message: String,
    /// The refusal's UUID, which tells apart what has the same code.
    pub id: String,
    /// `client`, `server` or `permission`, where Misskey says so.
    pub kind: Option<String>,
}

impl From<CallError> for MisskeyError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoAnswer(why) => Self::Away { why },
            CallError::TooLarge { .. } => Self::Unreadable { what: error.to_string() },
        }
    }
}

impl MisskeyError {
    /// What an answer other than 2xx means.
    pub(super) fn of(reply: &Reply) -> Self {
        let status = reply.status;
        match refusal(reply) {
            Some(refusal) if refusal.code == RATE_LIMIT_EXCEEDED || status >= 500 => {
                Self::Away { why: format!("it answered {status}: {refusal}") }
            }
            Some(refusal) => Self::Refused(refusal),
            // Of a proxy before it, whatever the body.
            None if status >= 500 || matches!(status, 408 | 425 | 429) => {
                Self::Away { why: format!("it answered {status}") }
            }
            None if (300..400).contains(&status) => Self::Unreadable {
                what: format!("it redirects ({status}), which is not followed; set misskey.url to where it leads"),
            },
            None => Self::Unreadable {
                what: format!(
                    "it answered {status} without an error of Misskey's; is that Misskey, and not something before it?"
                ),
            },
        }
    }

    /// The code, when Misskey refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            Self::Away { .. } | Self::Unreadable { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Document {
    error: Fields,
}

#[derive(Deserialize)]
struct Fields {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    kind: Option<String>,
}

fn refusal(reply: &Reply) -> Option<Refusal> {
    let Fields { code, message, id, kind } = serde_json::from_slice::<Document>(&reply.body).ok()?.error;
    let words = |text: String| {
        let mut text = one_line(text.as_bytes());
        text.truncate(text.floor_char_boundary(WORDS_BYTES_MAX));
        text
    };
    Some(Refusal {
        status: reply.status,
        code: words(code),
        message: words(message),
        id: words(id),
        kind: kind.map(words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> MisskeyError {
        MisskeyError::of(&Reply { status, body: body.to_owned().into(), date: None, retry_after: None })
    }

    #[test]
    fn a_refusal_keeps_misskeys_code_and_words_and_its_status() {
        let body = r#"{"error":{"message":"No such webhook.","code":"NO_SUCH_WEBHOOK","id":"fb0f","kind":"client"}}"#;
        let MisskeyError::Refused(refusal) = of(400, body) else { panic!("not refused") };
        assert_eq!((refusal.status, refusal.code.as_str(), refusal.id.as_str()), (400, "NO_SUCH_WEBHOOK", "fb0f"));
        assert_eq!(refusal.kind.as_deref(), Some("client"));
        assert_eq!(refusal.to_string(), "No such webhook. (NO_SUCH_WEBHOOK)");
    }

    #[test]
    fn what_passes_by_itself_is_no_refusal() {
        let body = |code: &str| format!(r#"{{"error":{{"message":"m","code":"{code}","id":"i"}}}}"#);
        for (status, body) in [
            (500, body("INTERNAL_ERROR")),
            (429, body("RATE_LIMIT_EXCEEDED")),
            (502, "<html>Bad Gateway</html>".to_owned()),
            (429, String::new()),
        ] {
            let error = of(status, &body);
            assert!(matches!(error, MisskeyError::Away { .. }), "{status} {body}: {error}");
        }
    }

    #[test]
    fn what_is_not_misskey_is_told_in_words() {
        let redirected = of(301, "").to_string();
        assert!(redirected.contains("it redirects (301)") && redirected.contains("set misskey.url"), "{redirected}");
        let stranger = of(404, "<html>Not Found</html>").to_string();
        assert!(stranger.contains("404 without an error of Misskey's"), "{stranger}");
    }

    #[test]
    fn misskeys_words_are_one_short_line() {
        let body = format!(r#"{{"error":{{"code":"A\nB","message":"{}"}}}}"#, "語".repeat(1000));
        let MisskeyError::Refused(refusal) = of(400, &body) else { panic!("not refused") };
        assert_eq!(refusal.code, "A B");
        assert!(refusal.message.len() <= WORDS_BYTES_MAX && refusal.message.ends_with('語'), "{}", refusal.message);
    }
}
