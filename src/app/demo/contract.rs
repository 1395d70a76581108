//! What a receiver checks of a request: method, headers and envelope, as DESIGN section 5 promises them to receivers.
//!
//! A plain function of the request: it says which delivery it is, if that can be told, and in words what is wrong. It
//! never quotes a secret. The receivers do the counting.
//!
//! ```json
//! {"server":"...","hookId":"...","userId":"...","eventId":"...","createdAt":1774960496789,"type":"note","body":{...}}
//! ```
//!
//! `userId` is absent from system events.

use std::fmt;

use axum::http::{HeaderMap, Method};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::words::DeliveryRef;
use crate::model::{EventType, WebhookId};

/// The keys of a user event's envelope, in order.
const USER_KEYS: &[&str] = &["server", "hookId", "userId", "eventId", "createdAt", "type", "body"];
/// The keys of a system event's envelope, in order.
const SYSTEM_KEYS: &[&str] = &["server", "hookId", "eventId", "createdAt", "type", "body"];
/// Keys read of an envelope; with more it is none.
const KEYS_MAX: usize = 16;
/// Characters quoted of what was sent.
const QUOTE_CHARS_MAX: usize = 80;

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The delivery, when headers and body say which.
    pub(super) delivery: Option<DeliveryRef>,
    /// What is wrong, in words; empty when nothing is.
    pub(super) violations: Vec<String>,
}

/// Checks a request against what receivers are promised, with `secret` as the registered one.
pub(super) fn check(method: &Method, headers: &HeaderMap, body: &[u8], secret: &str) -> Checked {
    let mut wrong = Vec::new();
    if method != Method::POST {
        wrong.push(format!("the method is {}, and must be POST", quote(method.as_str())));
    }
    match header(headers, "content-type") {
        Some("application/json") => {}
        found => {
            wrong.push(format!("content-type is {}, and must be \"application/json\"", quote(found.unwrap_or(""))))
        }
    }
    if header(headers, "x-misskey-hook-secret") != Some(secret) {
        wrong.push("x-misskey-hook-secret is not the webhook's secret".to_owned());
    }
    let attempt = header(headers, "x-hikyaku-attempt");
    if !matches!(attempt.and_then(|text| text.parse::<u32>().ok()), Some(1..)) {
        let found = attempt.unwrap_or("");
        wrong.push(format!("x-hikyaku-attempt is {}, and must be a whole number from 1", quote(found)));
    }
    let delivery = header(headers, "webhook-id").filter(|id| !id.is_empty());
    if delivery.is_none() {
        wrong.push("webhook-id is missing".to_owned());
    }
    let webhook = header(headers, "x-misskey-hook-id").and_then(|id| WebhookId::new(id).ok());
    if webhook.is_none() {
        wrong.push("x-misskey-hook-id is missing or no webhook's id".to_owned());
    }
    let kind = check_envelope(body, webhook.as_ref(), &mut wrong);
    let delivery = match (webhook, delivery, kind) {
        (Some(webhook), Some(delivery), Some(kind)) => {
            Some(DeliveryRef { webhook, delivery: delivery.to_owned(), kind })
        }
        _ => None,
    };
    Checked { delivery, violations: wrong }
}

fn check_envelope(body: &[u8], webhook: Option<&WebhookId>, wrong: &mut Vec<String>) -> Option<EventType> {
    let envelope: Envelope<'_> = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            wrong.push(format!("the body is no envelope: {error}"));
            return None;
        }
    };
    let keys: Vec<&str> = envelope.0.iter().map(|(key, _)| key.as_str()).collect();
    if keys != USER_KEYS && keys != SYSTEM_KEYS {
        wrong.push(format!("the body's keys are {}", quote(&keys.join(", "))));
    }
    if webhook.is_some() && envelope.text("hookId").as_deref() != webhook.map(WebhookId::as_str) {
        wrong.push("hookId in the body is not x-misskey-hook-id".to_owned());
    }
    let kind = envelope.text("type").and_then(|kind| EventType::new(&kind).ok());
    if kind.is_none() {
        wrong.push("type in the body is missing or no event type".to_owned());
    }
    kind
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn quote(text: &str) -> String {
    format!("{:?}", text.chars().take(QUOTE_CHARS_MAX).collect::<String>())
}

/// The top level of an envelope, in the order of the bytes.
struct Envelope<'a>(Vec<(String, &'a RawValue)>);

impl Envelope<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(found, _)| found == key)?;
        serde_json::from_str(value.get()).ok()
    }
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvelopeVisitor;

        impl<'de> Visitor<'de> for EnvelopeVisitor {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    if entries.len() == KEYS_MAX {
                        return Err(A::Error::custom(format_args!("it has more than {KEYS_MAX} keys")));
                    }
                    entries.push(entry);
                }
                Ok(Envelope(entries))
            }
        }

        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str =
        r#"{"server":"s","hookId":"wh1","userId":"u","eventId":"e","createdAt":1,"type":"note","body":{}}"#;
    const SYSTEM: &str = r#"{"server":"s","hookId":"wh1","eventId":"e","createdAt":1,"type":"userCreated","body":{}}"#;

    /// A header that is set, or taken away.
    type Change = (&'static str, Option<&'static str>);

    fn headers(changes: &[Change]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let good = [
            ("content-type", "application/json"),
            ("x-misskey-hook-id", "wh1"),
            ("x-misskey-hook-secret", "s3cr3t"),
            ("webhook-id", "msg_1"),
            ("x-hikyaku-attempt", "1"),
        ];
        for (name, value) in good {
            headers.insert(name, value.parse().expect("a header value"));
        }
        for (name, value) in changes {
            headers.remove(*name);
            if let Some(value) = value {
                headers.insert(*name, value.parse().expect("a header value"));
            }
        }
        headers
    }

    #[test]
    fn what_the_design_promises_passes() {
        for (body, kind) in [(USER, "note"), (SYSTEM, "userCreated")] {
            let checked = check(&Method::POST, &headers(&[]), body.as_bytes(), "s3cr3t");
            assert_eq!(checked.violations, Vec::<String>::new());
            let delivery = checked.delivery.expect("it can be told");
            assert_eq!(
                (delivery.webhook.as_str(), delivery.delivery.as_str(), delivery.kind.as_str()),
                ("wh1", "msg_1", kind)
            );
        }
    }

    #[test]
    fn each_deviation_is_told_in_words() {
        let swapped = r#"{"hookId":"wh1","server":"s","eventId":"e","createdAt":1,"type":"note","body":{}}"#;
        let other_hook = USER.replace("wh1", "wh2");
        let cases: &[(&[Change], &str, &str)] = &[
            (&[("content-type", Some("text/plain"))], USER, "content-type is \"text/plain\""),
            (&[("content-type", None)], USER, "content-type is \"\""),
            (&[("x-misskey-hook-id", None)], USER, "x-misskey-hook-id is missing"),
            (&[("x-misskey-hook-secret", Some("other"))], USER, "x-misskey-hook-secret is not"),
            (&[("x-misskey-hook-secret", None)], USER, "x-misskey-hook-secret is not"),
            (&[("webhook-id", None)], USER, "webhook-id is missing"),
            (&[("x-hikyaku-attempt", None)], USER, "x-hikyaku-attempt is \"\""),
            (&[("x-hikyaku-attempt", Some("0"))], USER, "x-hikyaku-attempt is \"0\""),
            (&[], swapped, "the body's keys are \"hookId, server,"),
            (&[], &other_hook, "hookId in the body is not x-misskey-hook-id"),
            (&[], "{", "the body is no envelope"),
            (&[], "[]", "the body is no envelope"),
        ];
        for (changes, body, words) in cases {
            let violations = check(&Method::POST, &headers(changes), body.as_bytes(), "s3cr3t").violations;
            assert_eq!(violations.len(), 1, "{violations:?}");
            assert!(violations[0].contains(words), "{violations:?}");
        }
        let violations = check(&Method::PUT, &headers(&[]), USER.as_bytes(), "s3cr3t").violations;
        assert_eq!(violations, ["the method is \"PUT\", and must be POST"]);
    }

    #[test]
    fn a_request_that_names_no_delivery_is_none() {
        for (changes, body) in [(&[("webhook-id", None)][..], USER), (&[("x-misskey-hook-id", None)], USER), (&[], "")]
        {
            assert!(check(&Method::POST, &headers(changes), body.as_bytes(), "s3cr3t").delivery.is_none());
        }
    }

    #[test]
    fn an_envelope_with_endless_keys_is_not_kept() {
        let body = format!("{{{}}}", (0..100).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(","));
        let violations = check(&Method::POST, &headers(&[]), body.as_bytes(), "s3cr3t").violations;
        assert!(violations[0].contains("more than 16 keys"), "{violations:?}");
    }
}
