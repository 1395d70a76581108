//! What was noted of a webhook and waits to be written: several attempts put together, to be put over what the store has.

use super::LatestAttempt;
use crate::decide::Course;
use crate::model::{Streak, Timestamp};

/// Attempts that were noted since the last writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// When the latest was made.
    pub(super) sent_at: Timestamp,
    /// What it was answered.
    pub(super) status: u16,
    /// Whether what the store knows of its failing counts no more: there was a success, or the failing began anew.
    pub(super) anew: bool,
    /// Since when it is failing, as far as these tell.
    pub(super) streak: Option<Streak>,
}

impl Noted {
    pub(super) fn of(sent_at: Timestamp, status: u16, course: Course) -> Self {
        let (anew, streak) = match course {
            Course::Unmoved => (false, None),
            Course::Well => (true, None),
            Course::Failing { streak, anew, .. } => (anew, Some(streak)),
        };
        Self { sent_at, status, anew, streak }
    }

    /// This, and after it `noted`. The later attempt counts; of two at the same moment, the one noted last.
    pub(super) fn then(self, noted: Self) -> Self {
        let (sent_at, status) = later((self.sent_at, self.status), (noted.sent_at, noted.status));
        let streak = if noted.anew { noted.streak } else { longer(self.streak, noted.streak) };
        Self { sent_at, status, anew: self.anew || noted.anew, streak }
    }

    /// What is known with this, when the store has `stored`.
    pub(super) fn over(self, stored: Option<LatestAttempt>) -> LatestAttempt {
        let before = stored.map_or((self.sent_at, self.status), |stored| (stored.sent_at, stored.status));
        let (sent_at, status) = later(before, (self.sent_at, self.status));
        let failing = stored.filter(|_| !self.anew).and_then(|stored| stored.failing);
        LatestAttempt { sent_at, status, failing: longer(failing, self.streak) }
    }
}

fn later(known: (Timestamp, u16), noted: (Timestamp, u16)) -> (Timestamp, u16) {
    if noted.0 >= known.0 { noted } else { known }
}

/// One streak of what two tell of it: the beginning that was known first, and the longer time.
fn longer(known: Option<Streak>, noted: Option<Streak>) -> Option<Streak> {
    match (known, noted) {
        (Some(known), Some(noted)) => Some(Streak { since: known.since, lasted: known.lasted.max(noted.lasted) }),
        (known, noted) => noted.or(known),
    }
}
