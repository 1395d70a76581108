//! Many at once: accepted = settled + delayed + dead, and each message in exactly one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hikyaku::model::{Message, Timestamp};
use hikyaku::queue::{Consumer, FollowUp, Lane, Lease};
use tokio::sync::watch;

use super::backend::Backend;
use super::samples::{PLENTY, aimed, dead, fresh, later, next_ones, number};
use crate::support::patience::soon;

const MESSAGES: usize = 5000;
const PUBLISHERS: usize = 8;
const BATCH: usize = 25;

/// Where a message has come to its end, as far as this test goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Settled,
    Delayed,
    Dead,
}

/// What became of each message.
struct Book {
    fates: Mutex<BTreeMap<usize, Fate>>,
    ended: watch::Sender<usize>,
    now: Timestamp,
}

impl Book {
    /// Does something by chance with the lease of a message.
    async fn handle(&self, mut lease: Lease) {
        let number = number(&lease.message);
        let fate = match fastrand::u8(0..10) {
            // Given back, it comes again.
            0 | 1 => return,
            2 | 3 => None,
            4 | 5 => Some(Fate::Delayed),
            6 | 7 => Some(Fate::Dead),
            _ => Some(Fate::Settled),
        };
        let follow_ups: &[FollowUp] = match fate {
            // Due already, or soon.
            None => &[later(self.now.plus(Duration::from_millis(fastrand::u64(0..3000))))],
            Some(Fate::Delayed) => &[later(self.now.plus(Duration::from_secs(86400)))],
            Some(Fate::Dead) => &[dead()],
            Some(Fate::Settled) => &[],
        };
        lease.settle(follow_ups).await.expect("settled");
        let Some(fate) = fate else { return };
        let before = self.fates.lock().expect("whole").insert(number, fate);
        assert_eq!(before, None, "message {number} ended twice");
        self.ended.send_modify(|ended| *ended += 1);
    }

    fn count(&self, fate: Fate) -> u64 {
        self.fates.lock().expect("whole").values().filter(|found| **found == fate).count() as u64
    }
}

/// Handles what comes, each lease in a task of its own.
async fn handle_all(mut consumer: Consumer, book: Arc<Book>) {
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(lease) = consumer.next().await {
        let book = Arc::clone(&book);
        tasks.spawn(async move { book.handle(lease).await });
        while let Some(ended) = tasks.try_join_next() {
            ended.expect("no panic");
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
}

pub(super) async fn nothing_is_lost_or_doubled_among_many_publishers_and_settlers<B: Backend>() {
    let store = B::in_real_time().await;
    let queue = store.worker().await;
    let book = Arc::new(Book { fates: Mutex::default(), ended: watch::Sender::new(0), now: store.now() });
    let mut handlers = tokio::task::JoinSet::new();
    for lane in [Lane::Work, Lane::Retry] {
        let consumer = queue.consume(lane, PLENTY).await.expect("consumes");
        handlers.spawn(handle_all(consumer, Arc::clone(&book)));
    }

    let publishers = (0..PUBLISHERS).map(|publisher| {
        let queue = queue.clone();
        async move {
            let own: Vec<Message> = (publisher..MESSAGES)
                .step_by(PUBLISHERS)
                .map(|n| if n % 5 == 0 { aimed(n) } else { fresh(n) })
                .collect();
            for batch in own.chunks(BATCH) {
                queue.publish(batch.to_vec()).await.expect("published");
            }
        }
    });
    futures_util::future::join_all(publishers).await;
    let mut ended = book.ended.subscribe();
    soon("every message comes to its end", ended.wait_for(|ended| *ended == MESSAGES)).await.expect("it is told");
    queue.stop_consuming();
    while let Some(handler) = soon("the handlers end", handlers.join_next()).await {
        handler.expect("no panic");
    }

    let (settled, delayed, died) = (book.count(Fate::Settled), book.count(Fate::Delayed), book.count(Fate::Dead));
    assert_eq!(settled + delayed + died, MESSAGES as u64);
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (0, delayed, died));
    drop(queue);
    let queue = store.worker().await;
    let mut dead = queue.consume(Lane::Dead, PLENTY).await.expect("consumes");
    let letters = next_ones(&mut dead, usize::try_from(died).expect("small")).await;
    let fates = book.fates.lock().expect("whole");
    assert!(letters.iter().all(|letter| fates[&number(&letter.message)] == Fate::Dead));
}
