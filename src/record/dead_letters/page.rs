//! What of the dead letters is meant, and how a listing goes on from page to page.

use std::fmt;
use std::str::FromStr;

use super::PAGE_MAX;
use crate::model::{DeathReason, DeliveryId, EventId, EventType, Timestamp, WebhookId};

/// Bytes of bodies after which a page ends.
const PAGE_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Which dead letters are meant: those for which all that is given holds. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// For this webhook.
    pub webhook: Option<WebhookId>,
    /// Of this event type.
    pub kind: Option<EventType>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Given up for this reason.
    pub reason: Option<DeathReason>,
    /// Whose last attempt was answered with this HTTP status.
    pub status: Option<u16>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
    /// These deliveries; none named: any.
    pub ids: Vec<DeliveryId>,
}

/// What a step of a large removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Letters that were removed.
    pub removed: u64,
    /// Where the next step begins; none: there is no more.
    pub next: Option<Cursor>,
}

/// Some of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The letters, newest first. Fewer than asked for, even none, when few of many fit the filter.
    pub letters: Vec<T>,
    /// Where the next page begins; none: there is no more.
    pub next: Option<Cursor>,
    /// Letters of this page that cannot be read, in words that name each.
    pub problems: Vec<String>,
}

/// What a page holds at most.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows: u32,
    pub(super) body_bytes: u64,
}

impl Bounds {
    /// Of letters without their bodies.
    pub(super) fn of_summaries(rows: u32) -> Self {
        Self { rows: rows.clamp(1, PAGE_MAX), body_bytes: u64::MAX }
    }

    /// Of letters with them.
    pub(super) fn of_letters(rows: u32) -> Self {
        Self { body_bytes: PAGE_BODY_BYTES_MAX, ..Self::of_summaries(rows) }
    }
}

/// The place of a letter in the listing. As text: `died_at_ms.delivery_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) died_at: Timestamp,
    pub(super) id: String,
}

/// The text is no place in a listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no place in a list of dead letters; take the `next` of the page before, or begin without one")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.died_at.as_millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (died_at, id) = text.split_once('.').ok_or(CursorError)?;
        let died_at = died_at.parse().map(Timestamp::from_millis).map_err(|_| CursorError)?;
        let cursor = Self { died_at, id: DeliveryId::from_text(id).map_err(|_| CursorError)?.to_string() };
        // `+5`, `05` and `-5` are numbers too, and none that we wrote.
        if cursor.to_string() == text && !text.starts_with('-') { Ok(cursor) } else { Err(CursorError) }
    }
}

/// Of the two ends that a listing has above, `until` and the place `after`, the lower one: given both, a store begins at either and
/// walks to the other, over however many lie between.
pub(super) fn upper_end<'a>(filter: &Filter, after: Option<&'a Cursor>) -> (Option<Timestamp>, Option<&'a Cursor>) {
    match (filter.until, after) {
        (Some(until), Some(after)) if after.died_at < until => (None, Some(after)),
        (Some(until), Some(_)) => (Some(until), None),
        ends => ends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_cursor_is_refused() {
        let id = "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg";
        assert!(format!("5.{id}").parse::<Cursor>().is_ok());
        for text in ["", "1774960496789", "x.msg_a", ".", "5.msg_a"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
        for number in ["+5", "05", "-5", "-0", "99999999999999999999"] {
            assert_eq!(format!("{number}.{id}").parse::<Cursor>(), Err(CursorError), "{number}");
        }
    }

    #[test]
    fn of_two_ends_above_the_lower_one_counts_alone() {
        let at = |ms| Cursor { died_at: Timestamp::from_millis(ms), id: "msg_x".to_owned() };
        let until = |ms| Filter { until: Some(Timestamp::from_millis(ms)), ..Filter::default() };
        let (early, late) = (at(5), at(9));
        assert_eq!(upper_end(&until(7), Some(&early)), (None, Some(&early)));
        assert_eq!(upper_end(&until(7), Some(&late)), (Some(Timestamp::from_millis(7)), None));
        assert_eq!(upper_end(&until(9), Some(&late)), (Some(Timestamp::from_millis(9)), None));
        assert_eq!(upper_end(&until(7), None), (Some(Timestamp::from_millis(7)), None));
        assert_eq!(upper_end(&Filter::default(), Some(&late)), (None, Some(&late)));
    }
}
