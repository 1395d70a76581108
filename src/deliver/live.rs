//! What becomes of deliveries, told as it happens to those who listen: operators who watch.
//!
//! The worker tells [`Live`] of each step of a delivery once that is durable. While nobody listens that costs a look at a number.
//! Those who listen share one ring of the latest [`KEPT_MAX`] happenings: whoever is slower than that misses some, and is told
//! how many; the worker waits for nobody. There are [`LISTENERS_MAX`] of them at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

use crate::clock::SharedClock;
use crate::decide::{Step, Wait};
use crate::model::{Delivery, DeliveryId, Event, WebhookId, described};
use crate::record::Attempted;

/// Happenings that a listener may be behind.
pub const KEPT_MAX: usize = 1024;
/// Those who listen at a time.
pub const LISTENERS_MAX: usize = 16;

/// Tells what happens.
#[derive(Debug)]
pub struct Live {
    happenings: broadcast::Sender<Arc<Happening>>,
    listeners: Arc<AtomicUsize>,
    end: watch::Sender<bool>,
    clock: SharedClock,
}

/// Something that became of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Happening {
    /// What.
    #[serde(skip)]
    pub kind: HappeningKind,
    /// When.
    #[schema(schema_with = described::moment)]
    at: String,
    /// The delivery's id.
    #[schema(schema_with = described::delivery_id)]
    id: String,
    /// The event that is delivered.
    #[schema(schema_with = described::id)]
    event_id: String,
    /// The event's type.
    #[schema(schema_with = described::id)]
    r#type: String,
    /// Where it goes.
    #[schema(schema_with = described::token)]
    pub webhook_id: String,
    /// How often it was replayed.
    generation: u32,
    /// Attempts spent in this generation.
    attempts: u32,
    /// Why it waits, is dead or was dropped.
    #[schema(required)]
    reason: Option<&'static str>,
    /// When it is due, while it waits.
    #[schema(schema_with = described::moment_or_null, required)]
    due_at: Option<String>,
    /// What the attempt came to; null when none was made.
    #[schema(required)]
    outcome: Option<&'static str>,
    /// The HTTP status of the answer; null when there was none.
    #[schema(required)]
    status: Option<u16>,
    /// Milliseconds that the attempt took.
    #[schema(required)]
    took_ms: Option<f64>,
    /// The failure in words.
    #[schema(required)]
    error: Option<String>,
}

/// What can become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HappeningKind {
    /// The receiver has it.
    Delivered,
    /// An attempt failed, and it is tried again.
    Failed,
    /// It was put off without an attempt.
    Parked,
    /// It was given up.
    Dead,
    /// It ended because its webhook, or the person, is gone.
    Dropped,
}

impl HappeningKind {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Failed, Self::Parked, Self::Dead, Self::Dropped];

    /// The name that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// What comes next for a listener.
#[derive(Debug)]
pub enum Heard {
    /// Something happened.
    Happening(Arc<Happening>),
    /// It was too slow, and so many happenings are gone.
    Missed(u64),
    /// Nothing more will happen.
    End,
}

/// Somebody who listens, until this is dropped.
#[derive(Debug)]
pub struct Listener {
    happenings: broadcast::Receiver<Arc<Happening>>,
    end: watch::Receiver<bool>,
    listeners: Arc<AtomicUsize>,
}

impl Live {
    /// Tells nobody yet.
    pub fn new(clock: SharedClock) -> Self {
        let (happenings, _) = broadcast::channel(KEPT_MAX);
        Self { happenings, listeners: Arc::default(), end: watch::Sender::new(false), clock }
    }

    /// Listens from now on; none when [`LISTENERS_MAX`] do already.
    pub fn listen(&self) -> Option<Listener> {
        let one_more = |count: usize| (count < LISTENERS_MAX).then_some(count + 1);
        self.listeners.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        let listeners = Arc::clone(&self.listeners);
        Some(Listener { happenings: self.happenings.subscribe(), end: self.end.subscribe(), listeners })
    }

    /// Nothing more will happen: those who listen are told.
    pub fn end(&self) {
        self.end.send_replace(true);
    }

    /// `delivery` of `event` has come to `step` by `attempt`, and that is durable. Never waits.
    pub(super) fn settled(
        &self,
        event: &Event,
        delivery: &Delivery,
        id: &DeliveryId,
        step: &Step,
        attempt: Option<&Attempted>,
    ) {
        if self.listeners.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (kind, reason, after, due) = match step {
            Step::Done => (HappeningKind::Delivered, None, delivery, None),
            Step::Later { delivery, due, wait: Wait::Retry } => {
                (HappeningKind::Failed, Some("retry"), delivery, Some(*due))
            }
            Step::Later { delivery, due, wait: Wait::Park(reason) } => {
                (HappeningKind::Parked, Some(reason.as_str()), delivery, Some(*due))
            }
            Step::Dead { delivery, reason } => (HappeningKind::Dead, Some(reason.as_str()), delivery, None),
            Step::Drop(reason) => (HappeningKind::Dropped, Some(reason.as_str()), delivery, None),
            Step::Skip(_) | Step::Attempt => return,
        };
        let attempts = if *step == Step::Done { delivery.attempts.saturating_add(1) } else { after.attempts };
        let happening = Happening {
            kind,
            at: self.clock.now().to_rfc3339(),
            id: id.to_string(),
            event_id: event.id.to_string(),
            r#type: event.kind.to_string(),
            webhook_id: delivery.webhook.to_string(),
            generation: delivery.generation,
            attempts,
            reason,
            due_at: due.map(|due| due.to_rfc3339()),
            outcome: attempt.map(|attempt| attempt.outcome.as_str()),
            status: attempt.and_then(|attempt| attempt.status),
            took_ms: attempt.map(|attempt| attempt.took.as_secs_f64() * 1000.0),
            error: attempt.map(|attempt| attempt.error.clone()).filter(|error| !error.is_empty()),
        };
        let _nobody_may_listen = self.happenings.send(Arc::new(happening));
    }
}

impl Listener {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            heard = self.happenings.recv() => match heard {
                Ok(happening) => Heard::Happening(happening),
                Err(broadcast::error::RecvError::Lagged(missed)) => Heard::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => Heard::End,
            },
            _told_or_gone = self.end.wait_for(|end| *end) => Heard::End,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Happening {
    /// Whether it is about `webhook`.
    pub fn is_of(&self, webhook: &WebhookId) -> bool {
        self.webhook_id == webhook.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::model::{Body, EventId, EventType, Source, Timestamp};

    fn event() -> Event {
        Event {
            id: EventId::new("e1").expect("an id"),
            kind: EventType::new("note").expect("a type"),
            user: None,
            source: Source::default(),
            body: Body::from_checked("{}".into()),
            server: None,
            created_at: Timestamp::from_millis(1),
            accepted_at: Timestamp::from_millis(1),
            trace: None,
        }
    }

    fn tell(live: &Live, count: usize) {
        let event = event();
        let delivery = Delivery::fresh(&event, WebhookId::new("hook").expect("an id"));
        let id = delivery.id(&event);
        (0..count).for_each(|_| live.settled(&event, &delivery, &id, &Step::Done, None));
    }

    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_told_how_much_it_missed_and_hears_the_rest_and_the_end() {
        let live = Live::new(SystemClock::shared());
        tell(&live, 7);
        let mut listener = live.listen().expect("room");
        tell(&live, KEPT_MAX + 5);
        live.end();
        assert!(matches!(listener.next().await, Heard::Missed(5)));
        for _ in 0..KEPT_MAX {
            let Heard::Happening(happening) = listener.next().await else { panic!("it is kept") };
            assert_eq!((happening.kind, happening.attempts), (HappeningKind::Delivered, 1));
        }
        assert!(matches!(listener.next().await, Heard::End));
    }

    #[tokio::test]
    async fn so_many_may_listen_and_one_that_goes_makes_room() {
        let live = Live::new(SystemClock::shared());
        let mut listeners: Vec<Listener> = (0..LISTENERS_MAX).map(|_| live.listen().expect("room")).collect();
        assert!(live.listen().is_none());
        drop(listeners.pop());
        assert!(live.listen().is_some());
    }
}
