//! Who has put which delivery back to work, in a table of its own: written in the statement that removes the dead letter.

use std::collections::HashMap;

use super::PostgresDeadLetters;
use crate::model::{DeliveryId, ReplayKind, Timestamp};
use crate::postgres::{PostgresError, Row};
use crate::record::dead_letters::{ReplayMark, Replayed, STEP_ROWS};
use crate::record::postgres::{integer, read_column, read_count, read_moment, read_name};

/// Numbers grow, so that what is oldest stands first, and how many there are at most is told by the highest.
pub(super) const STEP: &str = r#"
    CREATE TABLE replays (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        delivery_id TEXT COLLATE "C" NOT NULL,
        generation INTEGER NOT NULL,
        how TEXT COLLATE "C" NOT NULL,
        replayed_by TEXT NOT NULL,
        replayed_at BIGINT NOT NULL,
        UNIQUE (delivery_id, generation)
    );
    CREATE INDEX dead_letters_by_event ON dead_letters (event_id, died_at, delivery_id);
    CREATE INDEX dead_letters_by_status ON dead_letters (last_status, died_at, delivery_id);
"#;

const REPLAYED: &str = "
    WITH named AS (
        SELECT * FROM unnest($1::TEXT[], $2::INTEGER[]) AS named (delivery_id, generation)
    ), held AS MATERIALIZED (
        SELECT delivery_id, generation FROM dead_letters WHERE delivery_id IN (SELECT delivery_id FROM named)
        ORDER BY delivery_id FOR UPDATE
    ), removed AS (
        DELETE FROM dead_letters USING held, named
        WHERE dead_letters.delivery_id = held.delivery_id AND dead_letters.generation = held.generation
            AND named.delivery_id = held.delivery_id AND named.generation = held.generation
    )
    INSERT INTO replays (delivery_id, generation, how, replayed_by, replayed_at)
    SELECT delivery_id, generation + 1, $3, $4, $5 FROM named ORDER BY delivery_id
    ON CONFLICT (delivery_id, generation) DO NOTHING
";

const KNOWN: &str = "
    SELECT count(*) FROM unnest($1::TEXT[], $2::INTEGER[]) AS named (delivery_id, generation)
    WHERE EXISTS (
        SELECT 1 FROM dead_letters AS kept WHERE kept.delivery_id = named.delivery_id AND kept.generation >= named.generation
    ) OR EXISTS (
        SELECT 1 FROM replays WHERE replays.delivery_id = named.delivery_id AND replays.generation > named.generation
    )
";

impl PostgresDeadLetters {
    /// How many of those are there in that or a later generation, or were put back to work since.
    pub(in crate::record::dead_letters) async fn known(
        &self,
        letters: Vec<(DeliveryId, u32)>,
    ) -> Result<u64, PostgresError> {
        let ids: Vec<&str> = letters.iter().map(|(id, _)| id.as_str()).collect();
        let generations: Vec<i32> = letters.iter().map(|(_, generation)| integer(*generation)).collect();
        let row = self.tables.session().await?.query_opt(KNOWN, &[&ids, &generations]).await?;
        Ok(row.map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    /// Removes those letters, and notes of each that its next generation began as `mark` says, also of those that are not
    /// there. In steps, each one statement.
    pub(in crate::record::dead_letters) async fn replayed(
        &self,
        letters: Vec<(DeliveryId, u32)>,
        mark: ReplayMark,
    ) -> Result<(), PostgresError> {
        let mut session = self.tables.session().await?;
        for step in letters.chunks(STEP_ROWS as usize) {
            let ids: Vec<&str> = step.iter().map(|(id, _)| id.as_str()).collect();
            let generations: Vec<i32> = step.iter().map(|(_, generation)| integer(*generation)).collect();
            let (how, by, at) = (mark.how.as_str(), mark.by.as_str(), mark.at.as_millis());
            session.execute(REPLAYED, &[&ids, &generations, &how, &by, &at]).await?;
        }
        self.look_by(&mut session).await
    }

    /// When and by whom the delivery was put back to work, the first time first.
    pub(in crate::record::dead_letters) async fn replays(
        &self,
        id: &DeliveryId,
    ) -> Result<Vec<Replayed>, PostgresError> {
        let sql = "SELECT delivery_id, generation, how, replayed_by, replayed_at FROM replays WHERE delivery_id = $1 ORDER BY generation";
        let rows = self.tables.session().await?.query(sql, &[&id.as_str()]).await?;
        Ok(rows.iter().filter_map(|row| read(row).ok()).collect())
    }

    /// The latest of each of those deliveries, where there is one.
    pub(in crate::record::dead_letters) async fn latest_replays(
        &self,
        ids: Vec<DeliveryId>,
    ) -> Result<HashMap<DeliveryId, Replayed>, PostgresError> {
        let sql = "SELECT DISTINCT ON (delivery_id) delivery_id, generation, how, replayed_by, replayed_at FROM replays
            WHERE delivery_id = ANY ($1) ORDER BY delivery_id, generation DESC";
        let texts: Vec<&str> = ids.iter().map(DeliveryId::as_str).collect();
        let rows = self.tables.session().await?.query(sql, &[&texts]).await?;
        let of_row = |row: &Row| Some((DeliveryId::from_text(row.get(0)).ok()?, read(row).ok()?));
        Ok(rows.iter().filter_map(of_row).collect())
    }

    /// Removes what is older than `oldest`, and of more than `count_max` the oldest, in steps.
    pub(in crate::record::dead_letters) async fn prune_replays(
        &self,
        oldest: Timestamp,
        count_max: u64,
    ) -> Result<(), PostgresError> {
        let sql = "DELETE FROM replays WHERE number IN (SELECT number FROM replays ORDER BY number LIMIT $1)
            AND (replayed_at < $2 OR number <= (SELECT max(number) FROM replays) - $3)";
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        let mut session = self.tables.session().await?;
        loop {
            let params: crate::postgres::Params<'_> = &[&i64::from(STEP_ROWS), &oldest.as_millis(), &count_max];
            if session.execute(sql, params).await? < u64::from(STEP_ROWS) {
                return Ok(());
            }
        }
    }
}

/// What a newer version has written is passed over: who did what is no reason to show nothing else.
fn read(row: &Row) -> Result<Replayed, String> {
    Ok(Replayed {
        generation: read_count(row, 1)?,
        how: read_name(row, 2, ReplayKind::from_name)?,
        by: read_column(row, 3)?,
        at: read_moment(row, 4)?,
    })
}
