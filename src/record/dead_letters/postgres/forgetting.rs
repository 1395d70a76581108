//! Who is forgotten, and the removal of their letters. There is no index by person: it would cost each letter, for what is asked
//! once in a while.

use std::time::Duration;

use super::PostgresDeadLetters;
use crate::model::{Person, Source, Timestamp, UserId};
use crate::postgres::PostgresError;
use crate::record::dead_letters::STEP_ROWS;
use crate::record::forgotten::{Persons, person_of_row};

/// The table's step of the schema.
pub(super) const STEP: &str = "
    CREATE TABLE forgotten (person BYTEA PRIMARY KEY, forgotten_at BIGINT NOT NULL);
";

/// How long the walk over a table of a million letters may take.
const WALK_MAX: Duration = Duration::from_secs(120);

impl PostgresDeadLetters {
    pub(in crate::record::dead_letters) async fn note_forgotten(
        &self,
        person: Person,
        at: Timestamp,
        oldest: Timestamp,
    ) -> Result<(), PostgresError> {
        let mut session = self.tables.session().await?;
        let note = "INSERT INTO forgotten AS kept VALUES ($1, $2)
            ON CONFLICT (person) DO UPDATE SET forgotten_at = greatest(kept.forgotten_at, excluded.forgotten_at)";
        session.execute(note, &[&person.bytes().as_slice(), &at.as_millis()]).await?;
        session.execute("DELETE FROM forgotten WHERE forgotten_at < $1", &[&oldest.as_millis()]).await?;
        session.query("SELECT pg_notify($1, '')", &[&self.tables.channel()]).await?;
        Ok(())
    }

    pub(in crate::record::dead_letters) async fn forgotten(&self) -> Result<Persons, PostgresError> {
        let rows = self.tables.session().await?.query("SELECT person, forgotten_at FROM forgotten", &[]).await?;
        Ok(rows.iter().filter_map(person_of_row).collect())
    }

    /// Removes the letters of a person.
    pub(in crate::record::dead_letters) async fn forget(
        &self,
        source: &Source,
        user: &UserId,
    ) -> Result<u64, PostgresError> {
        let sql = "WITH held AS MATERIALIZED (
                SELECT delivery_id FROM dead_letters WHERE user_id = $1 AND source = $2 ORDER BY delivery_id LIMIT $3 FOR UPDATE
            )
            DELETE FROM dead_letters WHERE delivery_id IN (SELECT delivery_id FROM held)";
        let mut session = self.tables.session().await?;
        session.allow(WALK_MAX).await?;
        let mut removed = 0;
        loop {
            let gone = session.execute(sql, &[&user.as_str(), &source.as_str(), &i64::from(STEP_ROWS)]).await?;
            removed += gone;
            if gone < u64::from(STEP_ROWS) {
                break;
            }
        }
        self.look_by(&mut session).await?;
        Ok(removed)
    }
}
