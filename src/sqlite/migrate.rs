//! Schema versions: forward only, one transaction, several parts side by side in one file.
//!
//! The table `hikyaku_schema(part, version)` says how many of a part's steps the file has been through.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::SqliteError;

/// Brings `part` of the file up to date: `steps` are SQL scripts, each applied once and never edited after a release.
///
/// `path` is named in errors.
///
/// # Errors
/// [`SqliteError::Newer`] when the file has been through more steps than are known here, or whatever SQLite reports; the
/// file is as it was.
pub fn migrate(
    connection: &mut Connection,
    path: &Path,
    part: &'static str,
    steps: &[&str],
) -> Result<(), SqliteError> {
    let mut found = 0;
    run_steps(connection, part, steps, &mut found).map_err(|error| match SqliteError::new(path, error) {
        SqliteError::Other { path, why } if found < steps.len() => {
            SqliteError::NotMigrated { path, part, found, known: steps.len(), why }
        }
        other => other,
    })?;
    if found > steps.len() {
        return Err(SqliteError::Newer { path: path.to_owned(), part, found, known: steps.len() });
    }
    Ok(())
}

/// How many steps of `part` the file has been through; 0 also when nobody has migrated it. Changes nothing.
///
/// # Errors
/// Whatever SQLite reports.
pub fn version_of(connection: &Connection, part: &str) -> rusqlite::Result<usize> {
    let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'hikyaku_schema'";
    if !connection.prepare(is_there)?.exists([])? {
        return Ok(0);
    }
    let sql = "SELECT version FROM hikyaku_schema WHERE part = ?1";
    Ok(connection.query_row(sql, [part], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Runs what is missing and tells the version `found`.
fn run_steps(connection: &mut Connection, part: &str, steps: &[&str], found: &mut usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS hikyaku_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    )?;
    *found = transaction
        .query_row("SELECT version FROM hikyaku_schema WHERE part = ?1", [part], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if *found < steps.len() {
        for step in &steps[*found..] {
            transaction.execute_batch(step)?;
        }
        transaction.execute(
            "INSERT INTO hikyaku_schema VALUES (?1, ?2) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            (part, steps.len()),
        )?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_once_and_parts_do_not_mix() {
        let path = Path::new("memory");
        let mut connection = Connection::open_in_memory().expect("open");
        let first = ["CREATE TABLE a (x INTEGER)"];
        let both = ["CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y INTEGER"];
        assert_eq!(version_of(&connection, "one"), Ok(0));
        migrate(&mut connection, path, "one", &first).expect("first");
        assert_eq!(version_of(&connection, "one"), Ok(1));
        migrate(&mut connection, path, "one", &both).expect("second");
        migrate(&mut connection, path, "one", &both).expect("again");
        migrate(&mut connection, path, "other", &["CREATE TABLE b (x INTEGER)"]).expect("other part");
        connection.execute("INSERT INTO a (x, y) VALUES (1, 2)", []).expect("both steps ran");
        connection.execute("INSERT INTO b (x) VALUES (1)", []).expect("the other part's step ran");
    }

    #[test]
    fn a_step_that_fails_is_told_with_both_versions_and_the_file_is_as_it_was() {
        let mut connection = Connection::open_in_memory().expect("open");
        migrate(&mut connection, Path::new("memory"), "one", &["CREATE TABLE a (x)"]).expect("new");
        let steps = ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y", "ALTER TABLE a ADD COLUMN x"];
        let error = migrate(&mut connection, Path::new("memory"), "one", &steps).expect_err("a column is there");
        assert!(matches!(error, SqliteError::NotMigrated { found: 1, known: 3, .. }), "{error}");
        assert!(error.to_string().contains("failed: duplicate column name: x. It is as it was"), "{error}");
        assert_eq!(version_of(&connection, "one"), Ok(1));
        connection.execute("INSERT INTO a VALUES (1)", []).expect("one column, as before");
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let path = Path::new("memory");
        let mut connection = Connection::open_in_memory().expect("open");
        migrate(&mut connection, path, "one", &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).expect("new");
        let error = migrate(&mut connection, path, "one", &["CREATE TABLE a (x)"]).expect_err("older program");
        assert!(matches!(error, SqliteError::Newer { found: 2, known: 1, .. }), "{error}");
    }
}
