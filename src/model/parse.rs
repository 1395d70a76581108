//! Reads one event from JSON: the wire format of every producer (HTTP, CLI, AMQP).
//!
//! ```json
//! {"type":"note","userId":"9ks5...","body":{...},"eventId":"...","createdAt":1774960496789,"server":"https://misskey.example"}
//! ```
//!
//! `type` and `body` (an object) are required; `source`, `userId`, `eventId`, `createdAt` (whole milliseconds) and `server`
//! may be absent or null. Unknown keys pass, whatever is in them. Of a key given twice the last counts, as in JavaScript.
//! The body keeps its bytes. Nesting costs no stack, and a lone surrogate escape anywhere outside the ids passes.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::event_error::JsonKind;
use super::{
    Body, Event, EventError, EventId, EventType, IdError, ReceiptKey, SERVER_BYTES_MAX, Source, Timestamp, UserId,
};

/// The largest `createdAt`: JavaScript's last moment (ECMA-262, section 21.4.1.1).
const CREATED_AT_MS_MAX: i64 = 8_640_000_000_000_000;

/// What an event takes from the way it came in, where it does not say itself.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it came in.
    pub now: Timestamp,
    /// The id to give it when it has none.
    pub event_id: EventId,
    /// The bytes an event may have at most.
    pub event_bytes_max: usize,
    /// The source of the way it came by, whatever the event says; none: the event says.
    pub source: Option<Source>,
}

impl Event {
    /// Reads one event from `bytes`, the JSON shown at the head of this module.
    ///
    /// # Errors
    /// [`EventError`] when it is no event; nothing was kept of it.
    pub fn parse(bytes: &Bytes, arrival: Arrival) -> Result<Self, EventError> {
        Draft::find(bytes, arrival.event_bytes_max)?.read(arrival)
    }
}

/// An event's fields, found in its JSON and not read yet: for who must know whose event it claims to be before he takes it.
pub struct Draft<'a> {
    bytes: &'a Bytes,
    fields: Fields<'a>,
}

impl<'a> Draft<'a> {
    /// Finds the fields in `bytes`.
    ///
    /// # Errors
    /// When there are more than `event_bytes_max` bytes, or they are no JSON object.
    pub fn find(bytes: &'a Bytes, event_bytes_max: usize) -> Result<Self, EventError> {
        if bytes.len() > event_bytes_max {
            return Err(EventError::TooLarge { bytes: bytes.len(), max: event_bytes_max });
        }
        Ok(Self { bytes, fields: read_fields(bytes)? })
    }

    /// Whose event it claims to be; none: a system event.
    ///
    /// # Errors
    /// When `userId` is there and is no id.
    pub fn user(&self) -> Result<Option<UserId>, EventError> {
        optional_text(self.fields.user, "userId", UserId::new)
    }

    /// What names it among all that the Misskey `source` sends; nothing when it has no usable `hookId` or `eventId`, or its
    /// `userId` is no id.
    pub fn receipt(&self, source: &Source) -> Option<ReceiptKey> {
        let hook: String = serde_json::from_str(self.fields.hook?.get()).ok()?;
        let event = optional_text(self.fields.event_id, "eventId", EventId::new).ok()??;
        Some(ReceiptKey::of(source, self.user().ok()?.as_ref(), &hook, &event))
    }

    /// Reads it whole.
    ///
    /// # Errors
    /// [`EventError`] when it is no event; nothing was kept of it.
    pub fn read(self, arrival: Arrival) -> Result<Event, EventError> {
        let Self { bytes, fields } = self;
        let body = fields.body.ok_or(EventError::Missing { field: "body" })?;
        let source = match arrival.source {
            Some(source) => source,
            None => optional_text(fields.source, "source", Source::new)?.unwrap_or_default(),
        };
        Ok(Event {
            kind: required_text(fields.kind, "type", EventType::new)?,
            body: match JsonKind::of(body) {
                JsonKind::Object => Body::from_checked(bytes.slice_ref(body.get().as_bytes())),
                found => return Err(EventError::WrongKind { field: "body", expected: "an object", found }),
            },
            id: optional_text(fields.event_id, "eventId", EventId::new)?.unwrap_or(arrival.event_id),
            user: optional_text(fields.user, "userId", UserId::new)?,
            source,
            server: optional_text(fields.server, "server", check_server)?,
            created_at: created_at(fields.created_at)?.unwrap_or(arrival.now),
            accepted_at: arrival.now,
            trace: None,
        })
    }
}

fn read_fields(bytes: &[u8]) -> Result<Fields<'_>, EventError> {
    serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) if JsonKind::of(raw) != JsonKind::Object => EventError::NotAnObject { found: JsonKind::of(raw) },
        _ => EventError::NotJson { detail: error.to_string() },
    })
}

fn required_text<T>(
    raw: Option<&RawValue>,
    field: &'static str,
    make: fn(&str) -> Result<T, IdError>,
) -> Result<T, EventError> {
    let raw = raw.ok_or(EventError::Missing { field })?;
    text(raw, field, "a string", make)
}

fn optional_text<T>(
    raw: Option<&RawValue>,
    field: &'static str,
    make: fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, EventError> {
    raw.filter(|raw| JsonKind::of(raw) != JsonKind::Null)
        .map(|raw| text(raw, field, "a string or null", make))
        .transpose()
}

fn text<T>(
    raw: &RawValue,
    field: &'static str,
    expected: &'static str,
    make: fn(&str) -> Result<T, IdError>,
) -> Result<T, EventError> {
    let found = JsonKind::of(raw);
    if found != JsonKind::String {
        return Err(EventError::WrongKind { field, expected, found });
    }
    let not_allowed = |why: String| EventError::Text { field, why };
    let text: String = serde_json::from_str(raw.get()).map_err(|error| not_allowed(error.to_string()))?;
    make(&text).map_err(|error| not_allowed(error.to_string()))
}

fn check_server(text: &str) -> Result<String, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > SERVER_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len(), max: SERVER_BYTES_MAX });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(IdError::Control { code: u32::from(c) }),
        None => Ok(text.to_owned()),
    }
}

fn created_at(raw: Option<&RawValue>) -> Result<Option<Timestamp>, EventError> {
    const FIELD: &str = "createdAt";
    let Some(raw) = raw.filter(|raw| JsonKind::of(raw) != JsonKind::Null) else {
        return Ok(None);
    };
    let expected = "a whole number of milliseconds since 1970";
    match JsonKind::of(raw) {
        JsonKind::Number => {}
        found => return Err(EventError::WrongKind { field: FIELD, expected, found }),
    }
    match whole(raw.get()) {
        Some(ms) if (0..=CREATED_AT_MS_MAX).contains(&ms) => Ok(Some(Timestamp::from_millis(ms))),
        _ => Err(EventError::Text { field: FIELD, why: format!("{} is not {expected}", raw.get()) }),
    }
}

/// The whole number that `text`, a number of JSON, is. `1.0` and `1e3` are whole numbers too (JSON Schema, 6.1.1), and some programs
/// write theirs so; up to the largest that is allowed, each is exact as a float.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None }
    })
}

#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    created_at: Option<&'a RawValue>,
    server: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    hook: Option<&'a RawValue>,
}

enum Key {
    Kind,
    User,
    Body,
    EventId,
    CreatedAt,
    Server,
    Source,
    Hook,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, key: &[u8]) -> Result<Key, E> {
                Ok(match key {
                    b"type" => Key::Kind,
                    b"userId" => Key::User,
                    b"body" => Key::Body,
                    b"eventId" => Key::EventId,
                    b"createdAt" => Key::CreatedAt,
                    b"server" => Key::Server,
                    b"source" => Key::Source,
                    b"hookId" => Key::Hook,
                    _ => Key::Unknown,
                })
            }

            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
                self.visit_bytes(key.as_bytes())
            }
        }

        // As bytes, because an unknown key may hold a lone surrogate, which no Rust string can.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event, which is a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let slot = match key {
                        Key::Kind => &mut fields.kind,
                        Key::User => &mut fields.user,
                        Key::Body => &mut fields.body,
                        Key::EventId => &mut fields.event_id,
                        Key::CreatedAt => &mut fields.created_at,
                        Key::Server => &mut fields.server,
                        Key::Source => &mut fields.source,
                        Key::Hook => &mut fields.hook,
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *slot = Some(map.next_value::<&RawValue>()?);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Event, EventError> {
        parse_bytes(text.as_bytes())
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Event, EventError> {
        let arrival = Arrival {
            now: Timestamp::from_millis(7),
            event_id: EventId::new("made-on-arrival").expect("valid"),
            event_bytes_max: 1 << 20,
            source: None,
        };
        Event::parse(&Bytes::copy_from_slice(bytes), arrival)
    }

    #[test]
    fn a_whole_moment_is_one_however_it_is_written() {
        for text in ["1774960496789", "1774960496789.0", "1.774960496789e12"] {
            let event = parse(&format!(r#"{{"type":"x","body":{{}},"createdAt":{text}}}"#)).expect(text);
            assert_eq!(event.created_at.as_millis(), 1_774_960_496_789, "{text}");
        }
        for text in ["1.5", "8640000000000001", "8.640000000000001e15", "1e400", "-1.0"] {
            assert!(parse(&format!(r#"{{"type":"x","body":{{}},"createdAt":{text}}}"#)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_body_keeps_every_byte() {
        let body = r#"{ "z":1e400,"a" : 12345678901234567890123,"s":"\ud800 \u0061","n":-0.0,"z":2 }"#;
        let event = parse(&format!(r#"{{"type":"x","body": {body} }}"#)).expect("an event");
        assert_eq!(event.body.bytes(), body.as_bytes());
    }

    #[test]
    fn what_is_absent_or_null_gets_its_default() {
        let given =
            r#"{"type":"x","body":{},"userId":null,"eventId":null,"createdAt":null,"server":null,"source":null}"#;
        for text in [r#"{"type":"x","body":{}}"#, given] {
            let event = parse(text).expect("an event");
            assert_eq!(event.id.as_str(), "made-on-arrival");
            assert_eq!((event.user, event.server), (None, None));
            assert_eq!(event.source.as_str(), "default");
            assert_eq!(event.created_at, Timestamp::from_millis(7));
        }
    }

    #[test]
    fn unknown_keys_pass_whatever_is_in_them() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        let text = format!(r#"{{"\ud800":1,"x":{deep},"y":1e999,"type":"never.seen","body":{{"b":{deep}}}}}"#);
        assert_eq!(parse(&text).expect("an event").kind.as_str(), "never.seen");
    }

    #[test]
    fn where_the_way_in_says_the_source_the_event_is_not_believed() {
        let arrival = Arrival {
            now: Timestamp::from_millis(7),
            event_id: EventId::new("made").expect("valid"),
            event_bytes_max: 1 << 20,
            source: Some(Source::new("path").expect("valid")),
        };
        for said in [r#""forged""#, "7", "null"] {
            let text = Bytes::from(format!(r#"{{"type":"x","body":{{}},"source":{said}}}"#));
            assert_eq!(Event::parse(&text, arrival.clone()).expect("an event").source.as_str(), "path");
        }
    }

    #[test]
    fn a_receipt_needs_both_ids_and_never_stops_an_event() {
        let receipt = |text: &str| {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            Draft::find(&bytes, 1 << 20).expect("JSON").receipt(&Source::default())
        };
        let both = receipt(r#"{"hookId":"h","eventId":"e"}"#);
        assert_eq!(both, receipt(r#"{"type":"x","eventId":"e","hookId":"\u0068"}"#));
        for other in [r#"{"hookId":"h2","eventId":"e"}"#, r#"{"hookId":"h","eventId":"e","userId":"u"}"#] {
            assert!(both.is_some() && both != receipt(other), "{other}");
        }
        for without in [r#"{"eventId":"e"}"#, r#"{"hookId":"h"}"#, r#"{"hookId":7,"eventId":"e"}"#] {
            assert_eq!(receipt(without), None, "{without}");
        }
        assert!(parse(r#"{"hookId":7,"type":"x","body":{}}"#).is_ok());
        assert_eq!(receipt(r#"{"hookId":"\ud800","eventId":"e"}"#), None);
    }

    #[test]
    fn of_a_key_given_twice_the_last_counts() {
        assert_eq!(parse(r#"{"type":"a","body":{},"type":"b"}"#).expect("an event").kind.as_str(), "b");
    }

    #[test]
    fn every_refusal_names_the_field_and_what_it_must_be() {
        let long = "x".repeat(129);
        let cases: &[(&str, &str)] = &[
            ("", "the event is not JSON: EOF while parsing a value at line 1 column 0"),
            ("{", "the event is not JSON: EOF while parsing an object at line 1 column 1"),
            ("[1]", "the event must be a JSON object, and this is an array"),
            ("null", "the event must be a JSON object, and this is null"),
            (r#"{"type":"x"}"#, "`body` is missing; an event needs `type` (a string) and `body` (an object)"),
            (r#"{"body":{}}"#, "`type` is missing; an event needs `type` (a string) and `body` (an object)"),
            (r#"{"type":"x","body":[]}"#, "`body` must be an object, and this is an array"),
            (r#"{"type":"x","body":"{}"}"#, "`body` must be an object, and this is a string"),
            (r#"{"type":null,"body":{}}"#, "`type` must be a string, and this is null"),
            (r#"{"type":"","body":{}}"#, "`type` is not allowed: it is empty"),
            (r#"{"type":"x","body":{},"userId":7}"#, "`userId` must be a string or null, and this is a number"),
            (
                r#"{"type":"x","body":{},"createdAt":"1"}"#,
                "`createdAt` must be a whole number of milliseconds since 1970, and this is a string",
            ),
            (
                r#"{"type":"x","body":{},"createdAt":1.5}"#,
                "`createdAt` is not allowed: 1.5 is not a whole number of milliseconds since 1970",
            ),
            (
                r#"{"type":"x","body":{},"createdAt":-1}"#,
                "`createdAt` is not allowed: -1 is not a whole number of milliseconds since 1970",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text).expect_err(text).to_string(), *message, "{text}");
        }
        for field in ["type", "eventId", "userId", "source"] {
            let text = format!(r#"{{"body":{{}},"type":"x","{field}":"{long}"}}"#);
            let error = parse(&text).expect_err(&text);
            assert_eq!(error.field(), Some(field));
            assert!(error.to_string().contains("129 bytes, and 128 are allowed"), "{error}");
        }
        let error = parse(&format!(r#"{{"type":"x","body":{{}},"server":"{}"}}"#, "s".repeat(1025))).expect_err("long");
        assert!(
            error.to_string().contains("`server`") && error.to_string().contains("1025 bytes, and 1024"),
            "{error}"
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused() {
        let error = parse_bytes(b"{\"type\":\"x\",\"body\":{\"a\":\"\xff\"}}").expect_err("no UTF-8");
        assert!(matches!(error, EventError::NotJson { .. }), "{error}");
    }

    #[test]
    fn an_event_over_the_limit_is_refused_with_both_numbers() {
        let text = format!(r#"{{"type":"x","body":{{"a":"{}"}}}}"#, "x".repeat(1 << 20));
        let message = parse(&text).expect_err("too large").to_string();
        assert_eq!(message, format!("the event has {} bytes, and 1048576 are allowed", text.len()));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _outcome = parse_bytes(&bytes);
        }

        #[test]
        fn any_text_in_a_body_arrives_as_it_came(text in "\\PC{0,80}") {
            let body = serde_json::to_string(&serde_json::json!({ "text": text })).expect("JSON");
            let event = parse(&format!(r#"{{"type":"x","body":{body}}}"#)).expect("an event");
            proptest::prop_assert_eq!(event.body.bytes(), body.as_bytes());
        }
    }
}
