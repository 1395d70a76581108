//! Where a delivery's row lies: the moment at which its event was taken in, and which it is of those of that moment. Both are known from
//! the delivery alone, and rows are so in the order of listings.

use crate::model::Timestamp;

/// Of an id's characters, each of 5 bits, the last so many: 60 bits of a hash, which no two deliveries of one moment share.
const ID_CHARS: usize = 12;

/// A row among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) accepted_at: i64,
    pub(super) tie: i64,
}

impl Key {
    /// That of the delivery `id` of an event that was taken in then.
    pub(super) fn of(accepted_at: Timestamp, id: &str) -> Self {
        Self { accepted_at: accepted_at.as_millis(), tie: tie_of(id) }
    }
}

/// The columns of those keys, to be given to `unnest`.
pub(super) fn columns(keys: impl IntoIterator<Item = Key>) -> (Vec<i64>, Vec<i64>) {
    keys.into_iter().map(|key| (key.accepted_at, key.tie)).unzip()
}

/// What sets the delivery apart from others of its moment: 0 or more.
pub(super) fn tie_of(id: &str) -> i64 {
    let text = id.as_bytes();
    let last = &text[text.len().saturating_sub(ID_CHARS)..];
    last.iter().fold(0, |bits, c| (bits << 5) | bits_of(*c))
}

/// What a character of base32 stands for.
fn bits_of(c: u8) -> i64 {
    i64::from(if c.is_ascii_lowercase() { c - b'a' } else { c.saturating_sub(b'2') + 26 } & 0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_is_the_end_of_the_id() {
        let id = |end: &str| format!("msg_{end:7>32}");
        assert_eq!(tie_of(&id("aaaaaaaaaaac")), 2);
        assert_eq!(tie_of(&id("baaaaaaaaaaa")), 1 << 55);
        assert_eq!(tie_of(&id("")), (1 << 60) - 1);
    }
}
