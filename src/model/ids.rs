//! Ids and names: short texts with a limit, cheap to clone.
//!
//! Texts come from producers, admins and our own tables. Each type refuses what is empty, too long, or has control
//! characters (they would break log lines and headers). A [`DeliveryId`] is computed, never read from a producer.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Bytes that an event type or an id may have at most (the wire format's limit; Misskey's own ids have at most 32).
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("it has {bytes} bytes, and {max} are allowed")]
    TooLong {
        /// The bytes it has.
        bytes: usize,
        /// The bytes it may have.
        max: usize,
    },
    /// A control character such as a line break.
    #[error("it has a control character (U+{code:04X})")]
    Control {
        /// The character's code point.
        code: u32,
    },
    /// A character that this kind of id does not allow.
    #[error("it has the character {found:?}; allowed are letters, digits, '-', '_' and '.'")]
    Character {
        /// The first character that is not allowed.
        found: char,
    },
}

fn check_text(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len(), max: ID_BYTES_MAX });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(IdError::Control { code: u32::from(c) }),
        None => Ok(()),
    }
}

fn check_token(text: &str) -> Result<(), IdError> {
    check_text(text)?;
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        Some(found) => Err(IdError::Character { found }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes one of `text`.
            ///
            /// # Errors
            /// When the text is empty, over [`ID_BYTES_MAX`] bytes, or has a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Names one event; given by its producer or made on arrival.
    EventId,
    check_text
);
text_id!(
    /// What happened, e.g. `note`. Unknown types pass.
    EventType,
    check_text
);
text_id!(
    /// A Misskey user.
    UserId,
    check_text
);
text_id!(
    /// Which Misskey server an event came from, as the admin named it; `default` where nothing is said.
    Source,
    check_text
);
text_id!(
    /// Names a webhook; it travels in the header `X-Misskey-Hook-Id`, so it is plain ASCII.
    WebhookId,
    check_token
);

impl Default for Source {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

/// A text that is no delivery id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery id is `msg_` and 32 letters a-z and digits 2-7, as `hikyaku dead list` shows it")]
pub struct DeliveryIdError;

/// Names one delivery: one event for one webhook. The same after every crash, retry and replay.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Arc<str>);

/// Characters of base32 kept: 160 bits of the hash.
const DELIVERY_ID_CHARS: usize = 32;

impl DeliveryId {
    /// The id of `event`'s delivery to `webhook`: `msg_` and the first 32 characters of the lower-case base32 (RFC 4648
    /// section 6) of SHA-256 over both ids, each preceded by its length in bytes as a big-endian u32.
    pub fn of(event: &EventId, webhook: &WebhookId) -> Self {
        let mut hash = Sha256::new();
        for text in [event.as_str(), webhook.as_str()] {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            hash.update(length.to_be_bytes());
            hash.update(text.as_bytes());
        }
        let mut id = String::from("msg_");
        id.push_str(&data_encoding::BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase());
        id.truncate("msg_".len() + DELIVERY_ID_CHARS);
        Self(Arc::from(id))
    }

    /// Reads an id that a person typed or a program sent.
    ///
    /// # Errors
    /// When it is not `msg_` and 32 characters of lower-case base32.
    pub fn from_text(text: &str) -> Result<Self, DeliveryIdError> {
        let is_base32 = |c: u8| c.is_ascii_lowercase() || (b'2'..=b'7').contains(&c);
        match text.strip_prefix("msg_") {
            Some(rest) if rest.len() == DELIVERY_ID_CHARS && rest.bytes().all(is_base32) => Ok(Self(Arc::from(text))),
            _ => Err(DeliveryIdError),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_id_is_pinned_for_ever() {
        let event = EventId::new("416d7a25-aa40-4106-9703-16f6a3de841f").expect("valid");
        let webhook = WebhookId::new("wh1").expect("valid");
        // Computed apart from this code, by Python's hashlib and base64.b32encode.
        assert_eq!(DeliveryId::of(&event, &webhook).as_str(), "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg");
    }

    #[test]
    fn a_delivery_id_is_read_back_and_anything_else_refused() {
        let id = DeliveryId::of(&EventId::new("e").expect("valid"), &WebhookId::new("w").expect("valid"));
        assert_eq!(DeliveryId::from_text(id.as_str()), Ok(id));
        for text in ["", "msg_", "msg_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "msg_abcdefghijklmnopqrstuvwxyz2345678"] {
            assert_eq!(DeliveryId::from_text(text), Err(DeliveryIdError), "{text}");
        }
    }

    #[test]
    fn moving_a_character_between_the_ids_makes_another_delivery() {
        let id = |event: &str, webhook: &str| {
            DeliveryId::of(&EventId::new(event).expect("valid"), &WebhookId::new(webhook).expect("valid"))
        };
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }

    #[test]
    fn a_text_over_the_limit_empty_or_with_a_line_break_is_refused() {
        assert_eq!(EventType::new(""), Err(IdError::Empty));
        assert_eq!(EventType::new(&"x".repeat(129)), Err(IdError::TooLong { bytes: 129, max: 128 }));
        assert_eq!(EventType::new("a\nb"), Err(IdError::Control { code: 10 }));
        assert_eq!(WebhookId::new("a b"), Err(IdError::Character { found: ' ' }));
        assert!(EventType::new(&"x".repeat(128)).is_ok());
    }
}
