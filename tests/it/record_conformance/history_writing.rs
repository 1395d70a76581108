//! What the history keeps of what is noted, and that nobody waits for it.

use std::time::{Duration, Instant};

use hikyaku::clock::Clock;
use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, Delivery, DeliveryState, DropReason, Outcome, ParkReason, Source};
use hikyaku::record::{Attempted, HistoryFilter, HistoryPolicy, KeptAttempt, KeptDelivery, WAITING_BYTES_MAX};

use super::backend::Backend;
use super::history_samples::{
    DAY, START, World, attempted, delivered, entry, event, failed, failed_by, fresh, id, policy, states, webhook,
};
use crate::support::patience::LONGEST;

pub(super) async fn a_delivery_is_kept_with_its_state_and_every_attempt<B: Backend>() {
    let world = World::<B>::new().await;
    let (first, after) = failed(1, &fresh(1));
    world.history().note(first);
    let last = attempted(&after, Outcome::Delivered, Some(204));
    world.history().note(entry(1, &after, &Step::Done, last.clone(), START.plus(DAY)));
    world.written().await;

    let (delivery, attempts) = world.show(1).await;

    let expected = KeptDelivery {
        id: id(1),
        event: event(1).id,
        kind: event(1).kind,
        user: event(1).user,
        source: Source::default(),
        webhook: webhook(1),
        accepted_at: event(1).accepted_at,
        generation: 0,
        attempts: 2,
        state: DeliveryState::Delivered,
        reason: None,
        changed_at: START.plus(DAY),
        due: None,
    };
    assert_eq!(delivery, expected);
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (0, 2, Outcome::Delivered)]);
    assert_eq!(attempts[0].made.error, "it went wrong");
    assert_eq!(attempts[1], KeptAttempt { generation: 0, made: last.expect("made"), worker: "here/1".to_owned() });
}

pub(super) async fn a_delivery_that_waits_is_dead_or_dropped_says_why<B: Backend>() {
    let world = World::<B>::new().await;
    let parked = Delivery { parks: 1, ..fresh(1) };
    let due = START.plus(Duration::from_secs(9));
    let park = Step::Later { delivery: parked, due, wait: Wait::Park(ParkReason::BreakerOpen) };
    world.history().note(entry(1, &fresh(1), &park, None, START));
    let dead = Step::Dead { delivery: fresh(2), reason: DeathReason::Deactivated };
    world.history().note(entry(2, &fresh(2), &dead, None, START));
    let dropped = Step::Drop(DropReason::WebhookDeleted);
    world.history().note(entry(3, &fresh(3), &dropped, None, START));
    world.written().await;

    for (number, state, reason, due) in [
        (1, DeliveryState::Waiting, "breaker_open", Some(due)),
        (2, DeliveryState::Dead, "deactivated", None),
        (3, DeliveryState::Dropped, "webhook_deleted", None),
    ] {
        let (delivery, attempts) = world.show(number).await;
        assert_eq!((delivery.state, delivery.reason.as_deref(), delivery.due), (state, Some(reason), due));
        assert_eq!((delivery.attempts, attempts), (0, Vec::new()));
    }
}

pub(super) async fn what_is_noted_again_changes_nothing<B: Backend>() {
    let world = World::<B>::new().await;
    let (first, after) = failed(1, &fresh(1));
    let last = entry(1, &after, &Step::Done, attempted(&after, Outcome::Delivered, Some(200)), START.plus(DAY));
    for entry in [&first, &last, &first, &last, &first] {
        world.history().note(entry.clone());
        world.written().await;
    }

    let (delivery, attempts) = world.show(1).await;

    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 2), "what is older comes too late");
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (0, 2, Outcome::Delivered)]);
    world.until("they are counted once", async || world.metric("hikyaku_history_attempts") == 2).await;
    assert_eq!(world.metric("hikyaku_history_deliveries"), 1);
}

pub(super) async fn what_is_new_what_is_there_and_what_had_come_to_something_unseen_are_written_together<B: Backend>() {
    let world = World::<B>::new().await;
    let second = |number| {
        let (first, after) = failed(number, &fresh(number));
        let made = attempted(&after, Outcome::Delivered, Some(200));
        (first, entry(number, &after, &Step::Done, made, START.plus(DAY)))
    };
    world.history().note(delivered(1, START));
    let (first, last_of_there) = second(2);
    world.history().note(first);
    world.written().await;

    world.history().note(delivered(1, START));
    world.history().note(last_of_there);
    let (_unseen, last_of_gone) = second(3);
    world.history().note(last_of_gone);
    let (first, last) = second(4);
    world.history().note(first);
    world.history().note(last);
    world.history().note(delivered(5, START));
    world.written().await;

    for (number, attempts) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2]), (4, &[1, 2]), (5, &[1])] {
        let (delivery, made) = world.show(number).await;
        assert_eq!(delivery.state, DeliveryState::Delivered, "{number}");
        assert_eq!(made.iter().map(|attempt| attempt.made.number).collect::<Vec<_>>(), attempts, "{number}");
    }
    world.until("they are counted once", async || world.metric("hikyaku_history_attempts") == 7).await;
    assert_eq!(world.metric("hikyaku_history_deliveries"), 5);
}

pub(super) async fn of_a_number_that_was_tried_twice_the_try_that_delivered_is_kept_else_the_first<B: Backend>() {
    let world = World::<B>::new().await;
    let failing = failed(1, &fresh(1)).0;
    world.history().note(failing.clone());
    world.history().note(delivered(1, START));
    world.history().note(failing);
    let timeout = attempted(&fresh(2), Outcome::Timeout, None);
    world.history().note(failed_by(2, &fresh(2), timeout, START).0);
    world.history().note(failed(2, &fresh(2)).0);
    world.written().await;

    assert_eq!(states(&world.show(1).await.1), [(0, 1, Outcome::Delivered)]);
    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
    assert_eq!(states(&world.show(2).await.1), [(0, 1, Outcome::Timeout)]);
}

pub(super) async fn a_replay_is_the_next_generation_with_attempts_of_its_own<B: Backend>() {
    let world = World::<B>::new().await;
    let after = Delivery { attempts: 1, ..fresh(1) };
    let dead = Step::Dead { delivery: after.clone(), reason: DeathReason::Exhausted };
    let attempt = attempted(&fresh(1), Outcome::ServerError, Some(503));
    world.history().note(entry(1, &fresh(1), &dead, attempt, START));
    let again = after.replayed(START.plus(DAY));
    let attempt = attempted(&again, Outcome::Delivered, Some(200));
    world.history().note(entry(1, &again, &Step::Done, attempt, START.plus(DAY)));
    world.written().await;

    let (delivery, attempts) = world.show(1).await;

    assert_eq!((delivery.generation, delivery.attempts, delivery.state), (1, 1, DeliveryState::Delivered));
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (1, 1, Outcome::Delivered)]);
}

pub(super) async fn a_clock_that_is_set_back_does_not_hold_up_what_is_known<B: Backend>() {
    let world = World::<B>::new().await;
    let (first, after) = failed(1, &fresh(1));
    world.history().note(first);
    let earlier = START.minus(DAY);
    world.history().note(entry(1, &after, &Step::Done, attempted(&after, Outcome::Delivered, Some(200)), earlier));
    world.written().await;

    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
}

pub(super) async fn what_is_not_to_be_kept_of_answers_is_not<B: Backend>() {
    let world = World::<B>::keeping(HistoryPolicy { response_bytes_max: 2, ..policy() }).await;
    world.history().note(delivered(1, START));
    world.written().await;

    assert_eq!(world.show(1).await.1[0].made.response, "he");
}

pub(super) async fn what_has_not_changed_for_longer_than_it_is_kept_goes_with_its_attempts<B: Backend>() {
    let world = World::<B>::keeping(HistoryPolicy { age: DAY, ..policy() }).await;
    world.history().note(delivered(1, START));
    world.history().note(delivered(2, START));
    world.history().note(failed(2, &Delivery { generation: 1, ..fresh(2) }).0);
    world.written().await;
    world.clock.advance(DAY);
    let before = Delivery { generation: 1, attempts: 1, ..fresh(2) };
    let attempt = attempted(&before, Outcome::ServerError, Some(503));
    world.history().note(failed_by(2, &before, attempt, world.clock.now()).0);
    world.written().await;
    world.clock.advance(Duration::from_secs(60));

    // A restart looks at age at once.
    let world = World { history: None, ..world };
    let again = HistoryPolicy { age: DAY, ..policy() };
    let history = world.store.history(again, world.clock.clone(), world.telemetry.clone()).await.expect("opens");
    let world = World { history: Some(history), ..world };

    world.until("the old one goes", async || world.metric("hikyaku_history_pruned_total") == 1).await;
    assert_eq!(world.reader.show(&id(1)).await.expect("read"), None);
    assert_eq!(world.show(2).await.1.len(), 3);
    assert_eq!(world.metric("hikyaku_history_attempts"), 3);
}

pub(super) async fn what_comes_late_of_old_events_goes_before_what_changed_last<B: Backend>() {
    let world = World::<B>::keeping(HistoryPolicy { count_max: 5, ..policy() }).await;
    let later = START.plus(Duration::from_secs(10));
    (300..310).for_each(|number| world.history().note(delivered(number, later)));
    world.written().await;
    assert_eq!(world.count("deliveries").await, 5);
    let left = world.list(HistoryFilter::default()).await;

    (0..20).for_each(|number| world.history().note(delivered(number, START.plus(Duration::from_secs(1)))));
    world.written().await;

    assert_eq!(world.list(HistoryFilter::default()).await, left);
}

pub(super) async fn while_it_is_written_it_stays_within_its_count<B: Backend>() {
    let world = World::<B>::keeping(HistoryPolicy { count_max: 1000, ..policy() }).await;
    for number in 0..10_000_u32 {
        world.history().note(delivered(number, START.plus(Duration::from_millis(number.into()))));
        if number % 2500 == 0 {
            world.written().await;
            let count = world.count("deliveries").await;
            assert!(count <= 1000 + 2500, "{count}");
        }
    }
    world.written().await;
    world.until("the rest goes", async || world.metric("hikyaku_history_deliveries") == 1000).await;

    let kept = world.list(HistoryFilter::default()).await;
    assert_eq!((kept.len(), &kept[0].id), (1000, &id(9999)), "the newest stay");
    let attempts = world.count("attempts").await;
    assert_eq!(attempts, 1000);
}

pub(super) async fn while_another_holds_it_nothing_waits_and_it_is_written_afterwards<B: Backend>() {
    let world = World::<B>::new().await;
    world.written().await;
    let held = world.store.hold_history().await;
    for number in 0..100 {
        world.history().note(delivered(number, START));
    }
    let error = world.history().flush().await.expect_err("locked");
    assert!(error.to_string().contains("did not do what was asked"), "{error}");
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);

    world.store.let_go(held).await;

    world.until("it is written", async || world.list(HistoryFilter::default()).await.len() == 100).await;
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);
}

pub(super) async fn what_memory_has_no_room_for_is_missing_and_counted_and_what_comes_later_is_kept<B: Backend>() {
    let world = World::<B>::new().await;
    world.written().await;
    let held = world.store.hold_history().await;
    let large = |number| {
        let made = attempted(&fresh(number), Outcome::Delivered, Some(200)).expect("made");
        let response = "x".repeat(2048);
        entry(number, &fresh(number), &Step::Done, Some(Attempted { response, ..made }), START)
    };
    let mut noted = 0;
    while world.metric("hikyaku_record_dropped_total") == 0 {
        (0..500).for_each(|more| world.history().note(large(noted + more)));
        noted += 500;
        assert!((noted as usize) < 2 * WAITING_BYTES_MAX / 2048, "it is bounded");
    }
    let missing = world.metric("hikyaku_record_dropped_total");
    world.store.let_go(held).await;
    world
        .until("all that was kept is written", async || {
            world.history().flush().await.is_ok() && world.metric("hikyaku_history_deliveries") > 0
        })
        .await;
    world.history().note(delivered(1_000_000, START));
    world.written().await;

    let count = world.count("deliveries").await;
    assert_eq!(count, u64::from(noted) - missing + 1);
    assert_eq!(world.metric("hikyaku_record_dropped_total"), missing);
}

pub(super) async fn what_is_noted_before_the_end_is_written_at_the_end<B: Backend>() {
    let mut world = World::<B>::new().await;
    world.history().note(delivered(1, START));
    let history = world.history.take().expect("open");
    history.close().await;
    drop(history);

    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);
}

pub(super) async fn at_the_end_what_cannot_be_written_is_counted_and_holds_up_nobody<B: Backend>() {
    let mut world = World::<B>::new().await;
    world.written().await;
    let _held = world.store.hold_history().await;
    world.history().note(delivered(1, START));
    world.history().note(delivered(2, START));
    let history = world.history.take().expect("open");
    let began = Instant::now();

    history.close().await;

    assert!(began.elapsed() < LONGEST / 2, "{:?}", began.elapsed());
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 2);
}
