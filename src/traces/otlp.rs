//! Spans as OTLP has them, in protobuf (opentelemetry-proto 1.x, `ExportTraceServiceRequest`), and what a collector answers.
//!
//! A message is fields, each a number with its kind and a value: a varint, eight bytes, or bytes with their length before them. What
//! is written is read by the official definitions in a test (`tests/it/journeys/traced`).

use super::span::{Ended, Value};

/// Where a collector takes spans, below its own path.
pub const TRACES_PATH: &str = "/v1/traces";
/// The content type of what is sent.
pub(super) const CONTENT_TYPE: &str = "application/x-protobuf";
/// What our spans are named by: the program.
const SCOPE: &str = "hikyaku";
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;
/// `SPAN_FLAGS_TRACE_FLAGS_MASK` has the flags of W3C; all that is sent is sampled.
const FLAGS_SAMPLED: u32 = 1;

/// Who tells: the attributes of the resource.
#[derive(Clone, Debug)]
pub struct Named {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`.
    pub instance: String,
}

/// A request that tells `spans` of `who`.
pub(super) fn request(who: &Named, spans: &[Ended]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            for (key, value) in [
                ("service.name", who.service.as_str()),
                ("service.version", env!("CARGO_PKG_VERSION")),
                ("service.instance.id", who.instance.as_str()),
            ] {
                resource.message(1, |pair| {
                    pair.text(1, key);
                    pair.message(2, |any| any.text(1, value));
                });
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, SCOPE);
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for span in spans {
                scope_spans.message(2, |message| write(message, span));
            }
        });
    });
    request.0
}

fn write(message: &mut Message, span: &Ended) {
    message.bytes(1, span.context.trace.bytes());
    message.bytes(2, span.context.span.bytes());
    if let Some(parent) = &span.parent {
        message.bytes(4, parent.bytes());
    }
    message.text(5, &span.name);
    message.varint(6, span.kind as u64);
    message.fixed64(7, span.began);
    message.fixed64(8, span.ended);
    for (key, value) in &span.attributes {
        message.message(9, |pair| {
            pair.text(1, key);
            pair.message(2, |any| match value {
                Value::Text(text) => any.text(1, text),
                Value::Number(number) => any.varint(3, number.cast_unsigned()),
            });
        });
    }
    if span.is_failed {
        message.message(15, |status| status.varint(3, STATUS_ERROR));
    }
    message.fixed32(16, FLAGS_SAMPLED);
}

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, kind: u64) {
        self.raw(field << 3 | kind);
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.raw(value);
    }

    fn fixed64(&mut self, field: u64, value: u64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, value: u32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// How many spans the collector did not take although it answered that all is well, and why, by its answer; 0 of an answer that is no
/// protobuf.
pub(super) fn rejected(answer: &[u8]) -> (u64, String) {
    let Some(partial) = fields(answer).and_then(|fields| find(&fields, 1)) else { return (0, String::new()) };
    let Some(fields) = partial.bytes().and_then(fields) else { return (0, String::new()) };
    let count = find(&fields, 1).map_or(0, |count| count.number());
    let why = find(&fields, 2).and_then(|why| why.bytes()).unwrap_or_default();
    (count, String::from_utf8_lossy(why).into_owned())
}

#[derive(Clone, Copy)]
enum Read<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Read<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }
}

fn find<'a>(fields: &[(u64, Read<'a>)], number: u64) -> Option<Read<'a>> {
    fields.iter().rev().find(|(field, _)| *field == number).map(|(_, value)| *value)
}

/// The fields of a message; nothing when it is none.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Read<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Read::Number(take_varint(&mut bytes)?),
            1 => Read::Number(u64::from_le_bytes(take(&mut bytes, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Read::Bytes(take(&mut bytes, length)?)
            }
            5 => Read::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?))),
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn how_many_spans_a_collector_did_not_take_is_read_from_its_answer() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.varint(1, 300);
            partial.text(2, "too old");
        });
        assert_eq!(rejected(&answer.0), (300, "too old".to_owned()));
        assert_eq!(rejected(b""), (0, String::new()), "all is well");
        assert_eq!(rejected(b"{}"), (0, String::new()), "JSON");
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(answer: Vec<u8>) {
            let _whatever = rejected(&answer);
        }
    }
}
