//! Changes of one webhook's row.
//!
//! What signs is changed as it stands in the row: two who set a secret at the same time, in whatever process, leave both signing.

use std::sync::Arc;

use super::{Changing, PostgresRegistry, deactivating, sealing};
use crate::model::{Status, Timestamp, Webhook, WebhookId};
use crate::postgres::Statements;
use crate::registry::Change;
use crate::registry::backend::{Created, Updated};
use crate::registry::cache::Step;
use crate::registry::row;
use crate::registry::seal::Seals;
use crate::store::StoreError;

impl PostgresRegistry {
    pub(in crate::registry) async fn create(&self, webhook: Arc<Webhook>, max: usize) -> Result<Created, StoreError> {
        let mut session = self.postgres.session().await?;
        let mut change = Changing::begin(&mut session).await?;
        let id = webhook.id.as_str();
        let statements = change.statements();
        let refused = if exists(statements, "SELECT 1 FROM webhooks WHERE id = $1", id).await? {
            Some(Created::Taken)
        } else if exists(statements, "SELECT 1 FROM webhook_tombstones WHERE id = $1", id).await? {
            Some(Created::Deleted)
        } else if is_full(statements, &webhook, max).await? {
            Some(Created::Full)
        } else {
            None
        };
        if let Some(refused) = refused {
            change.give_up().await?;
            return Ok(refused);
        }
        insert(statements, &webhook, &self.seals).await?;
        // A webhook of the settings file may have had the id once, and been stopped.
        deactivating::clear_state(statements, id).await?;
        Ok(Created::Done(change.finish(&self.postgres).await?))
    }

    pub(in crate::registry) async fn update(
        &self,
        id: &WebhookId,
        change: Change,
        now: Timestamp,
    ) -> Result<Updated, StoreError> {
        let mut session = self.postgres.session().await?;
        let mut changing = Changing::begin(&mut session).await?;
        let statements = changing.statements();
        sealing::seal_anew(statements, id.as_str(), &self.seals).await?;
        if !change_row(statements, id, &change, now, &self.seals).await? {
            changing.give_up().await?;
            return Ok(Updated::Absent);
        }
        if change.active == Some(true) {
            deactivating::clear_state(statements, id.as_str()).await?;
        }
        let read = select(statements, id).await?.map(|row| row::read(&row, &self.seals));
        let webhook = match read {
            Some(Ok(webhook)) => Box::new(webhook),
            Some(Err(why)) => {
                changing.give_up().await?;
                return Ok(Updated::Damaged(why));
            }
            None => return Ok(Updated::Absent),
        };
        let stopped = deactivating::load_states(statements, &mut Vec::new(), Some(id)).await?.remove(id);
        Ok(Updated::Done(webhook, stopped, changing.finish(&self.postgres).await?))
    }

    pub(in crate::registry) async fn delete(&self, id: &WebhookId, now: Timestamp) -> Result<Option<Step>, StoreError> {
        let mut session = self.postgres.session().await?;
        let mut change = Changing::begin(&mut session).await?;
        let id = id.as_str();
        let statements = change.statements();
        if statements.execute("DELETE FROM webhooks WHERE id = $1", &[&id]).await? == 0 {
            change.give_up().await?;
            return Ok(None);
        }
        deactivating::clear_state(statements, id).await?;
        let tombstone = "INSERT INTO webhook_tombstones VALUES ($1, $2) \
            ON CONFLICT (id) DO UPDATE SET deleted_at = excluded.deleted_at";
        statements.execute(tombstone, &[&id, &now.as_millis()]).await?;
        Ok(Some(change.finish(&self.postgres).await?))
    }
}

async fn exists(statements: &mut Statements, sql: &str, id: &str) -> Result<bool, StoreError> {
    Ok(statements.query_opt(sql, &[&id]).await?.is_some())
}

/// Whether the owner of `webhook` has `max` webhooks of its source in the store already. What is stored counts, readable or not.
async fn is_full(statements: &mut Statements, webhook: &Webhook, max: usize) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM webhooks WHERE user_id IS NOT DISTINCT FROM $1 AND source = $2";
    let user = webhook.owner.user().map(|user| user.as_str());
    let row = statements.query_opt(sql, &[&user, &webhook.source.as_str()]).await?;
    let count: i64 = row.map_or(0, |row| row.get(0));
    Ok(usize::try_from(count).unwrap_or(usize::MAX) >= max)
}

async fn insert(statements: &mut Statements, webhook: &Webhook, seals: &Seals) -> Result<(), StoreError> {
    let columns = row::COLUMNS;
    let sql = format!("INSERT INTO webhooks ({columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
    let sealed = |column, text: &str| sealing::seal(seals, webhook.id.as_str(), column, text);
    let options = row::write_options(&webhook.options).map_err(sealing::no_json)?;
    statements
        .execute(
            &sql,
            &[
                &webhook.id.as_str(),
                &webhook.owner.user().map(|user| user.as_str()),
                &webhook.source.as_str(),
                &webhook.name,
                &sealed("url", webhook.url.as_str())?,
                &sealed("secret", webhook.secret.expose())?,
                &row::write_on(&webhook.on).map_err(sealing::no_json)?,
                &(webhook.status == Status::Active),
                &sealed("options", &options)?,
                &webhook.created_at.as_millis(),
                &webhook.updated_at.as_millis(),
                &seals.sealed_by(),
            ],
        )
        .await?;
    Ok(())
}

async fn select(statements: &mut Statements, id: &WebhookId) -> Result<Option<crate::postgres::Row>, StoreError> {
    let select = format!("SELECT {} FROM webhooks WHERE id = $1", row::COLUMNS);
    Ok(statements.query_opt(&select, &[&id.as_str()]).await?)
}

/// Sets what `change` has, leaving the rest even where it cannot be read; tells whether there is such a row. `updated_at`
/// grows with each change, whatever the clock does: by it an answer knows whether it is still for this webhook.
async fn change_row(
    statements: &mut Statements,
    id: &WebhookId,
    change: &Change,
    now: Timestamp,
    seals: &Seals,
) -> Result<bool, StoreError> {
    let sealed = |column, text: &str| sealing::seal(seals, id.as_str(), column, text);
    let stored = select(statements, id).await?.map(|row| row::options(&row, seals));
    let options = change.options_after(stored, now);
    let options = options.as_ref().map(row::write_options).transpose().map_err(sealing::no_json)?;
    let sql = r#"
        UPDATE webhooks SET name = coalesce($2, name), url = coalesce($3, url), secret = coalesce($4, secret),
            "on" = coalesce($5, "on"), active = coalesce($6, active), options = coalesce($7, options),
            updated_at = greatest($8, updated_at + 1)
        WHERE id = $1"#;
    let changed = statements
        .execute(
            sql,
            &[
                &id.as_str(),
                &change.name.as_deref(),
                &change.url.as_ref().map(|url| sealed("url", url.as_str())).transpose()?,
                &change.secret.as_ref().map(|secret| sealed("secret", secret.expose())).transpose()?,
                &change.on.as_deref().map(row::write_on).transpose().map_err(sealing::no_json)?,
                &change.active,
                &options.as_deref().map(|options| sealed("options", options)).transpose()?,
                &now.as_millis(),
            ],
        )
        .await?;
    Ok(changed > 0)
}
