//! The turns that all webhooks share which are left alone: how many these are, and that they do not fall into step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::decide::{Turns, apart};

/// Who shares the turns now.
#[derive(Clone, Debug, Default)]
pub(super) struct Sharing(Arc<All>);

#[derive(Debug, Default)]
struct All {
    count: AtomicUsize,
    /// Who began to share them of late.
    beginners: Mutex<Turns>,
}

/// One that shares them, until it is dropped.
#[derive(Debug)]
pub(super) struct Share(Sharing);

impl Sharing {
    /// How far apart the turns of each are.
    pub(super) fn apart(&self) -> Duration {
        apart(self.0.count.load(Ordering::Relaxed))
    }

    /// One more shares them, and how much later than it could its first turn is: webhooks that fail at once, as when a host hangs that
    /// has many, would else come back in the same moment of each round.
    pub(super) fn begin(&self, now: Duration) -> (Share, Duration) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let mut beginners = self.0.beginners.lock().unwrap_or_else(PoisonError::into_inner);
        (Share(self.clone()), beginners.book(apart(1), Duration::ZERO, now))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
