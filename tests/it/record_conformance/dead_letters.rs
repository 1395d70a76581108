//! What the dead letters promise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hikyaku::clock::ManualClock;
use hikyaku::model::{
    Body, DeathReason, Delivery, Event, EventId, EventType, LastFailure, Outcome, Source, Timestamp, UserId, WebhookId,
};
use hikyaku::record::{DeadLetter, DeadLetters, Filter, Pruned, RecordError, Retention, Summary};
use hikyaku::telemetry::chain;

use super::backend::{Backend, Part};
use crate::support::patience::soon;

const START: Timestamp = Timestamp::from_millis(1_774_960_496_789);
const DAY: Duration = Duration::from_secs(86_400);

struct World<B: Backend> {
    store: B,
    clock: Arc<ManualClock>,
    letters: DeadLetters,
}

impl<B: Backend> World<B> {
    async fn new() -> Self {
        Self::keeping(Retention { age: 30 * DAY, count_max: 1_000_000 }).await
    }

    async fn keeping(retention: Retention) -> Self {
        let (store, clock) = (B::new().await, Arc::new(ManualClock::new(START, 0.5)));
        let letters = store.letters(retention, clock.clone()).await;
        Self { store, clock, letters }
    }

    /// The same letters as another process has them.
    async fn other(&self) -> DeadLetters {
        self.store.letters(Retention { age: 30 * DAY, count_max: 1_000_000 }, self.clock.clone()).await
    }

    async fn execute(&self, sql: &str) {
        self.store.execute(Part::Store, sql).await;
    }
}

pub(super) fn letter(number: u32) -> DeadLetter {
    let event = Event {
        id: EventId::new(&format!("event{number}")).expect("id"),
        kind: EventType::new("note").expect("type"),
        user: Some(UserId::new("9ks5o1w5k3x90001").expect("user")),
        source: Source::default(),
        server: Some("https://misskey.example".to_owned()),
        created_at: START.minus(Duration::from_secs(9)),
        accepted_at: START.minus(Duration::from_secs(8)),
        trace: None,
        body: Body::from_checked(Bytes::from(format!(r#"{{ "n" : {number}, "lone":"\ud800","big":1e400}}"#))),
    };
    let mut delivery = Delivery::fresh(&event, WebhookId::new("wh1").expect("id"));
    delivery.attempts = 11;
    delivery.last = Some(LastFailure::new(Outcome::ServerError, Some(503), "503 Service Unavailable"));
    DeadLetter {
        id: delivery.id(&event),
        event: Arc::new(event),
        delivery,
        reason: DeathReason::Exhausted,
        died_at: START.plus(Duration::from_millis(u64::from(number / 7))),
    }
}

fn replayed(letter: &DeadLetter) -> DeadLetter {
    DeadLetter { delivery: letter.delivery.replayed(START), ..letter.clone() }
}

fn for_webhook(number: u32, webhook: &str) -> DeadLetter {
    let mut letter = letter(number);
    letter.delivery.webhook = WebhookId::new(webhook).expect("id");
    letter.id = letter.delivery.id(&letter.event);
    letter
}

async fn all(letters: &DeadLetters, filter: &Filter, limit: u32) -> Vec<Summary> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = letters.list(filter, limit, after).await.expect("lists");
        assert!(page.letters.len() <= limit as usize);
        found.extend(page.letters);
        after = page.next.map(|next| next.to_string().parse().expect("a cursor's text is a cursor"));
        if after.is_none() {
            return found;
        }
    }
}

pub(super) async fn one_replays_at_a_time<B: Backend>() {
    let world = World::<B>::new().await;
    let other = world.other().await;
    let turn = world.letters.replay_turn().await.expect("free");
    assert!(matches!(other.replay_turn().await, Err(RecordError::ReplayPresent)));
    drop(turn);
    let free = async {
        while let Err(error) = other.replay_turn().await {
            assert!(matches!(error, RecordError::ReplayPresent), "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("whoever has had it lets go of it", free).await;
}

pub(super) async fn a_letter_comes_back_as_it_was_byte_for_byte<B: Backend>() {
    let world = World::<B>::new().await;
    let mut bare = letter(2);
    bare.event = Arc::new(Event { user: None, server: None, ..(*bare.event).clone() });
    bare.delivery.last = None;
    for letter in [letter(1), bare] {
        world.letters.add(vec![letter.clone()]).await.expect("adds");
        assert_eq!(world.letters.show(&letter.id).await.expect("shows"), Some(letter));
    }
    assert_eq!(world.letters.show(&letter(3).id).await.expect("shows"), None);
}

pub(super) async fn adding_the_same_letter_again_changes_nothing<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add(vec![letter(1), letter(1)]).await.expect("adds");
    let later = DeadLetter { died_at: START.plus(DAY), ..letter(1) };
    world.letters.add(vec![later]).await.expect("adds");
    assert_eq!(world.letters.total(), 1);
    assert_eq!(world.letters.show(&letter(1).id).await.expect("shows"), Some(letter(1)));
}

pub(super) async fn a_pruning_beside_an_adding_never_takes_the_total_back<B: Backend>() {
    let World { store: _store, letters, .. } = World::<B>::new().await;
    let letters = Arc::new(letters);
    let pruned = Arc::clone(&letters);
    let pruning = tokio::spawn(async move {
        loop {
            pruned.prune().await.expect("prunes");
        }
    });
    for number in 1..=3000 {
        letters.add(vec![letter(number)]).await.expect("adds");
        for _ in 0..100 {
            assert_eq!(letters.total(), u64::from(number));
            tokio::task::yield_now().await;
        }
    }
    pruning.abort();
}

pub(super) async fn removing_a_replayed_letter_leaves_the_one_that_died_again<B: Backend>() {
    let world = World::<B>::new().await;
    let (first, second) = (letter(1), replayed(&letter(1)));
    world.letters.add(vec![first.clone()]).await.expect("adds");
    world.letters.add(vec![second.clone()]).await.expect("adds");
    assert!(!world.letters.remove(&first.id, 0).await.expect("removes"), "the newer had replaced it");
    assert_eq!(world.letters.show(&first.id).await.expect("shows"), Some(second));
    assert_eq!(world.letters.total(), 1);
    assert!(world.letters.remove(&first.id, 1).await.expect("removes"));
    assert_eq!(world.letters.total(), 0);
}

pub(super) async fn an_older_generation_that_comes_late_is_ignored<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add(vec![replayed(&letter(1))]).await.expect("adds");
    world.letters.add(vec![letter(1)]).await.expect("adds");
    let kept = world.letters.show(&letter(1).id).await.expect("shows").expect("is there");
    assert_eq!(kept.delivery.generation, 1);
    assert_eq!(world.letters.total(), 1);
}

pub(super) async fn pages_of_a_hundred_show_each_of_2500_letters_once_newest_first<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add((0..2500).map(letter).collect()).await.expect("adds");
    let found = all(&world.letters, &Filter::default(), 100).await;
    let ids: HashSet<_> = found.iter().map(|summary| summary.id.clone()).collect();
    assert_eq!((found.len(), ids.len()), (2500, 2500));
    assert!(found.is_sorted_by(|a, b| (a.died_at, &a.id) > (b.died_at, &b.id)));
}

pub(super) async fn a_letter_removed_between_two_pages_costs_no_other<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add((0..30).map(letter).collect()).await.expect("adds");
    let first = world.letters.list(&Filter::default(), 10, None).await.expect("lists");
    let gone = first.letters.iter().map(|summary| (summary.id.clone(), summary.delivery.generation)).collect();
    assert_eq!(world.letters.remove_many(gone).await.expect("removes"), 10);
    let second = world.letters.list(&Filter::default(), 100, first.next).await.expect("lists");
    assert_eq!((second.letters.len(), second.next), (20, None));
}

pub(super) async fn a_filter_lets_through_what_fits_all_of_it<B: Backend>() {
    let world = World::<B>::new().await;
    let gone = DeadLetter { reason: DeathReason::Gone, ..letter(20) };
    let at = |ms| Some(START.plus(Duration::from_millis(ms)));
    world.letters.add((0..14).map(letter).collect()).await.expect("adds");
    world.letters.add(vec![gone.clone(), for_webhook(3, "wh2")]).await.expect("adds");
    let cases = [
        (Filter::default(), 16),
        (Filter { webhook: WebhookId::new("wh2").ok(), ..Filter::default() }, 1),
        (Filter { kind: EventType::new("note").ok(), ..Filter::default() }, 16),
        (Filter { kind: EventType::new("follow").ok(), ..Filter::default() }, 0),
        (Filter { reason: Some(DeathReason::Gone), ..Filter::default() }, 1),
        (Filter { since: at(1), until: at(2), ..Filter::default() }, 7),
        (Filter { since: at(2), ..Filter::default() }, 1),
        (Filter { ids: vec![gone.id.clone(), letter(0).id, letter(99).id], ..Filter::default() }, 2),
        (Filter { ids: vec![letter(0).id], reason: Some(DeathReason::Gone), ..Filter::default() }, 0),
    ];
    for (filter, expected) in cases {
        assert_eq!(world.letters.count(&filter).await.expect("counts"), expected, "{filter:?}");
        assert_eq!(all(&world.letters, &filter, 5).await.len() as u64, expected, "{filter:?}");
    }
}

pub(super) async fn a_page_with_bodies_ends_when_they_grow_large<B: Backend>() {
    let world = World::<B>::new().await;
    let large = |number| {
        let mut letter = letter(number);
        let body = Body::from_checked(Bytes::from(format!(r#"{{"a":"{}"}}"#, "x".repeat(7 << 20))));
        letter.event = Arc::new(Event { body, ..(*letter.event).clone() });
        letter
    };
    world.letters.add((0..4).map(large).collect()).await.expect("adds");
    let first = world.letters.read(&Filter::default(), 100, None).await.expect("reads");
    assert_eq!(first.letters.len(), 3);
    let second = world.letters.read(&Filter::default(), 100, first.next).await.expect("reads");
    assert_eq!((second.letters.len(), second.next), (1, None));
}

pub(super) async fn purging_removes_all_that_fits_and_nothing_else<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add((0..2100).map(letter).collect()).await.expect("adds");
    world.letters.add((0..5).map(|number| for_webhook(number, "wh2")).collect()).await.expect("adds");
    let filter = Filter { webhook: WebhookId::new("wh1").ok(), ..Filter::default() };
    assert_eq!(world.letters.purge(&filter).await.expect("purges"), 2100);
    assert_eq!(world.letters.total(), 5);
    assert_eq!(world.letters.purge(&Filter::default()).await.expect("purges"), 5);
    assert_eq!(world.letters.count(&Filter::default()).await.expect("counts"), 0);
}

pub(super) async fn letters_past_their_age_are_pruned<B: Backend>() {
    let world = World::<B>::keeping(Retention { age: 30 * DAY, count_max: 1_000_000 }).await;
    let fresh = DeadLetter { died_at: START.plus(DAY), ..letter(5000) };
    world.letters.add((0..1200).map(letter).chain([fresh.clone()]).collect()).await.expect("adds");
    assert_eq!(world.letters.prune().await.expect("prunes"), Pruned::default());
    world.clock.advance(31 * DAY);
    assert_eq!(world.letters.prune().await.expect("prunes"), Pruned { by_age: 1200, by_count: 0 });
    assert_eq!(world.letters.show(&fresh.id).await.expect("shows"), Some(fresh));
}

pub(super) async fn of_too_many_letters_the_oldest_are_pruned<B: Backend>() {
    let world = World::<B>::keeping(Retention { age: 30 * DAY, count_max: 1000 }).await;
    world.letters.add((0..2800).map(letter).collect()).await.expect("adds");
    assert_eq!(world.letters.prune().await.expect("prunes"), Pruned { by_age: 0, by_count: 1800 });
    let kept = all(&world.letters, &Filter::default(), 1000).await;
    assert_eq!((kept.len(), world.letters.total()), (1000, 1000));
    let oldest_kept = letter(1800).died_at.minus(Duration::from_millis(1));
    assert!(kept.iter().all(|summary| summary.died_at >= oldest_kept), "{:?}", kept.last());
}

pub(super) async fn the_total_is_known_after_a_restart_and_counts_what_others_removed_at_the_next_prune<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add((0..10).map(letter).collect()).await.expect("adds");
    let other = world.other().await;
    assert_eq!(other.total(), 10);
    other.purge(&Filter { ids: vec![letter(1).id], ..Filter::default() }).await.expect("purges");
    world.letters.prune().await.expect("prunes");
    assert_eq!((other.total(), world.letters.total()), (9, 9));
}

pub(super) async fn a_letter_that_cannot_be_read_is_told_and_hides_no_other<B: Backend>() {
    let world = World::<B>::new().await;
    world.letters.add((0..5).map(letter).collect()).await.expect("adds");
    let damaged = letter(2).id;
    for damage in ["reason = 'bored'", "event_id = 'another'", "user_id = ''", "generation = -1", "last_status = 70000"]
    {
        world.execute(&format!("UPDATE dead_letters SET {damage} WHERE delivery_id = '{damaged}'")).await;
        let page = world.letters.list(&Filter::default(), 100, None).await.expect("lists");
        assert_eq!((page.letters.len(), page.problems.len()), (4, 1), "{damage}");
        assert!(page.problems[0].contains(damaged.as_str()), "{:?}", page.problems);
        let error = world.letters.show(&damaged).await.expect_err(damage).to_string();
        assert!(error.contains(damage.split(' ').next().expect("a column")) || damage.contains("event_id"), "{error}");
        world.letters.purge(&Filter { ids: vec![damaged.clone()], ..Filter::default() }).await.expect("purges");
        world.letters.add(vec![letter(2)]).await.expect("adds");
    }
}

pub(super) async fn of_letters_that_cannot_all_be_added_none_is<B: Backend>() {
    let world = World::<B>::new().await;
    world.store.refuse_letter(letter(2).id.as_str()).await;
    let error = world.letters.add((0..5).map(letter).collect()).await.expect_err("no room");
    assert!(chain(&error).contains(B::NAME), "{error:?}");
    assert_eq!(world.letters.count(&Filter::default()).await.expect("counts"), 0);
    world.store.refuse_no_letter().await;
    world.letters.add((0..5).map(letter).collect()).await.expect("adds once there is room");
    assert_eq!(world.letters.total(), 5);
}
