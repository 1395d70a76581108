//! What only a file can suffer: damaged rows, another's lock, a command that the file refuses.

use std::time::{Duration, Instant};

use hikyaku::model::{EventId, EventType, ReceiptKey, Source};
use hikyaku::queue::{Access, FileOptions, Lane, Once, Queue, QueueError};

use super::backend::{Backend, Sqlite};
use super::samples::{
    PLENTY, aimed, dead, fresh, fresh_ones, later, next, next_ones, nothing_more, number, numbers, settle_all,
};
use crate::support::patience::soon;

/// A message that the trigger of [`refuse`] refuses.
fn refused(n: usize) -> hikyaku::model::Message {
    let mut event = super::samples::event(n);
    event.kind = EventType::new("refused").expect("valid");
    hikyaku::model::Message { event: std::sync::Arc::new(event), target: hikyaku::model::Target::Subscribers }
}

/// Makes the file refuse rows of the type `refused` in `table`.
fn refuse(store: &Sqlite, table: &str) {
    let sql = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.type = 'refused'
         BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
    );
    store.stranger().execute_batch(&sql).expect("a trigger");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stays_and_the_others_flow() {
    for (lane, table) in [(Lane::Work, "work"), (Lane::Retry, "delay")] {
        let store = Sqlite::new().await;
        let queue = store.worker().await;
        let make = if lane == Lane::Work { fresh } else { aimed };
        queue.publish((0..3).map(make).collect()).await.expect("published");
        let damage = format!("UPDATE {table} SET type = '' WHERE event_id = 'e1'");
        assert_eq!(store.stranger().execute(&damage, []).expect("damaged"), 1);

        let mut consumer = queue.consume(lane, PLENTY).await.expect("consumes");

        let mut came = next_ones(&mut consumer, 2).await;
        queue.publish(vec![make(3)]).await.expect("published");
        came.push(next(&mut consumer).await);
        assert_eq!(numbers(&came), [0, 2, 3]);
        settle_all(came).await;
        nothing_more(&mut consumer).await;
        let depths = queue.depths().await.expect("counted");
        assert_eq!(depths.work + depths.delay, 1, "it was left where it is");
        assert_eq!(queue.health(), Vec::<String>::new(), "the queue itself is well");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_told_once_however_often_its_lane_is_read() {
    let store = Sqlite::new().await;
    let telemetry = hikyaku::telemetry::Telemetry::shared().expect("metrics");
    let clock = std::sync::Arc::new(hikyaku::clock::ManualClock::new(*super::backend::BEGIN, 0.5));
    let options = FileOptions { path: store.path(), bytes_max: None };
    let opened = Queue::open_sqlite(options, Access::Worker, clock, telemetry.clone()).await;
    let queue = opened.expect("opened");
    queue.publish(vec![aimed(0)]).await.expect("published");
    store.stranger().execute("UPDATE delay SET type = ''", []).expect("damaged");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");

    for n in 1..6 {
        // Due no later than the damaged one, so that the lane is read from there on again.
        queue.publish(vec![aimed(n)]).await.expect("published");
        settle_all(vec![next(&mut retry).await]).await;
    }

    let metrics = telemetry.render();
    let line = metrics.lines().find(|line| line.starts_with("hikyaku_messages_unreadable_total")).expect("a metric");
    assert_eq!(line, "hikyaku_messages_unreadable_total 1");
}

#[tokio::test]
async fn a_publish_that_the_file_refuses_in_part_is_refused_whole_and_spares_the_others() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    refuse(&store, "work");

    // All are sent off while the file is locked, so that they share a transaction once it is free.
    let stranger = store.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let first = queue.publish(vec![fresh(0)]);
    let bad = queue.publish(vec![fresh(100), refused(101), fresh(102)]);
    let good = futures_util::future::join_all((1..20).map(|n| queue.publish(vec![fresh(n)])));
    let free = async { stranger.execute_batch("ROLLBACK").expect("free") };
    let (first, bad, good, ()) = tokio::join!(biased; first, bad, good, free);

    first.expect("published");
    let error = bad.expect_err("refused").to_string();
    assert!(error.contains("queue.db") && error.contains("refused by the test"), "{error}");
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let came = next_ones(&mut work, 20).await;
    assert!(came.iter().all(|lease| number(&lease.message) < 20), "{:?}", numbers(&came));
    nothing_more(&mut work).await;
    assert_eq!(queue.depths().await.expect("counted").work, 20);
}

#[tokio::test]
async fn a_message_whose_follow_up_the_file_refuses_is_as_it_was_and_can_be_settled_later() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    refuse(&store, "dead");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    queue.publish(vec![refused(1)]).await.expect("published");
    let mut lease = next(&mut work).await;

    let error = lease.settle(&[later(store.now()), dead()]).await.expect_err("refused");

    assert!(error.to_string().contains("refused by the test"), "{error}");
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (1, 0, 0), "no follow-up counts");
    nothing_more(&mut work).await;
    store.stranger().execute_batch("DROP TRIGGER refuse").expect("mended");
    lease.settle(&[later(store.now()), dead()]).await.expect("settled");
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (0, 1, 1));
}

/// Bytes that a file may hold in the tests of its limit; as much as some hundred messages.
const BYTES_MAX: u64 = 256 * 1024;

/// Publishes large messages until one is refused; tells how many were not.
async fn fill(queue: &Queue) -> usize {
    for n in 0..1000 {
        let mut event = super::samples::event(n);
        event.body = hikyaku::model::Body::from_checked(format!("{{\"x\":\"{}\"}}", "x".repeat(2000)).into());
        let target = hikyaku::model::Target::Subscribers;
        match queue.publish(vec![hikyaku::model::Message { event: std::sync::Arc::new(event), target }]).await {
            Ok(()) => {}
            Err(QueueError::Full { bytes, bytes_max, .. }) => {
                assert!(bytes >= bytes_max && bytes_max == BYTES_MAX, "{bytes} of {bytes_max}");
                return n;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("2 MB went into {BYTES_MAX} bytes");
}

#[tokio::test]
async fn a_file_that_holds_all_it_may_takes_no_more_until_what_is_settled_has_made_room() {
    let store = Sqlite::new().await;
    let queue = store.open_up_to(Some(BYTES_MAX), Access::Worker).await.expect("opened");

    let count = fill(&queue).await;

    let health = queue.health();
    assert!(health.len() == 1 && health[0].contains("queue.bytes_max is 262144"), "{health:?}");
    assert_eq!(queue.depths().await.expect("counted").work, count as u64, "what was refused is not there");
    // What is there goes on, and leaves behind what it must.
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut leases = next_ones(&mut work, count).await;
    leases[0].settle(&[later(store.now()), dead()]).await.expect("a full file takes what is settled");
    assert!(matches!(queue.publish(vec![fresh(0)]).await, Err(QueueError::Full { .. })), "it has made no room");
    settle_all(leases).await;
    assert_eq!(queue.health(), Vec::<String>::new(), "well again by itself");
    assert!(fill(&queue).await >= count * 3 / 4, "the place in the file is used again");
    drop(work);
}

#[tokio::test]
async fn a_full_file_still_knows_what_it_took_in_once() {
    let store = Sqlite::new().await;
    let queue = store.open_up_to(Some(BYTES_MAX), Access::Worker).await.expect("opened");
    let key = |n: usize| {
        let id = EventId::new(&format!("e{n}")).expect("valid");
        ReceiptKey::of(&Source::default(), None, "hook", &id)
    };
    assert_eq!(queue.publish_once(fresh(0), key(0)).await.expect("stored"), Once::Stored);
    fill(&queue).await;

    let again = queue.publish_once(fresh(0), key(0)).await;
    let other = queue.publish_once(fresh(1), key(1)).await;

    assert_eq!(again.expect("it is there"), Once::Known);
    assert!(matches!(other, Err(QueueError::Full { .. })), "{other:?}");
}

#[tokio::test]
async fn a_full_file_is_full_for_the_next_process_too_until_somebody_makes_room() {
    let store = Sqlite::new().await;
    let producer = store.open_up_to(Some(BYTES_MAX), Access::Producer).await.expect("opened");
    fill(&producer).await;

    let worker = store.open_up_to(Some(BYTES_MAX), Access::Worker).await.expect("opened");

    soon("the worker says so without having been offered anything", async {
        while worker.health().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(matches!(worker.publish(vec![fresh(0)]).await, Err(QueueError::Full { .. })));
    store.stranger().execute_batch("DELETE FROM work").expect("room made by hand");
    worker.publish(vec![fresh(0)]).await.expect("there is room");
    assert_eq!(worker.health(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_another_locks_is_an_error_in_words_and_well_again_once_it_is_free() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    let stranger = store.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");

    let began = Instant::now();
    let error = queue.publish(vec![fresh(1)]).await.expect_err("locked").to_string();

    assert!(began.elapsed() < Duration::from_secs(15), "it is told within bounds");
    assert!(error.contains("queue.db") && error.contains("locked by another process"), "{error}");
    let health = queue.health();
    assert!(health.len() == 1 && health[0].contains("locked by another process"), "{health:?}");
    stranger.execute_batch("ROLLBACK").expect("free");
    soon("the queue is well again without being asked for anything", async {
        while !queue.health().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    queue.publish(fresh_ones(2..3)).await.expect("published");
    assert_eq!(queue.depths().await.expect("counted").work, 1, "what was refused is not there");
}

#[tokio::test]
async fn a_file_that_is_no_queue_is_refused_in_words_and_left_as_it_is() {
    let store = Sqlite::new().await;
    let text = "this is a text, and long enough to be read as a page header. ".repeat(100);
    std::fs::write(store.path(), &text).expect("written");

    let error = store.open(Access::Worker).await.expect_err("damaged").to_string();

    assert!(error.contains("queue.db") && error.contains("damaged") && error.contains("docs/RUNBOOK.md"), "{error}");
    assert_eq!(std::fs::read_to_string(store.path()).expect("still there"), text);
}

#[tokio::test]
async fn a_queue_file_whose_pages_are_damaged_gives_an_error_and_not_a_message() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    queue.publish(fresh_ones(0..500)).await.expect("published");
    drop(queue);
    let stranger = store.stranger();
    stranger.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("all in the file");
    drop(stranger);
    let mut bytes = std::fs::read(store.path()).expect("a file");
    let end = bytes.len();
    bytes[4096..end].fill(0x5a);
    std::fs::write(store.path(), &bytes).expect("damaged");

    let error = store.open(Access::Worker).await.expect_err("damaged").to_string();

    assert!(error.contains("queue.db") && error.contains("damaged"), "{error}");
}
