//! Publishes events at planned moments, whatever became of those before: an open load.
//!
//! A thread of its own waits for each moment, since a runtime's timers are a millisecond coarse; the storing is done by the
//! process's runtime, as it is for events that come by HTTP. What waits to be stored is bounded by the number of events.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::ingest::Ingest;

/// Until the first event is due, so that its thread waits for it.
const BEGIN_AFTER: Duration = Duration::from_millis(100);
/// An event that is not stored so long after the last one was due never will be.
const STORED_MAX: Duration = Duration::from_secs(60);
/// How soon the thread ends when nobody waits for it any more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which events are published, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The first event's number.
    pub(super) first: u32,
    /// How many.
    pub(super) events: u32,
    /// A second.
    pub(super) rate: u32,
}

/// What was published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    begin: Instant,
    pace: Pace,
    /// The longest time by which an event was offered after its moment.
    pub(super) late_max: Duration,
}

impl Published {
    #[cfg(test)]
    pub(super) fn at(begin: Instant, pace: Pace) -> Self {
        Self { begin, pace, late_max: Duration::ZERO }
    }

    /// When the event `number` was to be published.
    pub(super) fn planned(&self, number: u32) -> Instant {
        self.begin + self.pace.after(number - self.pace.first)
    }
}

impl Pace {
    fn after(self, place: u32) -> Duration {
        Duration::from_secs_f64(f64::from(place) / f64::from(self.rate))
    }

    /// Publishes by `ingest` what `event` makes of each number; all of it is stored then.
    ///
    /// # Errors
    /// When an event was not stored.
    pub(super) async fn publish(
        self,
        ingest: &Ingest,
        event: impl Fn(u32) -> Bytes + Send + 'static,
    ) -> anyhow::Result<Published> {
        let begin = Instant::now() + BEGIN_AFTER;
        let offering = Arc::new(Offering::new(ingest.clone()));
        let (weak, runtime) = (Arc::downgrade(&offering), tokio::runtime::Handle::current());
        std::thread::Builder::new().name("bench-producer".to_owned()).spawn(move || {
            for place in 0..self.events {
                let Some(offering) = wait_until(begin + self.after(place), &weak) else { return };
                let late = u64::try_from((begin + self.after(place)).elapsed().as_micros()).unwrap_or(u64::MAX);
                offering.late_max_us.fetch_max(late, Ordering::Relaxed);
                let item = event(self.first + place);
                runtime.spawn(async move { offering.offer(item).await });
            }
        })?;
        let all = self.after(self.events) + BEGIN_AFTER + STORED_MAX;
        tokio::time::timeout(all, offering.until_stored(self.events))
            .await
            .context("the queue does not store events as fast as they come")??;
        Ok(Published {
            begin,
            pace: self,
            late_max: Duration::from_micros(offering.late_max_us.load(Ordering::Relaxed)),
        })
    }
}

/// Waits until `moment`; nothing when nobody wants that any more. In steps, so that queues can be closed meanwhile.
fn wait_until(moment: Instant, offering: &Weak<Offering>) -> Option<Arc<Offering>> {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return offering.upgrade();
        }
        if offering.strong_count() == 0 {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "a planned moment of the real clock is what is waited for")]
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

struct Offering {
    ingest: Ingest,
    stored: AtomicU32,
    failed: OnceLock<String>,
    changed: Notify,
    late_max_us: AtomicU64,
}

impl Offering {
    fn new(ingest: Ingest) -> Self {
        Self {
            ingest,
            stored: AtomicU32::new(0),
            failed: OnceLock::new(),
            changed: Notify::new(),
            late_max_us: AtomicU64::new(0),
        }
    }

    async fn offer(&self, item: Bytes) {
        let failed = match self.ingest.offer(&[item]).await {
            Ok(results) => results.into_iter().find_map(Result::err).map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failed {
            Some(words) => {
                let _one_is_enough = self.failed.set(words);
            }
            None => {
                self.stored.fetch_add(1, Ordering::AcqRel);
            }
        }
        self.changed.notify_one();
    }

    async fn until_stored(&self, events: u32) -> anyhow::Result<()> {
        while self.stored.load(Ordering::Acquire) < events {
            anyhow::ensure!(
                self.failed.get().is_none(),
                "an event cannot be stored: {}",
                self.failed.get().map_or("", |words| words)
            );
            self.changed.notified().await;
        }
        Ok(())
    }
}
