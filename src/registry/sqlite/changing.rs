//! A change of one webhook's row, in the transaction that the caller holds.
//!
//! What signs is changed as it stands in the row: two who set a secret at the same time, in whatever process, leave both signing.

use rusqlite::{OptionalExtension, Transaction};

use super::{no_json, sealing};
use crate::model::{Options, Timestamp, WebhookId};
use crate::registry::Change;
use crate::registry::row;
use crate::registry::seal::Seals;

/// Sets what `change` has, leaving the rest even where it cannot be read; tells whether there is such a row. `updated_at`
/// grows with each change, whatever the clock does: by it an answer knows whether it is still for this webhook.
pub(super) fn change_row(
    transaction: &Transaction<'_>,
    id: &WebhookId,
    change: &Change,
    now: Timestamp,
    seals: &Seals,
) -> rusqlite::Result<bool> {
    let sealed = |column, text: &str| sealing::seal(seals, id.as_str(), column, text);
    let sql = r#"
        UPDATE webhooks SET name = coalesce(?2, name), url = coalesce(?3, url), secret = coalesce(?4, secret),
            "on" = coalesce(?5, "on"), active = coalesce(?6, active), options = coalesce(?7, options),
            updated_at = max(?8, updated_at + 1)
        WHERE id = ?1"#;
    let options = options_after(transaction, id, change, now, seals)?;
    let options = options.as_ref().map(row::write_options).transpose().map_err(no_json)?;
    let changed = transaction.prepare_cached(sql)?.execute((
        id.as_str(),
        change.name.as_deref(),
        change.url.as_ref().map(|url| sealed("url", url.as_str())).transpose()?,
        change.secret.as_ref().map(|secret| sealed("secret", secret.expose())).transpose()?,
        change.on.as_deref().map(row::write_on).transpose().map_err(no_json)?,
        change.active,
        options.as_deref().map(|options| sealed("options", options)).transpose()?,
        now.as_millis(),
    ))?;
    Ok(changed > 0)
}

/// What of the options is to be written, if anything.
fn options_after(
    transaction: &Transaction<'_>,
    id: &WebhookId,
    change: &Change,
    now: Timestamp,
    seals: &Seals,
) -> rusqlite::Result<Option<Options>> {
    let select = format!("SELECT {} FROM webhooks WHERE id = ?1", row::COLUMNS);
    let mut statement = transaction.prepare_cached(&select)?;
    let stored = statement.query_row([id.as_str()], |row| Ok(row::options(row, seals))).optional()?;
    Ok(change.options_after(stored, now))
}
