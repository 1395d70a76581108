//! What is to be taken in once: every backend says whether it remembers, and a file does.

use std::time::Duration;

use futures_util::future::join_all;
use hikyaku::model::{EventId, EventType, Message, ReceiptKey, Source, Target};
use hikyaku::queue::{Access, Lane, Once, Queue, QueueError};

use super::backend::{Backend, Sqlite};
use super::samples::{PLENTY, event, fresh, next, next_ones, nothing_more, number, numbers};
use crate::support::python::repository;

pub(super) fn key(n: usize) -> ReceiptKey {
    ReceiptKey::of(&Source::default(), None, "hook", &EventId::new(&format!("e{n}")).expect("valid"))
}

async fn once(queue: &Queue, n: usize) -> Once {
    queue.publish_once(fresh(n), key(n)).await.expect("published")
}

pub(super) async fn a_queue_remembers_what_it_took_in_or_says_that_it_does_not<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let first = queue.publish_once(fresh(1), key(1)).await;
    if queue.remembers() {
        assert_eq!(first.expect("published"), Once::Stored);
        assert_eq!(once(&queue, 1).await, Once::Known);
        assert_eq!(once(&queue, 2).await, Once::Stored);
        assert_eq!(queue.depths().await.expect("counted").work, 2);
    } else {
        assert!(matches!(first, Err(QueueError::RemembersNothing)), "{first:?}");
        queue.publish_patiently(vec![fresh(1)]).await.expect("published");
        let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
        let lease = next(&mut work).await;
        assert_eq!(number(&lease.message), 1);
        nothing_more(&mut work).await;
    }
}

#[tokio::test]
async fn what_was_taken_in_once_is_known_after_a_restart_and_to_other_processes_and_once_it_was_settled() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    assert_eq!(once(&queue, 1).await, Once::Stored);
    let producer = store.producer().await;
    assert_eq!(once(&producer, 1).await, Once::Known);
    assert_eq!(once(&producer, 2).await, Once::Stored);
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    for mut lease in next_ones(&mut work, 2).await {
        lease.settle(&[]).await.expect("settled");
    }
    drop((work, producer, queue));

    let queue = store.worker().await;

    assert_eq!(
        (once(&queue, 1).await, once(&queue, 2).await, once(&queue, 3).await),
        (Once::Known, Once::Known, Once::Stored)
    );
    assert_eq!(queue.depths().await.expect("counted").work, 1);
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_is_stored() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    // All are sent off while the file is locked, so that they share a transaction once it is free.
    let stranger = store.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let all = join_all((0..20).map(|n| once(&queue, n % 2)));
    let free = async { stranger.execute_batch("ROLLBACK").expect("free") };
    let (all, ()) = tokio::join!(biased; all, free);
    assert_eq!(all[..2], [Once::Stored, Once::Stored]);
    assert!(all[2..].iter().all(|once| *once == Once::Known), "{all:?}");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let leases = next_ones(&mut work, 2).await;
    assert_eq!(numbers(&leases), [0, 1]);
    nothing_more(&mut work).await;
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_remembered_and_spares_the_others() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON work WHEN NEW.type = 'refused'
        BEGIN SELECT RAISE(ABORT, 'refused by the test'); END";
    store.stranger().execute_batch(refuse).expect("a trigger");
    let mut bad = event(1);
    bad.kind = EventType::new("refused").expect("valid");
    let bad = || Message { event: std::sync::Arc::new(bad.clone()), target: Target::Subscribers };

    let stranger = store.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let (first, bad_one, good) = (once(&queue, 0), queue.publish_once(bad(), key(1)), once(&queue, 2));
    let free = async { stranger.execute_batch("ROLLBACK").expect("free") };
    let (first, refused, good, ()) = tokio::join!(biased; first, bad_one, good, free);

    assert_eq!((first, good), (Once::Stored, Once::Stored));
    assert!(refused.expect_err("refused").to_string().contains("refused by the test"));
    store.stranger().execute_batch("DROP TRIGGER refuse").expect("mended");
    assert_eq!(queue.publish_once(bad(), key(1)).await.expect("published"), Once::Stored);
}

#[tokio::test]
async fn a_key_is_forgotten_after_eight_days() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    assert_eq!(once(&queue, 1).await, Once::Stored);
    store.pass(Duration::from_secs(8 * 86_400)).await;
    assert_eq!(once(&queue, 1).await, Once::Known);
    store.pass(Duration::from_secs(1)).await;
    assert_eq!(once(&queue, 2).await, Once::Stored, "which removes what is past its time");
    let left: u64 = store.stranger().query_row("SELECT count(*) FROM receipts", [], |row| row.get(0)).expect("counted");
    assert_eq!(left, 1);
    assert_eq!(once(&queue, 1).await, Once::Stored);
}

#[tokio::test]
async fn receipts_do_not_fill_a_small_file() {
    let store = Sqlite::new().await;
    let queue = store.open_up_to(Some(256 * 1024), Access::Worker).await.expect("opened");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    for n in 0..3000 {
        assert_eq!(once(&queue, n).await, Once::Stored);
        next(&mut work).await.settle(&[]).await.expect("settled");
    }
    let left: u64 = store.stranger().query_row("SELECT count(*) FROM receipts", [], |row| row.get(0)).expect("counted");
    assert_eq!(left, 256, "an eighth of the file");
    assert_eq!(once(&queue, 2999).await, Once::Known);
}

#[tokio::test]
async fn a_file_from_before_receipts_is_brought_up_to_date_and_keeps_what_it_holds() {
    let store = Sqlite::new().await;
    let old = std::fs::read_to_string(repository("tests/fixtures/queue/v1.sql")).expect("the fixture");
    store.stranger().execute_batch(&old).expect("an old file");

    let queue = store.worker().await;

    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (1, 1, 1));
    for (lane, n) in [(Lane::Work, 1), (Lane::Retry, 2), (Lane::Dead, 3)] {
        let mut consumer = queue.consume(lane, PLENTY).await.expect("consumes");
        let mut lease = next(&mut consumer).await;
        assert_eq!(number(&lease.message), n, "{lane:?}");
        assert_eq!(lease.message.event.body.bytes(), br#"{"x":"kept"}"#.as_slice());
        lease.settle(&[]).await.expect("settled");
    }
    assert_eq!((once(&queue, 9).await, once(&queue, 9).await), (Once::Stored, Once::Known));
}
