//! Where entries are written, as the writer's thread sees it: a file, or PostgreSQL.

use super::entry::Entry;
use crate::model::Timestamp;
use crate::record::RecordError;

/// Deliveries removed in one step of pruning at most, so that nobody waits for it for long.
pub(super) const STEP_ROWS: usize = 500;

/// Bytes of what waits to be written and is being written, at most, in any store: with PostgreSQL. Some 200,000 entries, or 28,000
/// with the longest answers.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How the writer goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How many times as long as a group took it rests after it, when hardly anything else waits.
    pub(super) rest: u32,
    /// Bytes of what waits and is being written, at most.
    pub(super) waiting_bytes_max: usize,
}

impl Pace {
    /// For a file: what is written costs so little that it need not rest.
    pub(super) const FILE: Self = Self { rest: 0, waiting_bytes_max: WAITING_BYTES_MAX / 4 };

    /// For a server, whose processors are perhaps those that deliver: nine tenths of the time are theirs. What comes in a burst
    /// waits meanwhile, so more of it may.
    pub(super) const SERVER: Self = Self { rest: 10, waiting_bytes_max: WAITING_BYTES_MAX };
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) deliveries: u64,
    pub(super) attempts: u64,
}

/// What a step of pruning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pruned {
    /// Deliveries that were removed.
    pub(super) deliveries: u64,
    /// How many rows there are now.
    pub(super) rows: Rows,
}

/// Worked by one thread, which each call may keep waiting. What fails is tried again, and may then find another world: a sink
/// opens anew what is gone.
pub(super) trait Sink: Send {
    /// How the writer goes about it.
    fn pace(&self) -> Pace;

    /// Sees to it that what is written gets there.
    ///
    /// # Errors
    /// Why it would not.
    fn ready(&mut self) -> Result<(), RecordError>;

    /// Writes `entries`, all or none, as `worker`'s, and tells how many rows there are then.
    ///
    /// # Errors
    /// Why they cannot be written; none is.
    fn write(&mut self, entries: &[Entry], worker: &str) -> Result<Rows, RecordError>;

    /// Removes of the deliveries that changed longest ago at most [`STEP_ROWS`], with their attempts: those that changed before
    /// `oldest`, and those that are too many, by themselves or by their attempts.
    ///
    /// # Errors
    /// Why they cannot be removed; none is.
    fn prune(&mut self, oldest: Timestamp, count_max: u64) -> Result<Pruned, RecordError>;

    /// Removes of the bodies that were written first at most [`STEP_ROWS`]: those from before `oldest`, and while all take more than
    /// `bytes_max`. Tells how many.
    ///
    /// # Errors
    /// Why they cannot be removed; none is.
    fn prune_bodies(&mut self, oldest: Timestamp, bytes_max: u64) -> Result<u64, RecordError>;
}
