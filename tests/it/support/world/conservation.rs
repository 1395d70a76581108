//! The book against what lies in the queue, in the store and at the receivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hikyaku::decide::Step;
use hikyaku::model::{DeliveryId, EventId, WebhookId};
use hikyaku::queue::{Access, Queue};

use super::{World, file};

impl World {
    /// Stops everything, and checks conservation: each delivery that there must be is delivered, skipped, dropped, dead or
    /// waiting, exactly one of them, and lies where it should.
    pub(crate) async fn finish(mut self) {
        if self.running.is_some() {
            self.stop_process().await;
        }
        let (ends, untold) = self.ends();
        let received = self.received();
        let (mut waiting, mut died) = (0, 0);
        for ((event, webhook), step) in &ends {
            match step {
                Step::Done => {
                    let id = DeliveryId::of(event, webhook);
                    assert!(received.contains(id.as_str()), "{event} to {webhook} is delivered, and nobody got it");
                }
                Step::Later { .. } => waiting += 1,
                Step::Dead { .. } => died += 1,
                Step::Skip(_) | Step::Drop(_) => {}
                Step::Attempt => panic!("{event} to {webhook} was settled before its attempt"),
            }
        }
        let path = self.folder.path().join("queue.db");
        let queue =
            Queue::open_sqlite(file(path), Access::Producer, Arc::clone(&self.clock), self.telemetry.clone()).await;
        let depths = queue.expect("the queue can be opened").depths().await.expect("counted");
        assert_eq!(depths.work, untold.len() as u64, "fresh events wait for {untold:?}: {depths:?}");
        assert_eq!(depths.delay, waiting, "deliveries that wait: {depths:?}");
        assert_eq!(depths.dead + self.letters.total(), died, "dead letters: {depths:?}");
    }

    /// The last step of each delivery, and the events of which nothing was told.
    fn ends(&self) -> (BTreeMap<(EventId, WebhookId), Step>, BTreeSet<EventId>) {
        let mut ends = BTreeMap::new();
        for told in self.told() {
            let key = (told.event, told.webhook);
            assert!(self.book.contains(&key), "there should be no delivery {key:?}, and it came to {:?}", told.step);
            ends.insert(key, told.step);
        }
        let untold: Vec<_> = self.book.iter().filter(|key| !ends.contains_key(*key)).collect();
        let events: BTreeSet<EventId> = untold.iter().map(|(event, _)| event.clone()).collect();
        let half_told = ends.keys().find(|(event, _)| events.contains(event));
        assert_eq!(half_told, None, "an event is settled whole or not at all; untold: {untold:?}");
        (ends, events)
    }

    /// The delivery ids for which a receiver has answered 2xx.
    fn received(&self) -> BTreeSet<String> {
        let all = self.receivers.iter().flat_map(|receiver| receiver.got());
        all.filter(|got| got.taken)
            .map(|got| got.header("webhook-id").to_owned())
            .chain(self.elsewhere.iter().cloned())
            .collect()
    }
}
