//! The dead letters in a SQLite file.
//!
//! One connection writes and one reads, so that a count of a million rows holds up no drainer. `dead_letters_total` is
//! kept by triggers: whoever changes the table, it is right.

mod forgetting;
mod listing;
mod replays;
mod row;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter};

use self::forgetting::is_forgotten;
use self::listing::{Terms, Walk, page, purge_page};
use super::page::Bounds;
use super::{Cursor, DeadLetter, Filter, Held, Page, Purged, ReplayTurn, STEP_ROWS, Summary, rest};
use crate::model::{DeliveryId, Timestamp, WebhookId};
use crate::record::RecordError;
use crate::sqlite::{self, FileLock, SqliteError, SqliteThread};

pub(super) const STEPS: &[&str] = &[FIRST_STEP, replays::STEP, forgetting::STEP];

const FIRST_STEP: &str = "
    CREATE TABLE dead_letters (
        delivery_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        webhook TEXT NOT NULL,
        reason TEXT NOT NULL,
        died_at INTEGER NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        user_id TEXT,
        source TEXT NOT NULL,
        server TEXT,
        created_at INTEGER NOT NULL,
        accepted_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        last_outcome TEXT,
        last_status INTEGER,
        last_error TEXT,
        since INTEGER NOT NULL,
        body BLOB NOT NULL, -- last, so that the other columns are read without walking over it
        PRIMARY KEY (delivery_id, generation)
    ) STRICT;
    CREATE INDEX dead_letters_by_time ON dead_letters (died_at, delivery_id);
    CREATE INDEX dead_letters_by_webhook ON dead_letters (webhook, died_at, delivery_id);
    CREATE INDEX dead_letters_by_type ON dead_letters (type, died_at, delivery_id);
    CREATE INDEX dead_letters_by_reason ON dead_letters (reason, died_at, delivery_id);
    CREATE TABLE dead_letters_total (one INTEGER PRIMARY KEY CHECK (one = 1), total INTEGER NOT NULL) STRICT;
    INSERT INTO dead_letters_total VALUES (1, 0);
    CREATE TRIGGER dead_letters_added AFTER INSERT ON dead_letters
        BEGIN UPDATE dead_letters_total SET total = total + 1; END;
    CREATE TRIGGER dead_letters_removed AFTER DELETE ON dead_letters
        BEGIN UPDATE dead_letters_total SET total = total - 1; END;
";

/// The tables in a file.
#[derive(Debug)]
pub(super) struct SqliteDeadLetters {
    path: PathBuf,
    writer: SqliteThread,
    reader: SqliteThread,
    /// The total as of our last transaction.
    total: Arc<AtomicU64>,
}

impl SqliteDeadLetters {
    /// Opens the file, making it and the tables where they are absent.
    pub(super) async fn open(path: &Path) -> Result<Self, SqliteError> {
        let mut writer = sqlite::open(path)?;
        // Of who is forgotten no letter is left in free pages that went before, replayed or purged.
        sqlite::overwrite_what_is_deleted(&writer, true).map_err(|error| SqliteError::new(path, error))?;
        sqlite::migrate(&mut writer, path, "dead_letters", STEPS)?;
        let reader = sqlite::open(path)?;
        let store = Self {
            path: path.to_owned(),
            writer: SqliteThread::start("letters-write", path, writer)?,
            reader: SqliteThread::start("letters-read", path, reader)?,
            total: Arc::default(),
        };
        let total = store.reader.call(|connection| read_total(connection)).await?;
        store.total.store(total, Ordering::Relaxed);
        Ok(store)
    }

    /// Takes the lock beside the file, which the system frees when the process ends.
    pub(super) async fn replay_turn(&self) -> Result<ReplayTurn, RecordError> {
        match FileLock::take(&self.path, "replay") {
            Ok(Some(lock)) => Ok(ReplayTurn { _held: Held::File(lock) }),
            Ok(None) => Err(RecordError::ReplayPresent),
            Err(error) => Err(RecordError::ReplayLock(Arc::new(error))),
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) async fn add(&self, letters: Vec<DeadLetter>) -> Result<u64, SqliteError> {
        if letters.is_empty() {
            return Ok(0);
        }
        let job = move |transaction: &Transaction<'_>| {
            letters.iter().try_fold(0, |added, letter| Ok(added + add_one(transaction, letter)?))
        };
        self.write(job).await
    }

    pub(super) async fn list(
        &self,
        filter: Filter,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<Page<Summary>, SqliteError> {
        let job = move |connection: &mut Connection| {
            let walk = Walk::of(connection, &filter, after.as_ref())?;
            page(connection, row::SUMMARY_COLUMNS, &walk, Bounds::of_summaries(limit), row::read_summary)
        };
        self.reader.call(job).await
    }

    pub(super) async fn read(
        &self,
        filter: Filter,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<Page<DeadLetter>, SqliteError> {
        let job = move |connection: &mut Connection| {
            let walk = Walk::of(connection, &filter, after.as_ref())?;
            page(connection, row::LETTER_COLUMNS, &walk, Bounds::of_letters(limit), row::read_letter)
        };
        self.reader.call(job).await
    }

    pub(super) async fn show(&self, id: &DeliveryId) -> Result<Option<Result<DeadLetter, String>>, SqliteError> {
        let id = id.as_str().to_owned();
        let sql = format!(
            "SELECT {} FROM dead_letters WHERE delivery_id = ?1 ORDER BY generation DESC LIMIT 1",
            row::LETTER_COLUMNS
        );
        let job = move |connection: &mut Connection| {
            connection.prepare_cached(&sql)?.query_row([id], |row| Ok(row::read_letter(row))).optional()
        };
        self.reader.call(job).await
    }

    pub(super) async fn count(&self, filter: Filter) -> Result<u64, SqliteError> {
        let job = move |connection: &mut Connection| {
            let terms = Terms::new(&filter, None);
            let sql = format!("SELECT count(*) FROM dead_letters WHERE {}", terms.sql());
            connection.prepare_cached(&sql)?.query_row(params_from_iter(terms.values), |row| row.get(0))
        };
        self.reader.call(job).await
    }

    pub(super) async fn count_by_webhook(&self, filter: Filter) -> Result<Vec<(WebhookId, u64)>, SqliteError> {
        let job = move |connection: &mut Connection| {
            let terms = Terms::new(&filter, None);
            let sql = format!("SELECT webhook, count(*) FROM dead_letters WHERE {} GROUP BY webhook", terms.sql());
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(terms.values), |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
            })?;
            rows.filter_map(|row| row.map(|(id, count)| Some((WebhookId::new(&id).ok()?, count))).transpose()).collect()
        };
        self.reader.call(job).await
    }

    pub(super) async fn remove(&self, letters: Vec<(DeliveryId, u32)>) -> Result<u64, SqliteError> {
        let mut removed = 0;
        for step in letters.chunks(STEP_ROWS as usize) {
            let (step, began) = (step.to_vec(), Instant::now());
            let is_last = step.len() < STEP_ROWS as usize;
            removed += self.write(move |transaction| remove_step(transaction, &step)).await?;
            if !is_last {
                rest(began).await;
            }
        }
        Ok(removed)
    }

    /// A step of a purge: removes at most [`STEP_ROWS`] of what `filter` lets through behind `after`.
    pub(super) async fn purge_page(&self, filter: Filter, after: Option<Cursor>) -> Result<Purged, SqliteError> {
        let job = move |transaction: &Transaction<'_>| {
            purge_page(transaction, &Walk::of(transaction, &filter, after.as_ref())?, STEP_ROWS)
        };
        self.write(job).await
    }

    /// Removes what died before `oldest`.
    pub(super) async fn prune_older(&self, oldest: Timestamp) -> Result<u64, SqliteError> {
        let filter = Filter { until: Some(oldest), ..Filter::default() };
        self.remove_steps(&Terms::new(&filter, None), "ORDER BY died_at", u64::MAX).await
    }

    /// Removes the oldest beyond `count_max`.
    pub(super) async fn prune_beyond(&self, count_max: u64) -> Result<u64, SqliteError> {
        // Where the changes are made, so that no older total replaces a newer one.
        let held = Arc::clone(&self.total);
        let read = move |connection: &mut Connection| {
            let total = read_total(connection)?;
            held.store(total, Ordering::Relaxed);
            Ok(total)
        };
        let total = self.writer.call(read).await?;
        let excess = total.saturating_sub(count_max);
        self.remove_steps(&Terms::new(&Filter::default(), None), "ORDER BY died_at, delivery_id", excess).await
    }

    /// Removes at most `rows_max` rows for which `terms` hold, in `order`, a step at a time.
    async fn remove_steps(&self, terms: &Terms, order: &'static str, rows_max: u64) -> Result<u64, SqliteError> {
        let mut removed: u64 = 0;
        while removed < rows_max {
            let step = (rows_max - removed).min(u64::from(STEP_ROWS));
            let (terms, began) = (terms.clone(), Instant::now());
            let gone = self
                .write(move |transaction| {
                    let sql = format!(
                        "DELETE FROM dead_letters WHERE rowid IN \
                            (SELECT rowid FROM dead_letters WHERE {} {order} LIMIT {step})",
                        terms.sql()
                    );
                    transaction.prepare_cached(&sql)?.execute(params_from_iter(terms.values))
                })
                .await?;
            let gone = gone as u64;
            removed += gone;
            if gone < step {
                break;
            }
            rest(began).await;
        }
        Ok(removed)
    }

    /// Runs `job` as one transaction and takes the total over.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let total = Arc::clone(&self.total);
        let job = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = job(&transaction)?;
            let now = read_total(&transaction)?;
            transaction.commit()?;
            // Here and not by the caller, who may be gone by now.
            total.store(now, Ordering::Relaxed);
            Ok(value)
        };
        self.writer.write(job).await
    }
}

fn read_total(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT max(total, 0) FROM dead_letters_total", [], |row| row.get(0))
}

/// Adds the letter, unless it is there, or superseded, or of somebody who was forgotten; tells how many letters that adds.
fn add_one(transaction: &Transaction<'_>, letter: &DeadLetter) -> rusqlite::Result<u64> {
    let key = (letter.id.as_str(), letter.delivery.generation);
    let newer = "SELECT 1 FROM dead_letters WHERE delivery_id = ?1 AND generation > ?2";
    if transaction.prepare_cached(newer)?.exists(key)?
        || replays::is_replayed(transaction, &letter.id, letter.delivery.generation)?
        || is_forgotten(transaction, &letter.event)?
    {
        return Ok(0);
    }
    let older = "DELETE FROM dead_letters WHERE delivery_id = ?1 AND generation < ?2";
    transaction.prepare_cached(older)?.execute(key)?;
    Ok(row::insert(transaction, letter)? as u64)
}

fn remove_step(transaction: &Transaction<'_>, letters: &[(DeliveryId, u32)]) -> rusqlite::Result<u64> {
    let mut statement =
        transaction.prepare_cached("DELETE FROM dead_letters WHERE delivery_id = ?1 AND generation = ?2")?;
    let mut removed = 0;
    for (id, generation) in letters {
        removed += statement.execute((id.as_str(), generation))? as u64;
    }
    Ok(removed)
}
