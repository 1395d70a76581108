//! The registry in a SQLite file, in tables of its own beside those of other modules.
//!
//! Two connections: one writes, one reads; the reader's `PRAGMA data_version` therefore moves with every change of the
//! file, ours and other processes' (sqlite.org/pragma.html#pragma_data_version). Since the dead letters move it too,
//! `registry_revision` counts the changes of the registry alone, in the transaction that makes them.
//!
//! `webhook_state` is what we found out at run time. It is kept apart from `webhooks` because the webhooks of the settings
//! file have a state and no row.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::Change;
use super::backend::{Created, Updated};
use super::cache::{Loaded, Step, bounded};
use super::room::is_full;
use super::row::{self, Columns};
use super::seal::Seals;
use crate::model::{Status, Timestamp, Webhook, WebhookId};
use crate::sqlite::{self, SqliteError, SqliteThread};

mod changing;
mod deactivating;
mod sealing;

pub(super) const STEPS: &[&str] = &[
    r#"
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        user_id TEXT,
        source TEXT NOT NULL,
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        secret TEXT NOT NULL,
        "on" TEXT NOT NULL,
        active INTEGER NOT NULL,
        options TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE webhook_state (
        id TEXT PRIMARY KEY,
        deactivated_reason TEXT NOT NULL,
        deactivated_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE webhook_tombstones (id TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL) STRICT;
    CREATE TABLE registry_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
    INSERT INTO registry_revision VALUES (1, 0);
"#,
    "ALTER TABLE webhooks ADD COLUMN sealed_by TEXT;",
    deactivating::STEP,
];

/// No data version that SQLite has.
const NOTHING_SEEN: i64 = i64::MIN;

/// The tables in a file.
#[derive(Debug)]
pub(super) struct SqliteStore {
    writer: SqliteThread,
    reader: SqliteThread,
    /// The reader's data version when it last read.
    seen: Arc<AtomicI64>,
    seals: Arc<Seals>,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the file, making it and the tables where they are absent, and seals anew what `seals` would seal otherwise.
    pub(super) fn open(path: &Path, seals: Seals) -> Result<Self, SqliteError> {
        let mut writer = sqlite::open(path)?;
        sqlite::migrate(&mut writer, path, "registry", STEPS)?;
        if sealing::seal_all_anew(&mut writer, &seals).map_err(|error| SqliteError::new(path, error))? {
            sqlite::ring_all(path);
        }
        let seals = Arc::new(seals);
        let reader = sqlite::open(path)?;
        Ok(Self {
            writer: SqliteThread::start("registry-write", path, writer)?,
            reader: SqliteThread::start("registry-read", path, reader)?,
            seen: Arc::new(AtomicI64::new(NOTHING_SEEN)),
            seals,
            path: path.to_owned(),
        })
    }

    /// Does `job`, which is a transaction, and tells every process of it; also when whoever asked for it has gone.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let path = self.path.clone();
        let job = move |connection: &mut Connection| job(connection).inspect(|_| sqlite::ring_all(&path));
        self.writer.write(job).await
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn load_unless(&self, known: Option<i64>) -> Result<Option<Loaded>, SqliteError> {
        let (seen, seals) = (Arc::clone(&self.seen), Arc::clone(&self.seals));
        let job = move |connection: &mut Connection| {
            let version: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if known.is_some() && seen.load(Ordering::Relaxed) == version {
                return Ok(None);
            }
            let transaction = connection.transaction()?;
            let loaded = match revision(&transaction)? {
                now if known == Some(now) => None,
                now => Some(load(&transaction, now, &seals)?),
            };
            // Noted last: what fails above is tried again, and so is what cannot be opened, by which the snapshot stays.
            if loaded.as_ref().is_none_or(|loaded: &Loaded| loaded.keys_missing.is_empty()) {
                seen.store(version, Ordering::Relaxed);
            }
            Ok(loaded)
        };
        self.reader.call(job).await
    }

    pub(super) async fn prune_tombstones(&self, before: Timestamp) -> Result<(), SqliteError> {
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            let gone =
                transaction.execute("DELETE FROM webhook_tombstones WHERE deleted_at < ?1", [before.as_millis()])?;
            if gone > 0 {
                bump(&transaction)?;
            }
            transaction.commit()
        };
        self.change(job).await
    }

    pub(super) async fn create(&self, webhook: Arc<Webhook>, max: usize) -> Result<Created, SqliteError> {
        let seals = Arc::clone(&self.seals);
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            let id = webhook.id.as_str();
            if exists(&transaction, "SELECT 1 FROM webhooks WHERE id = ?1", id)? {
                return Ok(Created::Taken);
            }
            if exists(&transaction, "SELECT 1 FROM webhook_tombstones WHERE id = ?1", id)? {
                return Ok(Created::Deleted);
            }
            if is_full(&transaction, &webhook, max)? {
                return Ok(Created::Full);
            }
            insert(&transaction, &webhook, &seals)?;
            // A webhook of the settings file may have had the id once, and been stopped.
            clear_state(&transaction, id)?;
            let step = bump(&transaction)?;
            transaction.commit()?;
            Ok(Created::Done(step))
        };
        self.change(job).await
    }

    pub(super) async fn update(&self, id: &WebhookId, change: Change, now: Timestamp) -> Result<Updated, SqliteError> {
        let (id, seals) = (id.clone(), Arc::clone(&self.seals));
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            sealing::seal_anew(&transaction, id.as_str(), &seals)?;
            if !changing::change_row(&transaction, &id, &change, now, &seals)? {
                return Ok(Updated::Absent);
            }
            if change.active == Some(true) {
                clear_state(&transaction, id.as_str())?;
            }
            let select = format!("SELECT {} FROM webhooks WHERE id = ?1", row::COLUMNS);
            let webhook = match transaction.query_row(&select, [id.as_str()], |row| Ok(row::read(row, &seals)))? {
                Ok(webhook) => Box::new(webhook),
                Err(why) => return Ok(Updated::Damaged(why)),
            };
            let stopped = deactivating::load_states(&transaction, &mut Vec::new(), Some(&id))?.remove(&id);
            let step = bump(&transaction)?;
            transaction.commit()?;
            Ok(Updated::Done(webhook, stopped, step))
        };
        self.change(job).await
    }

    pub(super) async fn delete(&self, id: &WebhookId, now: Timestamp) -> Result<Option<Step>, SqliteError> {
        let id = id.clone();
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            let id = id.as_str();
            if transaction.execute("DELETE FROM webhooks WHERE id = ?1", [id])? == 0 {
                return Ok(None);
            }
            clear_state(&transaction, id)?;
            transaction.execute("INSERT OR REPLACE INTO webhook_tombstones VALUES (?1, ?2)", (id, now.as_millis()))?;
            let step = bump(&transaction)?;
            transaction.commit()?;
            Ok(Some(step))
        };
        self.change(job).await
    }
}

fn no_json(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

impl Columns for Row<'_> {
    fn text(&self, name: &'static str) -> Result<String, String> {
        column(self, name)
    }

    fn text_or_null(&self, name: &'static str) -> Result<Option<String>, String> {
        column(self, name)
    }

    fn millis(&self, name: &'static str) -> Result<i64, String> {
        column(self, name)
    }

    fn flag(&self, name: &'static str) -> Result<bool, String> {
        column(self, name)
    }
}

fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, String> {
    row.get(name).map_err(|error| format!("{name}: {error}"))
}

fn immediate(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn exists(connection: &Connection, sql: &str, id: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.exists([id])
}

fn revision(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT revision FROM registry_revision", [], |row| row.get(0))
}

/// Counts a change; the last statement of every transaction that makes one.
fn bump(transaction: &Transaction<'_>) -> rusqlite::Result<Step> {
    let before = revision(transaction)?;
    let after = before.wrapping_add(1);
    transaction.execute("UPDATE registry_revision SET revision = ?1", [after])?;
    Ok(Step { before, after })
}

fn clear_state(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<usize> {
    transaction.execute("DELETE FROM webhook_state WHERE id = ?1", [id])
}

fn insert(transaction: &Transaction<'_>, webhook: &Webhook, seals: &Seals) -> rusqlite::Result<usize> {
    let columns = row::COLUMNS;
    let sql = format!("INSERT INTO webhooks ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    let sealed = |column, text: &str| sealing::seal(seals, webhook.id.as_str(), column, text);
    transaction.prepare_cached(&sql)?.execute((
        webhook.id.as_str(),
        webhook.owner.user().map(|user| user.as_str()),
        webhook.source.as_str(),
        &webhook.name,
        sealed("url", webhook.url.as_str())?,
        sealed("secret", webhook.secret.expose())?,
        row::write_on(&webhook.on).map_err(no_json)?,
        webhook.status == Status::Active,
        sealed("options", &row::write_options(&webhook.options).map_err(no_json)?)?,
        webhook.created_at.as_millis(),
        webhook.updated_at.as_millis(),
        seals.sealed_by(),
    ))
}

fn load(connection: &Connection, revision: i64, seals: &Seals) -> rusqlite::Result<Loaded> {
    let mut problems = Vec::new();
    let keys_missing = sealing::keys_missing(connection, seals)?;
    let webhooks = load_webhooks(connection, &mut problems, seals)?;
    let deactivated = deactivating::load_states(connection, &mut problems, None)?;
    let tombstones = load_tombstones(connection)?;
    Ok(Loaded { revision, webhooks, deactivated, tombstones, keys_missing, problems: bounded(problems) })
}

fn load_webhooks(connection: &Connection, problems: &mut Vec<String>, seals: &Seals) -> rusqlite::Result<Vec<Webhook>> {
    let mut webhooks = Vec::new();
    let mut statement =
        connection.prepare_cached(&format!("SELECT {} FROM webhooks ORDER BY created_at, id", row::COLUMNS))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match row::read(row, seals) {
            Ok(webhook) => webhooks.push(webhook),
            Err(why) => {
                let id: String = row.get("id").unwrap_or_else(|_| "(whose id is no text)".to_owned());
                problems.push(row::skipped(&id, &why));
            }
        }
    }
    Ok(webhooks)
}

pub(super) fn load_tombstones(connection: &Connection) -> rusqlite::Result<HashSet<WebhookId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM webhook_tombstones")?;
    let ids = statement.query_map([], |row| Ok(row.get::<_, String>(0).ok()))?;
    let mut tombstones = HashSet::new();
    for id in ids {
        // What is no id cannot be asked for.
        tombstones.extend(id?.and_then(|id| WebhookId::new(&id).ok()));
    }
    Ok(tombstones)
}
