//! What a running hikyaku answers, and each way in which that is not what was asked for, in a sentence.

use serde_json::Value;

use crate::cli::CliError;
use crate::outbound::{ClientError, Reply};

/// How the operators' API says that it has no such path.
const NO_PATH: &str = "there is nothing under this path";
/// How the management API does.
const NO_ENDPOINT: &str = "UNKNOWN_API_ENDPOINT";

/// How a process says that it serves none of it.
const NOT_HERE: &str = "NOT_SERVED_HERE";
/// How it says that a parameter is wrong.
const INVALID_PARAM: &str = "INVALID_PARAM";

/// Why a running hikyaku did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be asked.
    #[error("the system's certificates cannot be loaded")]
    Client(#[from] ClientError),
    /// It does not answer.
    #[error("hikyaku at {origin} does not answer: {why}. Does it run, and is that the address of its server.listen?")]
    NoAnswer {
        /// Where.
        origin: String,
        /// Why, in words.
        why: String,
    },
    /// Its answer broke off.
    #[error("what hikyaku at {origin} answered broke off: {why}; try again")]
    BrokeOff {
        /// Where.
        origin: String,
        /// Why, in words.
        why: String,
    },
    /// It does not do it.
    #[error("hikyaku at {origin} answered {status}: {detail}")]
    Refused {
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// It cannot do it.
    #[error(
        "hikyaku at {origin} knows no {what}: it is older than this command, or a process of another role (`serve --role`). Ask \
         one that has it, or use the command of its version"
    )]
    Unknown {
        /// Where.
        origin: String,
        /// What was asked for.
        what: String,
    },
    /// It answers something else than this API does.
    #[error(
        "what {origin} answered ({status}) is not as the operators' API answers; is that hikyaku, and of this version?"
    )]
    Unreadable {
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// It says that it has more to do, and does none of it.
    #[error("hikyaku at {origin} gets no further, with {left} left; its log may say why, and the same command goes on")]
    NoHeadway {
        /// Where.
        origin: String,
        /// How many are left.
        left: String,
    },
}

/// What `reply` says to `what` was asked (`GET /v1/..`) of the hikyaku at `origin`, as text; empty where nothing is.
///
/// # Errors
/// When it refuses, or is not hikyaku.
pub(super) fn text_of(reply: &Reply, origin: &str, what: &str) -> Result<String, CliError> {
    let Reply { status, body, .. } = reply;
    let unreadable = || RemoteError::Unreadable { origin: origin.to_owned(), status: *status };
    if (200..300).contains(status) {
        return Ok(std::str::from_utf8(body).map_err(|_| unreadable())?.to_owned());
    }
    let unknown = || RemoteError::Unknown { origin: origin.to_owned(), what: what.to_owned() };
    if *status == 404 && body.is_empty() {
        return Err(unknown().into());
    }
    let document: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let detail = detail_of(&document).ok_or_else(unreadable)?;
    let is_elsewhere = document["error"]["code"] == NOT_HERE;
    let is_unknown = detail.starts_with(NO_PATH) || document["error"]["code"] == NO_ENDPOINT;
    Err(match *status {
        status if is_elsewhere => RemoteError::Refused { origin: origin.to_owned(), status, detail }.into(),
        404 | 405 if is_unknown || *status == 405 => unknown().into(),
        // The management API's other refusals with 400 are of what is there, not of how it was asked for.
        400 if !document["error"]["code"].is_string() || document["error"]["code"] == INVALID_PARAM => {
            CliError::Usage(detail)
        }
        400 | 404 => CliError::NotFound(detail),
        status => RemoteError::Refused { origin: origin.to_owned(), status, detail }.into(),
    })
}

/// The same as JSON; null where nothing is.
///
/// # Errors
/// As [`text_of`].
pub(super) fn json_of(reply: &Reply, origin: &str, what: &str) -> Result<Value, CliError> {
    let text = text_of(reply, origin, what)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let unreadable = |_| RemoteError::Unreadable { origin: origin.to_owned(), status: reply.status }.into();
    serde_json::from_str(&text).map_err(unreadable)
}

/// The words of a problem document, or of Misskey's way of saying it, with the parameter that they are about.
fn detail_of(document: &Value) -> Option<String> {
    let words = |pointer| document.pointer(pointer).and_then(Value::as_str);
    if let Some(detail) = words("/detail") {
        return Some(detail.to_owned());
    }
    let reason = words("/error/info/reason").or(words("/error/message"))?;
    Some(match words("/error/info/param") {
        Some(param) => format!("{param}: {reason}"),
        None => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> CliError {
        let reply = Reply { status, body: body.to_owned().into(), date: None, retry_after: None };
        json_of(&reply, "http://here", "GET /v1/things").expect_err(body)
    }

    #[test]
    fn each_way_not_to_answer_is_one_sentence_that_says_what_to_do() {
        let problem = |detail: &str| serde_json::json!({ "detail": detail }).to_string();
        for (status, body, words) in [
            (401, problem("the bearer token is wrong"), "answered 401: the bearer token is wrong"),
            (403, problem("the token is for looking only"), "answered 403: the token is for looking only"),
            (404, problem("no webhook x"), "no webhook x"),
            (
                404,
                problem("there is nothing under this path; GET /openapi.json"),
                "knows no GET /v1/things: it is older",
            ),
            (404, String::new(), "knows no GET /v1/things"),
            (404, "{\"error\":{\"code\":\"UNKNOWN_API_ENDPOINT\",\"message\":\"none\"}}".to_owned(), "`serve --role`"),
            (405, problem("this path does not answer to this method"), "knows no GET /v1/things"),
            (404, "<html>not here</html>".to_owned(), "is that hikyaku"),
            (409, problem("others are at it"), "answered 409: others are at it"),
            (429, problem("too many"), "answered 429: too many"),
            (502, "<html>bad gateway</html>".to_owned(), "(502) is not as the operators' API answers"),
            (503, problem("the store is away"), "answered 503: the store is away"),
            (200, "<html>welcome</html>".to_owned(), "(200) is not as"),
        ] {
            let told = told(status, &body).to_string();
            assert!(told.contains(words) && told.lines().count() == 1, "{status} {body}: {told}");
        }
        let none = r#"{"error":{"message":"No such webhook.","code":"NO_SUCH_WEBHOOK"}}"#;
        assert!(matches!(told(400, none), CliError::NotFound(words) if words == "No such webhook."));
        let param = r#"{"error":{"message":"Invalid param.","code":"INVALID_PARAM","info":{"param":"url","reason":"it is none"}}}"#;
        assert!(matches!(told(400, param), CliError::Usage(words) if words == "url: it is none"));
        let nothing = Reply { status: 204, body: String::new().into(), date: None, retry_after: None };
        assert_eq!(json_of(&nothing, "http://here", "DELETE /v1/x").expect("done"), Value::Null);
    }
}
