//! Whether the queue file can be written: what readiness tells, and the log line at each change.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::telemetry::Telemetry;

/// The last write's trouble, if it had any.
#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Mutex<Option<String>>,
    /// Told when trouble begins, so that someone probes until it ends.
    pub(super) began: Notify,
}

impl Health {
    /// The trouble in words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A write failed.
    pub(super) fn failed(&self, error: &dyn std::error::Error, telemetry: &Telemetry) {
        telemetry.trouble("the queue cannot be written", error);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.replace(format!("the queue cannot be written: {error}")).is_none() {
            self.began.notify_one();
        }
    }

    /// A write succeeded.
    pub(super) fn succeeded(&self, telemetry: &Telemetry) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.take().is_some() {
            telemetry.recovered("the queue");
        }
    }
}
