//! Where what is kept beside the queue lies: a SQLite file, or PostgreSQL.
//!
//! Made once by whoever starts the program, and shared by the parts that keep something in it, each in tables of its own. This
//! module only tells the two apart; what lies there, the parts know.

use std::fmt;
use std::path::PathBuf;

use crate::postgres::{Postgres, PostgresError};
use crate::sqlite::SqliteError;

/// The channel of PostgreSQL's by which processes tell each other of changes, whatever of the store they concern; of a file it is
/// [`crate::sqlite::ring_all`]. Its name is what it told of at first.
pub const CHANGES: &str = "registry";

/// A store, as the parts that keep something in it open it.
#[derive(Clone, Debug)]
pub enum Store {
    /// A file, made if it is absent.
    Sqlite(PathBuf),
    /// A database; clones share its connections.
    Postgres(Postgres),
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(postgres) => write!(f, "PostgreSQL at {}", postgres.url()),
        }
    }
}

/// Tables that are migrated together, in a file and in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaPart {
    /// Its name in `hikyaku_schema`.
    pub name: &'static str,
    /// Steps that this version knows for a file.
    pub file_steps: usize,
    /// Steps that it knows for PostgreSQL.
    pub postgres_steps: usize,
}

/// A store that does not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Its file does not.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// PostgreSQL does not.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// What is to be kept cannot be written down.
    #[error("it cannot be written down: {0}")]
    Unwritable(String),
}

impl StoreError {
    /// Whether it is that PostgreSQL is not there, or does not answer: it ends by itself, and what was asked may be asked again.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.is_away())
    }

    /// Whether it is not known if what was asked was done.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Postgres(PostgresError::InDoubt { .. }))
    }
}
