//! The history in PostgreSQL, where several workers write and prune at the same time.
//!
//! The writer's thread has a connection of its own, on a runtime of its own: so neither a stuck server nor a process that ends
//! keeps one waiting for the other. A row that is changed is locked in the order of the deliveries' ids, then `history_rows`; one
//! prunes at a time, and passes over what is being written.

mod bodies;
mod forgetting;
mod read;
mod retention;
mod row;
mod write;

use tokio::runtime::Runtime;

pub(super) use self::read::PostgresReader;
use super::entry::Entry;
use super::sink::{Pruned, Rows, Sink};
use crate::model::Timestamp;
use crate::postgres::{Postgres, PostgresError};
use crate::record::RecordError;
use crate::record::postgres::Tables;

/// The name of the part.
const PART: &str = "history";

pub(super) const STEPS: &[&str] = &[FIRST_STEP, bodies::STEP];

const FIRST_STEP: &str = r#"
    CREATE TABLE deliveries (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        delivery_id TEXT COLLATE "C" NOT NULL UNIQUE,
        event_id TEXT COLLATE "C" NOT NULL,
        type TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        webhook TEXT COLLATE "C" NOT NULL,
        accepted_at BIGINT NOT NULL,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        parks INTEGER NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        reason TEXT COLLATE "C",
        changed_at BIGINT NOT NULL,
        due_at BIGINT
    );
    CREATE INDEX deliveries_by_time ON deliveries (accepted_at, number);
    CREATE INDEX deliveries_by_event ON deliveries (event_id);
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook, accepted_at, number);
    CREATE INDEX deliveries_by_type ON deliveries (type, accepted_at, number);
    CREATE INDEX deliveries_by_state ON deliveries (state, accepted_at, number) WHERE state <> 'delivered';
    CREATE INDEX deliveries_by_change ON deliveries (changed_at);
    CREATE TABLE attempts (
        delivery BIGINT NOT NULL, -- the number of its row in deliveries
        generation INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at BIGINT NOT NULL,
        took_us BIGINT NOT NULL,
        outcome TEXT COLLATE "C" NOT NULL,
        status INTEGER,
        error TEXT NOT NULL,
        response TEXT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (delivery, generation, attempt)
    );
    CREATE TABLE history_rows (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        deliveries BIGINT NOT NULL,
        attempts BIGINT NOT NULL
    );
    INSERT INTO history_rows VALUES (1, 0, 0);
"#;

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
}

impl PostgresSink {
    /// The database at which `postgres` is, by a connection of its own.
    ///
    /// # Errors
    /// When the system has nothing left for a runtime.
    pub(super) fn of(postgres: &Postgres) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, tables: tables(&postgres.apart()) })
    }
}

impl Sink for PostgresSink {
    fn ready(&mut self) -> Result<(), RecordError> {
        Ok(self.runtime.block_on(self.tables.session()).map(drop)?)
    }

    fn write(&mut self, entries: &[Entry], worker: &str) -> Result<Rows, RecordError> {
        Ok(self.runtime.block_on(async { write::write(&mut self.tables.session().await?, entries, worker).await })?)
    }

    fn prune(&mut self, oldest: Timestamp, count_max: u64) -> Result<Pruned, RecordError> {
        let prune = async { retention::prune_step(&mut self.tables.session().await?, oldest, count_max).await };
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
