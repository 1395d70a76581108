//! Reads a condition from JSON, as it comes by API, by command, from the settings file or from the store; every way in
//! calls this. What is wrong is told with its place in the condition and how to mend it.

use serde_json::{Map, Value};

use super::{
    Condition, FILTER_TEXT_CHARS_MAX, FILTER_TYPES_MAX, FILTER_VALUES_MAX, FILTERS_MAX, Pointer, Scalar, Test, Texts,
};
use crate::model::{Decimal, EventType, JsonKind};

const OPERATORS: [&str; 8] = ["equals", "notEquals", "in", "notIn", "contains", "notContains", "startsWith", "exists"];

/// What is wrong with a condition, or with the list of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct FilterError {
    /// Where, e.g. `filters[2].in[0]`.
    pub place: String,
    /// What is wrong, and how to mend it.
    pub what: String,
}

impl Condition {
    /// Reads a list of conditions, which stands at `place`.
    ///
    /// # Errors
    /// What is wrong with the first one that is wrong.
    pub fn read_all(place: &str, value: &Value) -> Result<Vec<Self>, FilterError> {
        let Value::Array(items) = value else {
            return wrong(
                place,
                format!("it must be an array of conditions, and this is {}", JsonKind::of_value(value)),
            );
        };
        if items.len() > FILTERS_MAX {
            return wrong(place, format!("it has {} conditions, and {FILTERS_MAX} are allowed", items.len()));
        }
        let all = items.iter().enumerate().map(|(index, item)| Self::read(&format!("{place}[{index}]"), item));
        let all: Vec<Self> = all.collect::<Result<_, _>>()?;
        Self::check_all(&all).or_else(|what| wrong(place, what)).map(|()| all)
    }

    /// Reads the condition that stands at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(place: &str, value: &Value) -> Result<Self, FilterError> {
        let Value::Object(fields) = value else {
            return wrong(
                place,
                format!(
                    "it must be an object such as {{\"path\":\"/note/visibility\",\"equals\":\"public\"}}, and this is {}",
                    JsonKind::of_value(value)
                ),
            );
        };
        let known = |name: &str| OPERATORS.contains(&name) || matches!(name, "path" | "types");
        if let Some(unknown) = fields.keys().find(|name| !known(name)) {
            return wrong(
                place,
                format!("{unknown:?} is unknown here; a condition has path, types and one of {}", OPERATORS.join(", ")),
            );
        }
        Ok(Self { path: path(place, fields)?, test: test(place, fields)?, types: types(place, fields)? })
    }
}

fn wrong<T>(place: &str, what: impl Into<String>) -> Result<T, FilterError> {
    Err(FilterError { place: place.to_owned(), what: what.into() })
}

fn path(place: &str, fields: &Map<String, Value>) -> Result<Pointer, FilterError> {
    let at = format!("{place}.path");
    match fields.get("path") {
        None => wrong(&at, "it is missing; it says where in the event's body to look, such as /note/visibility"),
        Some(Value::String(text)) => Pointer::read(text).or_else(|what| wrong(&at, what)),
        Some(other) => wrong(&at, format!("it must be a string, and this is {}", JsonKind::of_value(other))),
    }
}

fn test(place: &str, fields: &Map<String, Value>) -> Result<Test, FilterError> {
    let mut given = OPERATORS.iter().filter_map(|name| fields.get_key_value(*name));
    let Some((name, operand)) = given.next() else {
        return wrong(place, format!("it has no operator; give one of {}", OPERATORS.join(", ")));
    };
    if let Some((second, _)) = given.next() {
        return wrong(place, format!("it has both {name} and {second}; make a condition of each"));
    }
    let at = format!("{place}.{name}");
    Ok(match name.as_str() {
        "equals" => Test::Equals(scalar(&at, operand)?),
        "notEquals" => Test::NotEquals(scalar(&at, operand)?),
        "in" => Test::In(list(&at, operand, FILTER_VALUES_MAX, scalar)?),
        "notIn" => Test::NotIn(list(&at, operand, FILTER_VALUES_MAX, scalar)?),
        "contains" => Test::Contains(texts(&at, operand)?),
        "notContains" => Test::NotContains(texts(&at, operand)?),
        "startsWith" => Test::StartsWith(texts(&at, operand)?),
        _ => match operand {
            Value::Bool(there) => Test::Exists(*there),
            other => return wrong(&at, format!("it must be true or false, and this is {}", JsonKind::of_value(other))),
        },
    })
}

fn types(place: &str, fields: &Map<String, Value>) -> Result<Vec<EventType>, FilterError> {
    let Some(value) = fields.get("types") else { return Ok(Vec::new()) };
    list(&format!("{place}.types"), value, FILTER_TYPES_MAX, |at, item| match item {
        Value::String(text) => EventType::new(text).or_else(|error| wrong(at, error.to_string())),
        other => wrong(at, format!("it must be a string, and this is {}", JsonKind::of_value(other))),
    })
}

fn list<T>(
    at: &str,
    value: &Value,
    max: usize,
    read: impl Fn(&str, &Value) -> Result<T, FilterError>,
) -> Result<Vec<T>, FilterError> {
    match value {
        Value::Array(items) if (1..=max).contains(&items.len()) => {
            items.iter().enumerate().map(|(index, item)| read(&format!("{at}[{index}]"), item)).collect()
        }
        Value::Array(items) => wrong(at, format!("it has {} items, and 1 to {max} are allowed", items.len())),
        other => wrong(at, format!("it must be an array, and this is {}", JsonKind::of_value(other))),
    }
}

fn scalar(at: &str, value: &Value) -> Result<Scalar, FilterError> {
    match value {
        Value::Null => Ok(Scalar::Null),
        Value::Bool(flag) => Ok(Scalar::Flag(*flag)),
        Value::Number(number) => match Decimal::read(&number.to_string()) {
            Some(decimal) => Ok(Scalar::Number(number.clone(), decimal)),
            None => wrong(at, "it is a number that cannot be compared with"),
        },
        Value::String(text) => Ok(Scalar::Text(short(at, text)?.to_owned())),
        Value::Array(_) | Value::Object(_) => wrong(
            at,
            format!("it must be a string, number, true, false or null, and this is {}", JsonKind::of_value(value)),
        ),
    }
}

fn texts(at: &str, value: &Value) -> Result<Texts, FilterError> {
    match value {
        Value::String(text) => Ok(Texts::new(vec![needle(at, text)?])),
        Value::Array(_) => list(at, value, FILTER_VALUES_MAX, |at, item| match item {
            Value::String(text) => needle(at, text),
            other => wrong(at, format!("it must be a string, and this is {}", JsonKind::of_value(other))),
        })
        .map(Texts::new),
        other => {
            wrong(at, format!("it must be a string or an array of strings, and this is {}", JsonKind::of_value(other)))
        }
    }
}

fn needle(at: &str, text: &str) -> Result<String, FilterError> {
    // It is in every text and so says nothing: a slip.
    if text.is_empty() {
        wrong(at, "it is empty, which is in every text; use exists")
    } else {
        short(at, text).map(str::to_owned)
    }
}

fn short<'a>(at: &str, text: &'a str) -> Result<&'a str, FilterError> {
    match text.chars().count() {
        chars if chars > FILTER_TEXT_CHARS_MAX => {
            wrong(at, format!("it has {chars} characters, and {FILTER_TEXT_CHARS_MAX} are allowed"))
        }
        _ => Ok(text),
    }
}
