//! Which webhooks we stopped, and whose owners are still to be told so.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::{SqliteStore, bump, clear_state, immediate};
use crate::model::{Deactivation, Timestamp, WebhookId};
use crate::registry::Announcement;
use crate::registry::cache::Step;
use crate::registry::state::StateRow;
use crate::sqlite::SqliteError;

/// Since when they had been failing; and the announcements, each made with its deactivation.
pub(super) const STEP: &str = "
    ALTER TABLE webhook_state ADD COLUMN failing_since INTEGER;
    CREATE TABLE webhook_announcements (
        id TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        failing_since INTEGER,
        PRIMARY KEY (id, at)
    ) STRICT;
";

impl SqliteStore {
    /// Notes that we stopped a webhook, and that this is to be told; nothing when we had, or when it is neither in the store
    /// nor `declared`, or was changed after `seen`.
    pub(in crate::registry) async fn deactivate(
        &self,
        id: &WebhookId,
        stopped: Deactivation,
        declared: bool,
        seen: Timestamp,
    ) -> Result<Option<Step>, SqliteError> {
        let id = id.clone();
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            let unchanged = "SELECT 1 FROM webhooks WHERE id = ?1 AND updated_at <= ?2";
            let is_there =
                declared || transaction.prepare_cached(unchanged)?.exists((id.as_str(), seen.as_millis()))?;
            if !is_there {
                return Ok(None);
            }
            let row = (
                id.as_str(),
                stopped.reason.as_str(),
                stopped.at.as_millis(),
                stopped.failing_since.map(Timestamp::as_millis),
            );
            let into = |table: &str| format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2, ?3, ?4)");
            if transaction.execute(&into("webhook_state"), row)? == 0 {
                return Ok(None);
            }
            transaction.execute(&into("webhook_announcements"), row)?;
            let step = bump(&transaction)?;
            transaction.commit()?;
            Ok(Some(step))
        };
        self.change(job).await
    }

    /// Forgets that we stopped a webhook; nothing when we had not.
    pub(in crate::registry) async fn reactivate(&self, id: &WebhookId) -> Result<Option<Step>, SqliteError> {
        let id = id.clone();
        let job = move |connection: &mut Connection| {
            let transaction = immediate(connection)?;
            if clear_state(&transaction, id.as_str())? == 0 {
                return Ok(None);
            }
            let step = bump(&transaction)?;
            transaction.commit()?;
            Ok(Some(step))
        };
        self.change(job).await
    }

    /// What is still to be told, the oldest first, at most `max`.
    pub(in crate::registry) async fn announcements(&self, max: usize) -> Result<Vec<Announcement>, SqliteError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let job = move |connection: &mut Connection| {
            let sql = "SELECT id, reason, at, failing_since FROM webhook_announcements ORDER BY at, id LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([max])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let state = state(row)?;
                // What is no id names no webhook, so there is nobody to tell.
                if let Ok(webhook) = WebhookId::new(&state.id) {
                    all.push(Announcement { webhook, deactivation: state.deactivation() });
                }
            }
            Ok(all)
        };
        self.reader.call(job).await
    }

    /// Forgets what was told.
    pub(in crate::registry) async fn announced(&self, told: Announcement) -> Result<(), SqliteError> {
        let job = move |connection: &mut Connection| {
            let key = (told.webhook.as_str(), told.deactivation.at.as_millis());
            connection.execute("DELETE FROM webhook_announcements WHERE id = ?1 AND at = ?2", key)?;
            Ok(())
        };
        self.writer.write(job).await
    }
}

/// Which webhooks we stopped: all, or only `one`.
pub(super) fn load_states(
    connection: &Connection,
    problems: &mut Vec<String>,
    one: Option<&WebhookId>,
) -> rusqlite::Result<HashMap<WebhookId, Deactivation>> {
    let sql = "SELECT id, deactivated_reason, deactivated_at, failing_since FROM webhook_state \
        WHERE ?1 IS NULL OR id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut states = HashMap::new();
    let mut rows = statement.query([one.map(WebhookId::as_str)])?;
    while let Some(row) = rows.next()? {
        match state(row) {
            Ok(state) => states.extend(state.read(problems)),
            Err(_) => problems.push("a row of webhook_state is skipped: it is no text".to_owned()),
        }
    }
    Ok(states)
}

fn state(row: &Row<'_>) -> rusqlite::Result<StateRow> {
    Ok(StateRow { id: row.get(0)?, reason: row.get(1)?, at: row.get(2)?, failing_since: row.get(3)? })
}
