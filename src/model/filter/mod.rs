//! What a webhook asks of an event's content: conditions that must all hold. Their meaning is `decide::passes`.
//!
//! ```json
//! {"path":"/note/text","contains":["misskey","ミスキー"],"types":["note"]}
//! ```
//!
//! `path` is a JSON Pointer (RFC 6901) into the event's body, and beside it stands exactly one operator:
//!
//! | operator | operand |
//! |---|---|
//! | `equals`, `notEquals` | a string, number, true, false or null |
//! | `in`, `notIn` | an array of 1 to 64 of those |
//! | `contains`, `notContains`, `startsWith` | a string, or an array of 1 to 64 strings |
//! | `exists` | true or false |
//!
//! With `types` it is a condition for events of those types alone. Everything is bounded, and there are no patterns, so that
//! nobody can write a filter that costs much.

mod pointer;
mod read;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

use super::{Decimal, EventType};

pub use pointer::{FILTER_PATH_CHARS_MAX, FILTER_PATH_STEPS_MAX, Pointer};
pub use read::FilterError;

/// Conditions of one webhook.
pub const FILTERS_MAX: usize = 16;
/// Values in the array of an operator.
pub const FILTER_VALUES_MAX: usize = 64;
/// Texts that all `contains`, `notContains` and `startsWith` of one webhook look for: each is a search through a text.
pub const FILTER_TEXTS_MAX: usize = 64;
/// Characters of a text that is looked for.
pub const FILTER_TEXT_CHARS_MAX: usize = 256;
/// Event types of one condition.
pub const FILTER_TYPES_MAX: usize = 64;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where in the body to look.
    pub path: Pointer,
    /// What must be there.
    pub test: Test,
    /// The event types that it is a condition for; none: all.
    pub types: Vec<EventType>,
}

impl Condition {
    /// Checks that conditions, each of which may be, may be together: at most [`FILTERS_MAX`] with at most
    /// [`FILTER_TEXTS_MAX`] texts.
    ///
    /// # Errors
    /// In words, how many there are of what and how many are allowed.
    pub fn check_all(all: &[Self]) -> Result<(), String> {
        if all.len() > FILTERS_MAX {
            return Err(format!("it has {} conditions, and {FILTERS_MAX} are allowed", all.len()));
        }
        let texts: usize = all.iter().map(|condition| condition.test.texts()).sum();
        if texts > FILTER_TEXTS_MAX {
            return Err(format!(
                "its contains, notContains and startsWith have {texts} texts together, and {FILTER_TEXTS_MAX} are allowed"
            ));
        }
        Ok(())
    }
}

impl Test {
    fn texts(&self) -> usize {
        match self {
            Self::Contains(texts) | Self::NotContains(texts) | Self::StartsWith(texts) => texts.given.len(),
            Self::Equals(_) | Self::NotEquals(_) | Self::In(_) | Self::NotIn(_) | Self::Exists(_) => 0,
        }
    }
}

/// What must be at a condition's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// This value.
    Equals(Scalar),
    /// Anything but this value.
    NotEquals(Scalar),
    /// One of these values.
    In(Vec<Scalar>),
    /// None of these values.
    NotIn(Vec<Scalar>),
    /// A text with one of these in it, or an array with one of these as an element.
    Contains(Texts),
    /// Anything but that.
    NotContains(Texts),
    /// A text that begins with one of these.
    StartsWith(Texts),
    /// Something other than null, or (false) nothing else.
    Exists(bool),
}

/// A value that is no array and no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`, and what is not there.
    Null,
    /// True or false.
    Flag(bool),
    /// A number, as it was given, and as it is compared.
    Number(Number, Decimal),
    /// A text.
    Text(String),
}

/// Texts to look for without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    given: Vec<String>,
    lowered: Vec<String>,
}

impl Texts {
    fn new(given: Vec<String>) -> Self {
        let lowered = given.iter().map(|text| text.to_lowercase()).collect();
        Self { given, lowered }
    }

    /// In lower case, as they are looked for in texts in lower case.
    pub fn lowered(&self) -> impl Iterator<Item = &str> {
        self.lowered.iter().map(String::as_str)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", self.path.as_str())?;
        match &self.test {
            Test::Equals(value) => map.serialize_entry("equals", value)?,
            Test::NotEquals(value) => map.serialize_entry("notEquals", value)?,
            Test::In(values) => map.serialize_entry("in", values)?,
            Test::NotIn(values) => map.serialize_entry("notIn", values)?,
            Test::Contains(texts) => map.serialize_entry("contains", texts)?,
            Test::NotContains(texts) => map.serialize_entry("notContains", texts)?,
            Test::StartsWith(texts) => map.serialize_entry("startsWith", texts)?,
            Test::Exists(there) => map.serialize_entry("exists", there)?,
        }
        if !self.types.is_empty() {
            map.serialize_entry("types", &self.types)?;
        }
        map.end()
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Flag(flag) => flag.serialize(serializer),
            Self::Number(number, _) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
        }
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.given.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
