//! An event's body: the exact bytes that came in, known to be one JSON object.
//!
//! The bytes are never parsed into values and written again: key order, `1e400`, lone surrogate escapes and spacing reach
//! the receiver as they came (promise 3). Who makes a body has checked it: `parse`, or whoever stored it.

use bytes::Bytes;

/// One JSON object as it came in, without the white space around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Bytes);

impl Body {
    /// Takes bytes that are known to be one JSON object: the parser found them to be, or they lay in our own queue.
    pub fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, exactly as they came in.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}
