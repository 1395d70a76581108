//! A person, told apart from every other without being named: what is left of somebody who is forgotten.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Source, UserId};

/// A user of a source, as SHA-256 over both names, each preceded by its length in bytes as a big-endian u32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Person([u8; 32]);

impl Person {
    /// The user `user` of `source`.
    pub fn of(source: &Source, user: &UserId) -> Self {
        Self::named(source.as_str(), user.as_str())
    }

    /// The one who is called so.
    pub fn named(source: &str, user: &str) -> Self {
        let mut hash = Sha256::new_with_prefix("hikyaku person");
        for text in [source, user] {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            hash.update(length.to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// The one whose bytes those are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_another_at_another_source() {
        let of = |source: &str, user: &str| {
            Person::of(&Source::new(source).expect("a source"), &UserId::new(user).expect("an id"))
        };
        assert_eq!(of("default", "9ks5"), of("default", "9ks5"));
        assert_ne!(of("default", "9ks5"), of("other", "9ks5"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_eq!(Person::from_bytes(*of("a", "b").bytes()), of("a", "b"));
    }
}
