//! Hands dead letters over from the queue to the store, and keeps the store within its retention.
//!
//! A letter leaves the queue only after the store has it (promise 2). While the store is away, letters wait in the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::settle::settle;
use crate::clock::Backoff;
use crate::model::{DeathReason, Target};
use crate::queue::{Consumer, Lane, Lease, Prefetch, Queue, QueueError};
use crate::record::{DeadLetter, DeadLetters};
use crate::telemetry::{SharedTelemetry, Trouble};

/// Letters that go to the store in one transaction.
const BATCH_MAX: usize = 256;
/// What the drainer may hold: bodies count, letters are small.
const PREFETCH: Prefetch = Prefetch { messages: 512, bytes: 8 * 1024 * 1024 };
/// Waits between tries while the store is away.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_LONGEST: Duration = Duration::from_secs(10);
/// How often retention is looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How long a drainer may take at its end.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// A running drainer.
#[derive(Debug)]
pub struct Drainer {
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
    trouble: Arc<Trouble>,
}

impl Drainer {
    /// Starts to drain.
    ///
    /// # Errors
    /// When the queue cannot be consumed.
    pub async fn start(
        queue: &Queue,
        letters: Arc<DeadLetters>,
        telemetry: SharedTelemetry,
    ) -> Result<Self, QueueError> {
        let consumer = queue.consume(Lane::Dead, PREFETCH).await?;
        let (stop, stopped) = watch::channel(false);
        let trouble = Arc::new(Trouble::none("dead letters cannot be stored; they wait in the queue"));
        let drain =
            Drain { letters: Arc::clone(&letters), telemetry: telemetry.clone(), trouble: Arc::clone(&trouble) };
        let tasks = [tokio::spawn(drain.run(consumer, stopped)), tokio::spawn(prune(letters, telemetry))];
        Ok(Self { stop, tasks, trouble })
    }

    /// Where it tells whether dead letters can be stored.
    pub fn trouble(&self) -> Arc<Trouble> {
        Arc::clone(&self.trouble)
    }

    /// Stops after the batch in hand; what is not in the store stays in the queue.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let [drain, prune] = self.tasks;
        prune.abort();
        let _left_in_the_queue = tokio::time::timeout(STOP_WAIT_MAX, drain).await;
    }
}

struct Drain {
    letters: Arc<DeadLetters>,
    telemetry: SharedTelemetry,
    trouble: Arc<Trouble>,
}

impl Drain {
    async fn run(self, mut consumer: Consumer, mut stop: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                first = consumer.next() => first,
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Some(next) = consumer.next_now()
            {
                batch.push(next);
            }
            self.hand_over(batch, &mut stop).await;
        }
    }

    /// Tries until the store has the batch, or the end has come.
    async fn hand_over(&self, mut batch: Vec<Lease>, stop: &mut watch::Receiver<bool>) {
        let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        while let Err(error) = self.letters.add(batch.iter().filter_map(letter).collect()).await {
            self.trouble.failed(&error, &self.telemetry);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(waits.next_wait()) => {}
            }
        }
        self.trouble.succeeded(&self.telemetry);
        self.telemetry.dead_letters_held(self.letters.total());
        // The store has them; only when the queue is closed do they stay there, and are handed over once more.
        let settling = batch.iter_mut().map(|lease| settle(lease, &[], &self.telemetry));
        let _closed = futures_util::future::join_all(settling).await;
    }
}

fn letter(lease: &Lease) -> Option<DeadLetter> {
    let Target::One(delivery) = &lease.message.target else { return None };
    let event = Arc::clone(&lease.message.event);
    let (reason, died_at) =
        lease.death.map_or((DeathReason::Exhausted, event.accepted_at), |death| (death.reason, death.at));
    Some(DeadLetter { id: delivery.id(&event), event, delivery: delivery.clone(), reason, died_at })
}

async fn prune(letters: Arc<DeadLetters>, telemetry: SharedTelemetry) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    loop {
        ticks.tick().await;
        match letters.prune().await {
            Ok(pruned) if pruned.by_age + pruned.by_count > 0 => {
                telemetry.dead_letters_pruned(pruned.by_age, pruned.by_count);
            }
            Ok(_) => {}
            Err(error) => telemetry.trouble("dead letters past retention cannot be removed", &error),
        }
        telemetry.dead_letters_held(letters.total());
    }
}
