//! Why bytes are no event, in the words that their producer gets.
//!
//! [`parse`](super::parse) finds it out; every way in passes it on. A producer must be able to mend the event by it alone, so
//! each says which field is at fault, what was found there, and what must be there.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

/// Why bytes are no event. Each names what is wrong and how it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Too many bytes.
    #[error("the event has {bytes} bytes, and {max} are allowed")]
    TooLarge {
        /// The bytes it has.
        bytes: usize,
        /// The bytes it may have.
        max: usize,
    },
    /// Not JSON.
    #[error("the event is not JSON: {detail}")]
    NotJson {
        /// The parser's words.
        detail: String,
    },
    /// JSON, but no object.
    #[error("the event must be a JSON object, and this is {found}")]
    NotAnObject {
        /// What it is.
        found: JsonKind,
    },
    /// A required field is absent.
    #[error("`{field}` is missing; an event needs `type` (a string) and `body` (an object)")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has the wrong kind of value.
    #[error("`{field}` must be {expected}, and this is {found}")]
    WrongKind {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: JsonKind,
    },
    /// A text that its field does not allow.
    #[error("`{field}` is not allowed: {why}")]
    Text {
        /// The field.
        field: &'static str,
        /// What is wrong with the text.
        why: String,
    },
}

impl EventError {
    /// The field at fault, when one is.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } | Self::NotJson { .. } | Self::NotAnObject { .. } => None,
            Self::Missing { field } | Self::WrongKind { field, .. } | Self::Text { field, .. } => Some(field),
        }
    }
}

/// The kind of a JSON value, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// `"..."`
    String,
    /// A number.
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl JsonKind {
    pub(super) fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
            Value::String(_) => Self::String,
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Null => Self::Null,
        }
    }
}

impl fmt::Display for JsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        })
    }
}
