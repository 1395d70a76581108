//! The workers in PostgreSQL.

use super::{FORGOTTEN_AFTER, KnownWorker, WORKERS_MAX};
use crate::model::Timestamp;
use crate::postgres::{Postgres, PostgresError, Row};
use crate::record::postgres::{Tables, without_nul};

pub(super) const STEPS: &[&str] = &[r#"
    CREATE TABLE workers (
        name TEXT COLLATE "C" PRIMARY KEY, started_ms BIGINT NOT NULL, seen_ms BIGINT NOT NULL, report TEXT NOT NULL
    );
"#];

const TELL: &str = "
    INSERT INTO workers (name, started_ms, seen_ms, report) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE
    SET started_ms = excluded.started_ms, seen_ms = excluded.seen_ms, report = excluded.report
";

/// The table in a database.
#[derive(Debug)]
pub(super) struct PostgresWorkers {
    tables: Tables,
}

impl PostgresWorkers {
    /// Opens the table, making it where it is absent; later, while PostgreSQL is away.
    pub(super) async fn open(postgres: &Postgres) -> Result<Self, PostgresError> {
        let tables = Tables::of(postgres, "workers", STEPS);
        tables.open().await?;
        Ok(Self { tables })
    }

    pub(super) async fn tell(&self, worker: KnownWorker) -> Result<(), PostgresError> {
        let mut session = self.tables.session().await?;
        let (started_ms, seen_ms) = (worker.started_at.as_millis(), worker.seen_at.as_millis());
        let (name, report) = (without_nul(&worker.name), without_nul(&worker.report));
        session.execute(TELL, &[&&*name, &started_ms, &seen_ms, &&*report]).await?;
        let forgotten = worker.seen_at.minus(FORGOTTEN_AFTER).as_millis();
        session.execute("DELETE FROM workers WHERE seen_ms < $1", &[&forgotten]).await?;
        Ok(())
    }

    pub(super) async fn leave(&self, name: String) -> Result<(), PostgresError> {
        let name = without_nul(&name);
        self.tables.session().await?.execute("DELETE FROM workers WHERE name = $1", &[&&*name]).await?;
        Ok(())
    }

    pub(super) async fn list(&self) -> Result<Vec<KnownWorker>, PostgresError> {
        let sql = "SELECT name, started_ms, seen_ms, report FROM workers ORDER BY name LIMIT $1";
        let rows = self.tables.session().await?.query(sql, &[&i64::from(WORKERS_MAX)]).await?;
        // A row that is none of ours tells of no worker.
        Ok(rows.iter().filter_map(read).collect())
    }
}

fn read(row: &Row) -> Option<KnownWorker> {
    Some(KnownWorker {
        name: row.try_get(0).ok()?,
        started_at: Timestamp::from_millis(row.try_get(1).ok()?),
        seen_at: Timestamp::from_millis(row.try_get(2).ok()?),
        report: row.try_get(3).ok()?,
    })
}
