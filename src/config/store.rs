//! `[store]`: where registrations, dead letters and the history are kept, and with which key what is secret in them is sealed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::postgres::PostgresUrl;
use crate::registry::{SealKey, Seals};
use crate::sqlite::path_of_url;

use super::reader::Section;
use super::server::unless_empty;
use super::values;

/// Keys that may be replaced at a time: one each month for a year.
const PREVIOUS_KEYS_MAX: usize = 12;

/// Where registrations and dead letters are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// `url`: `sqlite:PATH`, the file of the store, not the queue's; a relative path is one of the working directory. Or
    /// `postgres://user:password@host:5432/database`, PostgreSQL 13 or later, which workers on several machines share. Default
    /// `sqlite:store.db`: nothing to install.
    pub url: StoreUrl,
    /// `encryption_key` (32 bytes in base64; empty, the default: none, since a key beside the file it seals is none) seals the
    /// webhooks' secrets, options and URLs in the store. `previous_encryption_keys`, at most 12, open what they have
    /// sealed, until it is sealed anew at the next start.
    pub seals: Seals,
}

/// Which store it is. Shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres(PostgresUrl),
}

impl StoreUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Words that name what is wrong and how it should be, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if PostgresUrl::is_meant_by(url) {
            return PostgresUrl::parse(url).map(Self::Postgres);
        }
        let file = sqlite_file(url, "sqlite:store.db");
        file.map(Self::Sqlite)
            .map_err(|what| format!("{what}; or PostgreSQL, postgres://user:password@host:5432/database"))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The file of the history, if the store is a file: beside it, `history.db` for `store.db` and `x-history.db` for `x.db`.
    pub fn history(&self) -> Option<PathBuf> {
        let path = self.file()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Some(match name.rsplit_once('.') {
            Some(("store", ending)) => path.with_file_name(format!("history.{ending}")),
            Some((stem, ending)) => path.with_file_name(format!("{stem}-history.{ending}")),
            None => path.with_file_name(format!("{name}-history")),
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => write!(f, "PostgreSQL at {url}"),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: StoreUrl::Sqlite(PathBuf::from("store.db")), seals: Seals::default() }
    }
}

impl Store {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let key = section.text("encryption_key", |text| unless_empty(text, SealKey::parse)).flatten();
        let previous = section
            .list("previous_encryption_keys", PREVIOUS_KEYS_MAX, |value| values::text(value).and_then(SealKey::parse));
        Self {
            url: section.text("url", StoreUrl::parse).unwrap_or_else(|| Self::default().url),
            seals: Seals { current: key, previous: previous.unwrap_or_default() },
        }
    }
}

/// The file that a `sqlite:` URL names. The URL is not quoted: another kind of URL may hold a password.
pub(super) fn sqlite_file(url: &str, example: &str) -> Result<PathBuf, String> {
    let path = path_of_url(url).ok_or_else(|| format!("it must be `sqlite:PATH`, such as {example}"))?;
    let text = path.to_string_lossy();
    if text.starts_with(":memory:") {
        return Err(format!("memory keeps nothing over a restart; it must be a file, such as {example}"));
    }
    if text.contains(['?', '\0']) {
        return Err(format!("it must be `sqlite:PATH` without options after a '?', such as {example}"));
    }
    Ok(path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_beside_the_store_and_two_stores_have_two() {
        let history = |path: &str| StoreUrl::Sqlite(PathBuf::from(path)).history();
        for (store, beside) in [
            ("store.db", "history.db"),
            ("/var/lib/hikyaku/store.db", "/var/lib/hikyaku/history.db"),
            ("./a.sqlite3", "./a-history.sqlite3"),
            ("registry", "registry-history"),
            ("history.db", "history-history.db"),
        ] {
            assert_eq!(history(store), Some(PathBuf::from(beside)));
        }
    }

    #[test]
    fn only_a_url_of_a_file_that_lasts_is_taken() {
        let file = |url| sqlite_file(url, "sqlite:store.db");
        assert_eq!(file("sqlite:/var/lib/hikyaku/store.db"), Ok(PathBuf::from("/var/lib/hikyaku/store.db")));
        for (url, words) in [
            ("", "such as sqlite:store.db"),
            ("store.db", "such as sqlite:store.db"),
            ("sqlite:", "such as sqlite:store.db"),
            ("mysql://root:hunter2@db/x", "such as sqlite:store.db"),
            ("sqlite::memory:", "memory keeps nothing"),
            ("sqlite:store.db?mode=ro", "without options"),
        ] {
            let message = file(url).expect_err(url);
            assert!(message.contains(words) && !message.contains("hunter2"), "{url}: {message}");
        }
    }

    #[test]
    fn postgresql_is_a_store_without_files_and_shows_no_password() {
        let store = StoreUrl::parse("postgres://u:hunter2@db/x").expect("a store");
        assert_eq!((store.file(), store.history()), (None, None));
        assert_eq!(store.to_string(), "PostgreSQL at u@db:5432/x");
        assert!(!format!("{store:?}").contains("hunter2"));
        for (url, words) in [("postgres://db/x", "a user is missing"), ("mysql://u:hunter2@db/x", "or PostgreSQL")] {
            let message = StoreUrl::parse(url).expect_err(url);
            assert!(message.contains(words) && !message.contains("hunter2"), "{message}");
        }
    }
}
