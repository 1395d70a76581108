//! Who has put which delivery back to work, in a table of its own: written in the transaction that removes the dead letter.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::SqliteDeadLetters;
use crate::model::{DeliveryId, ReplayKind, Timestamp};
use crate::record::dead_letters::{ReplayMark, Replayed, STEP_ROWS};
use crate::sqlite::SqliteError;
use crate::sqlite::columns::{read_column, read_moment, read_name};

/// Numbers grow, so that what is oldest stands first, and how many there are at most is told by the highest.
pub(super) const STEP: &str = "
    CREATE TABLE replays (
        number INTEGER PRIMARY KEY,
        delivery_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        how TEXT NOT NULL,
        replayed_by TEXT NOT NULL,
        replayed_at INTEGER NOT NULL,
        UNIQUE (delivery_id, generation)
    ) STRICT;
    CREATE INDEX dead_letters_by_event ON dead_letters (event_id, died_at, delivery_id);
    CREATE INDEX dead_letters_by_status ON dead_letters (last_status, died_at, delivery_id);
";

const COLUMNS: &str = "generation, how, replayed_by, replayed_at";

impl SqliteDeadLetters {
    /// Removes those letters, and notes of each that its next generation began as `mark` says, also of those that are not
    /// there. In steps, each a transaction.
    pub(in crate::record::dead_letters) async fn replayed(
        &self,
        letters: Vec<(DeliveryId, u32)>,
        mark: ReplayMark,
    ) -> Result<(), SqliteError> {
        for step in letters.chunks(STEP_ROWS as usize) {
            let (step, mark) = (step.to_vec(), mark.clone());
            self.write(move |transaction| step.iter().try_for_each(|letter| replay_one(transaction, letter, &mark)))
                .await?;
        }
        Ok(())
    }

    /// How many of those are there in that or a later generation, or were put back to work since.
    pub(in crate::record::dead_letters) async fn known(
        &self,
        letters: Vec<(DeliveryId, u32)>,
    ) -> Result<u64, SqliteError> {
        let job = move |connection: &mut Connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM dead_letters WHERE delivery_id = ?1 AND generation >= ?2) \
                OR EXISTS (SELECT 1 FROM replays WHERE delivery_id = ?1 AND generation > ?2)";
            let mut statement = connection.prepare_cached(sql)?;
            let mut known = 0;
            for (id, generation) in &letters {
                known += statement.query_row(params![id.as_str(), generation], |row| row.get::<_, u64>(0))?;
            }
            Ok(known)
        };
        self.reader.call(job).await
    }

    /// When and by whom the delivery was put back to work, the first time first.
    pub(in crate::record::dead_letters) async fn replays(&self, id: &DeliveryId) -> Result<Vec<Replayed>, SqliteError> {
        let id = id.as_str().to_owned();
        let sql = format!("SELECT {COLUMNS} FROM replays WHERE delivery_id = ?1 ORDER BY generation");
        let job = move |connection: &mut Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows: Vec<Option<Replayed>> = statement.query_map([id], read)?.collect::<rusqlite::Result<_>>()?;
            Ok(rows.into_iter().flatten().collect())
        };
        self.reader.call(job).await
    }

    /// The latest of each of those deliveries, where there is one.
    pub(in crate::record::dead_letters) async fn latest_replays(
        &self,
        ids: Vec<DeliveryId>,
    ) -> Result<HashMap<DeliveryId, Replayed>, SqliteError> {
        let sql = format!("SELECT {COLUMNS} FROM replays WHERE delivery_id = ?1 ORDER BY generation DESC LIMIT 1");
        let job = move |connection: &mut Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = HashMap::new();
            for id in ids {
                if let Some(Some(replayed)) = statement.query_row([id.as_str()], read).optional()? {
                    found.insert(id, replayed);
                }
            }
            Ok(found)
        };
        self.reader.call(job).await
    }

    /// Removes what is older than `oldest`, and of more than `count_max` the oldest, in steps.
    pub(in crate::record::dead_letters) async fn prune_replays(
        &self,
        oldest: Timestamp,
        count_max: u64,
    ) -> Result<(), SqliteError> {
        let sql = "DELETE FROM replays WHERE number IN (SELECT number FROM replays ORDER BY number LIMIT ?1)
            AND (replayed_at < ?2 OR number <= (SELECT max(number) FROM replays) - ?3)";
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        loop {
            let step = move |transaction: &Transaction<'_>| {
                transaction.prepare_cached(sql)?.execute(params![STEP_ROWS, oldest.as_millis(), count_max])
            };
            if self.write(step).await? < STEP_ROWS as usize {
                return Ok(());
            }
        }
    }
}

fn replay_one(
    transaction: &Transaction<'_>,
    (id, generation): &(DeliveryId, u32),
    mark: &ReplayMark,
) -> rusqlite::Result<()> {
    let remove = "DELETE FROM dead_letters WHERE delivery_id = ?1 AND generation = ?2";
    transaction.prepare_cached(remove)?.execute((id.as_str(), generation))?;
    let note = "INSERT OR IGNORE INTO replays (delivery_id, generation, how, replayed_by, replayed_at)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = (id.as_str(), generation.saturating_add(1), mark.how.as_str(), mark.by.as_str(), mark.at.as_millis());
    transaction.prepare_cached(note)?.execute(values)?;
    Ok(())
}

/// Whether the delivery was put back to work after `generation`.
pub(super) fn is_replayed(transaction: &Transaction<'_>, id: &DeliveryId, generation: u32) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM replays WHERE delivery_id = ?1 AND generation > ?2";
    transaction.prepare_cached(sql)?.exists((id.as_str(), generation))
}

/// Nothing for a row that a newer version has written: who did what is no reason to show nothing else.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Replayed>> {
    let read = || {
        Ok::<_, String>(Replayed {
            generation: read_column(row, 0)?,
            how: read_name(row, 1, ReplayKind::from_name)?,
            by: read_column(row, 2)?,
            at: read_moment(row, 3)?,
        })
    };
    Ok(read().ok())
}
