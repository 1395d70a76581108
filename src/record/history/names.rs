//! The names that an entry has, copied into one piece of memory. Shared with the delivery and its event, each would be a piece of its own
//! that the thread that writes is the last to hold and has to free, which costs both threads more than the copy.

use crate::model::{DeliveryId, Event, ID_BYTES_MAX, UserId, WebhookId};

/// Of a delivery and its event.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// One behind the other.
    texts: Box<str>,
    /// Where each ends, but the last.
    ends: [u16; COUNT - 1],
}

const COUNT: usize = 6;

const _: () = assert!(COUNT * ID_BYTES_MAX <= u16::MAX as usize, "an end may be beyond what is kept of it");

impl Names {
    pub(super) fn of(event: &Event, id: &DeliveryId, webhook: &WebhookId) -> Self {
        // No id of a user is empty.
        let user = event.user.as_ref().map_or("", UserId::as_str);
        Self::joined([
            id.as_str(),
            event.id.as_str(),
            event.kind.as_str(),
            user,
            event.source.as_str(),
            webhook.as_str(),
        ])
    }

    /// In the order of the methods below; an empty user is none.
    pub(super) fn joined(parts: [&str; COUNT]) -> Self {
        let mut texts = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = std::array::from_fn(|part| {
            texts.push_str(parts[part]);
            u16::try_from(texts.len()).unwrap_or(u16::MAX)
        });
        texts.push_str(parts[COUNT - 1]);
        Self { texts: texts.into_boxed_str(), ends }
    }

    /// The delivery's id.
    pub(super) fn id(&self) -> &str {
        self.part(0)
    }

    pub(super) fn event(&self) -> &str {
        self.part(1)
    }

    /// The event's type.
    pub(super) fn kind(&self) -> &str {
        self.part(2)
    }

    pub(super) fn user(&self) -> Option<&str> {
        Some(self.part(3)).filter(|user| !user.is_empty())
    }

    pub(super) fn source(&self) -> &str {
        self.part(4)
    }

    pub(super) fn webhook(&self) -> &str {
        self.part(5)
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.texts.len()
    }

    fn part(&self, part: usize) -> &str {
        let begin = part.checked_sub(1).map_or(0, |before| usize::from(self.ends[before]));
        let end = self.ends.get(part).map_or(self.texts.len(), |end| usize::from(*end));
        &self.texts[begin..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_though_they_lie_in_one_piece() {
        let names = Names::joined(["msg_a", "e1", "note", "u1", "ä", "wh"]);
        let told = [names.id(), names.event(), names.kind(), names.source(), names.webhook()];
        assert_eq!((told, names.user()), (["msg_a", "e1", "note", "ä", "wh"], Some("u1")));
        let of_system = Names::joined(["msg_a", "e1", "abuseReport", "", "s", "wh"]);
        assert_eq!((of_system.kind(), of_system.user(), of_system.source()), ("abuseReport", None, "s"));
        let longest = "x".repeat(ID_BYTES_MAX);
        let names = Names::joined([&longest; COUNT]);
        assert_eq!((names.id(), names.webhook(), names.bytes()), (&*longest, &*longest, 6 * longest.len()));
    }
}
