//! What the receipts promise.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hikyaku::clock::ManualClock;
use hikyaku::model::{EventId, ReceiptKey, Source, Timestamp};
use hikyaku::record::Receipts;

use super::backend::Backend;

struct World<B: Backend> {
    store: B,
    clock: Arc<ManualClock>,
}

impl<B: Backend> World<B> {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
        Self { store: B::new().await, clock }
    }

    async fn receipts(&self) -> Receipts {
        self.store.receipts(self.clock.clone()).await
    }
}

pub(super) fn key(n: usize) -> ReceiptKey {
    ReceiptKey::of(&Source::default(), None, "hook", &EventId::new(&format!("e{n}")).expect("valid"))
}

pub(super) async fn what_was_noted_is_known_to_others_and_after_a_restart_for_eight_days<B: Backend>() {
    let world = World::<B>::new().await;
    let (one, other) = (world.receipts().await, world.receipts().await);
    assert!(!one.knows(key(1)).await.expect("reads"));
    one.note(key(1)).await.expect("noted");
    one.note(key(1)).await.expect("noted again, which changes nothing");
    assert!(one.knows(key(1)).await.expect("reads") && other.knows(key(1)).await.expect("reads"));
    assert!(!other.knows(key(2)).await.expect("reads"));
    drop((one, other));
    let again = world.receipts().await;
    world.clock.advance(Duration::from_secs(8 * 86_400));
    assert!(again.knows(key(1)).await.expect("reads"));
    world.clock.advance(Duration::from_secs(1));
    assert!(!again.knows(key(1)).await.expect("reads"));
}

pub(super) async fn many_at_once_are_all_noted<B: Backend>() {
    let world = World::<B>::new().await;
    let receipts = world.receipts().await;
    let noted = join_all((0..2000).map(|n| receipts.note(key(n)))).await;
    assert!(noted.iter().all(Result::is_ok));
    for n in [0, 777, 1999] {
        assert!(receipts.knows(key(n)).await.expect("reads"), "{n}");
    }
}
