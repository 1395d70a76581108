//! `hikyaku dead export` and `import` over `--url`: streams, of which a piece at a time is in memory.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::{Query, Remote};
use crate::cli::dead::counted;
use crate::cli::dead::files::{Import, tell, unreadable};
use crate::cli::dead::writing::Writing;
use crate::cli::deliveries::items;
use crate::cli::{CliError, Output};
use crate::operate::{Imported, RefusedLine};
use crate::outbound::Lines;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// How a line begins that tells of a letter that cannot be read.
const PROBLEM: &[u8] = b"{\"problem\":";
/// Bytes of such a line that are told.
const PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// Writes what `query` means to `file`, or to standard output; tells whether every letter could be read.
///
/// # Errors
/// When hikyaku does not answer to the end, or the file cannot be written; a file of that name is then as it was.
pub(super) async fn export(
    remote: &Remote,
    query: &Query,
    file: Option<&Path>,
    output: &mut Output,
) -> Result<bool, CliError> {
    let mut streaming = remote.stream("/v1/dead-letters/export", query).await?;
    let mut to = match file {
        Some(file) => Some(Writing::begin(file).await?),
        None => None,
    };
    let mut seen = Seen::default();
    while let Some(piece) = streaming.piece().await? {
        seen.take(&piece, output);
        match &mut to {
            Some(writing) => writing.write(&piece).await?,
            None => output.bytes(&piece)?,
        }
    }
    if let Some(writing) = to {
        writing.end().await?;
    }
    output.note(&format!("{} exported", counted(seen.letters)));
    Ok(seen.problems == 0)
}

/// The lines that have gone by.
#[derive(Default)]
struct Seen {
    letters: u64,
    problems: u64,
    /// The beginning of the line that has not ended.
    line: Vec<u8>,
}

impl Seen {
    fn take(&mut self, piece: &[u8], output: &mut Output) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = PROBLEM_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end(output);
            }
        }
    }

    fn end(&mut self, output: &mut Output) {
        if self.line.starts_with(PROBLEM) {
            self.problems += 1;
            let told: Option<Value> = serde_json::from_slice(&self.line).ok();
            let words = told.as_ref().and_then(|told| told["problem"].as_str());
            output.note(words.unwrap_or("a dead letter cannot be read"));
        } else {
            self.letters += 1;
        }
        self.line.clear();
    }
}

/// Sends the lines; tells whether every one was a letter.
///
/// # Errors
/// When the file cannot be read, or hikyaku does not answer, or does not do it; what was stored before stays so.
pub(super) async fn import(remote: &Remote, import: &Import<'_>, output: &mut Output) -> Result<bool, CliError> {
    let (from, name) = import.open().await?;
    // What of ours broke the request off is told in its own words.
    let broken: Arc<Mutex<Option<io::Error>>> = Arc::default();
    let breaks = Arc::clone(&broken);
    let pieces = stream::try_unfold((from, breaks), async |(mut from, breaks)| {
        let mut piece = vec![0; PIECE_BYTES];
        match from.read(&mut piece).await {
            Ok(0) => Ok(None),
            Ok(read) => {
                piece.truncate(read);
                Ok(Some((Bytes::from(piece), (from, breaks))))
            }
            Err(error) => {
                let kind = error.kind();
                *breaks.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(io::Error::from(kind))
            }
        }
    });
    let query: Query = import.is_dry.then(|| ("dryRun", "true".to_owned())).into_iter().collect();
    let answered = remote.send("/v1/dead-letters/import", &query, Lines::of(pieces)).await;
    if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(unreadable(&name, error));
    }
    let answered = match answered {
        // What is wrong is in the file, not with the command.
        Err(CliError::Usage(words)) => return Err(CliError::NotFound(format!("{name}: {words}"))),
        answered => answered?,
    };
    let imported = imported(&answered);
    tell(&imported, import, &name, output)?;
    Ok(imported.refused == 0)
}

fn imported(answered: &Value) -> Imported {
    let count = |name: &str| answered[name].as_u64().unwrap_or(0);
    let refused = |refused: &Value| RefusedLine {
        line: refused["line"].as_u64().unwrap_or(0),
        error: refused["error"].as_str().unwrap_or_default().to_owned(),
    };
    Imported {
        added: count("added"),
        present: count("present"),
        forgotten: count("forgotten"),
        refused: count("refused"),
        errors: items(&answered["errors"]).iter().map(refused).collect(),
    }
}
