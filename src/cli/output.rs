//! Where commands write, and how they fail.

use std::io::{self, Write};

use super::RemoteError;
use crate::ingest::ReconcileError;
use crate::misskey::MisskeyError;
use crate::operate::OperateError;
use crate::queue::QueueError;
use crate::record::RecordError;
use crate::registry::RegistryError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments make no sense together; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// There is nothing of that name; exit code 1.
    #[error("{0}")]
    NotFound(String),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// What is done to deliveries.
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// Misskey.
    #[error(transparent)]
    Misskey(#[from] MisskeyError),
    /// A person did not agree to a MiAuth session.
    #[error(
        "nobody has agreed on Misskey within {wait_s} s, and nothing was changed; run it again for another address"
    )]
    NotAgreed {
        /// How long was waited.
        wait_s: u32,
    },
    /// Misskey's limit of webhooks.
    #[error(
        "Misskey lets @{username} have {has}: the policy webhookLimit of the person's roles, which is 3 by default, and 0 on \
         servers that Misskey's wizard has set up for several people. An administrator raises it at {roles}, for the base \
         role or a role of this person{instead}. Then run this again"
    )]
    NoRoom {
        /// Whose.
        username: String,
        /// How many, in words.
        has: String,
        /// Misskey's page of roles.
        roles: String,
        /// What the person can do instead, in words that begin with a comma; may be empty.
        instead: String,
    },
    /// A running hikyaku.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Reconciling with Misskey.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// Reading a file, or writing the answer.
    #[error("{what}: {error}")]
    Io {
        /// What was read or written.
        what: String,
        /// The system's words.
        error: io::Error,
    },
}

impl CliError {
    /// Whether whoever read our output went away, as `head` does; that is no failure.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct KeptOutput(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl KeptOutput {
    /// The lines of the answer.
    pub(super) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().expect("whole").clone()).expect("text").lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
impl Write for KeptOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Output {
    /// An output whose answer is kept.
    pub(super) fn kept() -> (Self, KeptOutput) {
        let kept = KeptOutput::default();
        (Self { out: Box::new(kept.clone()), err: Box::new(io::sink()) }, kept)
    }
}

/// Standard output and standard error.
pub struct Output {
    /// For the answer.
    out: Box<dyn Write + Send>,
    /// For what is told beside it.
    err: Box<dyn Write + Send>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl Default for Output {
    fn default() -> Self {
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()) }
    }
}

impl Output {
    /// Writes a line of the answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.out, "{line}").map_err(|error| CliError::Io { what: "standard output".to_owned(), error })
    }

    /// Writes a part of the answer as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes).map_err(|error| CliError::Io { what: "standard output".to_owned(), error })
    }

    /// Writes a question beside the answer, which is typed in the same line.
    pub fn ask(&mut self, question: &str) {
        let _not_wanted = write!(self.err, "{question}").and_then(|()| self.err.flush());
    }

    /// Writes a line beside the answer; who closed it does not want it.
    pub fn note(&mut self, line: &str) {
        let _not_wanted = writeln!(self.err, "{line}");
    }
}
