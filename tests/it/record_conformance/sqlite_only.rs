//! What only files can suffer, or do.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::{ManualClock, SharedClock};
use hikyaku::model::Timestamp;
use hikyaku::record::{Filter, HistoryFilter, Retention};

use super::backend::{Backend, Part, Sqlite};
use super::dead_letters::letter;
use super::history_samples::{START, World, delivered, id, policy};
use super::receipts::key;

/// A clock that stands still.
fn clock() -> SharedClock {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5))
}

/// Time stands still but for those who sleep, so what passes is their sleep.
#[tokio::test(start_paused = true)]
async fn after_each_step_of_a_large_purge_the_file_is_left_to_others_for_a_while() {
    let store = Sqlite::new().await;
    let letters = store.letters(Retention { age: Duration::from_secs(86_400), count_max: 1_000_000 }, clock()).await;
    letters.add((0..10_000).map(letter).collect()).await.expect("adds");
    let began = tokio::time::Instant::now();

    assert_eq!(letters.purge(&Filter::default()).await.expect("purges"), 10_000);

    // As long as the step took, by a clock whose smallest step is a millisecond.
    assert!(began.elapsed() >= Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn while_another_process_writes_the_store_receipts_can_still_be_asked_for() {
    let store = Sqlite::new().await;
    let receipts = store.receipts(clock()).await;
    receipts.note(key(1)).await.expect("noted");
    let stranger = store.stranger(Part::Store);
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    assert!(receipts.knows(key(1)).await.expect("reads"));
    let noting = receipts.note(key(2));
    let free = async { stranger.execute_batch("ROLLBACK").expect("free") };
    let (noted, ()) = tokio::join!(biased; noting, free);
    noted.expect("noted once it is free");
    assert!(receipts.knows(key(2)).await.expect("reads"));
}

#[tokio::test]
async fn who_asks_for_a_history_that_nobody_has_written_makes_no_file() {
    let store = Sqlite::new().await;
    store.history_reader().show(&id(1)).await.expect_err("none");
    assert!(!store.path(Part::History).exists());
}

#[tokio::test]
async fn a_file_that_is_away_at_the_start_or_later_is_made_when_it_can_be() {
    let world = World::<Sqlite>::new().await;
    let path = world.store.path(Part::History);
    world.history().note(delivered(1, START));
    world.written().await;
    std::fs::rename(&path, path.with_file_name("gone.db")).expect("moved");
    for companion in ["history.db-wal", "history.db-shm"] {
        let _there_may_be_none = std::fs::remove_file(path.with_file_name(companion));
    }
    std::fs::create_dir(&path).expect("a folder in its place");
    world.history().note(delivered(2, START));
    world.history().flush().await.expect_err("it is a folder");
    let again = world.store.history(policy(), world.clock.clone(), world.telemetry.clone()).await;
    let again = again.expect("it starts all the same");
    again.note(delivered(3, START));
    std::fs::remove_dir(&path).expect("removed");

    world
        .until("both write to the new file", async || {
            world.reader.list(&HistoryFilter::default(), 10, None).await.is_ok_and(|page| page.deliveries.len() == 2)
        })
        .await;
}
