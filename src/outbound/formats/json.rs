//! A text as a member of a JSON object that is written by hand.

/// Adds `"key":"text",` to an object that is being written; `key` needs no escape.
pub(super) fn push_text(json: &mut String, key: &str, text: &str) {
    json.push('"');
    json.push_str(key);
    json.push_str("\":");
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
    json.push(',');
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_text_goes_into_the_body_as_json_writes_it(text in proptest::arbitrary::any::<String>(), plain in "[ -~]{0,20}") {
            for text in [text, plain] {
                let mut head = String::new();
                push_text(&mut head, "key", &text);
                proptest::prop_assert_eq!(head, format!("\"key\":{},", serde_json::json!(text)));
            }
        }
    }
}
