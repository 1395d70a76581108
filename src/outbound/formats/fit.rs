//! Texts of strangers, made to fit: one line, no invisible tricks, no more than so many characters, cut where a character
//! that a person sees ends.
//!
//! Lengths are counted in UTF-16 units, of which a text has at least as many as code points: whoever counts either way, a
//! text that fits here fits there.

use std::fmt::Write;

/// Bytes of a URL in a text that is kept in one piece.
const URL_BYTES_MAX: usize = 500;
/// What stands where something was cut off.
const CUT: char = '…';

/// A text that is being written and never has more units than it may.
pub(super) struct Fitted {
    out: String,
    used: usize,
    max: usize,
    /// Where to cut so that the mark of the cut fits, and no character is torn.
    keep: usize,
    before: Option<char>,
    /// Regional indicators make flags two by two.
    half_a_flag: bool,
}

impl Fitted {
    /// An empty text of at most `max` units, at least 1.
    pub(super) fn new(max: usize) -> Self {
        Self { out: String::new(), used: 0, max, keep: 0, before: None, half_a_flag: false }
    }

    /// Adds `c`, with `escape` before it; false when there was no room for it.
    pub(super) fn put(&mut self, escape: &str, c: char) -> bool {
        let is_indicator = matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
        let joins = extends(c) || self.before == Some('\u{200d}') || (is_indicator && self.half_a_flag);
        self.half_a_flag = is_indicator && !self.half_a_flag;
        self.mark(joins);
        self.out.push_str(escape);
        self.out.push(c);
        self.used += units(escape) + c.len_utf16();
        self.before = Some(c);
        self.used <= self.max
    }

    /// Adds `piece` as a whole; false when there was no room for it.
    pub(super) fn put_whole(&mut self, piece: &str) -> bool {
        self.mark(false);
        self.out.push_str(piece);
        self.used += units(piece);
        self.before = None;
        self.half_a_flag = false;
        self.used <= self.max
    }

    fn mark(&mut self, joins: bool) {
        if !joins && self.used < self.max {
            self.keep = self.out.len();
        }
    }

    /// The text, cut when there was no room for all of it.
    pub(super) fn finish(mut self) -> String {
        if self.used > self.max {
            self.out.truncate(self.keep);
            self.out.push(CUT);
        }
        self.out
    }
}

/// UTF-16 units of `text`.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Whether `c` belongs to the character before it: the marks, joiners and selectors that are met with (of Unicode's
/// `Grapheme_Extend`, not all).
fn extends(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{93c}'..='\u{94d}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}'
        | '\u{302a}'..='\u{302f}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{ff9e}' | '\u{ff9f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether `c` is seen by nobody and can change how others are: controls, and what turns the direction of writing.
fn is_trick(c: char) -> bool {
    let is_turn = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    is_turn || (c.is_control() && c != '\n')
}

/// `text` on one line, without tricks, of at most `max` units; nothing when nothing is left.
pub(super) fn line(text: &str, max: usize) -> Option<String> {
    let mut fitted = Fitted::new(max);
    let mut is_first = true;
    for word in text.split(|c: char| c.is_whitespace() || is_trick(c)).filter(|word| !word.is_empty()) {
        let space = if is_first { None } else { Some(' ') };
        is_first = false;
        if !space.into_iter().chain(word.chars()).all(|c| fitted.put("", c)) {
            break;
        }
    }
    Some(fitted.finish()).filter(|line| !line.is_empty())
}

/// `text` without tricks, with no more than one empty line in a row, and with nothing blank around it.
pub(super) fn lines(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut breaks = 0;
    for c in text.trim().chars() {
        let c = if c == '\t' { ' ' } else { c };
        breaks = if c == '\n' { breaks + 1 } else { 0 };
        if breaks <= 2 && !is_trick(c) {
            kept.push(c);
        }
    }
    kept
}

/// The URL with which `text` begins, if it does: of signs that no chat's marks are made of.
pub(super) fn url_at(text: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let is_of_url = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'+,;=%".contains(&byte);
    let end = text.bytes().position(|byte| !is_of_url(byte)).unwrap_or(text.len());
    let url = text[..end].trim_end_matches(['.', ',', ':', ';', '!', '?', '\'']);
    (url.len() > scheme.len() && url.len() <= URL_BYTES_MAX).then_some(url)
}

/// `text` with every byte percent-encoded that is not `kept`.
pub(super) fn encoded(text: &str, kept: fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if kept(byte) {
            encoded.push(char::from(byte));
        } else {
            let _never_fails = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What a URL never has to encode (RFC 3986, section 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, max: usize) -> String {
        let mut fitted = Fitted::new(max);
        let _has_room = text.chars().all(|c| fitted.put("", c));
        fitted.finish()
    }

    #[test]
    fn what_fits_stays_and_what_does_not_is_cut_where_a_character_ends() {
        let cases = [
            ("", 1, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a👍🏽b", 6, "a👍🏽b"),
            ("a👍🏽b", 5, "a…"),
            ("e\u{301}e\u{301}x", 4, "e\u{301}…"),
            ("👩\u{200d}👩\u{200d}👧!", 8, "…"),
            ("🇯🇵🇫🇷", 7, "🇯🇵…"),
            ("か\u{3099}か\u{3099}", 3, "か\u{3099}…"),
        ];
        for (text, max, expected) in cases {
            let fitted = cut(text, max);
            assert_eq!(fitted, expected, "{text:?} in {max}");
            assert!(units(&fitted) <= max);
        }
    }

    #[test]
    fn an_escape_stays_with_its_character() {
        let mut fitted = Fitted::new(4);
        assert!(fitted.put("\\", '*'));
        assert!(fitted.put("\\", '*'));
        assert!(!fitted.put("", 'x'));
        assert_eq!(fitted.finish(), "\\*…");
    }

    #[test]
    fn a_line_has_no_breaks_and_no_invisible_tricks() {
        assert_eq!(line(" a\r\n\tb\u{202e}c\u{0} ", 10).as_deref(), Some("a b c"));
        assert_eq!(line(" \u{2067}\n", 10), None);
        assert_eq!(lines("\n a\u{202e}\r\n\n\n\n\tb\n"), "a\n\n b");
    }

    #[test]
    fn a_url_ends_before_what_could_be_a_mark() {
        assert_eq!(url_at("https://a.example/x_y?z=1, and"), Some("https://a.example/x_y?z=1"));
        assert_eq!(url_at("http://a.example/(x)"), Some("http://a.example/"));
        assert_eq!(url_at("https://a||b"), Some("https://a"));
        for none in ["https://", "https://。", "ftp://a.example", "xhttps://a"] {
            assert_eq!(url_at(none), None, "{none}");
        }
        assert_eq!(url_at(&format!("https://{}", "a".repeat(500))), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_the_limit_holds(text in proptest::arbitrary::any::<String>(), max in 1_usize..40) {
            proptest::prop_assert!(units(&cut(&text, max)) <= max);
            proptest::prop_assert!(line(&text, max).is_none_or(|line| units(&line) <= max && !line.contains('\n')));
        }
    }
}
