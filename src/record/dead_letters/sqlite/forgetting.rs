//! Who is forgotten, and the removal of their letters.
//!
//! Letters have no index by person: it would cost each letter, for what is asked once in a while. The table is walked instead, some
//! rows in a transaction.

use rusqlite::{Connection, Transaction, params};

use super::SqliteDeadLetters;
use crate::model::{Event, Person, Source, Timestamp, UserId};
use crate::record::forgotten::{Persons, persons_in};
use crate::sqlite::{SqliteError, ring_all};

/// The table's step of the schema.
pub(super) const STEP: &str = "
    CREATE TABLE forgotten (person BLOB PRIMARY KEY, forgotten_at INTEGER NOT NULL) STRICT;
";

/// Rows that are looked at in one transaction.
const STEP_ROWS: i64 = 5_000;

impl SqliteDeadLetters {
    pub(in crate::record::dead_letters) async fn note_forgotten(
        &self,
        person: Person,
        at: Timestamp,
        oldest: Timestamp,
    ) -> Result<(), SqliteError> {
        let job = move |transaction: &Transaction<'_>| {
            let note = "INSERT INTO forgotten VALUES (?1, ?2)
                ON CONFLICT (person) DO UPDATE SET forgotten_at = max(forgotten_at, excluded.forgotten_at)";
            transaction.execute(note, params![person.bytes(), at.as_millis()])?;
            transaction.execute("DELETE FROM forgotten WHERE forgotten_at < ?1", [oldest.as_millis()])?;
            Ok(())
        };
        self.write(job).await?;
        ring_all(&self.path);
        Ok(())
    }

    pub(in crate::record::dead_letters) async fn forgotten(&self) -> Result<Persons, SqliteError> {
        self.reader.call(|connection: &mut Connection| persons_in(connection)).await
    }

    /// Removes the letters of a person, and leaves nothing of them in the file's pages.
    pub(in crate::record::dead_letters) async fn forget(
        &self,
        source: &Source,
        user: &UserId,
    ) -> Result<u64, SqliteError> {
        let last = "SELECT coalesce(max(rowid), 0) FROM dead_letters";
        let last: i64 = self.reader.call(move |connection| connection.query_row(last, [], |row| row.get(0))).await?;
        let (mut removed, mut after) = (0, 0);
        while after < last {
            let (source, user) = (source.clone(), user.clone());
            let step = move |transaction: &Transaction<'_>| {
                let sql = "DELETE FROM dead_letters WHERE rowid > ?1 AND rowid <= ?2 AND user_id = ?3 AND source = ?4";
                let values = params![after, after + STEP_ROWS, user.as_str(), source.as_str()];
                transaction.prepare_cached(sql)?.execute(values)
            };
            removed += self.write(step).await? as u64;
            after += STEP_ROWS;
        }
        // The log holds what was; a reader that keeps it there leaves that to the next one.
        let empty =
            |connection: &mut Connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.writer.write(empty).await?;
        Ok(removed)
    }
}

/// Whether `event` is of somebody who was forgotten after it was taken in.
pub(super) fn is_forgotten(transaction: &Transaction<'_>, event: &Event) -> rusqlite::Result<bool> {
    let Some(user) = &event.user else { return Ok(false) };
    let sql = "SELECT 1 FROM forgotten WHERE person = ?1 AND forgotten_at >= ?2";
    let person = Person::of(&event.source, user);
    transaction.prepare_cached(sql)?.exists(params![person.bytes(), event.accepted_at.as_millis()])
}
