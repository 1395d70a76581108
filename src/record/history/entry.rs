//! What the worker notes: how far a delivery has come, and the attempt that brought it there.

use std::borrow::Cow;
use std::time::Duration;

use super::names::Names;
use crate::decide::{Step, Verdict, Wait};
use crate::model::{Delivery, DeliveryId, DeliveryState, DropReason, Event, LastFailure, Outcome, Person, Timestamp};
use crate::record::forgotten::Persons;

/// A delivery changed late if it did more than so many milliseconds after its event was taken in. Indexes say so too.
pub(super) const LATE_MS: i64 = 60_000;

/// What a delivery has come to.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) names: Names,
    pub(super) accepted_at: Timestamp,
    pub(super) generation: u32,
    pub(super) attempts: u32,
    pub(super) parks: u32,
    /// Whether it had come to something before this, so that there is perhaps a row of it.
    pub(super) noted_before: bool,
    pub(super) state: DeliveryState,
    pub(super) reason: Option<&'static str>,
    pub(super) changed_at: Timestamp,
    pub(super) due: Option<Timestamp>,
    pub(super) attempt: Option<Attempted>,
    /// The rest of the event, with which it can be sent again; one entry of each event has it.
    pub(super) body: Option<Box<KeptBody>>,
}

/// How far a delivery has come: by generation, attempts spent, whether it has ended, and how often it was parked since its last
/// attempt. What is as far is written again, since it is the same.
pub(super) type Far = (u32, u32, bool, u32);

/// What an entry has not of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptBody {
    pub(super) server: Option<String>,
    pub(super) created_at: Timestamp,
    /// A copy: the event's own may be a slice of far more.
    pub(super) bytes: Box<[u8]>,
}

impl KeptBody {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.server.as_ref().map_or(0, String::len) + self.bytes.len()
    }
}

/// Those of `entries` that are of nobody who is forgotten. What waited for long may be of somebody who was erased meanwhile.
pub(super) fn of_others<'a>(entries: &'a [Entry], persons: &Persons) -> Cow<'a, [Entry]> {
    if persons.is_empty() || !entries.iter().any(|entry| entry.is_forgotten(persons)) {
        return Cow::Borrowed(entries);
    }
    Cow::Owned(entries.iter().filter(|entry| !entry.is_forgotten(persons)).cloned().collect())
}

/// An attempt that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which of its generation: 1 at first.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub outcome: Outcome,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The failure in words; empty on success.
    pub error: String,
    /// How the answer's body begins.
    pub response: String,
}

impl Attempted {
    /// The attempt for `delivery` that came to `verdict`; nothing when it was not made, because of a failure of ours.
    pub fn of(
        delivery: &Delivery,
        verdict: &Verdict,
        started_at: Timestamp,
        took: Duration,
        response: String,
    ) -> Option<Self> {
        if verdict.outcome == Outcome::OurFault {
            return None;
        }
        Some(Self {
            number: delivery.attempts.saturating_add(1),
            started_at,
            took,
            outcome: verdict.outcome,
            status: verdict.status,
            error: LastFailure::new(verdict.outcome, verdict.status, &verdict.words).error,
            response,
        })
    }

    /// How long it took, in microseconds.
    pub(super) fn took_us(&self) -> i64 {
        i64::try_from(self.took.as_micros()).unwrap_or(i64::MAX)
    }
}

impl Entry {
    /// That the delivery `id` of `event`, which was as `before` says, has come to `step` at `now` by `attempt`; nothing when
    /// there is no delivery, because the event was not queued for its webhook.
    pub fn of(
        event: &Event,
        id: &DeliveryId,
        before: &Delivery,
        step: &Step,
        attempt: Option<Attempted>,
        now: Timestamp,
    ) -> Option<Self> {
        let (state, reason, after, due) = match step {
            Step::Done => (DeliveryState::Delivered, None, before, None),
            Step::Later { delivery, due, wait: Wait::Retry } => {
                (DeliveryState::Waiting, Some("retry"), delivery, Some(*due))
            }
            Step::Later { delivery, due, wait: Wait::Park(reason) } => {
                (DeliveryState::Waiting, Some(reason.as_str()), delivery, Some(*due))
            }
            Step::Dead { delivery, reason } => (DeliveryState::Dead, Some(reason.as_str()), delivery, None),
            // Of somebody who is forgotten nothing is noted.
            Step::Drop(DropReason::UserForgotten) => return None,
            Step::Drop(reason) => (DeliveryState::Dropped, Some(reason.as_str()), before, None),
            Step::Skip(_) | Step::Attempt => return None,
        };
        let attempts = if *step == Step::Done { before.attempts.saturating_add(1) } else { after.attempts };
        Some(Self {
            names: Names::of(event, id, &before.webhook),
            accepted_at: event.accepted_at,
            generation: before.generation,
            attempts,
            parks: after.parks,
            noted_before: before.generation > 0 || before.attempts > 0 || before.parks > 0,
            state,
            reason,
            changed_at: now,
            due,
            attempt,
            body: None,
        })
    }

    /// The same with the event's body.
    #[must_use]
    pub fn with_body(self, event: &Event) -> Self {
        let bytes = Box::from(event.body.bytes().as_ref());
        let body = KeptBody { server: event.server.clone(), created_at: event.created_at, bytes };
        Self { body: Some(Box::new(body)), ..self }
    }

    /// Whether it is of somebody who was forgotten after its event was taken in.
    fn is_forgotten(&self, persons: &Persons) -> bool {
        let person = self.names.user().map(|user| Person::named(self.names.source(), user));
        person.and_then(|person| persons.get(&person)).is_some_and(|at| self.accepted_at <= *at)
    }

    /// Whether it comes more than [`LATE_MS`] after its event was taken in.
    pub(super) fn is_late(&self) -> bool {
        self.changed_at.as_millis() > self.accepted_at.as_millis().saturating_add(LATE_MS)
    }

    pub(super) fn far(&self) -> Far {
        (self.generation, self.attempts, self.state != DeliveryState::Waiting, self.parks)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let attempt = self.attempt.as_ref().map_or(0, |attempt| attempt.error.len() + attempt.response.len());
        let body = self.body.as_ref().map_or(0, |body| body.bytes());
        size_of::<Self>() + self.names.bytes() + attempt + body
    }
}

/// A delivery that ended before an attempt, for tests to change.
#[cfg(test)]
pub(super) fn sample() -> Entry {
    Entry {
        names: Names::joined(["msg_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "e1", "note", "", "default", "wh1"]),
        accepted_at: Timestamp::default(),
        generation: 0,
        attempts: 0,
        parks: 0,
        noted_before: false,
        state: DeliveryState::Delivered,
        reason: None,
        changed_at: Timestamp::default(),
        due: None,
        attempt: None,
        body: None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Body, DeliveryId, EventId, EventType, ParkReason, Source, WebhookId};

    #[test]
    fn what_was_put_off_tried_or_replayed_has_perhaps_a_row_and_what_is_fresh_has_none() {
        let event = Event {
            id: EventId::new("e1").expect("an id"),
            kind: EventType::new("note").expect("a type"),
            user: None,
            source: Source::default(),
            server: None,
            created_at: Timestamp::default(),
            accepted_at: Timestamp::default(),
            trace: None,
            body: Body::from_checked(Bytes::from_static(b"{}")),
        };
        let fresh = Delivery::fresh(&event, WebhookId::new("wh").expect("an id"));
        let id = DeliveryId::of(&event.id, &fresh.webhook);
        let noted_before = |before: &Delivery, step: &Step| {
            Entry::of(&event, &id, before, step, None, Timestamp::default()).expect("an entry").noted_before
        };
        let parked = Delivery { parks: 1, ..fresh.clone() };
        let put_off =
            Step::Later { delivery: parked.clone(), due: Timestamp::default(), wait: Wait::Park(ParkReason::NoSlot) };
        assert!(!noted_before(&fresh, &Step::Done) && !noted_before(&fresh, &put_off));
        // An attempt sets the parks back, so that what comes of it does not show them.
        let failed = Step::Later {
            delivery: Delivery { attempts: 1, ..fresh.clone() },
            due: Timestamp::default(),
            wait: Wait::Retry,
        };
        assert!(!noted_before(&fresh, &failed) && noted_before(&parked, &failed));
        assert!(noted_before(&Delivery { attempts: 1, ..fresh.clone() }, &Step::Done));
        assert!(noted_before(&Delivery { generation: 1, ..fresh }, &Step::Done));
    }
}
