//! How what the history has is listed and shown.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use hikyaku::decide::Step;
use hikyaku::model::{DeathReason, Delivery, DeliveryId, DeliveryState, EventType};
use hikyaku::record::{HistoryFilter, HistoryPolicy};
use hikyaku::telemetry::chain;

use super::backend::{Backend, Part};
use super::history_samples::{DAY, START, World, delivered, entry, event, failed, fresh, id, policy, webhook};

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
    // The next three were taken in at one moment, and so are in any order.
    assert_eq!(ids[0], newest_first[0]);
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

/// Every combination of filters.
fn every_combination() -> Vec<HistoryFilter> {
    let at = |ms| Some(START.plus(Duration::from_millis(ms)));
    let mut filters = Vec::new();
    for webhook in [None, Some(webhook(3))] {
        for kind in [None, EventType::new("mention").ok(), EventType::new("note").ok()] {
            for state in [None, Some(DeliveryState::Dead), Some(DeliveryState::Delivered)] {
                for (since, until) in [(None, None), (at(300), at(901))] {
                    let (webhook, kind) = (webhook.clone(), kind.clone());
                    filters.push(HistoryFilter { webhook, kind, state, since, until, event: None });
                }
            }
        }
    }
    let of_event = filters[..1].iter().chain(&filters[18..]).cloned();
    filters.extend(of_event.map(|filter| HistoryFilter { event: Some(event(2703).id), ..filter }).collect::<Vec<_>>());
    filters
}

/// Whether the filter leaves the delivery `number`, of which one in 5 is dead.
fn fits(filter: &HistoryFilter, number: u32) -> bool {
    let event = event(number);
    let state = if number.is_multiple_of(5) { DeliveryState::Dead } else { DeliveryState::Delivered };
    filter.webhook.as_ref().is_none_or(|wanted| *wanted == webhook(number))
        && filter.kind.as_ref().is_none_or(|wanted| *wanted == event.kind)
        && filter.state.is_none_or(|wanted| wanted == state)
        && filter.since.is_none_or(|since| event.accepted_at >= since)
        && filter.until.is_none_or(|until| event.accepted_at < until)
        && filter.event.as_ref().is_none_or(|wanted| *wanted == event.id)
}

/// All that the filter leaves, page by page; before each, so many newer ones are written, and so as many pruned.
async fn listed<B: Backend>(
    world: &World<B>,
    filter: &HistoryFilter,
    newer: &mut Range<u32>,
    each: usize,
) -> Vec<DeliveryId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        newer.by_ref().take(each).for_each(|number| world.history().note(delivered(number, START.plus(DAY))));
        world.written().await;
        let page = world.reader.list(filter, 211, after).await.expect("read");
        assert_eq!(page.problems, Vec::<String>::new());
        ids.extend(page.deliveries.into_iter().map(|(kept, _)| kept.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

pub(super) async fn whatever_the_filters_pages_have_each_delivery_once_though_it_is_written_and_pruned_meanwhile<
    B: Backend,
>() {
    let world = World::<B>::keeping(HistoryPolicy { count_max: 3100, ..policy() }).await;
    for number in 0..3000 {
        let dead = Step::Dead { delivery: fresh(number), reason: DeathReason::Expired };
        let at = START.plus(Duration::from_millis(number.into()));
        let is_dead = number.is_multiple_of(5);
        world.history().note(if is_dead {
            entry(number, &fresh(number), &dead, None, at)
        } else {
            delivered(number, at)
        });
        // Some are written together, and some alone.
        if number % 500 < 20 || number == 1499 {
            world.written().await;
        }
    }
    let mut newer = 10_000..20_000;
    for filter in every_combination() {
        let listed = listed(&world, &filter, &mut newer, 3).await;
        let left: HashSet<DeliveryId> =
            self::listed(&world, &HistoryFilter::default(), &mut newer, 0).await.into_iter().collect();
        let once: HashSet<&DeliveryId> = listed.iter().collect();
        assert_eq!(once.len(), listed.len(), "each once: {filter:?}");
        let known: HashMap<DeliveryId, u32> = (0..3000).map(|number| (id(number), number)).collect();
        let wrong: Vec<u32> =
            listed.iter().filter_map(|id| known.get(id).copied()).filter(|n| !fits(&filter, *n)).collect();
        assert_eq!(wrong, Vec::<u32>::new(), "{filter:?}");
        let missing: Vec<u32> =
            (0..3000).filter(|n| fits(&filter, *n) && left.contains(&id(*n)) && !once.contains(&id(*n))).collect();
        assert_eq!(missing, Vec::<u32>::new(), "{filter:?}");
    }
    let pruned = world.metric("hikyaku_history_pruned_total");
    assert!((300..2500).contains(&pruned), "some of those are left, and some have gone: {pruned}");
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

pub(super) async fn one_that_cannot_be_brought_up_to_date_holds_up_nobody_and_is_told_until_it_can<B: Backend>() {
    let mut world = World::<B>::new().await;
    world.written().await;
    world.history = None;
    world.store.execute(Part::History, "UPDATE hikyaku_schema SET version = 2 WHERE part = 'history'").await;

    let (clock, telemetry) = (world.clock.clone(), world.telemetry.clone());
    world.history = Some(world.store.history(policy(), clock, telemetry).await.expect("it is tried again"));

    let words = world.history().health().expect("trouble");
    let known = format!("schema 2, this hikyaku needs {}", B::HISTORY_VERSION);
    assert!(words.contains("cannot be brought up to date") && words.contains(&known), "{words}");
    let reader = world.store.history_reader();
    for error in [
        reader.list(&HistoryFilter::default(), 1, None).await.expect_err("older"),
        reader.check().await.expect_err("older"),
    ] {
        let words = chain(&error);
        assert!(words.contains("of an older hikyaku") && words.contains("schema 2"), "{words}");
    }

    let beside = world.store.history_reader().beside(world.history());
    let words = chain(&beside.list(&HistoryFilter::default(), 1, None).await.expect_err("older"));
    assert!(words.contains("tried again all the time") && words.contains(&known), "{words}");

    let sql = format!("UPDATE hikyaku_schema SET version = {} WHERE part = 'history'", B::HISTORY_VERSION);
    world.store.execute(Part::History, &sql).await;
    world.history().note(delivered(1, START));
    world.written().await;
    assert_eq!(world.history().health(), None);
    reader.check().await.expect("it can be read");
    assert_eq!(world.list(HistoryFilter::default()).await.len(), 1);
}

pub(super) async fn where_nobody_has_written_a_history_that_is_told<B: Backend>() {
    let store = B::new().await;

    let reader = store.history_reader();
    reader.check().await.expect("that is no trouble");
    let error = reader.show(&id(1)).await.expect_err("none");

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
