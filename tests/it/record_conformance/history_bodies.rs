//! What the history keeps of events' bodies, for how long, and that nothing of a person stays who is forgotten.

use std::time::Duration;

use bytes::Bytes;
use hikyaku::decide::Step;
use hikyaku::model::{Body, Delivery, Event, Outcome, Source, UserId};
use hikyaku::record::{BodiesPolicy, Entry, Erased, HistoryFilter, HistoryPolicy, Retention};

use super::backend::{Backend, Part};
use super::history_samples::{
    DAY, START, World, attempted, delivered, entry, event, failed, fresh, id, policy, webhook,
};

fn keeping_bodies(age: Duration, bytes_max: u64) -> HistoryPolicy {
    HistoryPolicy { bodies: Some(BodiesPolicy { age, bytes_max, bytes_per_second: 1 << 30 }), ..policy() }
}

fn with_body(number: u32, text: &str) -> Event {
    Event {
        server: Some("https://misskey.example".to_owned()),
        created_at: START.minus(DAY),
        body: Body::from_checked(Bytes::from(text.to_owned())),
        ..event(number)
    }
}

/// The events whose bodies are there, of the deliveries from 0 to `count`.
async fn known<B: Backend>(world: &World<B>, count: u32) -> Vec<u32> {
    let mut known = Vec::new();
    for number in 0..count {
        let (_, event) = world.reader.with_event(&id(number)).await.expect("read").expect("it is there");
        known.extend(event.map(|_| number));
    }
    known
}

pub(super) async fn an_event_is_read_back_with_its_bytes_and_one_without_a_body_is_told<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    let whole = with_body(0, r#"{ "lone":"\ud800", "n":1e400}"#);
    world.history().note(delivered(0, START).with_body(&whole));
    world.history().note(delivered(1, START));
    world.history().note(delivered(0, START));
    world.written().await;
    let (kept, event) = world.reader.with_event(&id(0)).await.expect("read").expect("it is there");
    assert_eq!((kept.id, event.as_ref()), (id(0), Some(&whole)));
    let page = world.reader.read(&HistoryFilter::default(), 10, None).await.expect("read");
    let events: Vec<_> = page.deliveries.into_iter().map(|(kept, event)| (kept.id, event)).collect();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&(id(0), Some(whole))) && events.contains(&(id(1), None)), "{events:?}");
}

pub(super) async fn a_page_with_bodies_ends_when_they_grow_large_and_leads_on<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(3 << 20));
    for number in 0..8 {
        world.history().note(delivered(number, START).with_body(&with_body(number, &large)));
        world.written().await;
    }
    let (mut found, mut pages, mut after) = (0, 0, None);
    loop {
        let page = world.reader.read(&HistoryFilter::default(), 100, after).await.expect("read");
        assert!(page.deliveries.len() < 8, "more than 16 MiB in a page");
        found += page.deliveries.iter().filter(|(_, event)| event.is_some()).count();
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(found == 8 && pages >= 2, "{found} bodies on {pages} pages");
}

pub(super) async fn bodies_go_with_age_beyond_their_bytes_and_when_none_are_kept_any_more<B: Backend>() {
    let mut world = World::<B>::keeping(keeping_bodies(DAY, 5_000)).await;
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(800));
    for number in 0..10 {
        let at = START.plus(Duration::from_millis(u64::from(number)));
        world.history().note(delivered(number, at).with_body(&with_body(number, &text)));
    }
    world.written().await;
    world.until("those that were written first are gone", async || known(&world, 10).await.len() <= 6).await;
    let left = known(&world, 10).await;
    assert!(left.len() >= 4 && left.ends_with(&[9]), "{left:?}");

    world.clock.advance(2 * DAY);
    world.history().note(delivered(10, world.clock_now()).with_body(&with_body(10, &text)));
    world.written().await;
    world.until("those that are old are gone", async || known(&world, 11).await == [10]).await;

    world.history = None;
    world.history =
        Some(world.store.history(policy(), world.clock.clone(), world.telemetry.clone()).await.expect("opens again"));
    world.history().note(delivered(11, world.clock_now()));
    world.written().await;
    world.until("none is kept any more", async || known(&world, 12).await.is_empty()).await;
    assert_eq!(world.count("deliveries").await, 12, "the deliveries stay");
}

pub(super) async fn bodies_that_come_too_fast_are_left_out_and_counted_and_their_deliveries_are_not<B: Backend>() {
    let slowly = BodiesPolicy { age: 7 * DAY, bytes_max: 1 << 30, bytes_per_second: 1 };
    let world = World::<B>::keeping(HistoryPolicy { bodies: Some(slowly), ..policy() }).await;
    for number in 0..3 {
        world.history().note(delivered(number, START).with_body(&with_body(number, &"1".repeat(10_000))));
    }
    world.written().await;
    assert_eq!(known(&world, 3).await, [0], "the first one, though it alone is more than a second may bring");
    assert_eq!(world.metric("hikyaku_history_bodies_left_out_total"), 2);
    assert_eq!((world.count("deliveries").await, world.count("attempts").await), (3, 3));
}

pub(super) async fn a_body_that_is_missing_comes_with_what_is_noted_later_and_each_is_kept_once<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    for number in 0..2 {
        let (first, after) = failed(number, &fresh(number));
        world.history().note(if number == 0 { first } else { first.with_body(&with_body(number, "{}")) });
        world.written().await;
        let made = attempted(&after, Outcome::Delivered, Some(200));
        let last = entry(number, &after, &Step::Done, made, START.plus(Duration::from_secs(5)));
        world.history().note(last.with_body(&with_body(number, "{}")));
        world.written().await;
    }
    assert_eq!(known(&world, 2).await, [0, 1]);
    assert_eq!(world.count("bodies").await, 2);
}

pub(super) async fn a_body_goes_with_the_last_delivery_of_its_event<B: Backend>() {
    let world = World::<B>::keeping(HistoryPolicy { count_max: 2, ..keeping_bodies(7 * DAY, 1 << 30) }).await;
    let at = |ms| START.plus(Duration::from_millis(ms));
    let held = async || world.store.number(Part::History, "SELECT body_bytes FROM history_rows").await;
    world.history().note(delivered(0, at(0)).with_body(&with_body(0, "{}")));
    world.written().await;
    let of_one = held().await;
    // To another webhook, written apart.
    let other = Delivery::fresh(&event(0), webhook(1));
    let made = attempted(&other, Outcome::Delivered, Some(200));
    let id = other.id(&event(0));
    world.history().note(Entry::of(&event(0), &id, &other, &Step::Done, made, at(1)).expect("a delivery"));
    world.written().await;
    for (number, bodies) in [(4, 2), (5, 2), (6, 2)] {
        world.history().note(delivered(number, at(u64::from(number))).with_body(&with_body(number, "{}")));
        world.written().await;
        assert_eq!((world.count("deliveries").await, world.count("bodies").await), (2, bodies), "after {number}");
        assert_eq!(held().await, bodies * of_one, "after {number}");
        if number == 4 {
            let (_, event) = world.reader.with_event(&id).await.expect("read").expect("it is there");
            assert_eq!(event, Some(with_body(0, "{}")), "of its other delivery, which is gone");
        }
    }
    assert_eq!(world.reader.with_event(&id).await.expect("read"), None);
}

pub(super) async fn of_somebody_who_is_forgotten_nothing_is_left_and_of_others_all<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    for number in 0..1200 {
        world.history().note(delivered(number, START).with_body(&with_body(number, "{}")));
    }
    world.written().await;
    let (source, user) = (Source::default(), UserId::new("u1").expect("an id"));
    let nobody = UserId::new("u2").expect("an id");
    assert_eq!(world.reader.forget(&source, &nobody).await.expect("erased"), Erased::default());
    let erased = world.reader.forget(&source, &user).await.expect("erased");
    assert_eq!(erased, Erased { deliveries: 1200, attempts: 1200, bodies: 1200 });
    for table in ["deliveries", "attempts", "bodies"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    world.history().note(delivered(1, START));
    world.written().await;
    assert_eq!(world.list(HistoryFilter::default()).await.len(), 1, "it is written as before");
}

pub(super) async fn what_waits_of_somebody_who_is_forgotten_meanwhile_is_not_written_any_more<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    let letters = Retention { age: DAY, count_max: 1000 };
    let letters = world.store.letters(letters, world.clock.clone()).await;
    world.written().await;
    let held = world.store.hold_history().await;
    for number in 0..3 {
        world.history().note(delivered(number, START).with_body(&with_body(number, "{}")));
    }
    world.clock.advance(Duration::from_secs(10));
    letters.note_forgotten(&Source::default(), &UserId::new("u1").expect("an id")).await.expect("noted");
    // Of another life, 33 s later.
    world.history().note(delivered(100_000, START));
    world.store.let_go(held).await;
    world.written().await;

    let left: Vec<_> = world.list(HistoryFilter::default()).await.into_iter().map(|kept| kept.id).collect();
    assert_eq!(left, [id(100_000)]);
    assert_eq!((world.count("deliveries").await, world.count("bodies").await), (1, 0));
}

pub(super) async fn what_comes_twice_in_one_batch_has_its_body_once<B: Backend>() {
    let world = World::<B>::keeping(keeping_bodies(7 * DAY, 1 << 30)).await;
    world.written().await;
    let held = world.store.hold_history().await;
    for _ in 0..3 {
        world.history().note(delivered(1, START).with_body(&with_body(1, "{}")));
    }
    world.store.let_go(held).await;
    world.written().await;
    assert_eq!((world.count("deliveries").await, world.count("bodies").await), (1, 1));
}
