//! The history in PostgreSQL, where several workers write and prune at the same time.
//!
//! The writer's thread has a connection of its own, on a runtime of its own: so neither a stuck server nor a process that ends
//! keeps one waiting for the other. Rows that are changed are locked in the order of their places, then those that are new are added in
//! that order, then marks, and `history_rows` comes last; one prunes at a time, and passes over what is being written. Two that
//! write the same deliveries, of which one is there, may lock each other out for a second: then one of them tries again.

mod adding;
mod bodies;
mod forgetting;
mod marks;
mod merged;
mod packs;
mod place;
mod read;
mod retention;
mod row;
mod schema;
mod write;

use tokio::runtime::Runtime;

pub(super) use self::read::PostgresReader;
use self::retention::Progress;
use self::schema::PART;
pub(super) use self::schema::STEPS;
use super::entry::Entry;
use super::sink::{Pace, Pruned, Rows, Sink};
use crate::model::Timestamp;
use crate::postgres::{Postgres, PostgresError};
use crate::record::RecordError;
use crate::record::postgres::Tables;

/// How every transaction of ours begins. Nobody of ours waits long for what another has locked, since what waits is in memory.
/// Thousands of rows are found one by one by their index, though the planner may think it better to read the whole table.
const BEGIN: &str = "SET LOCAL lock_timeout = 1000; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// The tables of the history.
fn tables(postgres: &Postgres) -> Tables {
    Tables::of(postgres, PART, STEPS)
}

/// Makes the tables, or brings them up to date; later, while PostgreSQL is away.
pub(super) async fn open(postgres: &Postgres) -> Result<(), PostgresError> {
    tables(postgres).open().await
}

/// The database that is written.
pub(super) struct PostgresSink {
    runtime: Runtime,
    tables: Tables,
    progress: Progress,
}

impl PostgresSink {
    /// The database at which `postgres` is, by a connection of its own.
    ///
    /// # Errors
    /// When the system has nothing left for a runtime.
    pub(super) fn of(postgres: &Postgres) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, tables: tables(&postgres.apart()), progress: Progress::default() })
    }
}

impl Sink for PostgresSink {
    fn pace(&self) -> Pace {
        Pace::SERVER
    }

    fn ready(&mut self) -> Result<(), RecordError> {
        Ok(self.runtime.block_on(self.tables.session()).map(drop)?)
    }

    fn write(&mut self, entries: &[Entry], worker: &str) -> Result<Rows, RecordError> {
        Ok(self.runtime.block_on(async { write::write(&mut self.tables.session().await?, entries, worker).await })?)
    }

    fn prune(&mut self, oldest: Timestamp, count_max: u64) -> Result<Pruned, RecordError> {
        let Self { runtime: _, tables, progress } = self;
        let prune = async { retention::prune_step(&mut tables.session().await?, progress, oldest, count_max).await };
        Ok(self.runtime.block_on(prune)?)
    }

    fn prune_bodies(&mut self, oldest: Timestamp, bytes_max: u64) -> Result<u64, RecordError> {
        let prune = async { bodies::prune_step(&mut self.tables.session().await?, oldest, bytes_max).await };
        Ok(self.runtime.block_on(prune)?)
    }
}

/// A count of PostgreSQL's.
fn natural(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
