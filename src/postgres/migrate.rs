//! Schema versions: forward only, one transaction, several parts side by side in one schema.
//!
//! The table `hikyaku_schema(part, version)` says how many of a part's steps the schema has been through. Processes that start at
//! the same time wait for each other by an advisory lock. A step that fails undoes all of that start, and what was there stays
//! usable.

use std::time::Duration;

use super::{Postgres, PostgresError, Session, Statements};

/// How long one step may take: an index of a million rows is made in seconds, and a slow disk may need more.
const STEP_WAIT_MAX: Duration = Duration::from_secs(600);
/// The advisory lock's first half, "hiky" in ASCII; its second is the schema's hash.
const LOCK: i32 = 0x68_69_6b_79;

impl Postgres {
    /// Brings `part` of the schema up to date: `steps` are SQL scripts, each applied once and never edited after a release. What
    /// is up to date already is only looked at.
    ///
    /// # Errors
    /// [`PostgresError::Newer`] when the schema has been through more steps than are known here, or what PostgreSQL says; the
    /// schema is as it was.
    pub async fn migrate(&self, part: &'static str, steps: &[&str]) -> Result<(), PostgresError> {
        let mut session = self.session().await?;
        let mut found = version_of(&mut session, part).await?;
        if found < steps.len() {
            found = self.run_steps(session, part, steps).await?;
        }
        if found > steps.len() {
            return Err(PostgresError::Newer { place: self.url().to_string(), part, found, known: steps.len() });
        }
        Ok(())
    }

    /// How many steps of `part` the schema has been through; 0 also when nobody has migrated it. Changes nothing.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn version_of(&self, part: &str) -> Result<usize, PostgresError> {
        version_of(&mut *self.session().await?, part).await
    }

    /// Runs what is missing and tells the version found.
    async fn run_steps(
        &self,
        mut session: Session,
        part: &'static str,
        steps: &[&str],
    ) -> Result<usize, PostgresError> {
        let schema = self.url().schema();
        session.allow(STEP_WAIT_MAX).await?;
        let mut transaction = session.transaction().await?;
        transaction.query("SELECT pg_advisory_xact_lock($1, hashtext($2))", &[&LOCK, &schema]).await?;
        // Asked first: to make what is there already would need a right that a careful admin does not give.
        let is_there = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        if transaction.query_opt(is_there, &[&schema]).await?.is_none() {
            transaction.batch(&format!("CREATE SCHEMA \"{schema}\"")).await?;
        }
        if !has_versions(&mut transaction).await? {
            transaction
                .batch("CREATE TABLE hikyaku_schema (part TEXT COLLATE \"C\" PRIMARY KEY, version INTEGER NOT NULL)")
                .await?;
        }
        let found = version_of(&mut transaction, part).await?;
        if found < steps.len() {
            for step in &steps[found..] {
                transaction.batch(step).await.map_err(|error| not_migrated(error, part, found, steps.len()))?;
            }
            let now = i32::try_from(steps.len()).unwrap_or(i32::MAX);
            let note = "INSERT INTO hikyaku_schema VALUES ($1, $2) \
                ON CONFLICT (part) DO UPDATE SET version = excluded.version";
            transaction.execute(note, &[&part, &now]).await?;
        }
        transaction.commit().await?;
        Ok(found)
    }
}

/// What it means that a step failed, where PostgreSQL's words are all that is known.
fn not_migrated(error: PostgresError, part: &'static str, found: usize, known: usize) -> PostgresError {
    match error {
        PostgresError::Other { place, why } => PostgresError::NotMigrated { place, part, found, known, why },
        other => other,
    }
}

/// How many steps of `part` the schema has been through; 0 also when nobody has migrated it.
async fn version_of(statements: &mut Statements, part: &str) -> Result<usize, PostgresError> {
    if !has_versions(statements).await? {
        return Ok(0);
    }
    let row = statements.query_opt("SELECT version FROM hikyaku_schema WHERE part = $1", &[&part]).await?;
    let version: i32 = row.map_or(0, |row| row.get(0));
    Ok(usize::try_from(version).unwrap_or(0))
}

async fn has_versions(statements: &mut Statements) -> Result<bool, PostgresError> {
    let row = statements.query_opt("SELECT to_regclass('hikyaku_schema') IS NOT NULL", &[]).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}
