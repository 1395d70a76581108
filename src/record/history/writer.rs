//! The thread that writes: what waits, again and again, and between that what is past retention is removed.
//!
//! It owns the file, or its connection to PostgreSQL. One that cannot be used, whatever the reason, costs nobody else anything:
//! what it has taken it keeps, and it tries again with growing waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sink::{Rows, STEP_ROWS, Sink};
use super::waiting::{Call, GROUP_MAX, Groups, Waiting};
use super::{HistoryPolicy, HistoryRetention};
use crate::clock::{Backoff, SharedClock};
use crate::record::RecordError;
use crate::telemetry::SharedTelemetry;

/// How often what waits is written, at most: so that entries come together, and the disk is left alone in between.
pub const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Waits between tries while nothing can be written.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// How soon it is looked whether nothing is missing any more.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often age is looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Steps of pruning between two groups: together they remove more than a group adds, so the file does not grow beyond its bound.
const PRUNE_STEPS_PER_GROUP: usize = GROUP_MAX / STEP_ROWS + 1;

/// Writes what waits.
pub(super) struct Writer {
    sink: Box<dyn Sink>,
    /// What `sink` is called in log lines.
    pub(super) place: String,
    pub(super) policy: HistoryPolicy,
    pub(super) retention: Arc<Mutex<HistoryRetention>>,
    clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
    pub(super) waiting: Arc<Waiting>,
    /// Taken and not yet written.
    taken: Groups,
    rows: Rows,
    /// Whether more is past retention than was removed.
    more_to_prune: bool,
    pruned_at: Option<Instant>,
}

impl Writer {
    /// A writer to `sink`, which log lines call `place`.
    pub(super) fn new(
        sink: Box<dyn Sink>,
        place: String,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Self {
        let bodies_per_second = policy.bodies.map_or(0, |bodies| bodies.bytes_per_second);
        let waiting = Arc::new(Waiting::new(sink.pace().waiting_bytes_max, bodies_per_second));
        let bodies = policy.bodies;
        let retention = HistoryRetention {
            age: policy.age,
            count_max: policy.count_max,
            bodies_age: bodies.map_or(Duration::ZERO, |bodies| bodies.age),
            bodies_bytes_max: bodies.map_or(0, |bodies| bodies.bytes_max),
        };
        Self {
            sink,
            place,
            policy,
            retention: Arc::new(Mutex::new(retention)),
            clock,
            telemetry,
            waiting,
            taken: Groups::default(),
            rows: Rows::default(),
            more_to_prune: false,
            pruned_at: None,
        }
    }

    /// Works until nothing will come any more.
    pub(super) fn run(mut self) {
        let mut again = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        let mut failing = false;
        loop {
            let has_work = failing || self.more_to_prune || self.pruned_at.is_none() || !self.taken.is_empty();
            let longest = match (has_work, self.waiting.is_behind()) {
                (true, _) => Duration::ZERO,
                (false, true) => LOOK_AGAIN,
                (false, false) => PRUNE_EVERY,
            };
            let Call { flushes, closed } = self.waiting.take(&mut self.taken, longest);
            if closed && failing {
                return;
            }
            let done = self.work(flushes.is_empty() && !closed);
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

    /// Writes what was taken, and removes some of what is past retention; rests between groups if it `may_rest`.
    fn work(&mut self, may_rest: bool) -> Result<(), RecordError> {
        while !self.taken.is_empty() {
            let began = Instant::now();
            self.write_first()?;
            self.prune(PRUNE_STEPS_PER_GROUP)?;
            if may_rest {
                self.waiting.rest(began.elapsed() * self.sink.pace().rest);
            }
        }
        // Also when nothing came: that the file can be used again is to be known.
        self.sink.ready()?;
        self.waiting.works();
        if let Some(missing) = self.waiting.caught_up() {
            self.telemetry.history_recovered(&self.place, missing.entries, &missing.words());
        }
        if self.more_to_prune || self.pruned_at.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            self.pruned_at = Some(Instant::now());
            self.more_to_prune = true;
            self.prune(PRUNE_STEPS_PER_GROUP)?;
        }
        Ok(())
    }

    /// Writes the group that came first.
    fn write_first(&mut self) -> Result<(), RecordError> {
        let Some(group) = self.taken.first() else { return Ok(()) };
        self.rows = self.sink.write(&group.entries, &self.policy.worker)?;
        self.waiting.written(group);
        self.taken.drop_first();
        let count_max = self.retention().count_max;
        self.more_to_prune |= self.rows.deliveries > count_max || self.rows.attempts > count_max;
        Ok(())
    }

    /// Removes what is past retention, in at most so many steps.
    fn prune(&mut self, steps: usize) -> Result<(), RecordError> {
        let HistoryRetention { age, count_max, .. } = self.retention();
        let oldest = self.clock.now().minus(age);
        let mut gone = 0;
        for _ in 0..steps {
            if !self.more_to_prune {
                break;
            }
            let pruned = self.sink.prune(oldest, count_max)?;
            self.rows = pruned.rows;
            gone += pruned.deliveries;
            self.more_to_prune = pruned.deliveries > 0;
        }
        self.prune_bodies(steps)?;
        self.telemetry.history_pruned(gone);
        self.telemetry.history_held(self.rows.deliveries, self.rows.attempts);
        Ok(())
    }

    /// Removes bodies that are past retention, in at most so many steps; all of them, when none are kept any more.
    fn prune_bodies(&mut self, steps: usize) -> Result<(), RecordError> {
        let HistoryRetention { bodies_age, bodies_bytes_max, .. } = self.retention();
        let (oldest, bytes_max) = match self.policy.bodies {
            Some(_) => (self.clock.now().minus(bodies_age), bodies_bytes_max),
            None => (self.clock.now().plus(Duration::from_secs(1)), 0),
        };
        for _ in 0..steps {
            if self.sink.prune_bodies(oldest, bytes_max)? < STEP_ROWS as u64 {
                break;
            }
        }
        Ok(())
    }

    fn retention(&self) -> HistoryRetention {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that nothing can be written, when that begins.
    pub(super) fn failed(&self, error: &RecordError) {
        let why = error.of_store();
        if self.waiting.failing(&why) {
            self.telemetry.history_behind(&self.place, &why);
        }
    }
}
