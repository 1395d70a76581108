//! How many webhooks an owner may have: counted in the transaction that adds one, so that two processes on one store do
//! not each add the last one.
//!
//! What is stored counts, readable or not. Webhooks of the settings file do not: the admin declared them.

use rusqlite::Connection;

use crate::model::Webhook;

/// Whether the owner of `webhook` has `max` webhooks of its source in the store already.
pub(super) fn is_full(connection: &Connection, webhook: &Webhook, max: usize) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM webhooks WHERE user_id IS ?1 AND source = ?2";
    let owner = (webhook.owner.user().map(|user| user.as_str()), webhook.source.as_str());
    let count: usize = connection.prepare_cached(sql)?.query_row(owner, |row| row.get(0))?;
    Ok(count >= max)
}
