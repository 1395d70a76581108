//! What names one thing that a Misskey sends, so that it is taken in once however often it is sent.
//!
//! Misskey gives an event an id of its own for each of its webhooks, and keeps both through its retries. Whose event it is
//! belongs to the name too: both ids are what the sender says, and a secret answers only for whose events it brings. Without
//! it, who learnt another's ids in time could send them first, as his own, and the true event would pass for known.

use sha2::{Digest, Sha256};

use super::{EventId, Source, UserId};

/// Bytes of the hash that are kept: 160 bits, as of a delivery's id.
pub const RECEIPT_BYTES: usize = 20;

/// Names what a Misskey sends: its source, whose event it is, the id of the webhook there, and the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptKey([u8; RECEIPT_BYTES]);

impl ReceiptKey {
    /// The key of `event` of `user` (none: a system event, which counts as the empty text, that nobody has as his id), sent
    /// by `source` for its webhook `hook`: the first 20 bytes of SHA-256 over source, user, hook and event, each preceded by
    /// its length in bytes as a big-endian u32.
    pub fn of(source: &Source, user: Option<&UserId>, hook: &str, event: &EventId) -> Self {
        let mut hash = Sha256::new();
        for text in [source.as_str(), user.map_or("", UserId::as_str), hook, event.as_str()] {
            hash.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let mut key = [0; RECEIPT_BYTES];
        key.copy_from_slice(&hash.finalize()[..RECEIPT_BYTES]);
        Self(key)
    }

    /// The bytes, as they are stored.
    pub fn bytes(&self) -> &[u8; RECEIPT_BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_pinned_for_ever() {
        let event = EventId::new("416d7a25-aa40-4106-9703-16f6a3de841f").expect("valid");
        let user = UserId::new("9ks5o1w5k3x90001").expect("valid");
        let key = ReceiptKey::of(&Source::default(), Some(&user), "ajbar5w5k3x90008", &event);
        // Computed apart from this code, by Python's hashlib.
        assert_eq!(data_encoding::HEXLOWER.encode(key.bytes()), "49de6ee89507a0868aab057e8f2b6a93d2d88d2c");
    }

    #[test]
    fn each_of_the_four_makes_another_key() {
        let key = |source: &str, user: &str, hook: &str, event: &str| {
            let user = (!user.is_empty()).then(|| UserId::new(user).expect("valid"));
            let event = EventId::new(event).expect("valid");
            ReceiptKey::of(&Source::new(source).expect("valid"), user.as_ref(), hook, &event)
        };
        let first = key("a", "u", "b", "c");
        for other in [
            key("a2", "u", "b", "c"),
            key("a", "u2", "b", "c"),
            key("a", "", "b", "c"),
            key("a", "u", "b2", "c"),
            key("a", "u", "b", "c2"),
            key("a", "ub", "", "c"),
            key("au", "", "b", "c"),
        ] {
            assert_ne!(first, other);
        }
    }
}
