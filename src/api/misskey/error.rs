//! What the management API refuses with: Misskey's error shape, with Misskey's codes and ids.
//!
//! ```json
//! {"error":{"message":"Invalid param.","code":"INVALID_PARAM","id":"3d81ceae-..","kind":"client","info":{"param":"url","reason":".."}}}
//! ```
//!
//! `kind` is `client`, `permission` or `server`. `info` is there where more is to be said: `reason` in words, and `param`
//! where a parameter is at fault. Situations that Misskey does not know have codes and ids of our own.

use std::borrow::Cow;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::misskey::Refusal;

/// Seconds after which a refusal for want of room may be over.
const RETRY_AFTER_S: u64 = 5;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    status: StatusCode,
    what: What,
    param: Option<String>,
    reason: Option<String>,
    retry_after_s: Option<u64>,
}

/// What stands under `error`, but for `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct What {
    message: Cow<'static, str>,
    code: Cow<'static, str>,
    id: Cow<'static, str>,
    kind: Cow<'static, str>,
}

impl What {
    fn new(message: &'static str, code: &'static str, id: &'static str, kind: &'static str) -> Self {
        Self { message: message.into(), code: code.into(), id: id.into(), kind: kind.into() }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    error: Shape<'a>,
}

#[derive(Serialize)]
struct Shape<'a> {
    #[serde(flatten)]
    what: &'a What,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info<'a>>,
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl ApiError {
    fn new(status: StatusCode, what: What) -> Self {
        Self(Box::new(Inner { status, what, param: None, reason: None, retry_after_s: None }))
    }

    fn client(status: StatusCode, message: &'static str, code: &'static str, id: &'static str) -> Self {
        Self::new(status, What::new(message, code, id, "client"))
    }

    /// The same with words on why.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// The process does not serve this API.
    pub(super) fn not_served() -> Self {
        let reason = "this process serves no management API (`serve --role worker`); use the URL of one that takes events in \
                      (`--role ingest`, or none)";
        let id = "5f2a2f0e-6c55-4b6e-9d6f-0e3f6b0a7c1d";
        Self::client(StatusCode::NOT_FOUND, "Not served here.", "NOT_SERVED_HERE", id).because(reason)
    }

    /// A parameter cannot be what it is. `param` names it, as in `on[2]`.
    pub(super) fn param(param: impl Into<String>, reason: impl Into<String>) -> Self {
        let id = "3d81ceae-475f-4600-b2a8-2bc116157532";
        let mut error = Self::client(StatusCode::BAD_REQUEST, "Invalid param.", "INVALID_PARAM", id).because(reason);
        error.0.param = Some(param.into());
        error
    }

    /// The same, of a parameter that stands within the parameter `outer`.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.0.param = self.0.param.map(|param| format!("{outer}.{param}"));
        self
    }

    /// The request as a whole cannot be read.
    pub(super) fn request(reason: impl Into<String>) -> Self {
        let mut error = Self::param("", reason);
        error.0.param = None;
        error
    }

    /// No token.
    pub(super) fn credential_required(reason: &str) -> Self {
        let id = "1384574d-a912-4b81-8601-c7b1c4085df1";
        Self::client(StatusCode::UNAUTHORIZED, "Credential required.", "CREDENTIAL_REQUIRED", id).because(reason)
    }

    /// A token that is none.
    pub(super) fn authentication_failed() -> Self {
        let message = "Authentication failed. Please ensure your token is correct.";
        let id = "b0a7f5f8-dc2f-4171-b91f-de88ad238e14";
        Self::client(StatusCode::UNAUTHORIZED, message, "AUTHENTICATION_FAILED", id)
    }

    /// An operator's token that is for looking only, and not here: what is shown here has secrets in it.
    pub(super) fn only_looks() -> Self {
        let message = "Your app does not have the necessary permissions to use this endpoint.";
        let id = "1370e5b7-d4eb-4566-bb1d-7748ee6a1838";
        Self::client(StatusCode::FORBIDDEN, message, "PERMISSION_DENIED", id)
            .because("this operator's token is of access = \"read\", and what is answered here has secrets in it")
    }

    /// What Misskey itself said to the token, such as `PERMISSION_DENIED`: the same is said here.
    pub(super) fn of_misskey(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).ok().filter(StatusCode::is_client_error);
        let kind = refusal.kind.map_or(Cow::Borrowed("client"), Cow::Owned);
        let what = What { message: refusal.message.into(), code: refusal.code.into(), id: refusal.id.into(), kind };
        Self::new(status.unwrap_or(StatusCode::FORBIDDEN), what).because("Misskey says so of this token")
    }

    /// Too much at once, for `seconds` more.
    pub(super) fn rate_limit(seconds: u64, reason: &str) -> Self {
        let message = "Rate limit exceeded. Please try again later.";
        let id = "d5826d14-3982-4d2e-8011-b9e9f02499ef";
        Self::client(StatusCode::TOO_MANY_REQUESTS, message, "RATE_LIMIT_EXCEEDED", id)
            .because(reason)
            .retry_after(seconds)
    }

    /// No such user's webhook, or not the caller's. Misskey has an id for each endpoint.
    pub(super) fn no_such_webhook(id: &'static str) -> Self {
        Self::client(StatusCode::BAD_REQUEST, "No such webhook.", "NO_SUCH_WEBHOOK", id)
    }

    /// No such system webhook.
    pub(super) fn no_such_system_webhook() -> Self {
        let id = "38dd1ffe-04b4-6ff5-d8ba-4e6a6ae22c9d";
        let what = What::new("No such SystemWebhook.", "NO_SUCH_SYSTEM_WEBHOOK", id, "server");
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// A person has as many webhooks as allowed.
    pub(super) fn too_many_webhooks(max: usize) -> Self {
        let message = "You cannot create webhook any more.";
        let id = "87a9bb19-111e-4e37-81d3-a3e7426453b0";
        Self::client(StatusCode::BAD_REQUEST, message, "TOO_MANY_WEBHOOKS", id)
            .because(format!("{max} are allowed here (misskey.webhook_limit)"))
    }

    /// A webhook of the settings file.
    pub(super) fn declared(reason: impl Into<String>) -> Self {
        let message = "This webhook is declared in the settings file.";
        let id = "2f0d7c53-52ef-4a3c-9d42-0a3a5d4e0a8b";
        Self::client(StatusCode::BAD_REQUEST, message, "WEBHOOK_DECLARED", id).because(reason)
    }

    /// More bytes than allowed.
    pub(super) fn too_large(max: usize) -> Self {
        let id = "b5c4e0f4-6c0d-4d0a-8c77-6f7c5a0f51b2";
        Self::client(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.", "PAYLOAD_TOO_LARGE", id)
            .because(format!("the request's body has more than {max} bytes, and {max} are allowed"))
    }

    /// The body did not come.
    pub(super) fn too_slow(seconds: u64) -> Self {
        let id = "0f9a1bb4-3a35-4bb5-9a0c-2c6f0f8f1c11";
        Self::client(StatusCode::REQUEST_TIMEOUT, "The request took too long.", "REQUEST_TIMEOUT", id)
            .because(format!("the request's body did not arrive within {seconds} seconds"))
    }

    /// A compressed body.
    pub(super) fn compressed() -> Self {
        let id = "6b1f6a43-6a44-4f37-8f0f-97a6b1a6d9c5";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::client(status, "Unsupported media type.", "UNSUPPORTED_MEDIA_TYPE", id)
            .because("the request has a Content-Encoding; send its JSON as it is, not compressed")
    }

    /// Another method than POST.
    pub(super) fn not_post() -> Self {
        let id = "7d2f1a0c-9b1e-4c53-8a39-5e1f0d6b2a47";
        Self::client(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.", "METHOD_NOT_ALLOWED", id)
            .because("send POST, with the parameters as a JSON object in the body")
    }

    /// No such endpoint.
    pub(super) fn unknown_endpoint() -> Self {
        let id = "2ca3b769-540a-4f08-9dd5-b5a825b6d0f1";
        Self::client(StatusCode::NOT_FOUND, "Unknown API endpoint.", "UNKNOWN_API_ENDPOINT", id).because(
            "here are POST /api/i/webhooks/... and POST /api/admin/system-webhook/... and nothing else of Misskey's",
        )
    }

    /// We, or what we need, do not work now.
    pub(super) fn internal(reason: impl Into<String>) -> Self {
        let message = "Internal error occurred. Please contact us if the error persists.";
        let what = What::new(message, "INTERNAL_ERROR", "5d37dbcb-891e-41ca-a3d6-e690c97775ac", "server");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what).because(reason)
    }

    /// We have no room for the request now.
    pub(super) fn busy(reason: &str) -> Self {
        let mut error = Self::internal(reason).retry_after(RETRY_AFTER_S);
        error.0.status = StatusCode::SERVICE_UNAVAILABLE;
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let inner = self.0;
        let info = (inner.param.is_some() || inner.reason.is_some())
            .then_some(Info { param: inner.param.as_deref(), reason: inner.reason.as_deref() });
        let document = Document { error: Shape { what: &inner.what, info } };
        #[expect(clippy::expect_used, reason = "texts under fixed names always are JSON")]
        let text = serde_json::to_string(&document).expect("an error is JSON");
        let mut response = (inner.status, [(CONTENT_TYPE, "application/json")], text).into_response();
        let headers = response.headers_mut();
        if inner.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Misskey\""));
        }
        if inner.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(seconds) = inner.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
