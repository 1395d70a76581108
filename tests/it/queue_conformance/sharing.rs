//! The worker and those beside it: waking, refusing, counting, ending.

use std::time::Duration;

use hikyaku::queue::{Access, Depths, Lane, QueueError};

use super::backend::{BEGIN, Backend};
use super::samples::{PLENTY, aimed, dead, fresh, fresh_ones, later, next, next_ones, nothing_more, numbers};
use crate::support::patience::{soon, within};

/// How soon a waiting worker has what another process published: far sooner than anything that only looks now and then.
const PROMPTLY: Duration = Duration::from_secs(2);

pub(super) async fn a_waiting_worker_is_woken_by_another_process<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    nothing_more(&mut work).await;
    let producer = store.producer().await;
    for n in 0..3 {
        producer.publish(vec![fresh(n)]).await.expect("published");

        let lease = within(PROMPTLY, "the worker has what another process published", next(&mut work)).await;
        assert_eq!(numbers(&[lease]), [n]);
        // Dropped, it would come again.
        settle_next(&mut work).await;
    }
}

async fn settle_next(work: &mut hikyaku::queue::Consumer) {
    next(work).await.settle(&[]).await.expect("settled");
}

pub(super) async fn a_waiting_worker_is_woken_by_a_replay_of_another_process<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    nothing_more(&mut retry).await;
    let producer = store.producer().await;

    producer.publish(vec![aimed(1)]).await.expect("published");

    let lease = within(PROMPTLY, "the worker has what another process put back to work", next(&mut retry)).await;
    assert_eq!(numbers(&[lease]), [1]);
}

pub(super) async fn what_is_leased_is_not_leased_again_when_another_process_publishes<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    queue.publish(fresh_ones(0..3)).await.expect("published");
    queue.publish(vec![aimed(3)]).await.expect("published");
    let _held = (next_ones(&mut work, 3).await, next(&mut retry).await);

    let producer = store.producer().await;
    producer.publish(vec![fresh(4), aimed(5)]).await.expect("published");

    let also_held = [next(&mut work).await, next(&mut retry).await];
    assert_eq!(numbers(&also_held), [4, 5]);
    nothing_more(&mut work).await;
    nothing_more(&mut retry).await;
}

/// A file has one worker; whoever comes second is told so. A broker may have several; then nothing is taken twice.
pub(super) async fn a_second_worker_beside_the_first_is_refused_or_shares<B: Backend>() {
    let store = B::new().await;
    let first = store.worker().await;
    match store.open(Access::Worker).await {
        Err(QueueError::WorkerPresent { path }) if !B::MANY_WORKERS => {
            let words = QueueError::WorkerPresent { path: path.clone() }.to_string();
            assert!(words.contains(&path) && words.contains("another hikyaku process"), "{words}");
            // The refusal did no harm, and ends with the first.
            first.publish(vec![fresh(1)]).await.expect("published");
            drop(first);
            let second = store.worker().await;
            assert_eq!(second.depths().await.expect("counted").work, 1);
        }
        Err(error) => panic!("{error}"),
        Ok(second) => {
            assert!(B::MANY_WORKERS, "a second worker would take what the first has taken");
            let mut one = first.consume(Lane::Work, PLENTY).await.expect("consumes");
            let mut other = second.consume(Lane::Work, PLENTY).await.expect("consumes");
            first.publish(vec![fresh(1)]).await.expect("published");
            let _taken = soon("one of the workers has it", async {
                tokio::select! { lease = one.next() => lease, lease = other.next() => lease }
            })
            .await;
            nothing_more(&mut one).await;
            nothing_more(&mut other).await;
        }
    }
}

pub(super) async fn who_opened_the_queue_to_publish_cannot_consume<B: Backend>() {
    let store = B::new().await;
    let producer = store.producer().await;

    let refused = producer.consume(Lane::Work, PLENTY).await;

    assert!(matches!(refused, Err(QueueError::ProducerOnly)), "{refused:?}");
}

pub(super) async fn once_consuming_is_stopped_consumers_end_and_leases_in_hand_can_be_settled<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    queue.publish(fresh_ones(0..2)).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let mut leases = next_ones(&mut work, 2).await;

    queue.stop_consuming();

    assert!(soon("the consumer ends", work.next()).await.is_none());
    assert!(soon("the idle consumer ends", retry.next()).await.is_none());
    leases[0].settle(&[later(store.now()), dead()]).await.expect("a lease in hand can be settled");
    queue.publish(vec![fresh(2)]).await.expect("publishing goes on");
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (2, 1, 1));
}

pub(super) async fn depths_count_what_is_leased_too<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    assert_eq!(queue.depths().await.expect("counted"), Depths::default());
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    queue.publish(fresh_ones(0..7)).await.expect("published");
    let mut leases = next_ones(&mut work, 7).await;
    let due = store.now().plus(Duration::from_secs(60));

    leases[0].settle(&[]).await.expect("settled");
    leases[1].settle(&[later(due), later(due), dead()]).await.expect("settled");
    leases[2].settle(&[dead(), dead()]).await.expect("settled");

    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (4, 2, 3));
    let mut died = queue.consume(Lane::Dead, PLENTY).await.expect("consumes");
    let _held = next_ones(&mut died, 3).await;
    let depths = queue.depths().await.expect("counted");
    assert_eq!((depths.work, depths.delay, depths.dead), (4, 2, 3));
}

pub(super) async fn the_oldest_is_what_has_been_waiting_longest<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    let begin = store.now();
    queue.publish(fresh_ones(0..2)).await.expect("published");
    let mut leases = next_ones(&mut work, 2).await;
    assert_eq!(queue.depths().await.expect("counted").oldest, Some(*BEGIN), "since its acceptance");

    let due = begin.plus(Duration::from_secs(2));
    leases[0].settle(&[later(due)]).await.expect("settled");
    leases[1].settle(&[]).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").oldest, None, "nothing is overdue");

    store.pass(Duration::from_secs(5)).await;
    let mut retry = queue.consume(Lane::Retry, PLENTY).await.expect("consumes");
    let _taken = if B::SEES_WHAT_WAITS { None } else { Some(next(&mut retry).await) };
    assert_eq!(queue.depths().await.expect("counted").oldest, Some(due), "since it was due");
}
