//! What the workers' table promises.

use hikyaku::model::Timestamp;
use hikyaku::record::{FORGOTTEN_AFTER, KnownWorker};

use super::backend::Backend;

fn worker(name: &str, seen_at: i64) -> KnownWorker {
    let moment = Timestamp::from_millis;
    KnownWorker { name: name.to_owned(), started_at: moment(5), seen_at: moment(seen_at), report: "{}".to_owned() }
}

pub(super) async fn each_worker_is_seen_by_all_until_it_leaves_with_what_it_told_last<B: Backend>() {
    let store = B::new().await;
    let (ours, theirs) = (store.workers().await, store.workers().await);
    for (workers, told) in [(&ours, worker("b", 10)), (&theirs, worker("a", 11)), (&ours, worker("b", 12))] {
        workers.tell(told).await.expect("told");
    }
    assert_eq!(theirs.list().await.expect("listed"), [worker("a", 11), worker("b", 12)]);
    theirs.leave("a").await.expect("left");
    assert_eq!(ours.list().await.expect("listed"), [worker("b", 12)]);
}

pub(super) async fn whoever_has_not_been_heard_of_for_a_day_is_forgotten<B: Backend>() {
    let store = B::new().await;
    let workers = store.workers().await;
    let day = i64::try_from(FORGOTTEN_AFTER.as_millis()).expect("a day");
    workers.tell(worker("killed", 10)).await.expect("told");
    workers.tell(worker("alive", 10 + day)).await.expect("told");
    assert_eq!(workers.list().await.expect("listed").len(), 2, "a day has not quite passed");
    workers.tell(worker("alive", 11 + day)).await.expect("told");
    assert_eq!(workers.list().await.expect("listed"), [worker("alive", 11 + day)]);
}
