//! The parameters in a request's query as they were given, and what is told of those that are wrong.
//!
//! Names and values are decoded and otherwise as they came; what they mean is for whoever asked for them. However much is wrong, what
//! is told of it has a limit.

use serde::Serialize;
use utoipa::ToSchema;

/// Mistakes that are told at most.
pub const MISTAKES_MAX: usize = 20;
/// Characters of a name or a value that are told.
const TOLD_CHARS_MAX: usize = 80;

/// A parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// Its name.
    pub parameter: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Mistake {
    /// That of the parameter of this name, which may be anything that somebody gave.
    pub fn new(parameter: &str, detail: impl Into<String>) -> Self {
        Self { parameter: shortened(parameter), detail: detail.into() }
    }

    /// All of them in words, as one text.
    pub fn all_in_words(mistakes: &[Self]) -> String {
        let each = mistakes.iter().map(|mistake| format!("{}: {}", mistake.parameter, mistake.detail));
        each.collect::<Vec<_>>().join("; ")
    }
}

/// A parameter by its name; no value where its bytes are no UTF-8.
pub type Given = (String, Option<String>);

/// The parameters of the text behind the question mark. Where a value's bytes are no UTF-8 there is none: the decoder puts U+FFFD,
/// which would be looked for, and not found.
pub fn parameters(query: Option<&str>) -> Vec<Given> {
    let query = query.unwrap_or_default();
    let escaped = query.split('&').filter(|pair| !pair.is_empty());
    let is_text = escaped.map(|pair| percent_encoding::percent_decode_str(pair).decode_utf8().is_ok());
    let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    pairs.zip(is_text).map(|((name, value), is_text)| (name, is_text.then_some(value))).collect()
}

/// What is wrong with parameters that are none of the `known`.
pub fn unknown(given: &[Given], known: &[&str]) -> Vec<Mistake> {
    let detail = match known {
        [] => "there is no such parameter; this path takes none".to_owned(),
        [only] => format!("there is no such parameter; there is {only}"),
        known => format!("there is no such parameter; there are {}", known.join(", ")),
    };
    let unknown = given.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    unknown.take(MISTAKES_MAX).map(|(name, _)| Mistake::new(name, detail.clone())).collect()
}

/// What somebody gave, as much of it as is told.
pub fn shortened(text: &str) -> String {
    text.chars().take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_bytes_that_are_no_utf_8_are_no_value() {
        let text = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let given = parameters(Some("&a=%C3%A9+%EF%BF%BD&&b&a=x%FF&c=%ED%A0%80&"));
        let no_text = |name: &str| (name.to_owned(), None);
        assert_eq!(given, [text("a", "é \u{fffd}"), text("b", ""), no_text("a"), no_text("c")]);
        assert_eq!(parameters(None), []);
    }

    #[test]
    fn what_nobody_knows_is_told_with_what_there_is() {
        let given = parameters(Some("limit=1&lmit=2&%FF=3"));
        assert_eq!(unknown(&given, &["limit", "lmit", "\u{fffd}"]), []);
        let told = Mistake::all_in_words(&unknown(&given, &["limit", "cursor"]));
        let words = "there is no such parameter; there are limit, cursor";
        assert_eq!(told, format!("lmit: {words}; \u{fffd}: {words}"));
        assert_eq!(unknown(&given[..1], &["dryRun"])[0].detail, "there is no such parameter; there is dryRun");
        assert_eq!(unknown(&given[..1], &[])[0].detail, "there is no such parameter; this path takes none");
    }
}
