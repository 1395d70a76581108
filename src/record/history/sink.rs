//! Where entries are written, as the writer's thread sees it: a file, or PostgreSQL.

use super::entry::Entry;
use crate::model::Timestamp;
use crate::record::RecordError;

/// Deliveries removed in one step of pruning at most, so that nobody waits for it for long.
pub(super) const STEP_ROWS: usize = 500;

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
