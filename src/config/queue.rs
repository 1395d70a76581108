//! `[queue]`: where accepted events wait, and how much of it a worker holds.

use std::path::PathBuf;

use super::reader::Section;
use super::store::sqlite_file;

/// Where accepted events wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// `url`: `sqlite:PATH`, the file of the queue; a relative path is one of the working directory. Default
    /// `sqlite:queue.db`: nothing to install.
    pub path: PathBuf,
    /// `prefetch`: messages that a worker holds at a time, 64 to 65536, at least `delivery.concurrency`. Default 4096:
    /// twice the concurrency, so that the next message is at hand while others wait for their slot or for settling.
    pub prefetch: usize,
    /// `prefetch_bytes`: bytes that those messages may have together, 16 MiB to 1 GiB, at least
    /// `ingest.event_bytes_max`. Default 33554432 (32 MiB), which keeps a worker small: 8 KiB for each of 4096
    /// messages, and Misskey's notes are seldom larger.
    pub prefetch_bytes: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { path: PathBuf::from("queue.db"), prefetch: 4096, prefetch_bytes: 32 << 20 }
    }
}

impl Queue {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            path: section.text("url", queue_file).unwrap_or(default.path),
            prefetch: section.whole("prefetch", 64..=65_536).unwrap_or(default.prefetch),
            prefetch_bytes: section.whole("prefetch_bytes", 16 << 20..=1 << 30).unwrap_or(default.prefetch_bytes),
        }
    }
}

fn queue_file(url: &str) -> Result<PathBuf, String> {
    if url.starts_with("amqp://") || url.starts_with("amqps://") {
        return Err("RabbitMQ is not in this version yet; it must be `sqlite:PATH`, such as sqlite:queue.db".to_owned());
    }
    sqlite_file(url, "sqlite:queue.db")
}
