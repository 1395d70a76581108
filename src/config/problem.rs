//! What is wrong with the settings, in words for the person who wrote them.
//!
//! A [`Problem`] names where the setting was given (the file, or the variable), its full key, what is wrong and what is
//! allowed. Values are quoted only where they cannot be secrets. [`SettingsError`] is all of them, one a line.

use std::fmt;

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    origin: Option<String>,
    keys: Vec<String>,
    what: String,
}

impl Problem {
    /// The setting `key`, given in `origin`, is wrong.
    pub(super) fn of_key(origin: Option<String>, key: String, what: String) -> Self {
        Self { origin, keys: vec![key], what }
    }

    /// The file or variable `origin` as a whole is wrong.
    pub(super) fn of_origin(origin: &str, what: String) -> Self {
        Self { origin: Some(origin.to_owned()), keys: Vec::new(), what }
    }

    /// These settings are each allowed, but not together; the first is the one to show.
    pub(super) fn between(keys: &[&str], what: String) -> Self {
        Self { origin: None, keys: keys.iter().map(|&key| key.to_owned()).collect(), what }
    }

    /// Calls where it was given by another name, if `name` knows one.
    pub(super) fn name_origin(&mut self, name: impl FnOnce(&str) -> Option<String>) {
        if let Some(better) = self.origin.as_deref().and_then(name) {
            self.origin = Some(better);
        }
    }

    /// The settings concerned, e.g. `delivery.concurrency`; none when a whole file or variable is wrong.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A quoted TOML key may hold anything, line breaks too; a problem stays one line.
        if let Some(origin) = &self.origin {
            write!(f, "{}: ", origin.escape_debug())?;
        }
        if let Some(key) = self.keys.first() {
            write!(f, "{}: ", key.escape_debug())?;
        }
        f.write_str(&self.what)
    }
}

/// Settings that cannot be used, with everything that is wrong with them; the process ends with exit code 2.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    /// An error of at least one problem.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
