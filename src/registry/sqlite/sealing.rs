//! Sealing in the file: each text as it is written, and everything anew when the key has changed.

use rusqlite::{Connection, Transaction};

use super::{bump, immediate};
use crate::registry::row;
use crate::registry::seal::{Place, Seals};

/// What `column` of `webhook` holds for `text`.
pub(super) fn seal(seals: &Seals, webhook: &str, column: &'static str, text: &str) -> rusqlite::Result<String> {
    let sealed = seals.seal(Place { webhook, column }, text);
    sealed.map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))
}

/// The names of keys that have sealed something here and are not among `seals`.
pub(super) fn keys_missing(connection: &Connection, seals: &Seals) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT sealed_by FROM webhooks ORDER BY 1")?;
    let names: Vec<Option<String>> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| !seals.can_open(name.as_deref())).flatten().collect())
}

/// Seals everything with the key of now, or with none when there is none, and leaves nothing of the old texts in the file.
/// What no key here opens is left as it is. Tells whether anything was changed.
pub(super) fn seal_all_anew(connection: &mut Connection, seals: &Seals) -> rusqlite::Result<bool> {
    // What is overwritten or deleted from now on is overwritten with zeros (sqlite.org/pragma.html#pragma_secure_delete).
    connection.pragma_update(None, "secure_delete", true)?;
    let transaction = immediate(connection)?;
    let others = "SELECT id, sealed_by FROM webhooks WHERE sealed_by IS NOT ?1";
    let others: Vec<(String, Option<String>)> = transaction
        .prepare(others)?
        .query_map([seals.sealed_by()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let others: Vec<_> = others.into_iter().filter(|(_, by)| seals.can_open(by.as_deref())).collect();
    if others.is_empty() {
        return Ok(false);
    }
    for (id, _) in &others {
        seal_anew(&transaction, id, seals)?;
    }
    bump(&transaction)?;
    transaction.commit()?;
    if others.iter().any(|(_, by)| by.is_none()) {
        // Pages that were free before hold what was there in clear text, and so does the log.
        connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    }
    Ok(true)
}

/// Seals one webhook's texts with the key of now, unless they are already. A text that cannot be opened is left as it is, and
/// can be set anew.
pub(super) fn seal_anew(transaction: &Transaction<'_>, id: &str, seals: &Seals) -> rusqlite::Result<()> {
    let select = format!("SELECT {} FROM webhooks WHERE id = ?1 AND sealed_by IS NOT ?2", row::COLUMNS);
    let texts = {
        let mut statement = transaction.prepare_cached(&select)?;
        let mut rows = statement.query((id, seals.sealed_by()))?;
        let Some(row) = rows.next()? else { return Ok(()) };
        row::SEALED.map(|column| (column, row::open(row, column, seals).ok()))
    };
    for (column, text) in texts {
        let Some(text) = text else { continue };
        let update = format!("UPDATE webhooks SET {column} = ?2 WHERE id = ?1");
        transaction.prepare_cached(&update)?.execute((id, seal(seals, id, column, &text)?))?;
    }
    transaction.prepare_cached("UPDATE webhooks SET sealed_by = ?2 WHERE id = ?1")?.execute((id, seals.sealed_by()))?;
    Ok(())
}
