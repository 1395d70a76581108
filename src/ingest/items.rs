//! Cuts what a producer sent into items: one event, an array of events, or NDJSON (one event a line).
//!
//! JSON that is one value is an event or an array. Anything else is NDJSON if it was called that, or if at least one of its
//! lines is JSON by itself; then a line that is none is that line's trouble and nobody else's. An item is a slice of the
//! bytes that came in.

use bytes::Bytes;
use serde_json::value::RawValue;

/// Items that one request may have: 16 MiB of Misskey's smallest events (198 bytes) are 85,000.
pub const ITEMS_MAX: usize = 100_000;

/// Why bytes cannot be cut into items. None of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// Nothing but white space.
    #[error("the request has no event: its body is empty")]
    Empty,
    /// Neither JSON nor lines of JSON.
    #[error("the request is neither a JSON object, nor a JSON array, nor lines of JSON (NDJSON): {0}")]
    NotJson(#[source] serde_json::Error),
    /// Too many.
    #[error("the request has more than {ITEMS_MAX} events; send them in several requests")]
    TooMany,
}

/// Cuts `bytes` into items; `is_ndjson` when the producer said so (`Content-Type: application/x-ndjson`).
///
/// # Errors
/// When there is no item, or too many.
pub fn split(bytes: &Bytes, is_ndjson: bool) -> Result<Vec<Bytes>, ItemsError> {
    let items = if is_ndjson { lines(bytes) } else { values(bytes)? };
    match items.len() {
        0 => Err(ItemsError::Empty),
        count if count > ITEMS_MAX => Err(ItemsError::TooMany),
        _ => Ok(items),
    }
}

fn values(bytes: &Bytes) -> Result<Vec<Bytes>, ItemsError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ItemsError::Empty);
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(whole) if whole.get().starts_with('[') => array(bytes, whole),
        Ok(whole) => Ok(vec![bytes.slice_ref(whole.get().as_bytes())]),
        Err(error) => {
            let lines = lines(bytes);
            let some_line_is_json = || lines.iter().any(|line| serde_json::from_slice::<&RawValue>(line).is_ok());
            if lines.len() > 1 && some_line_is_json() { Ok(lines) } else { Err(ItemsError::NotJson(error)) }
        }
    }
}

fn array(bytes: &Bytes, whole: &RawValue) -> Result<Vec<Bytes>, ItemsError> {
    let items: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(ItemsError::NotJson)?;
    Ok(items.into_iter().map(|item| bytes.slice_ref(item.get().as_bytes())).collect())
}

fn lines(bytes: &Bytes) -> Vec<Bytes> {
    bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .take(ITEMS_MAX + 1)
        .map(|line| bytes.slice_ref(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, is_ndjson: bool) -> Result<Vec<String>, String> {
        split(&Bytes::copy_from_slice(text.as_bytes()), is_ndjson)
            .map(|items| items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_one_item_however_it_is_spaced() {
        assert_eq!(cut(" {\n \"a\": 1\n}\n", false).expect("cut"), ["{\n \"a\": 1\n}"]);
    }

    #[test]
    fn an_array_is_its_elements_with_their_bytes() {
        assert_eq!(cut("[ {\"a\": 1e400} ,7]", false).expect("cut"), ["{\"a\": 1e400}", "7"]);
    }

    #[test]
    fn lines_are_items_whether_or_not_they_were_called_ndjson() {
        let text = "{\"a\":1}\r\n\n{broken\n{\"b\":2}\n";
        let expected = ["{\"a\":1}", "{broken", "{\"b\":2}"];
        assert_eq!(cut(text, true).expect("cut"), expected);
        assert_eq!(cut(text, false).expect("cut"), expected);
    }

    #[test]
    fn nothing_and_nonsense_are_refused_in_words() {
        for text in ["", " \n ", "[]"] {
            assert!(cut(text, false).expect_err(text).contains("no event"), "{text:?}");
        }
        assert!(cut("nonsense", false).expect_err("nonsense").contains("neither a JSON object"));
        assert!(cut("[{\"a\":1}, {broken]", false).expect_err("a broken array").contains("neither a JSON object"));
    }

    #[test]
    fn a_request_of_too_many_items_is_refused() {
        let text = "{}\n".repeat(ITEMS_MAX + 1);
        assert!(cut(&text, true).expect_err("too many").contains("100000"));
    }
}
