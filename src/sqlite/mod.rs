//! What every SQLite file of ours has in common: how it is opened, migrated, worked on, and what its errors mean.
//!
//! A file is opened in WAL mode with `synchronous=FULL`, so a committed transaction has been fsynced before anyone is told
//! (sqlite.org/pragma.html#pragma_synchronous). SQLite blocks, so each connection lives on a thread of its own
//! ([`SqliteThread`]) and async code sends it closures. Nothing here knows what the tables mean, but how an event stands in
//! one ([`columns`]), and the one table that two files have ([`receipts`]).

mod bell;
pub mod columns;
mod error;
mod identity;
mod lock;
mod look;
mod migrate;
pub mod receipts;
mod thread;
mod turns;

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use bell::{Bell, ring, ring_all};
pub use error::SqliteError;
pub use identity::FileIdentity;
pub use lock::FileLock;
pub use look::{look, refuse_newer};
pub use migrate::{migrate, version_of};
pub use thread::{JoinedThread, SqliteThread, gather};
pub use turns::WriteTurns;

/// How long a statement waits for another process's lock on the file before it fails. Connections of this process that write
/// to one file wait for each other in [`WriteTurns`], without that limit.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the write-ahead log, about, after which it is copied into the file.
const WAL_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The bytes of a page, unless a file says otherwise: SQLite's default.
const PAGE_BYTES: u32 = 4096;

/// Opens the SQLite file at `path`, making it if it is absent.
///
/// # Errors
/// [`SqliteError`] naming the file, what is wrong, and how to mend it; the file is as it was.
pub fn open(path: &Path) -> Result<Connection, SqliteError> {
    open_with_pages(path, PAGE_BYTES)
}

/// The same with pages of `page_bytes`, if the file is made by this: one that is there keeps those that it has.
///
/// # Errors
/// Those of [`open`].
pub fn open_with_pages(path: &Path, page_bytes: u32) -> Result<Connection, SqliteError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    make_private(path);
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "page_size", page_bytes)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_BYTES_MAX / page_bytes)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    connect().map_err(|error| SqliteError::new(path, error))
}

/// What `connection` deletes from now on, it overwrites with zeros, or not any more (sqlite.org/pragma.html#pragma_secure_delete).
///
/// # Errors
/// Whatever SQLite reports.
pub fn overwrite_what_is_deleted(connection: &Connection, does: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "secure_delete", does)
}

/// Makes the file, readable by its owner only, if it is absent: it will hold people's posts and secrets. SQLite gives its
/// companion files the same permissions. What goes wrong here, opening the file says.
fn make_private(path: &Path) {
    let _is_there_or_opening_says = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// The file that a `sqlite:` URL names, or nothing when it is no such URL.
pub fn path_of_url(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        assert_eq!(path_of_url("sqlite:queue.db"), Some(Path::new("queue.db")));
        assert_eq!(path_of_url("sqlite:/var/lib/q.db"), Some(Path::new("/var/lib/q.db")));
        assert_eq!(path_of_url("sqlite:///var/lib/q.db"), Some(Path::new("/var/lib/q.db")));
        assert_eq!(path_of_url("sqlite:"), None);
        assert_eq!(path_of_url("postgres://x"), None);
    }

    #[test]
    fn a_file_has_the_pages_that_it_was_made_with_and_a_log_of_as_many_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.db");
        let pragma = |connection: &Connection, name| {
            connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).expect("a number")
        };
        for page_bytes in [16_384, 4096] {
            let connection = open_with_pages(&path, page_bytes).expect("opens");
            connection.execute_batch("CREATE TABLE IF NOT EXISTS a (x)").expect("written");
            assert_eq!(pragma(&connection, "page_size"), 16_384);
            assert_eq!(pragma(&connection, "wal_autocheckpoint"), 1024);
        }
        assert_eq!(pragma(&open(&folder.path().join("queue.db")).expect("opens"), "wal_autocheckpoint"), 4096);
    }

    #[test]
    fn a_new_file_and_its_companions_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let connection = open(&folder.path().join("queue.db")).expect("made");
        connection.execute_batch("CREATE TABLE a (x)").expect("written");
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_named_with_a_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("queue.db");
        std::fs::write(&path, "this is a text, and long enough to be read as a page header. ".repeat(20))
            .expect("write");
        let message = open(&path).expect_err("no database").to_string();
        assert!(message.contains("queue.db") && message.contains("damaged"), "{message}");
    }

    #[test]
    fn a_folder_that_is_absent_is_named() {
        let message = open(Path::new("/nowhere/at/all/queue.db")).expect_err("absent").to_string();
        assert!(message.contains("/nowhere/at/all/queue.db") && message.contains("cannot be opened"), "{message}");
    }
}
