//! The thread that writes: what waits, again and again, and between that what is past retention is removed.
//!
//! It owns the file. A file that cannot be opened, is locked, full, or was removed or replaced costs nobody else anything: what
//! it has taken it keeps, and it tries again with growing waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::HistoryPolicy;
use super::entry::Entry;
use super::retention::{STEP_ROWS, prune_step};
use super::schema::open_to_write;
use super::waiting::{Call, Waiting};
use super::write::{Rows, write};
use crate::clock::{Backoff, SharedClock};
use crate::sqlite::{FileIdentity, SqliteError};
use crate::telemetry::SharedTelemetry;

/// How often what waits is written, at most: so that entries come together, and the disk is left alone in between.
pub const WRITE_EVERY: Duration = Duration::from_millis(250);
/// Entries in one transaction at most, so that no other process waits for long. Many, since ids lie anywhere in their index: the
/// more are written together, the fewer pages are written for each.
const GROUP_MAX: usize = 8000;
/// Waits between tries while the file cannot be written.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// How often age is looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Steps of pruning between two groups: together they remove more than a group adds, so the file does not grow beyond its bound.
const PRUNE_STEPS_PER_GROUP: usize = GROUP_MAX / STEP_ROWS + 1;

/// Writes what waits.
pub(super) struct Writer {
    path: PathBuf,
    policy: HistoryPolicy,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    waiting: Arc<Waiting>,
    file: Option<File>,
    /// Taken and not yet written.
    batch: Vec<Entry>,
    rows: Rows,
    /// Whether more is past retention than was removed.
    more_to_prune: bool,
    pruned_at: Option<Instant>,
}

/// The open file.
struct File {
    connection: Connection,
    identity: FileIdentity,
}

impl Writer {
    /// A writer of the file at `path`, which it opens now if it can be opened.
    ///
    /// # Errors
    /// When the file is of a newer version.
    pub(super) fn open(
        path: &Path,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
        waiting: Arc<Waiting>,
    ) -> Result<Self, SqliteError> {
        let mut writer = Self {
            path: path.to_owned(),
            policy,
            clock,
            telemetry,
            waiting,
            file: None,
            batch: Vec::new(),
            rows: Rows::default(),
            more_to_prune: false,
            pruned_at: None,
        };
        match writer.open_file() {
            Err(error @ SqliteError::Newer { .. }) => Err(error),
            Err(error) => {
                writer.failed(&error);
                Ok(writer)
            }
            Ok(_) => Ok(writer),
        }
    }

    /// Works until nothing will come any more.
    pub(super) fn run(mut self) {
        let mut again = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        let mut failing = false;
        loop {
            let has_work = failing || self.more_to_prune || self.pruned_at.is_none() || !self.batch.is_empty();
            let longest = if has_work { Duration::ZERO } else { PRUNE_EVERY };
            let Call { flushes, closed } = self.waiting.take(&mut self.batch, longest);
            if closed && failing {
                return;
            }
            let done = self.work();
            for flush in flushes {
                let _asker_may_be_gone = flush.send(done.clone());
            }
            failing = done.is_err();
            let pause = match &done {
                Ok(()) => {
                    again.reset();
                    WRITE_EVERY
                }
                Err(error) => {
                    self.failed(error);
                    again.next_wait()
                }
            };
            if closed {
                return;
            }
            self.waiting.pause(pause, failing);
        }
    }

    /// Writes what was taken, and removes some of what is past retention.
    fn work(&mut self) -> Result<(), SqliteError> {
        while !self.batch.is_empty() {
            self.write_group()?;
            self.prune(PRUNE_STEPS_PER_GROUP)?;
        }
        // Also when nothing came: that the file can be used again is to be known.
        self.open_file()?;
        if let Some(missing) = self.waiting.caught_up() {
            self.telemetry.history_recovered(&self.path, missing);
        }
        if self.more_to_prune || self.pruned_at.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            self.pruned_at = Some(Instant::now());
            self.more_to_prune = true;
            self.prune(PRUNE_STEPS_PER_GROUP)?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), SqliteError> {
        let count = self.batch.len().min(GROUP_MAX);
        // Not by `self.open_file()`: the batch is borrowed meanwhile.
        let file = open_file(&mut self.file, &self.path)?;
        let group = &self.batch[..count];
        self.rows = write(&mut file.connection, group, &self.policy.worker)
            .map_err(|error| SqliteError::new(&self.path, error))?;
        self.waiting.written(group);
        self.batch.drain(..count);
        let count_max = self.policy.count_max;
        self.more_to_prune |= self.rows.deliveries > count_max || self.rows.attempts > count_max;
        Ok(())
    }

    /// Removes what is past retention, in at most so many steps.
    fn prune(&mut self, steps: usize) -> Result<(), SqliteError> {
        let oldest = self.clock.now().minus(self.policy.age);
        let count_max = self.policy.count_max;
        let mut gone = 0;
        for _ in 0..steps {
            if !self.more_to_prune {
                break;
            }
            let file = open_file(&mut self.file, &self.path)?;
            let pruned = prune_step(&mut file.connection, oldest, count_max)
                .map_err(|error| SqliteError::new(&self.path, error))?;
            self.rows = pruned.rows;
            gone += pruned.deliveries;
            self.more_to_prune = pruned.deliveries > 0;
        }
        self.telemetry.history_pruned(gone);
        self.telemetry.history_held(self.rows.deliveries, self.rows.attempts);
        Ok(())
    }

    fn open_file(&mut self) -> Result<&mut File, SqliteError> {
        open_file(&mut self.file, &self.path)
    }

    fn failed(&self, error: &SqliteError) {
        if self.waiting.failing() {
            self.telemetry.history_behind(&self.path, &error.to_string());
        }
    }
}

/// The open file, opened anew if it was removed or replaced.
fn open_file<'a>(file: &'a mut Option<File>, path: &Path) -> Result<&'a mut File, SqliteError> {
    match file.take() {
        Some(open) if open.identity.check().is_ok() => Ok(file.insert(open)),
        replaced => {
            // Closed first, so that nothing is written any more to what was removed.
            drop(replaced);
            let connection = open_to_write(path)?;
            Ok(file.insert(File { connection, identity: FileIdentity::of(path) }))
        }
    }
}
