//! The latest attempts in a SQLite file. Several workers may write: the later attempt stands.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use super::LatestAttempt;
use crate::model::{Timestamp, WebhookId};
use crate::sqlite::{self, SqliteError, SqliteThread};

const STEPS: &[&str] = &["
    CREATE TABLE webhook_latest (
        webhook TEXT PRIMARY KEY,
        sent_at INTEGER NOT NULL,
        status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 65535)
    ) STRICT;
"];

/// The table in a file.
#[derive(Debug)]
pub(super) struct SqliteLatest {
    thread: SqliteThread,
}

impl SqliteLatest {
    /// Opens the file, making it and the table where they are absent.
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let mut connection = sqlite::open(path)?;
        sqlite::migrate(&mut connection, path, "latest", STEPS)?;
        Ok(Self { thread: SqliteThread::start("latest", path, connection)? })
    }

    pub(super) async fn write(&self, batch: Arc<Vec<(WebhookId, LatestAttempt)>>) -> Result<(), SqliteError> {
        let sql = "INSERT INTO webhook_latest (webhook, sent_at, status) VALUES (?1, ?2, ?3) ON CONFLICT (webhook) \
            DO UPDATE SET sent_at = excluded.sent_at, status = excluded.status WHERE excluded.sent_at >= sent_at";
        let job = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut statement = transaction.prepare_cached(sql)?;
            for (webhook, attempt) in batch.iter() {
                statement.execute((webhook.as_str(), attempt.sent_at.as_millis(), attempt.status))?;
            }
            drop(statement);
            transaction.commit()
        };
        self.thread.call(job).await
    }

    pub(super) async fn of(&self, webhook: &WebhookId) -> Result<Option<LatestAttempt>, SqliteError> {
        let webhook = webhook.clone();
        let sql = "SELECT sent_at, status FROM webhook_latest WHERE webhook = ?1";
        let job = move |connection: &mut Connection| {
            connection.prepare_cached(sql)?.query_row([webhook.as_str()], read).optional()
        };
        self.thread.call(job).await
    }

    pub(super) async fn all(&self) -> Result<HashMap<WebhookId, LatestAttempt>, SqliteError> {
        let job = |connection: &mut Connection| {
            let mut statement = connection.prepare_cached("SELECT sent_at, status, webhook FROM webhook_latest")?;
            let mut rows = statement.query([])?;
            let mut all = HashMap::new();
            while let Some(row) = rows.next()? {
                // What is no id names no webhook, so nobody asks for it.
                if let Some(webhook) = row.get::<_, String>(2).ok().and_then(|id| WebhookId::new(&id).ok()) {
                    all.insert(webhook, read(row)?);
                }
            }
            Ok(all)
        };
        self.thread.call(job).await
    }

    pub(super) async fn forget(&self, webhook: &WebhookId) -> Result<(), SqliteError> {
        let webhook = webhook.clone();
        let job = move |connection: &mut Connection| {
            connection.execute("DELETE FROM webhook_latest WHERE webhook = ?1", [webhook.as_str()])?;
            Ok(())
        };
        self.thread.call(job).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<LatestAttempt> {
    Ok(LatestAttempt { sent_at: Timestamp::from_millis(row.get(0)?), status: row.get(1)? })
}
