//! Which deliveries are meant, and how a listing goes on from page to page.

use std::fmt;
use std::str::FromStr;

use crate::model::{DeliveryState, EventId, EventType, Timestamp, WebhookId};

/// Which deliveries are meant: those for which all that is given holds. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// To this webhook.
    pub webhook: Option<WebhookId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this event type.
    pub kind: Option<EventType>,
    /// Of those that stand so.
    pub state: Option<DeliveryState>,
    /// Whose event was taken in at this moment or later.
    pub since: Option<Timestamp>,
    /// Whose event was taken in before this moment.
    pub until: Option<Timestamp>,
}

/// Some of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage<T> {
    /// The deliveries, those taken in last first. Fewer than asked for, even none, when few of many fit the filter.
    pub deliveries: Vec<T>,
    /// Where the next page begins; none: there is no more.
    pub next: Option<HistoryCursor>,
    /// What of this page cannot be read, in words that name each.
    pub problems: Vec<String>,
}

/// The place of a delivery in the listing. As text: `accepted_at_ms.number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    pub(super) accepted_at: i64,
    pub(super) number: i64,
}

/// The text is no place in a listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no place in a list of deliveries; take the `next` of the page before, or begin without one")]
pub struct HistoryCursorError;

impl fmt::Display for HistoryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.accepted_at, self.number)
    }
}

impl FromStr for HistoryCursor {
    type Err = HistoryCursorError;

    fn from_str(text: &str) -> Result<Self, HistoryCursorError> {
        let (accepted_at, number) = text.split_once('.').ok_or(HistoryCursorError)?;
        let read = |text: &str| text.parse().map_err(|_| HistoryCursorError);
        let cursor = Self { accepted_at: read(accepted_at)?, number: read(number)? };
        // `+5`, `05` and `-5` are numbers too, and none that we wrote.
        if cursor.to_string() == text && !text.contains('-') { Ok(cursor) } else { Err(HistoryCursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_anything_else_refused() {
        let cursor = HistoryCursor { accepted_at: 1_774_960_496_789, number: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in
            ["", "5", ".", "5.", ".5", "a.b", "+5.1", "05.1", "5.1.2", "5.1 ", "-5.1", "5.-1", "99999999999999999999.1"]
        {
            assert_eq!(text.parse::<HistoryCursor>(), Err(HistoryCursorError), "{text}");
        }
    }
}
