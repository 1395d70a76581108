//! Which webhooks we stopped, and whose owners are still to be told so.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::{SqliteStore, bump, clear_state, immediate};
use crate::model::{Deactivation, DeactivationReason, Timestamp, WebhookId};
use crate::registry::Announcement;
use crate::registry::cache::Step;
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
        self.writer.write(job).await
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
        self.writer.write(job).await
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
                // What is no id names no webhook, so there is nobody to tell.
                if let Ok(webhook) = WebhookId::new(&row.get::<_, String>(0)?) {
                    all.push(Announcement { webhook, deactivation: deactivation(row)?.0 });
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
        let (Ok(id), Ok((deactivation, unknown))) = (row.get::<_, String>(0), deactivation(row)) else {
            problems.push("a row of webhook_state is skipped: it is no text".to_owned());
            continue;
        };
        let Ok(id) = WebhookId::new(&id) else {
            problems.push(format!("a row of webhook_state is skipped: {id:?} is no webhook's id"));
            continue;
        };
        if let Some(reason) = unknown {
            problems.push(format!(
                "the webhook {id} was deactivated for a reason that is unknown here, {reason:?}; it is taken for failing"
            ));
        }
        states.insert(id, deactivation);
    }
    Ok(states)
}

/// Reads the columns after the id: reason, time, since when it was failing; and the reason's name when it is unknown here.
/// Stopped for such a reason is still stopped: a newer hikyaku may have written it.
fn deactivation(row: &Row<'_>) -> rusqlite::Result<(Deactivation, Option<String>)> {
    let name: String = row.get(1)?;
    let known = DeactivationReason::from_name(&name);
    let deactivation = Deactivation {
        reason: known.unwrap_or(DeactivationReason::Failing),
        at: Timestamp::from_millis(row.get(2)?),
        failing_since: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
    };
    Ok((deactivation, known.is_none().then_some(name)))
}
