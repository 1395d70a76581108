//! Looks into a SQLite file and changes nothing: no file is made, none is migrated, nobody's lock is taken.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::SqliteError;

/// Each part of the file's schema, and how many steps it has been through; none when nobody has migrated it.
///
/// # Errors
/// [`SqliteError`] when the file cannot be read, or is no database.
pub fn look(path: &Path) -> Result<Vec<(String, usize)>, SqliteError> {
    parts(path).map_err(|error| SqliteError::new(path, error))
}

/// Checks that the file has been through no more steps of a part than are `known`. What else may be wrong with it, whoever opens it is
/// told.
///
/// # Errors
/// [`SqliteError::Newer`].
pub fn refuse_newer(path: &Path, known: &[(&'static str, usize)]) -> Result<(), SqliteError> {
    let found = if path.exists() { look(path).unwrap_or_default() } else { Vec::new() };
    let newer = |(part, known): &(&'static str, usize)| {
        let (_, found) = found.iter().find(|(name, found)| name == part && found > known)?;
        Some(SqliteError::Newer { path: path.to_owned(), part, found: *found, known: *known })
    };
    known.iter().find_map(newer).map_or(Ok(()), Err)
}

fn parts(path: &Path) -> rusqlite::Result<Vec<(String, usize)>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path), flags)?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'hikyaku_schema'";
    if !connection.prepare(is_there)?.exists([])? {
        return Ok(Vec::new());
    }
    let mut rows = connection.prepare("SELECT part, version FROM hikyaku_schema ORDER BY part")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The file as one that does not change, when nobody has it open: SQLite would make files beside one in WAL mode to read it.
fn uri(path: &Path) -> String {
    let encoded = percent_encoding::percent_encode(path.as_os_str().as_encoded_bytes(), UNRESERVED);
    let is_quiet = !wal_of(path).exists();
    format!("file:{encoded}?{}", if is_quiet { "mode=ro&immutable=1" } else { "mode=ro" })
}

/// What a path may have in a URI as it is (RFC 3986, section 3.3).
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where SQLite has the write-ahead log.
fn wal_of(path: &Path) -> std::path::PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = real.into_os_string();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_file_has_been_through_is_seen_open_and_closed_and_no_file_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a %41?.db");
        let mut open = sqlite::open(&path).expect("made");
        sqlite::migrate(&mut open, &path, "one", &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).expect("migrated");
        assert_eq!(look(&path).expect("seen"), [("one".to_owned(), 2)], "while it is open, and all is in its log");
        drop(open);
        let before = names(folder.path());
        assert_eq!(before, ["a %41?.db"]);
        assert_eq!(look(&path).expect("seen"), [("one".to_owned(), 2)]);
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn an_absent_file_is_not_made_and_one_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        look(&path).expect_err("absent");
        assert!(!path.exists());
        std::fs::write(&path, "no database, and long enough to be taken for the head of one. ".repeat(20)).expect("w");
        let words = look(&path).expect_err("no database").to_string();
        assert!(words.contains("a.db") && words.contains("damaged"), "{words}");
    }
}
