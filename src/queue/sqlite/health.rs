//! Whether the queue file can be written and read: what readiness tells.

use tokio::sync::Notify;

use crate::telemetry::{Telemetry, Trouble};

/// The trouble of the last write and of the last read, if they had any.
#[derive(Debug)]
pub(super) struct Health {
    write: Trouble,
    read: Trouble,
    /// Told when writing begins to fail, so that someone probes until it works.
    pub(super) writing_failed: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            write: Trouble::none("the queue cannot be written"),
            read: Trouble::none("the queue cannot be read"),
            writing_failed: Notify::new(),
        }
    }
}

impl Health {
    /// The troubles in words.
    pub(super) fn troubles(&self) -> Vec<String> {
        [&self.write, &self.read].into_iter().filter_map(Trouble::words).collect()
    }

    /// Whether the last write failed.
    pub(super) fn cannot_write(&self) -> bool {
        self.write.words().is_some()
    }

    /// A write ended.
    pub(super) fn wrote(&self, error: Option<&dyn std::error::Error>, telemetry: &Telemetry) {
        match error {
            None => self.write.succeeded(telemetry),
            Some(error) => {
                if self.write.failed(error, telemetry) {
                    self.writing_failed.notify_one();
                }
            }
        }
    }

    /// A read ended.
    pub(super) fn read(&self, error: Option<&dyn std::error::Error>, telemetry: &Telemetry) {
        match error {
            None => self.read.succeeded(telemetry),
            Some(error) => {
                self.read.failed(error, telemetry);
            }
        }
    }
}
