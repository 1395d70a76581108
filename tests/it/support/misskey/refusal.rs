//! Misskey's refusals: codes, ids, kinds and statuses as its `ApiCallService`, `ApiServerService` and endpoints have them.

use serde_json::{Value, json};

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
    pub(crate) id: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) info: Option<Value>,
}

const fn refusal(
    status: u16,
    kind: &'static str,
    code: &'static str,
    id: &'static str,
    message: &'static str,
) -> Refusal {
    Refusal { status, code, message, id, kind, info: None }
}

pub(crate) const UNKNOWN_ENDPOINT: Refusal =
    refusal(404, "client", "UNKNOWN_API_ENDPOINT", "2ca3b769-540a-4f08-9dd5-b5a825b6d0f1", "Unknown API endpoint.");
pub(crate) const AUTHENTICATION_FAILED: Refusal = refusal(
    401,
    "client",
    "AUTHENTICATION_FAILED",
    "b0a7f5f8-dc2f-4171-b91f-de88ad238e14",
    "Authentication failed. Please ensure your token is correct.",
);
pub(crate) const CREDENTIAL_REQUIRED: Refusal =
    refusal(401, "client", "CREDENTIAL_REQUIRED", "1384574d-a912-4b81-8601-c7b1c4085df1", "Credential required.");
pub(crate) const ACCESS_DENIED: Refusal =
    refusal(400, "client", "ACCESS_DENIED", "56f35758-7dd5-468b-8439-5d6fb8ec9b8e", "Access denied.");
pub(crate) const SUSPENDED: Refusal = refusal(
    403,
    "permission",
    "YOUR_ACCOUNT_SUSPENDED",
    "a8c724b3-6e9c-4b46-b1a8-bc3ed6258370",
    "Your account has been suspended.",
);
pub(crate) const NO_MODERATOR: Refusal = refusal(
    403,
    "permission",
    "ROLE_PERMISSION_DENIED",
    "d33d5333-db36-423d-a8f9-1a2b9549da41",
    "You are not assigned to a moderator role.",
);
pub(crate) const PERMISSION_DENIED: Refusal = refusal(
    403,
    "permission",
    "PERMISSION_DENIED",
    "1370e5b7-d4eb-4566-bb1d-7748ee6a1838",
    "Your app does not have the necessary permissions to use this endpoint.",
);
pub(crate) const TOO_MANY_WEBHOOKS: Refusal = refusal(
    400,
    "client",
    "TOO_MANY_WEBHOOKS",
    "87a9bb19-111e-4e37-81d3-a3e7426453b0",
    "You cannot create webhook any more.",
);

/// `NO_SUCH_WEBHOOK`, whose id each endpoint has its own of.
pub(crate) const fn no_such_webhook(id: &'static str) -> Refusal {
    refusal(400, "client", "NO_SUCH_WEBHOOK", id, "No such webhook.")
}

/// A parameter that its schema does not allow.
pub(crate) fn invalid_param(param: &str, reason: &str) -> Refusal {
    const ID: &str = "3d81ceae-475f-4600-b2a8-2bc116157532";
    let info = Some(json!({ "param": param, "reason": reason }));
    Refusal { info, ..refusal(400, "client", "INVALID_PARAM", ID, "Invalid param.") }
}

impl Refusal {
    /// The body.
    pub(crate) fn json(&self) -> String {
        let Self { message, code, id, kind, info, .. } = self;
        let info = info.as_ref().map_or_else(String::new, |info| format!(",\"info\":{info}"));
        let text = |text: &str| json!(text).to_string();
        format!(
            "{{\"error\":{{\"message\":{},\"code\":{},\"id\":{},\"kind\":{}{info}}}}}",
            text(message),
            text(code),
            text(id),
            text(kind)
        )
    }

    /// The header `WWW-Authenticate`.
    pub(crate) fn www_authenticate(&self) -> Option<String> {
        let Self { message, .. } = self;
        let error = match (self.code, self.kind) {
            ("CREDENTIAL_REQUIRED", _) => return Some("Bearer realm=\"Misskey\"".to_owned()),
            ("UNKNOWN_API_ENDPOINT", _) => return None,
            ("AUTHENTICATION_FAILED", _) => "invalid_token",
            ("PERMISSION_DENIED", _) => "insufficient_scope",
            (_, "client") => "invalid_request",
            _ => return None,
        };
        Some(format!("Bearer realm=\"Misskey\", error=\"{error}\", error_description=\"{message}\""))
    }
}
