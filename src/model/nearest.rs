//! Which known word a mistyped one was probably meant to be.

/// Characters beyond which a word is not compared; the longest setting has 17.
const WORD_CHARS_MAX: usize = 64;

/// The nearest of `known` to `word`, when it is near enough to have been meant: at most one mistake and one more for
/// every three characters of `word`.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + length / 3 && distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, remove or replace to make one word of the other (Levenshtein, one row at a time).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_single_characters() {
        let cases = [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)];
        for (a, b, expected) in cases {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let known = ["concurrency", "timeout_ms", "patience_ms", "on"];
        let nearest = |word| nearest(word, known.into_iter());
        assert_eq!(nearest("concurency"), Some("concurrency"));
        assert_eq!(nearest("Timeout_MS"), Some("timeout_ms"));
        assert_eq!(nearest("timeout_s"), Some("timeout_ms"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest("xy"), None);
        assert_eq!(nearest(&"concurrency".repeat(9)), None);
    }
}
