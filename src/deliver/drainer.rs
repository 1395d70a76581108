//! Hands dead letters over from the queue to the store, and keeps the store within its retention.
//!
//! A letter leaves the queue only after the store has it (promise 2). While the store is away, letters wait in the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::settle::settle;
use super::traced;
use crate::clock::Backoff;
use crate::model::Target;
use crate::queue::{Consumer, Lane, Lease, Prefetch, Queue, QueueError};
use crate::record::{DeadLetter, DeadLetters};
use crate::telemetry::{SharedTelemetry, Telemetry, Trouble};
use crate::traces::{Span, Tracer};

/// Letters that go to the store in one transaction.
const BATCH_MAX: usize = 256;
/// What the drainer may hold: bodies count, letters are small.
const PREFETCH: Prefetch = Prefetch { messages: 512, bytes: 8 * 1024 * 1024 };
/// Waits between tries while the store is away.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_LONGEST: Duration = Duration::from_secs(10);
/// How often retention is looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// What is wrong when that fails.
const PRUNE_TROUBLE: &str = "dead letters past retention cannot be removed";
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
        tracer: Tracer,
    ) -> Result<Self, QueueError> {
        let consumer = queue.consume(Lane::Dead, PREFETCH).await?;
        let (stop, stopped) = watch::channel(false);
        let trouble = Arc::new(Trouble::none("dead letters cannot be stored; they wait in the queue"));
        let drain = Drain {
            letters: Arc::clone(&letters),
            telemetry: telemetry.clone(),
            trouble: Arc::clone(&trouble),
            no_letters: Vec::new(),
            tracer,
        };
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
    /// Leases of what is no letter, kept so that it stays where it is; a defect of the queue's, and bounded by the prefetch.
    no_letters: Vec<Lease>,
    tracer: Tracer,
}

/// Letters that go to the store together, and the right to remove each from the queue.
#[derive(Default)]
struct Batch {
    letters: Vec<DeadLetter>,
    leases: Vec<Lease>,
    /// They end when their letters are in the store.
    spans: Vec<Span>,
}

impl Drain {
    async fn run(mut self, mut consumer: Consumer, mut stop: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                first = consumer.next() => first,
            };
            let Some(first) = first else { return };
            let mut batch = Batch::default();
            self.put(first, &mut batch);
            while batch.leases.len() < BATCH_MAX
                && let Some(next) = consumer.next_now()
            {
                self.put(next, &mut batch);
            }
            if !batch.leases.is_empty() {
                self.hand_over(batch, &mut stop).await;
            }
        }
    }

    /// Puts the letter that `lease` is into `batch`. The queue promises that each of this lane is one; what is none is told,
    /// and neither stored with a reason of our making nor removed.
    fn put(&mut self, mut lease: Lease, batch: &mut Batch) {
        batch.spans.extend(self.tracer.is_on().then(|| traced::taken(&self.tracer, &mut lease)));
        match (&lease.message.target, lease.death) {
            (Target::One(delivery), Some(death)) => {
                let (event, delivery) = (Arc::clone(&lease.message.event), delivery.clone());
                let (reason, died_at) = (death.reason, death.at);
                batch.letters.push(DeadLetter { id: delivery.id(&event), event, delivery, reason, died_at });
                batch.leases.push(lease);
            }
            (target, death) => {
                let why = format!("it is no dead letter: it is for {target:?}, and its death is {death:?}");
                self.telemetry.message_unreadable(Lane::Dead.as_str(), lease.number(), &why);
                self.no_letters.push(lease);
            }
        }
    }

    /// Tries until the store has the batch, or the end has come.
    async fn hand_over(&self, mut batch: Batch, stop: &mut watch::Receiver<bool>) {
        let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        while let Err(error) = self.letters.add(batch.letters.clone()).await {
            self.trouble.failed(&error, &self.telemetry);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(waits.next_wait()) => {}
            }
        }
        self.trouble.succeeded(&self.telemetry);
        self.telemetry.dead_letters_held(self.letters.total());
        // The store has them; only when the queue is closed do they stay there, and are handed over once more.
        let settling = batch.leases.iter_mut().map(|lease| settle(lease, &[], &self.telemetry));
        let _closed = futures_util::future::join_all(settling).await;
    }
}

async fn prune(letters: Arc<DeadLetters>, telemetry: SharedTelemetry) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    let (mut was_put_off, mut kept_anew) = (false, letters.kept_anew());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = kept_anew.changed() => {}
        }
        was_put_off = !prune_once(&letters, &telemetry, was_put_off).await;
    }
}

/// Removes what is past retention; whether it could. What fails once does no harm: a person is called when it fails again.
async fn prune_once(letters: &DeadLetters, telemetry: &Telemetry, was_put_off: bool) -> bool {
    let pruned = letters.prune().await;
    match &pruned {
        Ok(pruned) if pruned.by_age + pruned.by_count > 0 => {
            telemetry.dead_letters_pruned(pruned.by_age, pruned.by_count);
        }
        Ok(_) => {}
        Err(error) if was_put_off => telemetry.trouble(PRUNE_TROUBLE, error),
        Err(error) => telemetry.put_off(PRUNE_TROUBLE, error),
    }
    telemetry.dead_letters_held(letters.total());
    pruned.is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Timestamp;
    use crate::record::Retention;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn levels(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().expect("whole").clone()).expect("text");
            text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
        }
    }

    #[tokio::test]
    async fn a_retention_that_cannot_be_kept_once_is_a_warning_and_an_error_only_when_it_fails_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        let retention = Retention { age: Duration::from_secs(60), count_max: 10 };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
        let letters = DeadLetters::open(&path, retention, clock).await.expect("opens");
        let telemetry = Telemetry::shared().expect("metrics");
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone());
        let _logged = tracing::subscriber::set_default(subscriber.finish());
        let execute = |sql: &str| crate::sqlite::open(&path).expect("opens").execute_batch(sql).expect(sql);

        execute("ALTER TABLE dead_letters RENAME TO away");
        assert!(!prune_once(&letters, &telemetry, false).await);
        assert!(!prune_once(&letters, &telemetry, true).await);
        execute("ALTER TABLE away RENAME TO dead_letters");
        assert!(prune_once(&letters, &telemetry, true).await);

        assert_eq!(lines.levels(), ["WARN", "ERROR"]);
    }
}
