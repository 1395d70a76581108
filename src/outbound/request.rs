//! The headers that the receiver gets: those that Misskey sends, plus those of Standard Webhooks. The body is `formats`' word.

use std::borrow::Cow;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::pieces::Pieces;
use crate::decide::signatures;
use crate::model::{Delivery, DeliveryId, Event, Timestamp, TraceContext, Webhook};

const HOST: HeaderName = HeaderName::from_static("x-misskey-host");
const HOOK_ID: HeaderName = HeaderName::from_static("x-misskey-hook-id");
const HOOK_SECRET: HeaderName = HeaderName::from_static("x-misskey-hook-secret");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const ATTEMPT: HeaderName = HeaderName::from_static("x-hikyaku-attempt");
/// Room for all of them and the client's own, so that the table never grows.
const HEADERS_MAX: usize = 16;

/// One attempt to be made.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The event.
    pub event: &'a Event,
    /// The delivery, as it stands before this attempt.
    pub delivery: &'a Delivery,
    /// The delivery's id.
    pub id: &'a DeliveryId,
    /// Where it goes.
    pub webhook: &'a Webhook,
    /// When it is made.
    pub now: Timestamp,
    /// What the receiver is told of its trace, if it is.
    pub trace: Option<TraceContext>,
}

/// Why no request can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the header {0} cannot carry its value")]
    Header(HeaderName),
    #[error("the signing secret cannot be used: {0}")]
    Signature(#[from] crate::decide::SignatureError),
}

/// The headers of the request for `attempt`, whose body is `body`; `User-Agent` is the client's.
pub(super) fn headers(attempt: &Attempt<'_>, body: &Pieces) -> Result<HeaderMap, RequestError> {
    let Attempt { event, delivery, id, webhook, now, trace } = attempt;
    let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
    let format = webhook.options.format;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let mut put = |name: HeaderName, value: Result<HeaderValue, _>| match value {
        Ok(value) => {
            headers.insert(name, value);
            Ok(())
        }
        Err(_) => Err(RequestError::Header(name)),
    };
    if let Some(host) = event.server.as_deref().and_then(host_of) {
        put(HOST, HeaderValue::from_str(&host))?;
    }
    put(HOOK_ID, HeaderValue::from_str(webhook.id.as_str()))?;
    if webhook.options.send_secret && format.has_use_for_secret() {
        put(HOOK_SECRET, HeaderValue::from_bytes(&secret_bytes(webhook.secret.expose())))?;
    }
    let seconds = now.as_millis().div_euclid(1000);
    put(WEBHOOK_ID, HeaderValue::from_str(id.as_str()))?;
    put(WEBHOOK_TIMESTAMP, Ok(HeaderValue::from(seconds)))?;
    if let Some(signatures) = signatures(&webhook.options.signing, id.as_str(), *now, &body.slices())? {
        put(WEBHOOK_SIGNATURE, HeaderValue::from_str(&signatures))?;
    }
    if let Some(trace) = trace {
        put(TRACEPARENT, HeaderValue::from_str(&trace.to_string()))?;
    }
    put(ATTEMPT, Ok(HeaderValue::from(delivery.attempts.saturating_add(1))))?;
    Ok(headers)
}

/// The host of a server's origin with its port unless it is the scheme's own, as Misskey's `config.host`.
fn host_of(server: &str) -> Option<Cow<'_, str>> {
    if let Some(host) = server.strip_prefix("https://").filter(|rest| is_plain_name(rest)) {
        return Some(Cow::Borrowed(host));
    }
    host_of_any(server).map(Cow::Owned)
}

/// Whether `rest` is a name that a URL keeps as it is: plain letters, and a last label that makes it no address.
fn is_plain_name(rest: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let last = rest.rsplit('.').next().unwrap_or_default();
    let is_word = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_lowercase());
    is_word && rest.bytes().all(is_plain) && !rest.contains("--")
}

fn host_of_any(server: &str) -> Option<String> {
    let url = Url::parse(server).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The secret's bytes in a header. Node's HTTP client, and so Misskey, writes Latin-1; it refuses other characters, and so
/// does registration. What was registered before it did goes out as UTF-8, as it always has.
fn secret_bytes(secret: &str) -> Vec<u8> {
    let latin_1: Option<Vec<u8>> = secret.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    latin_1.unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::decide::sign_v1;
    use crate::model::{
        Arrival, EventId, EventType, Options, Origin, Owner, Secret, Source, Status, UserId, WebhookId,
    };
    use crate::outbound::formats;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_497_999);

    fn event(json: &str) -> Event {
        let arrival = Arrival {
            now: NOW,
            event_id: EventId::new("made").expect("valid"),
            event_bytes_max: 1 << 20,
            source: None,
        };
        Event::parse(&Bytes::copy_from_slice(json.as_bytes()), arrival).expect("an event")
    }

    fn webhook(secret: &str) -> Webhook {
        Webhook {
            id: WebhookId::new("wh1").expect("valid"),
            owner: Owner::User(UserId::new("u1").expect("valid")),
            source: Source::default(),
            name: String::new(),
            url: Url::parse("https://bot.example/hook").expect("valid"),
            secret: Secret::new(secret),
            on: vec![EventType::new("note").expect("valid")],
            status: Status::Active,
            options: Options::default(),
            origin: Origin::Store,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    fn sent(event: &Event, webhook: &Webhook) -> (HeaderMap, String) {
        let delivery = Delivery::fresh(event, webhook.id.clone());
        let id = delivery.id(event);
        let attempt = Attempt { event, delivery: &delivery, id: &id, webhook, now: NOW, trace: None };
        let body = formats::body(event, webhook);
        let headers = headers(&attempt, &body).expect("headers");
        (headers, String::from_utf8(body.slices().concat()).expect("UTF-8"))
    }

    const USER_EVENT: &str = r#"{"type":"note","body":{ "b":1e400,"a":"\ud800" },"userId":"u1","eventId":"e1","createdAt":5,"server":"https://misskey.example:3000"}"#;

    #[test]
    fn a_user_events_body_has_misskeys_keys_in_misskeys_order_and_the_events_own_bytes() {
        let (_, body) = sent(&event(USER_EVENT), &webhook("s"));
        assert_eq!(
            body,
            r#"{"server":"https://misskey.example:3000","hookId":"wh1","userId":"u1","eventId":"e1","createdAt":5,"type":"note","body":{ "b":1e400,"a":"\ud800" }}"#
        );
    }

    #[test]
    fn a_system_event_without_a_server_has_neither_user_nor_server() {
        let (headers, body) =
            sent(&event(r#"{"type":"userCreated","body":{},"eventId":"e","createdAt":5}"#), &webhook(""));
        assert_eq!(body, r#"{"hookId":"wh1","eventId":"e","createdAt":5,"type":"userCreated","body":{}}"#);
        assert!(!headers.contains_key(HOST));
        assert_eq!(headers[HOOK_SECRET], "", "an empty secret is sent as an empty header, as Misskey does");
    }

    #[test]
    fn the_headers_are_misskeys_and_standard_webhooks() {
        let event = event(USER_EVENT);
        let (headers, _) = sent(&event, &webhook("s3cr3t"));
        assert_eq!(headers[HOST], "misskey.example:3000");
        assert_eq!(headers[HOOK_ID], "wh1");
        assert_eq!(headers[HOOK_SECRET], "s3cr3t");
        assert_eq!(headers[WEBHOOK_ID], Delivery::fresh(&event, webhook("").id).id(&event).as_str());
        assert_eq!(headers[WEBHOOK_TIMESTAMP], "1774960497");
        assert_eq!(headers[ATTEMPT], "1");
        assert!(!headers.contains_key(WEBHOOK_SIGNATURE));
    }

    #[test]
    fn a_secret_goes_out_in_latin_1_where_it_can() {
        let (headers, _) = sent(&event(USER_EVENT), &webhook("pässword"));
        assert_eq!(headers[HOOK_SECRET].as_bytes(), b"p\xe4ssword");
        let (headers, _) = sent(&event(USER_EVENT), &webhook("秘密"));
        assert_eq!(headers[HOOK_SECRET].as_bytes(), "秘密".as_bytes());
    }

    #[test]
    fn the_clear_text_secret_can_be_left_out_and_a_signature_put_in() {
        let mut webhook = webhook("s3cr3t");
        webhook.options.send_secret = false;
        webhook.options.signing.secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").into();
        let event = event(USER_EVENT);
        let (headers, body) = sent(&event, &webhook);
        assert!(!headers.contains_key(HOOK_SECRET));
        let id = DeliveryIdText(headers[WEBHOOK_ID].to_str().expect("ASCII"));
        let expected = sign_v1("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id.0, 1_774_960_497, &[body.as_bytes()]);
        assert_eq!(headers[WEBHOOK_SIGNATURE].to_str().expect("ASCII"), expected.expect("signed"));
    }

    struct DeliveryIdText<'a>(&'a str);

    proptest::proptest! {
        #[test]
        fn the_host_of_a_plain_name_is_what_the_url_standard_says(name in "[a-z0-9.:-]{0,20}", end in "[.](com|e|g|1|0x1)?") {
            let server = format!("https://{name}{end}");
            proptest::prop_assert_eq!(host_of(&server).map(Cow::into_owned), host_of_any(&server));
        }
    }
}
