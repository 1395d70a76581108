//! What names one thing that a Misskey sends, so that it is taken in once however often it is sent.
//!
//! Misskey gives an event an id of its own for each of its webhooks, and keeps both through its retries.

use sha2::{Digest, Sha256};

use super::{EventId, Source};

/// Bytes of the hash that are kept: 160 bits, as of a delivery's id.
pub const RECEIPT_BYTES: usize = 20;

/// Names what a Misskey sends: its source, the id of the webhook there, and the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptKey([u8; RECEIPT_BYTES]);

impl ReceiptKey {
    /// The key of `event`, sent by `source` for its webhook `hook`: the first 20 bytes of SHA-256 over the three, each
    /// preceded by its length in bytes as a big-endian u32.
    pub fn of(source: &Source, hook: &str, event: &EventId) -> Self {
        let mut hash = Sha256::new();
        for text in [source.as_str(), hook, event.as_str()] {
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
        let key = ReceiptKey::of(&Source::default(), "ajbar5w5k3x90008", &event);
        // Computed apart from this code, by Python's hashlib.
        assert_eq!(data_encoding::HEXLOWER.encode(key.bytes()), "3a7530d77e0748f9ffb1c3a3f5478fc0cf7c05dc");
    }

    #[test]
    fn each_of_the_three_makes_another_key() {
        let key = |source: &str, hook: &str, event: &str| {
            ReceiptKey::of(&Source::new(source).expect("valid"), hook, &EventId::new(event).expect("valid"))
        };
        let first = key("a", "b", "c");
        for other in [key("a2", "b", "c"), key("a", "b2", "c"), key("a", "b", "c2"), key("ab", "", "c")] {
            assert_ne!(first, other);
        }
    }
}
