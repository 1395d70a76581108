//! Who put what back to work, who is forgotten, and what a large table costs: what the dead letters promise beyond being kept.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::ManualClock;
use hikyaku::model::{DeathReason, Event, ReplayKind, Source, Timestamp, UserId, WebhookId};
use hikyaku::record::{DeadLetter, DeadLetters, Filter, Forgotten, ReplayMark, Replayed, Retention};
use hikyaku::registry::{Registry, Seals};

use super::backend::Backend;
use super::dead_letters::letter;

const START: Timestamp = Timestamp::from_millis(1_774_960_496_789);
const DAY: Duration = Duration::from_secs(86_400);

async fn letters<B: Backend>(store: &B, count_max: u64) -> (DeadLetters, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START, 0.5));
    (store.letters(Retention { age: 30 * DAY, count_max }, clock.clone()).await, clock)
}

fn mark(by: &str, at: Timestamp) -> ReplayMark {
    ReplayMark { how: ReplayKind::Replay, by: by.to_owned(), at }
}

fn again(letter: &DeadLetter) -> DeadLetter {
    DeadLetter { delivery: letter.delivery.replayed(START), ..letter.clone() }
}

pub(super) async fn a_replayed_letter_is_gone_with_a_note_of_who_did_it_and_an_older_one_that_comes_late_is_ignored<
    B: Backend,
>() {
    let store = B::new().await;
    let (letters, _) = letters(&store, 1000).await;
    let (one, other) = (letter(1), letter(2));
    assert_eq!(letters.add(vec![one.clone(), other.clone(), one.clone()]).await.expect("added"), 2);
    letters.replayed(vec![(one.id.clone(), 0)], mark("ayuko", START)).await.expect("done");
    letters.replayed(vec![(one.id.clone(), 0)], mark("somebody", START.plus(DAY))).await.expect("done again");

    let noted = Replayed { generation: 1, how: ReplayKind::Replay, by: "ayuko".to_owned(), at: START };
    assert_eq!(letters.replays(&one.id).await.expect("read"), vec![noted.clone()]);
    assert_eq!(letters.replays(&other.id).await.expect("read"), vec![]);
    let latest = letters.latest_replays(vec![one.id.clone(), other.id.clone()]).await.expect("read");
    assert_eq!(latest.into_iter().collect::<Vec<_>>(), vec![(one.id.clone(), noted)]);
    assert_eq!((letters.total(), letters.show(&one.id).await.expect("read")), (1, None));

    let names = |letters: &[&DeadLetter]| letters.iter().map(|it| (it.id.clone(), it.delivery.generation)).collect();
    let (third, died_again) = (letter(3), again(&one));
    let known = letters.known(names(&[&one, &other, &third, &died_again])).await.expect("read");
    assert_eq!(known, 2, "it is superseded, or there; the others would be added");
    assert_eq!(letters.add(vec![one.clone(), other.clone()]).await.expect("added"), 0, "it is superseded, or there");
    assert_eq!(letters.add(vec![died_again.clone()]).await.expect("added"), 1);
    assert_eq!(letters.show(&one.id).await.expect("read"), Some(died_again));
}

pub(super) async fn notes_of_replays_go_with_age_and_beyond_the_count<B: Backend>() {
    let store = B::new().await;
    let (letters, clock) = letters(&store, 2).await;
    for number in 0..4 {
        letters.replayed(vec![(letter(number).id, 0)], mark("ayuko", START)).await.expect("done");
    }
    let known = async || {
        let ids = (0..4).map(|number| letter(number).id).collect();
        letters.latest_replays(ids).await.expect("read").len()
    };
    assert_eq!(known().await, 4);
    letters.prune().await.expect("pruned");
    assert_eq!(known().await, 2, "those that were made first went");
    clock.advance(31 * DAY);
    letters.prune().await.expect("pruned");
    assert_eq!(known().await, 0);
}

pub(super) async fn letters_are_found_by_event_and_by_the_status_of_their_last_attempt<B: Backend>() {
    let store = B::new().await;
    let (letters, _) = letters(&store, 1000).await;
    let mut refused = letter(1);
    refused.delivery.last.as_mut().expect("it failed").status = Some(404);
    letters.add(vec![refused.clone(), letter(2), letter(3)]).await.expect("added");
    let found = async |filter: Filter| {
        let page = letters.list(&filter, 10, None).await.expect("read");
        page.letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    assert_eq!(found(Filter { status: Some(404), ..Filter::default() }).await, [refused.id.clone()]);
    assert_eq!(found(Filter { event: Some(letter(3).event.id.clone()), ..Filter::default() }).await, [letter(3).id]);
    let both = Filter { status: Some(503), event: Some(refused.event.id.clone()), ..Filter::default() };
    assert_eq!(found(both.clone()).await, []);
    assert_eq!(letters.count(&both).await.expect("counted"), 0);
}

pub(super) async fn of_few_among_many_short_pages_lead_on_to_all_and_a_purge_finds_them_too<B: Backend>() {
    let store = B::new().await;
    let (letters, _) = letters(&store, 1_000_000).await;
    // Those that fit lie behind more than a page looks at.
    let many: Vec<DeadLetter> = (0..12_500).map(letter).collect();
    let few = |letter: &DeadLetter| letter.event.id.as_str().ends_with("event7") || letter.died_at == START;
    let with_reason = |mut letter: DeadLetter| {
        letter.reason = if few(&letter) { DeathReason::Gone } else { letter.reason };
        letter
    };
    let many: Vec<DeadLetter> = many.into_iter().map(with_reason).collect();
    let expected = many.iter().filter(|letter| letter.reason == DeathReason::Gone).count();
    for step in many.chunks(1000) {
        letters.add(step.to_vec()).await.expect("added");
    }
    let filter = Filter { webhook: WebhookId::new("wh1").ok(), reason: Some(DeathReason::Gone), ..Filter::default() };
    let (mut found, mut pages, mut after) = (0, 0, None);
    loop {
        let page = letters.list(&filter, 100, after).await.expect("read");
        found += page.letters.len();
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (expected, 2), "the first page has looked at all it may");
    assert_eq!(letters.purge(&filter).await.expect("purged"), expected as u64);
    assert_eq!(letters.total(), 12_500 - expected as u64);
}

pub(super) async fn of_somebody_who_is_forgotten_letters_go_and_what_was_taken_in_before_is_not_kept_any_more<
    B: Backend,
>() {
    let store = B::new().await;
    let (letters, clock) = letters(&store, 1_000_000).await;
    let (source, user) = (Source::default(), UserId::new("9ks5o1w5k3x90001").expect("an id"));
    let of = |number: u32, user: Option<&str>, source: &str, accepted_at: Timestamp| {
        let user = user.and_then(|user| UserId::new(user).ok());
        let source = Source::new(source).expect("a source");
        let letter = letter(number);
        DeadLetter { event: Arc::new(Event { user, source, accepted_at, ..(*letter.event).clone() }), ..letter }
    };
    let before = START.minus(DAY);
    let others = vec![
        of(10_001, None, "default", before),
        of(10_002, Some("another"), "default", before),
        of(10_003, Some(user.as_str()), "other", before),
    ];
    for step in (0..6000).map(letter).collect::<Vec<_>>().chunks(1000) {
        letters.add(step.to_vec()).await.expect("added");
    }
    letters.add(others.clone()).await.expect("added");
    letters.note_forgotten(&source, &user).await.expect("noted");
    assert_eq!(letters.forget(&source, &user).await.expect("erased"), 6000);
    assert_eq!((letters.total(), letters.forget(&source, &user).await.expect("erased")), (3, 0));
    assert_eq!(letters.forgotten().await.expect("read").into_values().collect::<Vec<_>>(), [START]);

    assert_eq!(letters.add(vec![letter(1), letter(2)]).await.expect("added"), 0);
    let later = of(20_000, Some(user.as_str()), "default", START.plus(Duration::from_secs(1)));
    assert_eq!(letters.add(vec![later]).await.expect("added"), 1, "another life's");
    clock.advance(91 * DAY);
    letters.note_forgotten(&source, &UserId::new("somebody").expect("an id")).await.expect("noted");
    assert_eq!(letters.forgotten().await.expect("read").len(), 1, "who was forgotten long ago is not known any more");
}

pub(super) async fn who_is_forgotten_by_one_process_is_known_to_all_that_follow_the_store_without_looking<
    B: Backend,
>() {
    let store = B::new().await;
    let clock = Arc::new(ManualClock::new(START, 0.5));
    // A process looks once at its start, and not again for an hour.
    let mut processes = Vec::new();
    for _ in 0..2 {
        let registry =
            Registry::open(&store.store(), Seals::default(), Vec::new(), clock.clone()).await.expect("opens");
        let registry = registry.watch_every(Duration::from_secs(3600));
        let letters = Arc::new(letters(&store, 1_000_000).await.0);
        let forgotten = Forgotten::following(letters, registry.heard()).await;
        processes.push((registry, forgotten));
    }
    let other = letters(&store, 1_000_000).await.0;
    for name in ["one", "other"] {
        let (source, user) = (Source::default(), UserId::new(name).expect("an id"));
        let mut known: Vec<_> = processes.iter().map(|(_, forgotten)| forgotten.changes()).collect();
        other.note_forgotten(&source, &user).await.expect("noted");
        for known in &mut known {
            while !known.names(&source, &user) {
                let told = tokio::time::timeout(Duration::from_secs(30), known.next()).await;
                assert_eq!(told, Ok(true), "nobody told that {name} is forgotten");
            }
        }
    }
}
