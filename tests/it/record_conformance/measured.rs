//! How soon a page of a million is there: a measurement, so it is asked for:
//! `cargo test --release --test it -- --ignored --nocapture a_page_of_a_million` (of dead letters only: `a_page_of_a_million_letters`)

use std::sync::Arc;
use std::time::{Duration, Instant};

use hikyaku::clock::ManualClock;
use hikyaku::model::{
    DeathReason, Delivery, DeliveryState, Event, EventId, EventType, LastFailure, Outcome, Timestamp, WebhookId,
};
use hikyaku::record::{DeadLetter, Filter, HistoryFilter, Retention};

use super::backend::{Backend, Part, PostgreSql, Sqlite};
use super::dead_letters::letter;
use super::history_samples::{START, World};

/// How long a page of a million may take.
const PAGE_MAX: Duration = Duration::from_millis(50);

#[tokio::test]
#[ignore = "a measurement of a minute, for a machine that has nothing else to do"]
async fn a_page_of_a_million_is_there_within_50_ms_at_any_depth_and_for_any_filter_in_sqlite() {
    every_page_is_soon_there::<Sqlite>().await;
}

#[tokio::test]
#[ignore = "a measurement of a minute, for a machine that has nothing else to do"]
async fn a_page_of_a_million_is_there_within_50_ms_at_any_depth_and_for_any_filter_in_postgresql() {
    every_page_is_soon_there::<PostgreSql>().await;
}

#[tokio::test]
#[ignore = "a measurement of a minute, for a machine that has nothing else to do"]
async fn a_page_of_a_million_letters_is_there_within_50_ms_at_any_depth_and_for_any_filter_in_sqlite() {
    every_page_of_letters_is_soon_there::<Sqlite>().await;
}

#[tokio::test]
#[ignore = "a measurement of a minute, for a machine that has nothing else to do"]
async fn a_page_of_a_million_letters_is_there_within_50_ms_at_any_depth_and_for_any_filter_in_postgresql() {
    every_page_of_letters_is_soon_there::<PostgreSql>().await;
}

#[expect(clippy::print_stdout, reason = "a measurement tells its figures")]
async fn every_page_is_soon_there<B: Backend>() {
    let world = World::<B>::new().await;
    world.written().await;
    world.store.fill_history_with_a_million(world.history()).await;
    let (dead, delivered) = (Some(DeliveryState::Dead), Some(DeliveryState::Delivered));
    let (one, mention) = (WebhookId::new("wh7").ok(), EventType::new("mention").ok());
    let all = HistoryFilter::default;
    let filters = [
        ("no filter", all()),
        ("a webhook", HistoryFilter { webhook: one.clone(), ..all() }),
        ("a type of few", HistoryFilter { kind: mention.clone(), ..all() }),
        ("delivered", HistoryFilter { state: delivered, ..all() }),
        ("dead", HistoryFilter { state: dead, ..all() }),
        ("of two filters few in many", HistoryFilter { state: delivered, kind: mention, ..all() }),
        ("of one event", HistoryFilter { state: delivered, event: EventId::new("e9").ok(), ..all() }),
        (
            "of two filters none, both of few",
            HistoryFilter { state: dead, webhook: WebhookId::new("wh8").ok(), ..all() },
        ),
    ];
    for (name, filter) in filters {
        for depth in [0, 1, 50, 99] {
            let number = 1_000_000 - depth * 10_000;
            let after = B::place_in_the_million(number).parse().expect("a place");
            let mut times = Vec::new();
            let mut found = 0;
            for _ in 0..9 {
                let began = Instant::now();
                found = world.reader.list(&filter, 100, Some(after)).await.expect("read").deliveries.len();
                times.push(began.elapsed());
            }
            times.sort();
            println!("{name}, {depth} % deep: {found} found, {:?} (slowest of 9: {:?})", times[4], times[8]);
            assert!(times[4] < PAGE_MAX, "{name}: {:?}", times[4]);
        }
    }
}

#[expect(clippy::print_stdout, reason = "a measurement tells its figures")]
async fn every_page_of_letters_is_soon_there<B: Backend>() {
    let store = B::new().await;
    let clock = Arc::new(ManualClock::new(START, 0.5));
    let retention = Retention { age: Duration::from_secs(30 * 86_400), count_max: 1_000_000 };
    let letters = store.letters(retention, clock).await;
    let mut places = Vec::new();
    for first in (0..1_000_000).step_by(1000) {
        let some: Vec<_> = (first..first + 1000).map(of_a_million).collect();
        places.push(format!("{}.{}", some[999].died_at.as_millis(), some[999].id));
        assert_eq!(letters.add(some).await.expect("added"), 1000);
    }
    if B::NAME == PostgreSql::NAME {
        store.execute(Part::Store, "ANALYZE dead_letters").await;
    }
    let (one, mention) = (WebhookId::new("wh7").ok(), EventType::new("mention").ok());
    let all = Filter::default;
    let middle = START.as_millis() + 1_000_000 / 6;
    let filters = [
        ("no filter", all()),
        ("a webhook", Filter { webhook: one.clone(), ..all() }),
        ("a type of few", Filter { kind: mention.clone(), ..all() }),
        ("a reason of nearly all", Filter { reason: Some(DeathReason::Refused), ..all() }),
        ("a reason of few", Filter { reason: Some(DeathReason::Gone), ..all() }),
        ("a status of nearly all", Filter { status: Some(404), ..all() }),
        ("a status of few", Filter { status: Some(410), ..all() }),
        ("of one event", Filter { event: EventId::new("e9").ok(), ..all() }),
        ("before a moment", Filter { until: Some(Timestamp::from_millis(middle)), ..all() }),
        ("since a moment", Filter { since: Some(Timestamp::from_millis(middle)), ..all() }),
        ("of two filters few in many", Filter { reason: Some(DeathReason::Refused), kind: mention, ..all() }),
        (
            "of two filters none, both of few",
            Filter { reason: Some(DeathReason::Gone), webhook: WebhookId::new("wh8").ok(), ..all() },
        ),
    ];
    for (name, filter) in filters {
        for depth in [0, 1, 50, 99] {
            let after = (depth > 0).then(|| places[1000 - depth * 10].parse().expect("a place"));
            let (mut times, mut found) = (Vec::new(), 0);
            for _ in 0..9 {
                let began = Instant::now();
                let page = letters.list(&filter, 100, after.clone()).await.expect("read");
                times.push(began.elapsed());
                assert!(page.problems.is_empty(), "{:?}", page.problems);
                found = page.letters.len();
            }
            times.sort();
            println!("{name}, {depth} % deep: {found} found, {:?} (slowest of 9: {:?})", times[4], times[8]);
            assert!(times[4] < PAGE_MAX, "{name}: {:?}", times[4]);
        }
    }
}

/// One of a million letters of 1,000 webhooks, of which one in 1,000 was given up because its receiver is gone.
fn of_a_million(number: u32) -> DeadLetter {
    let kind = EventType::new(if number.is_multiple_of(500) { "mention" } else { "note" }).expect("a type");
    let id = EventId::new(&format!("e{}", number / 4)).expect("an id");
    let event = Event { id, kind, ..(*letter(number).event).clone() };
    let mut delivery = Delivery::fresh(&event, WebhookId::new(&format!("wh{}", number % 1000)).expect("an id"));
    let (reason, status) = if number % 1000 == 7 { (DeathReason::Gone, 410) } else { (DeathReason::Refused, 404) };
    delivery.last = Some(LastFailure::new(Outcome::ServerError, Some(status), "the receiver answered so"));
    let died_at = START.plus(Duration::from_millis(u64::from(number / 3)));
    DeadLetter { id: delivery.id(&event), event: Arc::new(event), delivery, reason, died_at }
}
