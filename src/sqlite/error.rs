//! What a failing SQLite file means, in words for whoever is called at night.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A SQLite file that does not do what was asked. Whatever was in a transaction has been rolled back; what was committed
/// before is untouched.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SqliteError {
    /// The file cannot be opened.
    #[error(
        "the file {path} cannot be opened: {why}. Check that its folder exists, and that hikyaku may read and write there"
    )]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "the file {path} is damaged or no SQLite database: {why}. Stop hikyaku, keep a copy of the file, and rescue \
         what can be read as docs/RUNBOOK.md says under 'A file is damaged'"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// The disk is full, or cannot be written to.
    #[error("the file {path} cannot be written: {why}. Free space on its disk; nothing accepted so far is lost")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// Another process holds the file's lock.
    #[error("the file {path} is locked by another process: {why}. Find it with `fuser {path}`")]
    Locked {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// The path leads to another file, or to none, since the file was opened.
    #[error(
        "the file {path} was removed or replaced while hikyaku works on it: put the very file back (`mv`, not `cp`), or see \
         docs/RUNBOOK.md under 'The queue file is gone'"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer hikyaku.
    #[error("the file {path} was written by a newer hikyaku (its {part} has schema {found}, this one knows {known})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The newest version known.
        known: usize,
    },
    /// Written by an older hikyaku, and not brought up to date yet.
    #[error(
        "the file {path} is of an older hikyaku (its {part} has schema {found}, this one needs {known}): the next start of \
         `hikyaku serve` brings it up to date; if that runs already, its log says why it could not"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The version needed.
        known: usize,
    },
    /// A step of the schema failed.
    #[error(
        "the file {path} cannot be brought up to date: its {part} has schema {found}, this hikyaku needs {known}, and the step there \
         failed: {why}. It is as it was. If nobody has changed its tables by hand, please report this"
    )]
    NotMigrated {
        /// The file.
        path: PathBuf,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The version needed.
        known: usize,
        /// SQLite's words.
        why: String,
    },
    /// The thread that works on the file has ended.
    #[error("the file {path} has been closed")]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the file {path}: {why}")]
    Other {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
}

impl SqliteError {
    /// Says what `error`, met at the file `path`, means.
    #[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err, and consumed in meaning")]
    pub fn new(path: &Path, error: rusqlite::Error) -> Self {
        let (path, why) = (path.to_owned(), words(&error));
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::CannotOpen { path, why },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, why },
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => {
                Self::Unwritable { path, why }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, why },
            _ => Self::Other { path, why },
        }
    }
}

/// SQLite's words, without the statement, which may be a schema.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}
