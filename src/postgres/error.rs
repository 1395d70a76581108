//! What a failing PostgreSQL means, in words for whoever is called at night.

use std::error::Error;
use std::time::Duration;

use tokio_postgres::error::SqlState;

/// PostgreSQL does not do what was asked. What was in a transaction does not count, unless it is [`Self::InDoubt`].
/// `place` is user, host and database, never the password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostgresError {
    /// It cannot be reached, or the connection was lost.
    #[error(
        "PostgreSQL cannot be reached at {place}: {why}. Check that it runs, and that store.url names the right host and port"
    )]
    Away {
        /// Where.
        place: String,
        /// In words.
        why: String,
    },
    /// It does not let us in.
    #[error(
        "PostgreSQL at {place} does not let us in: {why}. Check user, password and database of store.url, and the server's \
         pg_hba.conf"
    )]
    Refused {
        /// Where.
        place: String,
        /// PostgreSQL's words.
        why: String,
    },
    /// TLS cannot be spoken as the URL asks.
    #[error("TLS with PostgreSQL at {place} is not possible: {why}")]
    Tls {
        /// Where.
        place: String,
        /// In words, with a way out.
        why: String,
    },
    /// Our user lacks a right.
    #[error(
        "PostgreSQL at {place} does not allow it: {why}. hikyaku makes its tables itself, in a schema of its own: let the user own \
         the schema (`CREATE SCHEMA {schema} AUTHORIZATION ...`), or `GRANT CREATE ON DATABASE ... TO ...`"
    )]
    Forbidden {
        /// Where.
        place: String,
        /// PostgreSQL's words.
        why: String,
        /// The schema by default.
        schema: &'static str,
    },
    /// It only reads: a standby, or a disk in trouble.
    #[error("PostgreSQL at {place} takes no changes: {why}. store.url must lead to the primary")]
    ReadOnly {
        /// Where.
        place: String,
        /// PostgreSQL's words.
        why: String,
    },
    /// No disk or memory is left there.
    #[error("PostgreSQL at {place} has no room: {why}. Free space on its disk; nothing accepted so far is lost")]
    Full {
        /// Where.
        place: String,
        /// PostgreSQL's words.
        why: String,
    },
    /// It took too long.
    #[error("PostgreSQL at {place} took longer than {} s: {what}. Look what it is busy with (`SELECT * FROM pg_stat_activity`)", limit.as_secs())]
    Slow {
        /// Where.
        place: String,
        /// What it did not do.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection was lost while a transaction was committed: it may count, or not.
    #[error("whether PostgreSQL at {place} has stored it is not known, since its answer did not come: {why}")]
    InDoubt {
        /// Where.
        place: String,
        /// In words.
        why: String,
    },
    /// Written by a newer hikyaku.
    #[error(
        "the store in PostgreSQL at {place} was written by a newer hikyaku (its {part} has schema {found}, this one knows {known})"
    )]
    Newer {
        /// Where.
        place: String,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The newest version known.
        known: usize,
    },
    /// Written by an older hikyaku, and not brought up to date yet.
    #[error(
        "the store in PostgreSQL at {place} is of an older hikyaku (its {part} has schema {found}, this one needs {known}): the next \
         start of `hikyaku serve` brings it up to date; if that runs already, its log says why it could not"
    )]
    Older {
        /// Where.
        place: String,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The version needed.
        known: usize,
    },
    /// A step of the schema failed.
    #[error(
        "the store in PostgreSQL at {place} cannot be brought up to date: its {part} has schema {found}, this hikyaku needs {known}, \
         and the step there failed: {why}. It is as it was. If nobody has changed its tables by hand, please report this"
    )]
    NotMigrated {
        /// Where.
        place: String,
        /// The part of the schema.
        part: &'static str,
        /// The version found.
        found: usize,
        /// The version needed.
        known: usize,
        /// PostgreSQL's words.
        why: String,
    },
    /// A row is there already, of which there may be one only.
    #[error("PostgreSQL at {place} has that already: {why}")]
    Taken {
        /// Where.
        place: String,
        /// PostgreSQL's words.
        why: String,
    },
    /// Anything else.
    #[error("PostgreSQL at {place}: {why}")]
    Other {
        /// Where.
        place: String,
        /// In words.
        why: String,
    },
}

impl PostgresError {
    /// Says what `error`, met at `place`, means.
    pub(super) fn new(place: &str, error: &tokio_postgres::Error) -> Self {
        let (place, why) = (place.to_owned(), words(error));
        let Some(state) = error.code() else {
            return if is_ours(error) { Self::Other { place, why } } else { Self::Away { place, why } };
        };
        match state.code() {
            // 08: connection exception; 57P01 to 57P03: it ends, crashed, or starts; 53300: no connection left.
            code if code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "53300") => {
                Self::Away { place, why }
            }
            code if code.starts_with("28") || code == SqlState::INVALID_CATALOG_NAME.code() => {
                Self::Refused { place, why }
            }
            "42501" => Self::Forbidden { place, why, schema: super::url::SCHEMA },
            "25006" => Self::ReadOnly { place, why },
            code if code.starts_with("53") => Self::Full { place, why },
            "57014" | "55P03" => Self::Slow { place, what: why, limit: super::STATEMENT_WAIT_MAX },
            code if code == SqlState::UNIQUE_VIOLATION.code() => Self::Taken { place, why },
            _ => Self::Other { place, why: format!("{why} (SQLSTATE {})", state.code()) },
        }
    }

    /// What it means when it was a commit that failed so.
    pub(super) fn in_doubt(self) -> Self {
        match self {
            Self::Away { place, why } => Self::InDoubt { place, why },
            Self::Slow { place, what, .. } => Self::InDoubt { place, why: what },
            other => other,
        }
    }

    /// Whether it is that PostgreSQL is not there, or does not answer: it ends by itself, and what was asked may be asked again.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Slow { .. } | Self::InDoubt { .. })
    }
}

/// Whether the fault is in what we gave or expected, not in the connection.
fn is_ours(error: &tokio_postgres::Error) -> bool {
    let said = error.to_string();
    ["error serializing", "error deserializing", "invalid column", "invalid configuration"]
        .iter()
        .any(|kind| said.starts_with(kind))
}

/// PostgreSQL's own words, or the whole chain of what was met on the way to it.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return match said.detail() {
            Some(detail) => format!("{} ({detail})", said.message()),
            None => said.message().to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
