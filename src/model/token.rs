//! A token that somebody comes with: only its hash is kept, so that whoever sees our memory, or a settings file, has no token.
//!
//! A plain SHA-256 is enough: a token is made by chance, so nobody can try them all. (For passwords that people think of it would
//! not be.)

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Whether `given` is the token. The time that takes tells nothing but how long `given` is.
    pub fn is(&self, given: &str) -> bool {
        self.equals(&Self::of(given))
    }

    /// Whether both are of one token, found out in a time that tells nothing.
    pub fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_no_other_is_it() {
        let hash = TokenHash::of("abc");
        // The example of FIPS 180-2, appendix B.1.
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::from_hex(digits), Some(hash.clone()));
        assert_eq!(TokenHash::from_hex(&digits.to_uppercase()), Some(hash.clone()));
        assert!(hash.is("abc"));
        for other in ["", "abd", "ab", "abc ", digits] {
            assert!(!hash.is(other), "{other:?}");
        }
        for no_hash in ["", "abc", &digits[1..], &format!("{digits}00")] {
            assert_eq!(TokenHash::from_hex(no_hash), None, "{no_hash:?}");
        }
        assert_eq!(format!("{hash:?}"), "***");
    }
}
