//! What the receipts promise, on real files.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::model::{EventId, Source, Timestamp};

struct World {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
        Self { folder: tempfile::tempdir().expect("a folder"), clock }
    }

    fn receipts(&self) -> Receipts {
        let clock = Arc::clone(&self.clock) as SharedClock;
        Receipts::open(&self.folder.path().join("store.db"), clock).expect("opens")
    }
}

fn key(n: usize) -> ReceiptKey {
    ReceiptKey::of(&Source::default(), None, "hook", &EventId::new(&format!("e{n}")).expect("valid"))
}

#[tokio::test]
async fn what_was_noted_is_known_to_others_and_after_a_restart_for_eight_days() {
    let world = World::new();
    let (one, other) = (world.receipts(), world.receipts());
    assert!(!one.knows(key(1)).await.expect("reads"));
    one.note(key(1)).await.expect("noted");
    one.note(key(1)).await.expect("noted again, which changes nothing");
    assert!(one.knows(key(1)).await.expect("reads") && other.knows(key(1)).await.expect("reads"));
    assert!(!other.knows(key(2)).await.expect("reads"));
    drop((one, other));
    let again = world.receipts();
    world.clock.advance(Duration::from_secs(8 * 86_400));
    assert!(again.knows(key(1)).await.expect("reads"));
    world.clock.advance(Duration::from_secs(1));
    assert!(!again.knows(key(1)).await.expect("reads"));
}

#[tokio::test]
async fn many_at_once_are_all_noted() {
    let world = World::new();
    let receipts = world.receipts();
    let noted = join_all((0..2000).map(|n| receipts.note(key(n)))).await;
    assert!(noted.iter().all(Result::is_ok));
    for n in [0, 777, 1999] {
        assert!(receipts.knows(key(n)).await.expect("reads"), "{n}");
    }
}

#[tokio::test]
async fn while_another_process_writes_the_store_receipts_can_still_be_asked_for() {
    let world = World::new();
    let receipts = world.receipts();
    receipts.note(key(1)).await.expect("noted");
    let stranger = crate::sqlite::open(&world.folder.path().join("store.db")).expect("opens");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    assert!(receipts.knows(key(1)).await.expect("reads"));
    let noting = receipts.note(key(2));
    let free = async { stranger.execute_batch("ROLLBACK").expect("free") };
    let (noted, ()) = tokio::join!(biased; noting, free);
    noted.expect("noted once it is free");
    assert!(receipts.knows(key(2)).await.expect("reads"));
}
