//! How what the history has is listed and shown.

use std::time::Duration;

use hikyaku::decide::Step;
use hikyaku::model::{DeathReason, Delivery, DeliveryId, DeliveryState, EventType};
use hikyaku::record::HistoryFilter;
use hikyaku::telemetry::chain;

use super::backend::{Backend, Part};
use super::history_samples::{START, World, delivered, entry, event, failed, fresh, id, policy, webhook};

pub(super) async fn a_listing_goes_through_all_pages_and_has_each_delivery_once_though_they_change_meanwhile<
    B: Backend,
>() {
    let world = World::<B>::new().await;
    for number in 0..100 {
        world.history().note(failed(number, &fresh(number)).0);
    }
    world.written().await;
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = world.reader.list(&HistoryFilter::default(), 7, after).await.expect("read");
        assert!(page.deliveries.len() <= 7);
        for (delivery, attempt) in &page.deliveries {
            assert_eq!(attempt.as_ref().and_then(|attempt| attempt.made.status), Some(503));
            ids.push(delivery.id.clone());
        }
        // What was not listed yet changes; what comes is newer than all.
        let number = 99 - u32::try_from(ids.len().min(99)).expect("few");
        let retried = Delivery { attempts: 1, ..fresh(number) };
        world.history().note(failed(number, &retried).0);
        world.history().note(delivered(1000 + number, START));
        world.written().await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..100).rev().map(id).collect();
    assert_eq!(ids.len(), 100);
    let sorted = |mut ids: Vec<DeliveryId>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(ids.clone()), sorted(newest_first.clone()));
    assert_eq!(ids[..2], newest_first[..2]);
}

pub(super) async fn every_filter_leaves_exactly_what_it_says<B: Backend>() {
    let world = World::<B>::new().await;
    for number in 0..60 {
        let is_dead = number % 5 == 0;
        let dead = Step::Dead { delivery: fresh(number), reason: DeathReason::Expired };
        let death = entry(number, &fresh(number), &dead, None, START);
        world.history().note(if is_dead { death } else { delivered(number, START) });
    }
    world.written().await;
    let at = |ms| START.plus(Duration::from_millis(ms));
    let all = HistoryFilter::default;
    type Fits = fn(u32) -> bool;
    let filters: [(HistoryFilter, Fits); 8] = [
        (all(), |_| true),
        (HistoryFilter { webhook: Some(webhook(3)), ..all() }, |n| n % 4 == 3),
        (HistoryFilter { event: Some(event(7).id), ..all() }, |n| n == 7),
        (HistoryFilter { kind: EventType::new("mention").ok(), ..all() }, |n| n.is_multiple_of(10)),
        (HistoryFilter { state: Some(DeliveryState::Dead), ..all() }, |n| n % 5 == 0),
        (HistoryFilter { state: Some(DeliveryState::Delivered), webhook: Some(webhook(1)), ..all() }, |n| {
            n % 5 != 0 && n % 4 == 1
        }),
        (HistoryFilter { since: Some(at(5)), until: Some(at(9)), ..all() }, |n| (5..9).contains(&(n / 3))),
        (
            HistoryFilter {
                state: Some(DeliveryState::Dead),
                kind: EventType::new("note").ok(),
                until: Some(at(9)),
                ..all()
            },
            |n| n % 5 == 0 && !n.is_multiple_of(10) && n / 3 < 9,
        ),
    ];
    for (filter, fits) in filters {
        let mut listed: Vec<DeliveryId> = world.list(filter.clone()).await.into_iter().map(|kept| kept.id).collect();
        let mut expected: Vec<DeliveryId> = (0..60).filter(|number| fits(*number)).map(id).collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "{filter:?}");
    }
}

pub(super) async fn a_history_of_a_newer_version_is_refused_with_both_versions<B: Backend>() {
    let world = World::<B>::new().await;
    world.written().await;
    world.store.execute(Part::History, "UPDATE hikyaku_schema SET version = 7").await;

    let refused = world.store.history(policy(), world.clock.clone(), world.telemetry.clone()).await;

    let known = format!("knows {}", B::HISTORY_VERSION);
    let words = chain(&refused.expect_err("newer"));
    assert!(words.contains("schema 7") && words.contains(&known), "{words}");
    let reader = world.store.history_reader();
    let words = chain(&reader.list(&HistoryFilter::default(), 1, None).await.expect_err("newer"));
    assert!(words.contains("schema 7") && words.contains(&known), "{words}");
}

pub(super) async fn where_nobody_has_written_a_history_that_is_told<B: Backend>() {
    let store = B::new().await;

    let error = store.history_reader().show(&id(1)).await.expect_err("none");

    assert!(error.to_string().contains("there is no history in"), "{error}");
}

pub(super) async fn a_row_that_cannot_be_read_is_told_and_hides_no_other<B: Backend>() {
    let world = World::<B>::new().await;
    (1..=3).for_each(|number| world.history().note(delivered(number, START)));
    world.written().await;
    let sql = "UPDATE deliveries SET state = 'asleep' WHERE event_id = 'event2'";
    world.store.execute(Part::History, sql).await;

    let page = world.reader.list(&HistoryFilter::default(), 10, None).await.expect("read");

    assert_eq!(page.deliveries.len(), 2);
    assert_eq!(page.problems.len(), 1);
    assert!(page.problems[0].contains("state: \"asleep\" is unknown here"), "{:?}", page.problems);
    let error = world.reader.show(&id(2)).await.expect_err("damaged").to_string();
    assert!(error.starts_with("the delivery msg_") && error.contains("asleep"), "{error}");
}
