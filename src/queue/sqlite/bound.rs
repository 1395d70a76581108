//! How much the queue file may hold.
//!
//! The writer measures the file in each of its transactions and is told here whether publishes may go on. What counts is
//! pages in use: a SQLite file does not shrink when rows leave it, its free pages are used again. Once full, it is full
//! until a twentieth of the limit is free, so that producers, readiness and the log do not change with every row.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::rows;
use crate::queue::QueueError;
use crate::sqlite::receipts::{RECEIPT_ROW_BYTES, RECEIPTS_MAX};

/// Of the limit, the part that must be free before a full file takes more.
const FREE_AGAIN: u64 = 20;
/// Of the limit, the part that receipts may fill.
const RECEIPTS_PART: u64 = 8;

/// The limit, and where the file stands.
#[derive(Debug)]
pub(super) struct Bound {
    path: PathBuf,
    bytes_max: Option<u64>,
    bytes: u64,
    is_full: bool,
}

/// What a measurement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Filled,
    Freed,
}

impl Bound {
    pub(super) fn new(path: &Path, bytes_max: Option<u64>) -> Self {
        Self { path: path.to_owned(), bytes_max, bytes: 0, is_full: false }
    }

    /// Bytes of the pages in use; nothing when there is no limit to compare them with.
    pub(super) fn measure(&self, connection: &Connection) -> rusqlite::Result<Option<u64>> {
        self.bytes_max.map(|_| rows::bytes_in_use(connection)).transpose()
    }

    /// Notes what was measured, and tells what that changes.
    pub(super) fn note(&mut self, bytes: u64) -> Option<Change> {
        let bytes_max = self.bytes_max?;
        self.bytes = bytes;
        let is_full = if self.is_full { bytes > bytes_max - bytes_max / FREE_AGAIN } else { bytes >= bytes_max };
        match (std::mem::replace(&mut self.is_full, is_full), is_full) {
            (false, true) => Some(Change::Filled),
            (true, false) => Some(Change::Freed),
            _ => None,
        }
    }

    /// The limit, if there is one.
    pub(super) const fn bytes_max(&self) -> Option<u64> {
        self.bytes_max
    }

    /// How many receipts it may hold: a part of the limit, so that they leave room for events however long nobody prunes them.
    pub(super) fn receipts_max(&self) -> u64 {
        let room = self.bytes_max.map(|bytes_max| bytes_max / RECEIPTS_PART / RECEIPT_ROW_BYTES);
        room.unwrap_or(RECEIPTS_MAX).min(RECEIPTS_MAX)
    }

    /// Why nothing may be published now, if nothing may.
    pub(super) fn refusal(&self) -> Option<QueueError> {
        let bytes_max = self.bytes_max.filter(|_| self.is_full)?;
        Some(QueueError::Full { path: self.path.display().to_string(), bytes: self.bytes, bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_full_until_a_twentieth_is_free() {
        let mut bound = Bound::new(Path::new("queue.db"), Some(1000));
        assert_eq!((bound.note(999), bound.refusal().is_some()), (None, false));
        assert_eq!((bound.note(1000), bound.refusal().is_some()), (Some(Change::Filled), true));
        assert_eq!((bound.note(1200), bound.refusal().is_some()), (None, true), "what is settled may go over");
        assert_eq!((bound.note(951), bound.refusal().is_some()), (None, true));
        assert_eq!((bound.note(950), bound.refusal().is_some()), (Some(Change::Freed), false));
        assert_eq!((bound.note(999), bound.refusal().is_some()), (None, false));
    }

    #[test]
    fn receipts_leave_most_of_a_small_file_to_events() {
        let receipts_max = |bytes_max| Bound::new(Path::new("queue.db"), bytes_max).receipts_max();
        assert_eq!(receipts_max(Some(16 << 20)), 16_384);
        assert_eq!((receipts_max(Some(8 << 30)), receipts_max(None)), (RECEIPTS_MAX, RECEIPTS_MAX));
    }

    #[test]
    fn without_a_limit_nothing_is_measured_and_nothing_is_full() {
        let mut bound = Bound::new(Path::new("queue.db"), None);
        assert_eq!((bound.note(u64::MAX), bound.refusal().is_some()), (None, false));
        let connection = Connection::open_in_memory().expect("open");
        assert_eq!(bound.measure(&connection), Ok(None));
    }
}
