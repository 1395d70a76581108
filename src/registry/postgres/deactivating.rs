//! Which webhooks we stopped, and whose owners are still to be told so.

use std::collections::HashMap;

use super::{Changing, PostgresRegistry, column};
use crate::model::{Deactivation, Timestamp, WebhookId};
use crate::postgres::{Row, Statements};
use crate::registry::Announcement;
use crate::registry::cache::Step;
use crate::registry::state::StateRow;
use crate::store::StoreError;

impl PostgresRegistry {
    pub(in crate::registry) async fn deactivate(
        &self,
        id: &WebhookId,
        stopped: Deactivation,
        declared: bool,
        seen: Timestamp,
    ) -> Result<Option<Step>, StoreError> {
        let mut session = self.postgres.session().await?;
        let mut change = Changing::begin(&mut session).await?;
        let statements = change.statements();
        let unchanged = "SELECT 1 FROM webhooks WHERE id = $1 AND updated_at <= $2";
        let is_there = declared || statements.query_opt(unchanged, &[&id.as_str(), &seen.as_millis()]).await?.is_some();
        if !is_there || !insert(statements, "webhook_state", id, &stopped).await? {
            change.give_up().await?;
            return Ok(None);
        }
        insert(statements, "webhook_announcements", id, &stopped).await?;
        Ok(Some(change.finish(&self.postgres).await?))
    }

    pub(in crate::registry) async fn reactivate(&self, id: &WebhookId) -> Result<Option<Step>, StoreError> {
        let mut session = self.postgres.session().await?;
        let mut change = Changing::begin(&mut session).await?;
        if clear_state(change.statements(), id.as_str()).await? == 0 {
            change.give_up().await?;
            return Ok(None);
        }
        Ok(Some(change.finish(&self.postgres).await?))
    }

    pub(in crate::registry) async fn announcements(&self, max: usize) -> Result<Vec<Announcement>, StoreError> {
        let sql = "SELECT id, reason, at, failing_since FROM webhook_announcements ORDER BY at, id LIMIT $1";
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let rows = self.postgres.session().await?.query(sql, &[&max]).await?;
        let mut all = Vec::new();
        for row in &rows {
            let state = state(row, "reason", "at").map_err(StoreError::Unwritable)?;
            // What is no id names no webhook, so there is nobody to tell.
            if let Ok(webhook) = WebhookId::new(&state.id) {
                all.push(Announcement { webhook, deactivation: state.deactivation() });
            }
        }
        Ok(all)
    }

    pub(in crate::registry) async fn announced(&self, told: Announcement) -> Result<(), StoreError> {
        let sql = "DELETE FROM webhook_announcements WHERE id = $1 AND at = $2";
        let (id, at) = (told.webhook.as_str(), told.deactivation.at.as_millis());
        self.postgres.session().await?.execute(sql, &[&id, &at]).await?;
        Ok(())
    }
}

/// Adds a row to `table`; false when there is one.
async fn insert(
    statements: &mut Statements,
    table: &str,
    id: &WebhookId,
    stopped: &Deactivation,
) -> Result<bool, StoreError> {
    let sql = format!("INSERT INTO {table} VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING");
    let since = stopped.failing_since.map(Timestamp::as_millis);
    let (id, reason, at) = (id.as_str(), stopped.reason.as_str(), stopped.at.as_millis());
    Ok(statements.execute(&sql, &[&id, &reason, &at, &since]).await? > 0)
}

pub(super) async fn clear_state(statements: &mut Statements, id: &str) -> Result<u64, StoreError> {
    Ok(statements.execute("DELETE FROM webhook_state WHERE id = $1", &[&id]).await?)
}

/// Which webhooks we stopped: all, or only `one`.
pub(super) async fn load_states(
    statements: &mut Statements,
    problems: &mut Vec<String>,
    one: Option<&WebhookId>,
) -> Result<HashMap<WebhookId, Deactivation>, StoreError> {
    let sql = "SELECT id, deactivated_reason, deactivated_at, failing_since FROM webhook_state \
        WHERE $1::text IS NULL OR id = $1";
    let mut states = HashMap::new();
    for row in statements.query(sql, &[&one.map(WebhookId::as_str)]).await? {
        match state(&row, "deactivated_reason", "deactivated_at") {
            Ok(state) => states.extend(state.read(problems)),
            Err(why) => problems.push(format!("a row of webhook_state is skipped: {why}")),
        }
    }
    Ok(states)
}

fn state(row: &Row, reason: &str, at: &str) -> Result<StateRow, String> {
    Ok(StateRow {
        id: column(row, "id")?,
        reason: column(row, reason)?,
        at: column(row, at)?,
        failing_since: column(row, "failing_since")?,
    })
}
