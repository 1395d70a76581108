//! Removes what the history has of a person, in the file that another may be writing.
//!
//! There is no index by person: it would cost each delivery that is noted, for what is asked once in a while. The tables are walked
//! by their numbers instead, some rows in a transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::schema::open_to_write;
use crate::model::{Source, UserId};
use crate::record::forgotten::{Persons, persons_in};
use crate::record::history::Erased;
use crate::sqlite::{self, FileIdentity, SqliteError};

/// Rows that are looked at in one transaction.
const STEP_ROWS: i64 = 5_000;
/// How long a step waits for whoever writes.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// Removes it, and leaves nothing of it in the file's pages. Nothing when there is no file.
pub(super) fn forget(path: &Path, source: &Source, user: &UserId) -> Result<Erased, SqliteError> {
    // Opening would make it.
    if !path.exists() {
        return Ok(Erased::default());
    }
    let mut connection = open_to_write(path)?;
    let mut run = || -> rusqlite::Result<Erased> {
        connection.busy_timeout(BUSY_MAX)?;
        sqlite::overwrite_what_is_deleted(&connection, true)?;
        let mut erased = Erased::default();
        for table in ["deliveries", "bodies"] {
            // Of two rows one after the other the numbers may be far apart.
            let step = format!(
                "SELECT max(number) FROM (SELECT number FROM {table} WHERE number > ?1 ORDER BY number LIMIT ?2)"
            );
            let mut after = -1;
            while let Some(last) =
                connection.query_row(&step, [after, STEP_ROWS], |row| row.get::<_, Option<i64>>(0))?
            {
                let whose = Whose { after, last, source, user };
                if table == "deliveries" {
                    deliveries(&mut connection, whose, &mut erased)?;
                } else {
                    bodies(&mut connection, whose, &mut erased)?;
                }
                after = last;
            }
        }
        // The log holds what was; a reader that keeps it there leaves that to the next one.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(erased)
    };
    run().map_err(|error| SqliteError::new(path, error))
}

/// Rows of a table that are looked at, and whose of them go.
#[derive(Clone, Copy)]
struct Whose<'a> {
    after: i64,
    last: i64,
    source: &'a Source,
    user: &'a UserId,
}

fn deliveries(connection: &mut Connection, whose: Whose<'_>, erased: &mut Erased) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let which = "number > ?1 AND number <= ?2 AND user_id = ?3 AND source = ?4";
    let values = params![whose.after, whose.last, whose.user.as_str(), whose.source.as_str()];
    let of_them =
        format!("DELETE FROM earlier_attempts WHERE delivery IN (SELECT number FROM deliveries WHERE {which})");
    let earlier = transaction.prepare_cached(&of_them)?.execute(values)? as u64;
    let latest = format!("SELECT count(last_attempt) FROM deliveries WHERE {which}");
    let attempts = earlier + transaction.prepare_cached(&latest)?.query_row(values, |row| row.get::<_, u64>(0))?;
    let deliveries =
        transaction.prepare_cached(&format!("DELETE FROM deliveries WHERE {which}"))?.execute(values)? as u64;
    let counted = "UPDATE history_rows SET deliveries = max(deliveries - ?1, 0), attempts = max(attempts - ?2, 0)";
    transaction.execute(counted, (deliveries, attempts))?;
    transaction.commit()?;
    erased.deliveries += deliveries;
    erased.attempts += attempts;
    Ok(())
}

fn bodies(connection: &mut Connection, whose: Whose<'_>, erased: &mut Erased) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let which = "number > ?1 AND number <= ?2 AND user_id = ?3 AND source = ?4";
    let values = params![whose.after, whose.last, whose.user.as_str(), whose.source.as_str()];
    let bytes =
        format!("SELECT coalesce(sum(length(body) + {}), 0) FROM bodies WHERE {which}", super::bodies::ROW_BYTES);
    let bytes: u64 = transaction.prepare_cached(&bytes)?.query_row(values, |row| row.get(0))?;
    let gone = transaction.prepare_cached(&format!("DELETE FROM bodies WHERE {which}"))?.execute(values)? as u64;
    super::bodies::subtract_bytes(&transaction, bytes)?;
    transaction.commit()?;
    erased.bodies += gone;
    Ok(())
}

/// Who is forgotten, by the store's file, which is another than the history's.
#[derive(Debug)]
pub(super) struct ForgottenInFile {
    path: PathBuf,
    file: Option<(Connection, FileIdentity)>,
    /// As it was read last: while the file cannot be read, nobody can be noted in it either.
    known: Arc<Persons>,
}

impl ForgottenInFile {
    pub(super) fn of(store: &Path) -> Self {
        Self { path: store.to_owned(), file: None, known: Arc::default() }
    }

    /// Who is forgotten now.
    pub(super) fn look(&mut self) -> Arc<Persons> {
        if let Ok(persons) = self.read() {
            self.known = Arc::new(persons);
        }
        Arc::clone(&self.known)
    }

    fn read(&mut self) -> rusqlite::Result<Persons> {
        let is_same = |file: &(Connection, FileIdentity)| file.1.check().is_ok();
        let (connection, _) = match self.file.take().filter(is_same) {
            Some(file) => self.file.insert(file),
            None => {
                // Not made, if it is not there.
                let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                self.file.insert((connection, FileIdentity::of(&self.path)))
            }
        };
        persons_in(connection)
    }
}
