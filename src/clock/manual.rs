//! A clock in a test's hands: it stands still until it is moved, and waits end when it is moved past them.

use tokio::sync::watch;

use super::{Clock, Wait};
use crate::model::Timestamp;

/// A clock that moves only when told.
#[derive(Debug)]
pub struct ManualClock {
    began: Timestamp,
    now: watch::Sender<Timestamp>,
    jitter: f64,
}

impl ManualClock {
    /// A clock that shows `now`, and whose chance is always `jitter`, a number in [0, 1).
    pub fn new(now: Timestamp, jitter: f64) -> Self {
        Self { began: now, now: watch::Sender::new(now), jitter }
    }

    /// Moves it on; every wait up to the new moment ends.
    pub fn advance(&self, by: std::time::Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn elapsed(&self) -> std::time::Duration {
        self.now().since(self.began)
    }

    fn sleep_until(&self, at: Timestamp) -> Wait {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= at).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn jitter(&self) -> f64 {
        self.jitter
    }
}
