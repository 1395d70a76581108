//! The latest attempts in a SQLite file. Several workers may write: the later attempt stands, and of a webhook that each of
//! them finds failing, the first beginning and the longest time, until one of them has a success.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use super::LatestAttempt;
use super::waiting::Noted;
use crate::model::{Streak, Timestamp, WebhookId};
use crate::sqlite::{self, SqliteError, SqliteThread};

pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE webhook_latest (
        webhook TEXT PRIMARY KEY,
        sent_at INTEGER NOT NULL,
        status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 65535)
    ) STRICT;
",
    "
    ALTER TABLE webhook_latest ADD COLUMN failing_since INTEGER;
    ALTER TABLE webhook_latest ADD COLUMN failing_ms INTEGER;
",
];

/// ?6: whether what was known of its failing counts no more.
const WRITE: &str = "
    INSERT INTO webhook_latest (webhook, sent_at, status, failing_since, failing_ms) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (webhook) DO UPDATE SET
        sent_at = max(sent_at, excluded.sent_at),
        status = CASE WHEN excluded.sent_at >= sent_at THEN excluded.status ELSE status END,
        failing_since = CASE WHEN ?6 THEN excluded.failing_since ELSE coalesce(failing_since, excluded.failing_since) END,
        failing_ms = CASE
            WHEN ?6 OR failing_ms IS NULL THEN excluded.failing_ms
            WHEN excluded.failing_ms IS NULL THEN failing_ms
            ELSE max(failing_ms, excluded.failing_ms)
        END
";

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

    pub(super) async fn write(&self, batch: Arc<Vec<(WebhookId, Noted)>>) -> Result<(), SqliteError> {
        let job = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut statement = transaction.prepare_cached(WRITE)?;
            for (webhook, noted) in batch.iter() {
                let since = noted.streak.map(|streak| streak.since.as_millis());
                let lasted = noted.streak.map(|streak| i64::try_from(streak.lasted.as_millis()).unwrap_or(i64::MAX));
                let (sent_at, status) = (noted.sent_at.as_millis(), noted.status);
                statement.execute((webhook.as_str(), sent_at, status, since, lasted, noted.anew))?;
            }
            drop(statement);
            transaction.commit()
        };
        self.thread.write(job).await
    }

    pub(super) async fn of(&self, webhook: &WebhookId) -> Result<Option<LatestAttempt>, SqliteError> {
        let webhook = webhook.clone();
        let sql = "SELECT sent_at, status, failing_since, failing_ms FROM webhook_latest WHERE webhook = ?1";
        let job = move |connection: &mut Connection| {
            connection.prepare_cached(sql)?.query_row([webhook.as_str()], read).optional()
        };
        self.thread.call(job).await
    }

    pub(super) async fn all(&self) -> Result<HashMap<WebhookId, LatestAttempt>, SqliteError> {
        let job = |connection: &mut Connection| {
            let sql = "SELECT sent_at, status, failing_since, failing_ms, webhook FROM webhook_latest";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut all = HashMap::new();
            while let Some(row) = rows.next()? {
                // What is no id names no webhook, so nobody asks for it.
                if let Some(webhook) = row.get::<_, String>(4).ok().and_then(|id| WebhookId::new(&id).ok()) {
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
        self.thread.write(job).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<LatestAttempt> {
    let failing = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis).zip(row.get::<_, Option<i64>>(3)?);
    Ok(LatestAttempt {
        sent_at: Timestamp::from_millis(row.get(0)?),
        status: row.get(1)?,
        failing: failing
            .map(|(since, ms)| Streak { since, lasted: Duration::from_millis(u64::try_from(ms).unwrap_or(0)) }),
    })
}
