//! Whether the queue file can be written and read: what readiness tells.

use tokio::sync::Notify;

use crate::queue::Lane;
use crate::telemetry::{Telemetry, Trouble};

/// The trouble of writing, until a probe succeeds, of having no room, and of each lane's last read.
#[derive(Debug)]
pub(super) struct Health {
    write: Trouble,
    room: Trouble,
    reads: [(Lane, Trouble); 3],
    /// Told when writing begins to fail, so that someone probes until it works.
    pub(super) writing_failed: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            write: Trouble::none("the queue cannot be written"),
            room: Trouble::none("no event is accepted"),
            reads: [Lane::Work, Lane::Retry, Lane::Dead].map(|lane| (lane, Trouble::none(words_of(lane)))),
            writing_failed: Notify::new(),
        }
    }
}

impl Health {
    /// The troubles in words.
    pub(super) fn troubles(&self) -> Vec<String> {
        let reads = self.reads.iter().map(|(_, trouble)| trouble);
        [&self.write, &self.room].into_iter().chain(reads).filter_map(Trouble::words).collect()
    }

    /// Whether writing has failed, and no probe has succeeded since.
    pub(super) fn is_unwritable(&self) -> bool {
        self.write.words().is_some()
    }

    /// A write failed.
    pub(super) fn cannot_write(&self, error: &dyn std::error::Error, telemetry: &Telemetry) {
        if self.write.failed(error, telemetry) {
            self.writing_failed.notify_one();
        }
    }

    /// A probe succeeded.
    pub(super) fn can_write(&self, telemetry: &Telemetry) {
        self.write.succeeded(telemetry);
    }

    /// The file holds all that it may.
    pub(super) fn is_full(&self, error: &dyn std::error::Error, telemetry: &Telemetry) {
        self.room.failed(error, telemetry);
    }

    /// The file has room again.
    pub(super) fn has_room(&self, telemetry: &Telemetry) {
        self.room.succeeded(telemetry);
    }

    /// A read of `lane` ended.
    pub(super) fn read(&self, lane: Lane, error: Option<&dyn std::error::Error>, telemetry: &Telemetry) {
        for (_, trouble) in self.reads.iter().filter(|(of, _)| *of == lane) {
            match error {
                None => trouble.succeeded(telemetry),
                Some(error) => {
                    trouble.failed(error, telemetry);
                }
            }
        }
    }
}

/// Of each lane apart: that one table can be read does not say that another can.
fn words_of(lane: Lane) -> &'static str {
    match lane {
        Lane::Work => "the queue's fresh events cannot be read",
        Lane::Retry => "the queue's waiting deliveries cannot be read",
        Lane::Dead => "the queue's dead letters cannot be read",
    }
}
