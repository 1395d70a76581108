//! Whether people can see what a text is: what a person reads in a table, a log line or a page must not be nothing, and must not
//! turn round what stands beside it.

/// The first character of `text` that changes the direction of what stands around it: embeddings, overrides and isolates of
/// Unicode's bidirectional algorithm (UAX 9). A name of any script does without.
pub(super) fn turns(text: &str) -> Option<char> {
    text.chars().find(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Whether nothing of `text` can be seen.
pub(super) fn is_invisible(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_blank(c))
}

/// What is drawn as nothing: Unicode's default ignorable code points (DerivedCoreProperties), and the blank of Braille.
fn is_blank(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_any_script_can_be_seen_and_turn_nothing() {
        for name in ["bot", "  bot ", "ボット 2", "بوت", "בוט\u{200f}", "👩‍👩‍👧", "🏳️‍🌈", "क्षि", "\u{200b}a"]
        {
            assert!(!is_invisible(name) && turns(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn what_shows_nothing_and_what_turns_the_rest_round_is_found() {
        for name in ["", " ", "\u{3000}", "\u{202e}", "\u{200b}\u{feff}", "\u{2800}", "\u{3164}", "\u{e0041}"] {
            assert!(is_invisible(name), "{name:?}");
        }
        for (name, found) in [("a\u{202e}gpj.exe", '\u{202e}'), ("\u{2067}a\u{2069}", '\u{2067}')] {
            assert_eq!(turns(name), Some(found));
        }
    }
}
