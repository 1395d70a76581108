//! CloudEvents 1.0, structured mode in JSON (application/cloudevents+json):
//!
//! ```json
//! {"specversion":"1.0","id":"..","source":"https://misskey.example","type":"net.misskey.note","subject":"..",
//!  "time":"2026-03-31T12:34:56.789Z","datacontenttype":"application/json","data":{..}}
//! ```
//!
//! `id` is the event's, `subject` its user (none: a system event), `data` its body with its own bytes. `source` must be a
//! URI-reference and not be empty: it is the origin of the event's server, or else the name of its source. Texts of
//! attributes may not hold Unicode's noncharacters (CloudEvents 1.0.2, "Type System"), which ids may: they are replaced.

use bytes::Bytes;
use url::Url;

use super::fit::{encoded, is_unreserved};
use super::json::push_text;
use crate::model::{Event, Timestamp};
use crate::outbound::pieces::Pieces;

/// What types begin with: the name of Misskey's project in reverse, as the specification advises.
const TYPE_PREFIX: &str = "net.misskey.";
/// Room for what comes before the event's own bytes.
const HEAD_BYTES: usize = 384;

/// The body for any webhook.
pub(super) fn body(event: &Event) -> Pieces {
    let mut head = String::with_capacity(HEAD_BYTES + Pieces::room_beside(event.body.bytes()));
    head.push_str("{\"specversion\":\"1.0\",");
    push_text(&mut head, "id", &attribute(event.id.as_str()));
    push_text(&mut head, "source", &source(event));
    push_text(&mut head, "type", &attribute(&format!("{TYPE_PREFIX}{}", event.kind)));
    if let Some(user) = &event.user {
        push_text(&mut head, "subject", &attribute(user.as_str()));
    }
    if let Some(time) = time(event.created_at) {
        push_text(&mut head, "time", &time);
    }
    push_text(&mut head, "datacontenttype", "application/json");
    head.push_str("\"data\":");
    Pieces::new(head.into_bytes(), event.body.bytes().clone(), Bytes::from_static(b"}"))
}

/// The moment, if RFC 3339 can say it: its years have four digits.
fn time(at: Timestamp) -> Option<String> {
    Some(at.to_rfc3339()).filter(|text| text.ends_with('Z'))
}

fn source(event: &Event) -> String {
    let server = event.server.as_deref().and_then(|server| Url::parse(server).ok());
    let origin = server.filter(|url| matches!(url.scheme(), "http" | "https")).map(|url| url.origin());
    match origin {
        // Host names of the URL standard may have signs that those of RFC 3986 may not.
        Some(origin) => encoded(&origin.ascii_serialization(), is_of_origin),
        None => encoded(event.source.as_str(), is_unreserved),
    }
}

fn is_of_origin(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b':' | b'/' | b'[' | b']' | b'%')
}

/// `text` without noncharacters; control characters are in no id, type or user of ours.
fn attribute(text: &str) -> String {
    text.chars().map(|c| if is_noncharacter(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Unicode 15.0, section 23.7.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}
