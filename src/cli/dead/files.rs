//! `hikyaku dead export` and `import`: dead letters as NDJSON, to keep, to look through, or to bring to another hikyaku.
//!
//! An export to a file is put in its place at the end ([`Writing`]).

use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::counted;
use super::writing::Writing;
use crate::cli::{CliError, Output};
use crate::operate::{Exporting, Imported, Importing, Operations};
use crate::record::Filter;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes what `filter` lets through to `file`, or to standard output; tells whether every letter could be read.
///
/// # Errors
/// When the store cannot be read, or the file not be written; a file of that name is then as it was.
pub(super) async fn export(
    operations: &Operations,
    filter: Filter,
    file: Option<&Path>,
    output: &mut Output,
) -> Result<bool, CliError> {
    let mut exporting = Exporting::of(operations.clone(), filter);
    let mut to = match file {
        Some(file) => Some(Writing::begin(file).await?),
        None => None,
    };
    let (mut count, mut is_whole) = (0, true);
    while let Some(exported) = exporting.next().await? {
        count += exported.count;
        is_whole &= exported.problems.is_empty();
        exported.problems.iter().for_each(|problem| output.note(problem));
        match &mut to {
            Some(writing) => writing.write(exported.lines.as_bytes()).await?,
            None => exported.lines.lines().try_for_each(|line| output.line(line))?,
        }
    }
    if let Some(writing) = to {
        writing.end().await?;
    }
    output.note(&format!("{} exported", counted(count)));
    Ok(is_whole)
}

/// What to import.
pub(in crate::cli) struct Import<'a> {
    /// The file; none: standard input.
    pub(in crate::cli) file: Option<&'a Path>,
    /// Whether it is only looked at.
    pub(in crate::cli) is_dry: bool,
    /// Whether what came of it is told as JSON.
    pub(in crate::cli) json: bool,
}

/// What lines are read from, and what it is called.
pub(in crate::cli) type From = (Box<dyn AsyncRead + Unpin + Send + Sync>, String);

impl Import<'_> {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be.
    pub(in crate::cli) async fn open(&self) -> Result<From, CliError> {
        let Some(file) = self.file else { return Ok((Box::new(tokio::io::stdin()), "standard input".to_owned())) };
        let name = file.display().to_string();
        let opened = tokio::fs::File::open(file).await.map_err(|error| unreadable(&name, error))?;
        Ok((Box::new(opened), name))
    }
}

pub(in crate::cli) fn unreadable(name: &str, error: std::io::Error) -> CliError {
    CliError::Io { what: format!("{name} cannot be read"), error }
}

/// Imports letters; tells whether every line was one.
///
/// # Errors
/// When the file cannot be read, or the store does not do it; what was stored before stays so.
pub(super) async fn import(
    operations: &Operations,
    import: &Import<'_>,
    event_bytes_max: usize,
    output: &mut Output,
) -> Result<bool, CliError> {
    let (mut from, name) = import.open().await?;
    let mut importing = Importing::new(operations.clone(), event_bytes_max, import.is_dry);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await.map_err(|error| unreadable(&name, error))?;
        if read == 0 {
            break;
        }
        importing.push(&piece[..read]).await?;
    }
    let imported = importing.finish().await?;
    if let Some(words) = imported.nothing_in_words() {
        return Err(CliError::NotFound(format!("{name}: {words}")));
    }
    tell(&imported, import, &name, output)?;
    Ok(imported.refused == 0)
}

/// Tells what became of the lines of what is called `name`.
pub(in crate::cli) fn tell(
    imported: &Imported,
    import: &Import<'_>,
    name: &str,
    output: &mut Output,
) -> Result<(), CliError> {
    let Imported { added, present, forgotten, refused, errors } = imported;
    if import.json {
        let errors: Vec<_> =
            errors.iter().map(|refused| json!({"line": refused.line, "error": refused.error})).collect();
        let told = json!({
            "added": added, "present": present, "forgotten": forgotten, "refused": refused, "errors": errors,
            "dryRun": import.is_dry,
        });
        return output.line(&told.to_string());
    }
    for error in errors {
        output.note(&format!("{name} line {}: {}", error.line, error.error));
    }
    let left = refused.saturating_sub(errors.len() as u64);
    if left > 0 {
        output.note(&format!("and {left} lines more that are no dead letters"));
    }
    let lines = if *refused == 1 { "1 line".to_owned() } else { format!("{refused} lines") };
    let imported = if import.is_dry { "would be imported" } else { "imported" };
    let forgotten = match forgotten {
        0 => String::new(),
        some => format!("; {some} of persons who were forgotten since"),
    };
    output.line(&format!(
        "{} {imported}, {present} here already or put back to work since{forgotten}; {lines} refused",
        counted(*added)
    ))
}
