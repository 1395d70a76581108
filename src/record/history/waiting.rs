//! What waits in memory to be written: bounded by its bytes, put there without waiting, taken by one thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::entry::Entry;
use crate::record::RecordError;

/// Bytes of what waits to be written and is being written, at most: some 40,000 entries, or 5,000 with the longest answers.
pub const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of what waits at which the writer does not pause any more: it is written as fast as it can be.
const BUSY_BYTES: usize = WAITING_BYTES_MAX / 8;

/// Bytes of what waits at which no more bodies are put to it: what happened counts for more.
const BODIES_BYTES: usize = WAITING_BYTES_MAX / 2;

/// Who waits for what was noted to be written.
pub(super) type Flush = oneshot::Sender<Result<(), RecordError>>;

/// The entries that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: Mutex<Held>,
    /// Told when there is something for the writer.
    called: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    entries: Vec<Entry>,
    /// Of `entries` and of what the writer has taken and not yet written.
    bytes: usize,
    count: u64,
    flushes: Vec<Flush>,
    gap: Option<Gap>,
    closed: bool,
}

/// Entries are missing, or may soon be.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    missing: u64,
    /// How many were when all that waited was written last.
    missing_before: u64,
}

/// What there is to do.
#[derive(Debug)]
pub(super) struct Call {
    /// Who is to be answered.
    pub(super) flushes: Vec<Flush>,
    /// Nothing will come any more.
    pub(super) closed: bool,
}

impl Waiting {
    /// Adds an entry. When there is no room it is missing: `Err` tells whether it is the first that is.
    pub(super) fn put(&self, mut entry: Entry) -> Result<(), bool> {
        let mut held = self.held();
        if held.bytes >= BODIES_BYTES {
            entry.body = None;
        }
        let bytes = entry.bytes();
        if held.closed || held.bytes + bytes > WAITING_BYTES_MAX {
            let is_first = held.gap.is_none();
            held.gap.get_or_insert_default().missing += 1;
            return Err(is_first);
        }
        held.bytes += bytes;
        held.count += 1;
        let was_empty = held.entries.is_empty();
        let is_much = held.bytes >= BUSY_BYTES && held.bytes - bytes < BUSY_BYTES;
        held.entries.push(entry);
        drop(held);
        if was_empty || is_much {
            self.called.notify_one();
        }
        Ok(())
    }

    /// Asks for what was put so far to be written, and told when it is; nothing is told when nobody writes any more.
    pub(super) fn flush(&self) -> oneshot::Receiver<Result<(), RecordError>> {
        let (answer, answered) = oneshot::channel();
        let mut held = self.held();
        if !held.closed {
            held.flushes.push(answer);
        }
        drop(held);
        self.called.notify_one();
        answered
    }

    /// Takes nothing any more, and tells how many entries are not written.
    pub(super) fn close(&self) -> u64 {
        let mut held = self.held();
        held.closed = true;
        let left = held.count;
        drop(held);
        self.called.notify_one();
        left
    }

    /// Waits at most `longest` until there is something to write or to answer, and puts it into `batch`.
    pub(super) fn take(&self, batch: &mut Vec<Entry>, longest: Duration) -> Call {
        let held = self.held();
        let is_idle = |held: &mut Held| held.entries.is_empty() && held.flushes.is_empty() && !held.closed;
        let (mut held, _) =
            self.called.wait_timeout_while(held, longest, is_idle).unwrap_or_else(PoisonError::into_inner);
        batch.append(&mut held.entries);
        Call { flushes: std::mem::take(&mut held.flushes), closed: held.closed }
    }

    /// Waits for `pause`, less when somebody wants to be answered or it ends, and, unless writing fails, when much waits.
    pub(super) fn pause(&self, pause: Duration, is_failing: bool) {
        let until = Instant::now() + pause;
        let mut held = self.held();
        // Entries that come meanwhile are what the pause is for.
        while held.flushes.is_empty() && !held.closed && (is_failing || held.bytes < BUSY_BYTES) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            held = self.called.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Those were written: there is room again.
    pub(super) fn written(&self, entries: &[Entry]) {
        let mut held = self.held();
        held.bytes = held.bytes.saturating_sub(entries.iter().map(Entry::bytes).sum());
        held.count = held.count.saturating_sub(entries.len() as u64);
    }

    /// Writing fails: tells whether that begins now.
    pub(super) fn failing(&self) -> bool {
        let mut held = self.held();
        let begins = held.gap.is_none();
        held.gap.get_or_insert_default();
        begins
    }

    /// All that was taken is written. When entries were missing, or writing had failed, and none has been missing since the
    /// last time, that is over: tells how many are missing.
    pub(super) fn caught_up(&self) -> Option<u64> {
        let mut held = self.held();
        let gap = held.gap.as_mut()?;
        if gap.missing > gap.missing_before {
            gap.missing_before = gap.missing;
            return None;
        }
        held.gap.take().map(|gap| gap.missing)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
