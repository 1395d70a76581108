//! What is known to be put off when it is published waits from the start, and is told so once it is stored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hikyaku::model::{Delivery, Event, EventId, Target, Timestamp};
use hikyaku::queue::{Access, Foreseeing, Foreseen, Foresight, Lane, Once, Queue, QueueError};

use super::backend::{Backend, Sqlite};
use super::once::key;
use super::samples::{PLENTY, aimed, delivery, fresh, fresh_ones, next, nothing_more, number, numbers};
use crate::support::patience::soon;

/// Foresees what has an odd number.
#[derive(Clone, Debug)]
struct OddOnes {
    due: Timestamp,
    asked: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<EventId>>>,
}

impl OddOnes {
    fn asked_by(queue: &Queue, due: Timestamp) -> (Self, Foreseeing) {
        let this = Self { due, asked: Arc::default(), told: Arc::default() };
        let asked = queue.foresee_by(Arc::new(this.clone()));
        (this, asked)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("whole").iter().map(|id| id.as_str().to_owned()).collect()
    }
}

/// As a worker would have put it off.
fn put_off() -> Delivery {
    Delivery { parks: 1, ..delivery() }
}

impl Foresight for OddOnes {
    fn foresee(&self, event: &Event) -> Option<Foreseen> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let number: usize = event.id.as_str()[1..].parse().expect("an event of this suite");
        let told = Arc::clone(&self.told);
        let tell = move |event: &Event| told.lock().expect("whole").push(event.id.clone());
        (number % 2 == 1).then(|| Foreseen { delivery: put_off(), due: self.due, tell: Box::new(tell) })
    }
}

const SOON: Duration = Duration::from_secs(2);

pub(super) async fn what_is_foreseen_waits_from_the_start_and_is_told_once_it_is_stored<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let due = store.now().plus(SOON);
    let (odd, _asked) = OddOnes::asked_by(&queue, due);

    queue.publish(vec![fresh(1), fresh(2), aimed(3)]).await.expect("published");

    assert_eq!(odd.told(), ["e1"], "what is for one webhook is not asked about");
    let at_once = [next(&mut work).await, next(&mut retry).await];
    assert_eq!(numbers(&at_once), [2, 3]);
    nothing_more(&mut work).await;
    store.pass(SOON).await;
    let lease = next(&mut retry).await;
    assert!(store.now() >= due, "not before it is due");
    assert_eq!((number(&lease.message), &lease.message.target), (1, &Target::One(put_off())));
    nothing_more(&mut retry).await;
}

pub(super) async fn what_was_foreseen_is_there_after_the_process_died<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let (odd, asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));
    queue.publish_patiently(vec![fresh(1)]).await.expect("published");
    assert_eq!(odd.told(), ["e1"]);
    drop((queue, asked));

    let queue = store.worker().await;
    store.pass(SOON).await;

    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let lease = next(&mut retry).await;
    assert_eq!((number(&lease.message), &lease.message.target), (1, &Target::One(put_off())));
}

pub(super) async fn nobody_is_asked_about_a_bulk_or_any_more<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let (odd, asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));

    queue.publish(fresh_ones(0..257)).await.expect("published");
    assert_eq!(odd.told(), [""; 0]);
    queue.publish(fresh_ones(0..256)).await.expect("published");
    assert_eq!(odd.told().len(), 128, "the odd ones of as many as are asked about");
    let (later, asked_later) = OddOnes::asked_by(&queue, store.now().plus(SOON));
    drop(asked);
    queue.publish(vec![fresh(257)]).await.expect("published");
    assert_eq!((odd.told().len(), later.told().len()), (128, 1), "who came later is asked, though the first has gone");

    drop(asked_later);
    queue.publish(vec![fresh(259)]).await.expect("published");
    assert_eq!(later.told().len(), 1);
}

pub(super) async fn what_is_foreseen_is_told_though_nobody_waits_for_it_any_more<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let (odd, _asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));

    // Sent off, and given up at once.
    let _given_up = tokio::time::timeout(Duration::ZERO, queue.publish(vec![fresh(1)])).await;

    soon("it is stored and told", async {
        while odd.told().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(queue.depths().await.expect("counted").delay, 1);
}

#[tokio::test]
async fn what_is_foreseen_and_was_taken_in_before_is_neither_stored_nor_told_again() {
    let store = Sqlite::new().await;
    let queue = store.worker().await;
    let (odd, _asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));

    assert_eq!(queue.publish_once(fresh(1), key(1)).await.expect("published"), Once::Stored);
    assert_eq!(queue.publish_once(fresh(1), key(1)).await.expect("published"), Once::Known);

    assert_eq!(odd.told(), ["e1"]);
    assert_eq!(queue.depths().await.expect("counted").delay, 1);
}

#[tokio::test]
async fn what_is_foreseen_and_not_stored_is_not_told_and_leaves_nothing() {
    for way in 0..3 {
        let store = Sqlite::new().await;
        let queue = store.worker().await;
        let (odd, _asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));
        let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON delay WHEN NEW.event_id = 'e3'
            BEGIN SELECT RAISE(ABORT, 'refused by the test'); END";
        store.stranger().execute_batch(refuse).expect("a trigger");

        let refused = match way {
            0 => queue.publish(vec![fresh(1), fresh(2), fresh(3)]).await,
            1 => queue.publish_patiently(vec![fresh(3)]).await,
            _ => queue.publish_once(fresh(3), key(3)).await.map(drop),
        };

        assert!(refused.expect_err("e3 cannot be stored").to_string().contains("refused by the test"), "{way}");
        assert_eq!(odd.told(), [""; 0], "{way}");
        let depths = queue.depths().await.expect("counted");
        assert_eq!((depths.work, depths.delay), (0, 0), "{way}");
    }
}

#[tokio::test]
async fn what_is_foreseen_counts_against_what_a_file_may_hold_and_while_it_is_full_nobody_is_asked() {
    let store = Sqlite::new().await;
    let queue = store.open_up_to(Some(256 * 1024), Access::Worker).await.expect("opened");
    let (odd, _asked) = OddOnes::asked_by(&queue, store.now().plus(SOON));
    let mut stored = 0;
    let full = loop {
        match queue.publish(vec![fresh(1)]).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, QueueError::Full { .. }), "{full}");
    assert!(stored > 100, "{stored}");
    let asked = odd.asked();
    assert!(queue.publish(vec![fresh(1)]).await.is_err());
    assert_eq!(odd.asked(), asked, "no turn is taken for what cannot be stored");
    assert_eq!((odd.told().len(), queue.depths().await.expect("counted").delay), (stored, stored as u64));
}
