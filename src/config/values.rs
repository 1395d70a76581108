//! Reads single values: a number, a text, true or false. Each says in words what is expected and what was found
//! instead.
//!
//! A number may be given as a text, since variables can only hold texts; of the others `reader` knows what a variable may
//! say. Words about a text never quote it: it may be a secret in the wrong place.

use std::fmt::Display;
use std::io::Read;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

/// What kind of value it is, for "and this is ...".
pub(super) fn kind(value: &Value) -> &'static str {
    match value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a section",
        ValueKind::Array(_) => "a list",
    }
}

/// A text.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err(format!("must be a text, and this is {}", kind(value))),
    }
}

/// The content of the file at `path`, of at most `bytes_max` bytes. The words do not name it.
pub(super) fn file(path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > bytes_max {
        return Err(format!("it has more than {bytes_max} bytes, which is no certificate's or key's size"));
    }
    Ok(content)
}

/// True or false.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match value.kind {
        ValueKind::Boolean(flag) => Ok(flag),
        _ => Err(format!("must be true or false without quotes, and this is {}", kind(value))),
    }
}

/// True or false, as a variable says it.
pub(super) fn flag_word(text: &str) -> Result<bool, String> {
    text.trim().parse().map_err(|_| "must be true or false, and this is another text".to_owned())
}

/// A whole number within `allowed`.
pub(super) fn whole<T>(value: &Value, allowed: &RangeInclusive<T>) -> Result<T, String>
where
    T: Copy + PartialOrd + Display + TryFrom<i128>,
{
    let (least, most) = (allowed.start(), allowed.end());
    let no_number = |found: &str| format!("must be a whole number from {least} to {most}, and this is {found}");
    let number = match &value.kind {
        ValueKind::I64(number) => i128::from(*number),
        ValueKind::U64(number) => i128::from(*number),
        ValueKind::I128(number) => *number,
        ValueKind::String(text) => text.trim().parse().map_err(|_| no_number("a text that is no such number"))?,
        _ => return Err(no_number(kind(value))),
    };
    match T::try_from(number) {
        Ok(fitting) if allowed.contains(&fitting) => Ok(fitting),
        _ => Err(format!("it is {number}, and {least} to {most} are allowed")),
    }
}

/// A number within `allowed`, fractions too.
pub(super) fn number(value: &Value, allowed: &RangeInclusive<f64>) -> Result<f64, String> {
    let (least, most) = (allowed.start(), allowed.end());
    let no_number = |found: &str| format!("must be a number from {least} to {most}, and this is {found}");
    let number: f64 = match &value.kind {
        ValueKind::Float(number) => *number,
        ValueKind::I64(number) => number.to_string().parse().map_err(|_| no_number(kind(value)))?,
        ValueKind::String(text) => text.trim().parse().map_err(|_| no_number("a text that is no number"))?,
        _ => return Err(no_number(kind(value))),
    };
    if allowed.contains(&number) {
        Ok(number)
    } else {
        Err(format!("it is {number}, and {least} to {most} are allowed"))
    }
}

/// Seconds within `allowed`, fractions too.
pub(super) fn seconds(value: &Value, allowed: &RangeInclusive<f64>) -> Result<Duration, String> {
    let (least, most) = (allowed.start(), allowed.end());
    let no_number = |found: &str| format!("must be a number of seconds from {least} to {most}, and this is {found}");
    let number: f64 = match &value.kind {
        ValueKind::Float(number) => *number,
        ValueKind::I64(number) => number.to_string().parse().map_err(|_| no_number(kind(value)))?,
        ValueKind::String(text) => text.trim().parse().map_err(|_| no_number("a text that is no number"))?,
        _ => return Err(no_number(kind(value))),
    };
    if !allowed.contains(&number) {
        return Err(format!("it is {number} s, and {least} to {most} s are allowed"));
    }
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind)
    }

    #[test]
    fn a_number_may_be_given_as_a_text() {
        assert_eq!(whole(&value(" 12 "), &(1_usize..=20)), Ok(12));
        assert_eq!(seconds(&value("0.5"), &(0.01..=1.0)), Ok(Duration::from_millis(500)));
        assert_eq!(seconds(&value(1_i64), &(0.01..=1.0)), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn numbers_out_of_range_are_refused_whatever_their_size() {
        for number in [0_i64, -1, 21, i64::MIN, i64::MAX] {
            let words = whole(&value(number), &(1_usize..=20)).expect_err("out of range");
            assert_eq!(words, format!("it is {number}, and 1 to 20 are allowed"));
        }
        for number in [0.0, -1.0, 1.01, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert!(seconds(&value(number), &(0.01..=1.0)).is_err(), "{number}");
        }
    }

    #[test]
    fn a_wrong_type_is_named_with_the_right_one_and_never_quoted() {
        let range = 1_u64..=9;
        assert!(whole(&value(true), &range).expect_err("no number").contains("and this is true or false"));
        assert!(whole(&value(2.5), &range).expect_err("no number").contains("and this is a number with a fraction"));
        assert!(!whole(&value("hunter2"), &range).expect_err("no number").contains("hunter2"));
        assert!(!seconds(&value("hunter2"), &(0.0..=1.0)).expect_err("no number").contains("hunter2"));
        assert!(text(&value(5_i64)).expect_err("no text").contains("must be a text, and this is a whole number"));
        assert!(flag(&value("true")).expect_err("no flag").contains("without quotes, and this is a text"));
    }
}
