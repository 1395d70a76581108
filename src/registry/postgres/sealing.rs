//! Sealing in the tables: each text as it is written, and everything anew when the key has changed.

use super::{Changing, column};
use crate::postgres::{Postgres, Statements};
use crate::registry::row;
use crate::registry::seal::{Place, Seals};
use crate::store::StoreError;

/// What `column` of `webhook` holds for `text`.
pub(super) fn seal(seals: &Seals, webhook: &str, column: &'static str, text: &str) -> Result<String, StoreError> {
    seals.seal(Place { webhook, column }, text).map_err(StoreError::Unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err, and consumed in meaning")]
pub(super) fn no_json(error: serde_json::Error) -> StoreError {
    StoreError::Unwritable(error.to_string())
}

/// The names of keys that have sealed something here and are not among `seals`.
pub(super) async fn keys_missing(statements: &mut Statements, seals: &Seals) -> Result<Vec<String>, StoreError> {
    let rows = statements.query("SELECT DISTINCT sealed_by FROM webhooks ORDER BY 1", &[]).await?;
    let names = rows.iter().map(|row| column::<Option<String>>(row, "sealed_by"));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(StoreError::Unwritable)?;
    Ok(names.into_iter().filter(|name| !seals.can_open(name.as_deref())).flatten().collect())
}

/// Seals everything with the key of now, or with none when there is none, and writes the table anew when it had clear text, so
/// that none is left in it. PostgreSQL's log (WAL) and copies made before keep what they have. What no key here opens is left as
/// it is.
pub(super) async fn seal_all_anew(postgres: &Postgres, seals: &Seals) -> Result<(), StoreError> {
    let mut session = postgres.session().await?;
    let others = "SELECT id, sealed_by FROM webhooks WHERE sealed_by IS DISTINCT FROM $1";
    if session.query(others, &[&seals.sealed_by()]).await?.is_empty() {
        // Most often; nobody is waited for.
        return Ok(());
    }
    let mut change = Changing::begin(&mut session).await?;
    let mut had_clear_text = false;
    let mut count = 0;
    for row in change.statements().query(others, &[&seals.sealed_by()]).await? {
        let (id, by) = (column::<String>(&row, "id"), column::<Option<String>>(&row, "sealed_by"));
        let (id, by) = (id.map_err(StoreError::Unwritable)?, by.map_err(StoreError::Unwritable)?);
        if seals.can_open(by.as_deref()) {
            seal_anew(change.statements(), &id, seals).await?;
            had_clear_text |= by.is_none();
            count += 1;
        }
    }
    if count == 0 {
        return change.give_up().await;
    }
    change.finish(postgres).await?;
    if had_clear_text {
        session.batch("VACUUM FULL webhooks").await?;
    }
    Ok(())
}

/// Seals one webhook's texts with the key of now, unless they are already. A text that cannot be opened is left as it is, and
/// can be set anew.
pub(super) async fn seal_anew(statements: &mut Statements, id: &str, seals: &Seals) -> Result<(), StoreError> {
    let select = format!("SELECT {} FROM webhooks WHERE id = $1 AND sealed_by IS DISTINCT FROM $2", row::COLUMNS);
    let Some(row) = statements.query_opt(&select, &[&id, &seals.sealed_by()]).await? else { return Ok(()) };
    for column in row::SEALED {
        let Ok(text) = row::open(&row, column, seals) else { continue };
        let update = format!("UPDATE webhooks SET {column} = $2 WHERE id = $1");
        statements.execute(&update, &[&id, &seal(seals, id, column, &text)?]).await?;
    }
    statements.execute("UPDATE webhooks SET sealed_by = $2 WHERE id = $1", &[&id, &seals.sealed_by()]).await?;
    Ok(())
}
