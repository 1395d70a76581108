//! What only a store that several machines share can suffer, or do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hikyaku::clock::ManualClock;
use hikyaku::model::{ReceiptKey, Timestamp};
use hikyaku::record::{
    CLAIM_LEASE, Claim, DeadLetter, Filter, HistoryFilter, HistoryPolicy, Receipts, RecordError, Retention,
};

use super::backend::{Backend, Part, PostgreSql};
use super::dead_letters::letter;
use super::history_samples::{START, World, delivered, policy, until_written};
use super::receipts::key;
use crate::support::patience::soon;

/// Two machines that share a store, and a clock.
async fn two() -> (PostgreSql, Receipts, Receipts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
    let store = PostgreSql::new().await;
    let (one, other) = (store.receipts(clock.clone()).await, store.receipts(clock.clone()).await);
    (store, one, other, clock)
}

async fn claim(receipts: &Receipts, key: ReceiptKey) -> Claim {
    asked(async || receipts.claim(key).await).await
}

/// Asks until there is an answer: on a busy machine a connection may take longer than the program waits for one.
async fn asked<T>(ask: impl AsyncFn() -> Result<T, RecordError>) -> T {
    soon("PostgreSQL answers", async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(RecordError::Store(error)) if error.is_away() => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_one_machine_claims_no_other_does_until_it_is_noted_and_then_all_know_it() {
    let (_store, one, other, _) = two().await;
    assert_eq!(claim(&one, key(1)).await, Claim::Ours);
    assert_eq!(claim(&one, key(1)).await, Claim::Ours, "it is still the same one's");
    assert_eq!(claim(&other, key(1)).await, Claim::Others);
    assert_eq!(claim(&other, key(2)).await, Claim::Ours, "another event is no one's");
    one.note(key(1)).await.expect("noted");
    assert_eq!((claim(&one, key(1)).await, claim(&other, key(1)).await), (Claim::Known, Claim::Known));
}

#[tokio::test]
async fn a_claim_that_is_let_go_or_not_renewed_is_free_for_others() {
    let (_store, one, other, clock) = two().await;
    assert_eq!(claim(&one, key(1)).await, Claim::Ours);
    one.let_go(key(1)).await.expect("let go");
    assert_eq!(claim(&other, key(1)).await, Claim::Ours);
    clock.advance(CLAIM_LEASE / 2);
    other.renew(key(1)).await.expect("renewed");
    clock.advance(CLAIM_LEASE / 2);
    assert_eq!(claim(&one, key(1)).await, Claim::Others);
    clock.advance(CLAIM_LEASE / 2);
    assert_eq!(claim(&one, key(1)).await, Claim::Ours, "whoever had it has died");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_machines_that_claim_the_same_at_once_one_gets_each() {
    let (_store, one, other, _) = two().await;
    let (mut ours, mut known) = (0, 0);
    for round in 0..20 {
        let claims =
            join_all((0..10).flat_map(|n| [&one, &other].map(|receipts| (receipts, key(round * 10 + n)))).map(
                async |(receipts, key)| {
                    let claim = claim(receipts, key).await;
                    if claim == Claim::Ours {
                        asked(async || receipts.note(key).await).await;
                    }
                    claim
                },
            ))
            .await;
        ours += claims.iter().filter(|claim| **claim == Claim::Ours).count();
        known += claims.iter().filter(|claim| **claim == Claim::Known).count();
    }
    assert_eq!(ours, 200, "each is taken in once; {known} were known to the second already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_write_the_same_deliveries_at_once_count_each_once() {
    let one = World::<PostgreSql>::new().await;
    let other = one.store.history(policy(), one.clock.clone(), one.telemetry.clone()).await;
    let other = other.expect("opens");
    for round in 0..10 {
        (0..500).for_each(|number| one.history().note(delivered(round * 500 + number, START)));
        (0..500).rev().for_each(|number| other.note(delivered(round * 500 + number, START)));
        tokio::join!(one.written(), until_written(&other));
    }
    assert_eq!((one.count("deliveries").await, one.count("attempts").await), (5000, 5000));
    let counted = "SELECT deliveries * 10000 + attempts FROM history_rows";
    assert_eq!(one.store.number(Part::History, counted).await, 5000 * 10_000 + 5000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_worker_writes_late_of_old_events_goes_before_what_changed_last() {
    let keep = HistoryPolicy { count_max: 5, ..policy() };
    let one = World::<PostgreSql>::keeping(keep.clone()).await;
    let later = START.plus(Duration::from_secs(10));
    (300..310).for_each(|number| one.history().note(delivered(number, later)));
    one.written().await;
    let left = one.list(HistoryFilter::default()).await;
    let more = HistoryPolicy { count_max: 1_000_000, ..policy() };
    let other = one.store.history(more, one.clock.clone(), one.telemetry.clone()).await.expect("opens");

    (0..20).for_each(|number| other.note(delivered(number, START.plus(Duration::from_secs(1)))));
    until_written(&other).await;
    // This one prunes when it writes.
    one.history().note(delivered(310, START));
    one.written().await;

    assert_eq!(one.list(HistoryFilter::default()).await, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_add_and_remove_letters_at_once_never_wait_for_each_other_and_the_total_is_right() {
    let store = PostgreSql::new().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
    let retention = Retention { age: Duration::from_secs(86_400), count_max: 1_000_000 };
    let (one, other) = (store.letters(retention, clock.clone()).await, store.letters(retention, clock).await);
    let letters = |reverse: bool| -> Vec<DeadLetter> {
        let numbers = 0..300;
        if reverse { numbers.rev().map(letter).collect() } else { numbers.map(letter).collect() }
    };
    for _ in 0..10 {
        let (first, second) = tokio::join!(one.add(letters(false)), other.add(letters(true)));
        first.and(second).expect("added");
        let (nobody, all) = (Filter::default(), letters(true));
        let gone = all.iter().map(|letter| (letter.id.clone(), 0)).collect();
        let (purged, removed) = tokio::join!(one.purge(&nobody), other.remove_many(gone));
        assert_eq!(purged.expect("purged") + removed.expect("removed"), 300);
    }
    one.add(letters(false)).await.expect("added");
    assert_eq!((one.total(), one.count(&Filter::default()).await.expect("counted")), (300, 300));
}
