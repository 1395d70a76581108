//! The demo's own words: the kinds of receivers, a delivery as somebody counts it, and what receivers complain about.
//!
//! They go from the receivers, the queue and the store into the report. `Violations` is bounded: it keeps the first
//! words and counts the rest.

use crate::model::{EventType, WebhookId};

/// Complaints kept in words; the rest are only counted.
pub(super) const VIOLATION_WORDS_MAX: usize = 10;

/// How a built-in receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiverKind {
    /// 200 at once.
    Healthy,
    /// 503 twice for each delivery, then 200.
    Flaky,
    /// 200 after a while.
    Slow,
    /// Nobody listens: every connection is refused.
    Dead,
    /// 410: it wants nothing more.
    Gone,
}

impl ReceiverKind {
    /// Every kind, in the order of the tables.
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Flaky, Self::Slow, Self::Dead, Self::Gone];

    /// The name that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Flaky => "flaky",
            Self::Slow => "slow",
            Self::Dead => "dead",
            Self::Gone => "gone",
        }
    }
}

/// A delivery as one of those who count it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRef {
    /// Where it goes.
    pub webhook: WebhookId,
    /// The delivery's id. A text, because a receiver must believe its header until the report has checked it.
    pub delivery: String,
    /// The event's type.
    pub kind: EventType,
}

/// What receivers got that breaks the wire format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// All of them.
    pub count: u64,
    /// The first ten, in words.
    pub words: Vec<String>,
}

impl Violations {
    /// Adds one.
    pub fn note(&mut self, words: String) {
        self.count = self.count.saturating_add(1);
        if self.words.len() < VIOLATION_WORDS_MAX {
            self.words.push(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_violations_are_kept_and_all_are_counted() {
        let mut violations = Violations::default();
        for n in 0..25 {
            violations.note(n.to_string());
        }
        assert_eq!(violations.count, 25);
        assert_eq!(violations.words.len(), VIOLATION_WORDS_MAX);
        assert_eq!(violations.words.last().map(String::as_str), Some("9"));
    }
}
