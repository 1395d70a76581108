//! Whether the queue file can be written and read: what readiness tells, and the log line at each change.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::telemetry::Telemetry;

/// The trouble of the last write and of the last read, if they had any.
#[derive(Debug, Default)]
pub(super) struct Health {
    write: Mutex<Option<String>>,
    read: Mutex<Option<String>>,
    /// Told when writing begins to fail, so that someone probes until it works.
    pub(super) writing_failed: Notify,
}

impl Health {
    /// The troubles in words.
    pub(super) fn troubles(&self) -> Vec<String> {
        [&self.write, &self.read].into_iter().filter_map(words).collect()
    }

    /// Whether the last write failed.
    pub(super) fn cannot_write(&self) -> bool {
        words(&self.write).is_some()
    }

    /// A write ended.
    pub(super) fn wrote(&self, error: Option<&dyn std::error::Error>, telemetry: &Telemetry) {
        if note(&self.write, "the queue cannot be written", error, telemetry) {
            self.writing_failed.notify_one();
        }
    }

    /// A read ended.
    pub(super) fn read(&self, error: Option<&dyn std::error::Error>, telemetry: &Telemetry) {
        note(&self.read, "the queue cannot be read", error, telemetry);
    }
}

fn words(trouble: &Mutex<Option<String>>) -> Option<String> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps or clears the trouble, and tells whether it has just begun.
fn note(
    trouble: &Mutex<Option<String>>,
    what: &str,
    error: Option<&dyn std::error::Error>,
    telemetry: &Telemetry,
) -> bool {
    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    match error {
        Some(error) => {
            telemetry.trouble(what, error);
            trouble.replace(format!("{what}: {error}")).is_none()
        }
        None => {
            if trouble.take().is_some() {
                telemetry.recovered(what);
            }
            false
        }
    }
}
