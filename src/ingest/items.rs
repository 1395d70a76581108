//! Cuts what a producer sent into items: one event, an array of events, or NDJSON (one event a line).
//!
//! What begins with `[` is an array, cut at the commas of its own level, so that an item that is no JSON is that item's
//! trouble and nobody else's; an array that breaks off is refused whole. JSON that is one value is an event. Anything else
//! is NDJSON if it was called that, or if at least one of its lines is JSON by itself. An item is a slice of the bytes that
//! came in.

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
    /// An array that breaks off, or goes on after its end.
    #[error("the request begins as a JSON array and does not end as one; nothing of it was taken")]
    BrokenArray,
    /// Too many.
    #[error("the request has more than {ITEMS_MAX} events; send them in several requests")]
    TooMany,
}

/// Cuts `bytes` into items; `is_ndjson` when the producer said so (`Content-Type: application/x-ndjson`).
///
/// # Errors
/// When there is no item, or too many.
pub fn split(bytes: &Bytes, is_ndjson: bool) -> Result<Vec<Bytes>, ItemsError> {
    let bytes = &bytes.slice_ref(without_bom(bytes));
    let items = if is_ndjson { lines(bytes) } else { values(bytes)? };
    match items.len() {
        0 => Err(ItemsError::Empty),
        count if count > ITEMS_MAX => Err(ItemsError::TooMany),
        _ => Ok(items),
    }
}

/// The text behind the byte order mark that some editors put before it.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn values(bytes: &Bytes) -> Result<Vec<Bytes>, ItemsError> {
    match bytes.trim_ascii().first() {
        None => return Err(ItemsError::Empty),
        Some(b'[') => return array(bytes),
        Some(_) => {}
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(whole) => Ok(vec![bytes.slice_ref(whole.get().as_bytes())]),
        Err(error) => {
            let lines = lines(bytes);
            let some_line_is_json = || lines.iter().any(|line| serde_json::from_slice::<&RawValue>(line).is_ok());
            if lines.len() > 1 && some_line_is_json() { Ok(lines) } else { Err(ItemsError::NotJson(error)) }
        }
    }
}

/// The elements of an array, by its brackets, strings and commas alone.
fn array(bytes: &Bytes) -> Result<Vec<Bytes>, ItemsError> {
    let text = bytes.trim_ascii();
    let (mut items, mut depth, mut begin) = (Vec::new(), 0_usize, 1);
    let mut place = 0;
    while let Some(byte) = text.get(place) {
        match byte {
            b'"' => place = end_of_string(text, place),
            b'[' | b'{' => depth += 1,
            b',' if depth == 1 => {
                items.push(&text[begin..place]);
                if items.len() > ITEMS_MAX {
                    // Refused anyway, and 16 MiB of commas would take 256 MiB of slices.
                    return Err(ItemsError::TooMany);
                }
                begin = place + 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
        place += 1;
    }
    // Brackets are counted alike, so a `}` can stand where the array's `]` should.
    if place + 1 != text.len() || text.last() != Some(&b']') {
        return Err(ItemsError::BrokenArray);
    }
    items.push(&text[begin..place]);
    if let [only] = items[..]
        && only.trim_ascii().is_empty()
    {
        return Err(ItemsError::Empty);
    }
    Ok(items.into_iter().map(|item| bytes.slice_ref(item.trim_ascii())).collect())
}

/// The place of the quote that ends the string begun at `quote`, or of the last byte.
fn end_of_string(text: &[u8], quote: usize) -> usize {
    let mut place = quote + 1;
    while let Some(byte) = text.get(place) {
        match byte {
            b'"' => return place,
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
    text.len()
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
    fn an_element_that_is_no_json_is_an_item_of_its_own() {
        let text = r#"[{"a":"],[\"\\"}, {broken}, , {"b":[{}]}]"#;
        assert_eq!(cut(text, false).expect("cut"), [r#"{"a":"],[\"\\"}"#, "{broken}", "", r#"{"b":[{}]}"#]);
        let bytes = Bytes::from_static(b"[{\"a\":1},{\"a\":\"\xff\"}]");
        assert_eq!(split(&bytes, false).expect("cut").len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn any_array_is_cut_as_a_json_parser_would(texts in proptest::collection::vec("\\PC{0,12}", 1..8)) {
            let values: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::json!({ "t": [text, {}] })).collect();
            let items = cut(&serde_json::to_string(&values).expect("JSON"), false).expect("cut");
            let again: Vec<serde_json::Value> = items.iter().map(|item| serde_json::from_str(item).expect("JSON")).collect();
            proptest::prop_assert_eq!(values, again);
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_an_event() {
        assert_eq!(cut("\u{feff}{\"a\":1}", false).expect("cut"), ["{\"a\":1}"]);
        assert_eq!(cut("\u{feff}{\"a\":1}\n{\"b\":2}", true).expect("cut"), ["{\"a\":1}", "{\"b\":2}"]);
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
        for text in [
            "[{\"a\":1}, {broken]",
            "[\n{\"a\":1},\n{\"b\":2}\n",
            "[{\"a\":1}] {\"b\":2}",
            "[\"a]",
            "[{\"a\":1}}",
            "[}",
        ] {
            assert!(cut(text, false).expect_err(text).contains("does not end as one"), "{text}");
        }
    }

    #[test]
    fn a_request_of_too_many_items_is_refused() {
        let text = "{}\n".repeat(ITEMS_MAX + 1);
        assert!(cut(&text, true).expect_err("too many").contains("100000"));
        let text = format!("[{}]", ",".repeat(ITEMS_MAX));
        assert!(cut(&text, false).expect_err("too many").contains("100000"));
        let text = format!("[{}]", ",".repeat(ITEMS_MAX - 1));
        assert_eq!(cut(&text, false).expect("just enough").len(), ITEMS_MAX);
    }
}
