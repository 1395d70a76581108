//! A history and what is noted in it, for the tests of writing and of reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hikyaku::clock::ManualClock;
use hikyaku::decide::{Step, Verdict, Wait};
use hikyaku::model::{
    Body, Delivery, DeliveryId, Event, EventId, EventType, Outcome, Source, Timestamp, UserId, WebhookId,
};
use hikyaku::record::{
    Attempted, Entry, History, HistoryFilter, HistoryPolicy, HistoryReader, KeptAttempt, KeptDelivery,
};
use hikyaku::telemetry::{SharedTelemetry, Telemetry};

use super::backend::{Backend, Part};
use crate::support::patience::{LONGEST, soon};

pub(super) const START: Timestamp = Timestamp::from_millis(1_774_960_496_789);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// An open history in a store of its own.
pub(super) struct World<B: Backend> {
    pub(super) store: B,
    pub(super) clock: Arc<ManualClock>,
    pub(super) telemetry: SharedTelemetry,
    pub(super) history: Option<History>,
    pub(super) reader: HistoryReader,
}

pub(super) fn policy() -> HistoryPolicy {
    HistoryPolicy {
        age: 7 * DAY,
        count_max: 1_000_000,
        response_bytes_max: 2048,
        bodies: None,
        worker: "here/1".to_owned(),
    }
}

impl<B: Backend> World<B> {
    pub(super) async fn new() -> Self {
        Self::keeping(policy()).await
    }

    pub(super) async fn keeping(policy: HistoryPolicy) -> Self {
        let store = B::new().await;
        let (clock, telemetry) = (Arc::new(ManualClock::new(START, 0.5)), Telemetry::shared().expect("metrics"));
        let history = store.history(policy, clock.clone(), telemetry.clone()).await.expect("opens");
        let reader = store.history_reader();
        Self { store, clock, telemetry, history: Some(history), reader }
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        hikyaku::clock::Clock::now(&*self.clock)
    }

    pub(super) fn history(&self) -> &History {
        self.history.as_ref().expect("it is open")
    }

    pub(super) async fn written(&self) {
        until_written(self.history()).await;
    }

    pub(super) async fn list(&self, filter: HistoryFilter) -> Vec<KeptDelivery> {
        let page = self.reader.list(&filter, 1000, None).await.expect("read");
        assert_eq!(page.problems, Vec::<String>::new());
        page.deliveries.into_iter().map(|(delivery, _)| delivery).collect()
    }

    pub(super) async fn show(&self, number: u32) -> (KeptDelivery, Vec<KeptAttempt>) {
        self.reader.show(&id(number)).await.expect("read").expect("it is there")
    }

    /// How many rows a table has.
    pub(super) async fn count(&self, table: &str) -> u64 {
        self.store.number(Part::History, &format!("SELECT count(*) FROM {table}")).await
    }

    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = self.telemetry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no metric {name}")).parse().expect("a number")
    }

    /// Waits until `is` says so.
    pub(super) async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is().await {
            assert!(began.elapsed() < LONGEST, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until what was noted is written, which on a busy machine may not be at the first try.
pub(super) async fn until_written(history: &History) {
    soon("what was noted is written", async {
        while history.flush().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(super) fn event(number: u32) -> Event {
    Event {
        id: EventId::new(&format!("event{number}")).expect("id"),
        kind: EventType::new(if number.is_multiple_of(10) { "mention" } else { "note" }).expect("type"),
        user: Some(UserId::new("u1").expect("user")),
        source: Source::default(),
        server: None,
        created_at: START,
        accepted_at: START.plus(Duration::from_millis(u64::from(number / 3))),
        trace: None,
        body: Body::from_checked(Bytes::from_static(b"{}")),
    }
}

pub(super) fn webhook(number: u32) -> WebhookId {
    WebhookId::new(&format!("wh{}", number % 4)).expect("id")
}

pub(super) fn id(number: u32) -> DeliveryId {
    DeliveryId::of(&event(number).id, &webhook(number))
}

pub(super) fn fresh(number: u32) -> Delivery {
    Delivery::fresh(&event(number), webhook(number))
}

pub(super) fn attempted(delivery: &Delivery, outcome: Outcome, status: Option<u16>) -> Option<Attempted> {
    let words = if outcome == Outcome::Delivered { "" } else { "it went wrong" };
    let verdict = Verdict { outcome, status, retry_after: None, words: words.to_owned() };
    Attempted::of(delivery, &verdict, START, Duration::from_micros(1500), "hello".to_owned())
}

pub(super) fn entry(number: u32, before: &Delivery, step: &Step, attempt: Option<Attempted>, at: Timestamp) -> Entry {
    Entry::of(&event(number), &id(number), before, step, attempt, at).expect("a delivery")
}

/// The delivery `number` is delivered by its first attempt.
pub(super) fn delivered(number: u32, at: Timestamp) -> Entry {
    let before = fresh(number);
    entry(number, &before, &Step::Done, attempted(&before, Outcome::Delivered, Some(200)), at)
}

/// Its attempt fails, and it waits for the next one.
pub(super) fn failed(number: u32, before: &Delivery) -> (Entry, Delivery) {
    failed_by(number, before, attempted(before, Outcome::ServerError, Some(503)), START)
}

/// The same, at `now` and by that attempt.
pub(super) fn failed_by(
    number: u32,
    before: &Delivery,
    attempt: Option<Attempted>,
    now: Timestamp,
) -> (Entry, Delivery) {
    let after = Delivery { attempts: before.attempts + 1, parks: 0, ..before.clone() };
    let due = START.plus(Duration::from_secs(5));
    let step = Step::Later { delivery: after.clone(), due, wait: Wait::Retry };
    (entry(number, before, &step, attempt, now), after)
}

pub(super) fn states(attempts: &[KeptAttempt]) -> Vec<(u32, u32, Outcome)> {
    attempts.iter().map(|attempt| (attempt.generation, attempt.made.number, attempt.made.outcome)).collect()
}
