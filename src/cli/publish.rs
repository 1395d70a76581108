//! `hikyaku publish [FILE]`: events from NDJSON to the queue.
//!
//! Lines are read and stored in batches. A line that is no event is told by its number, and the rest goes on. When the queue
//! does not store a batch, or does not confirm it, reading stops there, and the message says from which line to go on. A line
//! over the limit is skipped without being held in memory.

use std::io;
use std::path::Path;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::{CliError, Output, PublishArgs};
use crate::ingest::{Ingest, ItemResult, without_bom};
use crate::traces::Span;

/// Lines of a batch, and the bytes at which it ends before that.
const BATCH_LINES_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Events stored.
    pub accepted: u64,
    /// Lines that were no events.
    pub refused: u64,
}

/// Publishes the lines of the file, or of standard input, each of at most `event_bytes_max` bytes; `queue` names where they
/// go to, and `span` what they are a step of.
///
/// # Errors
/// When the file cannot be read or the queue does not store; what was stored before stays so, and the message says from
/// which line to go on.
pub async fn publish(
    args: &PublishArgs,
    ingest: &Ingest,
    span: &Span,
    queue: &str,
    event_bytes_max: usize,
    on_terminal: bool,
    output: &mut Output,
) -> Result<Published, CliError> {
    let progress = progress(args.file.as_deref(), on_terminal);
    let input: Box<dyn AsyncBufRead + Unpin + Send> = match &args.file {
        Some(path) => Box::new(BufReader::new(open(path).await?)),
        None => Box::new(BufReader::new(tokio::io::stdin())),
    };
    let name = args.file.as_ref().map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let mut publishing = Publishing {
        lines: Lines { input, line_bytes_max: event_bytes_max, number: 0 },
        ingest,
        span,
        name,
        json: args.json,
        progress,
        published: Published::default(),
    };
    let result = publishing.run(output).await;
    publishing.progress.finish_and_clear();
    let Published { accepted, refused } = publishing.published;
    let events = if accepted == 1 { "event" } else { "events" };
    let lines = if refused == 1 { "line was" } else { "lines were" };
    output.note(&format!("{accepted} {events} stored in {queue}; {refused} {lines} refused"));
    result.map(|()| publishing.published)
}

async fn open(path: &Path) -> Result<tokio::fs::File, CliError> {
    let file = tokio::fs::File::open(path).await;
    file.map_err(|error| CliError::Io { what: format!("the file {} cannot be opened", path.display()), error })
}

fn progress(file: Option<&Path>, on_terminal: bool) -> ProgressBar {
    if !on_terminal {
        return ProgressBar::hidden();
    }
    let length = file.and_then(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.len());
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

struct Publishing<'a> {
    lines: Lines,
    ingest: &'a Ingest,
    span: &'a Span,
    name: String,
    json: bool,
    progress: ProgressBar,
    published: Published,
}

/// A line that is not blank.
struct Line {
    number: u64,
    /// Its bytes, or how many there were when they were too many.
    text: Result<Bytes, usize>,
}

impl Publishing<'_> {
    async fn run(&mut self, output: &mut Output) -> Result<(), CliError> {
        loop {
            let mut batch = Vec::new();
            let read = self.read_batch(&mut batch).await;
            // What was read before the input broke off is stored all the same.
            if !batch.is_empty() {
                self.store(&batch, output).await?;
            }
            let Published { accepted, refused } = self.published;
            self.progress.set_message(format!("{accepted} stored, {refused} refused"));
            if !read? {
                return Ok(());
            }
        }
    }

    /// Reads lines into `batch`; `false` at the end of the input.
    async fn read_batch(&mut self, batch: &mut Vec<Line>) -> Result<bool, CliError> {
        let mut bytes = 0;
        while batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
            let read = self.lines.next(&self.progress).await;
            let what = || format!("{} cannot be read after line {}", self.name, self.lines.number);
            let Some(line) = read.map_err(|error| CliError::Io { what: what(), error })? else { return Ok(false) };
            bytes += line.text.as_ref().map_or(0, Bytes::len);
            batch.push(line);
        }
        Ok(true)
    }

    async fn store(&mut self, batch: &[Line], output: &mut Output) -> Result<(), CliError> {
        let items: Vec<Bytes> = batch.iter().filter_map(|line| line.text.clone().ok()).collect();
        let results = match self.ingest.offer_within(&items, self.span).await {
            Ok(results) => results,
            Err(error) => {
                let first = batch.first().map_or(0, |line| line.number);
                output.note(&self.where_to_go_on(
                    first,
                    batch.last().map_or(0, |line| line.number),
                    error.may_be_stored(),
                ));
                return Err(error.into());
            }
        };
        let mut results = results.into_iter();
        for line in batch {
            match &line.text {
                Ok(_) => {
                    if let Some(result) = results.next() {
                        self.tell(line.number, &result, output)?;
                    }
                }
                Err(bytes) => self.refuse(
                    line.number,
                    None,
                    &format!("the line has {bytes} bytes, and {} are allowed", self.lines.line_bytes_max),
                    output,
                )?,
            }
        }
        Ok(())
    }

    /// What to do when the lines from `first` to `last` could not be stored, or may be.
    fn where_to_go_on(&self, first: u64, last: u64, may_be_stored: bool) -> String {
        let name = &self.name;
        if may_be_stored {
            return format!(
                "everything before line {first} of {name} is stored, nothing after line {last}, and of those between it is not \
                 known; publish it again from line {first}: what has an `eventId` keeps its name, so that receivers can tell"
            );
        }
        format!("nothing from line {first} of {name} on was stored; publish it again from there")
    }

    fn tell(&mut self, number: u64, result: &ItemResult, output: &mut Output) -> Result<(), CliError> {
        match result {
            Ok(accepted) => {
                self.published.accepted += 1;
                if self.json {
                    let line = json!({"line": number, "status": "accepted", "eventId": accepted.id});
                    return self.answer(&line, output);
                }
                Ok(())
            }
            Err(error) => self.refuse(number, error.field(), &error.to_string(), output),
        }
    }

    /// Writes a line's result. Who went away wants no more of them, and the events are published all the same.
    fn answer(&mut self, line: &serde_json::Value, output: &mut Output) -> Result<(), CliError> {
        match output.line(&line.to_string()) {
            Err(error) if error.is_closed_pipe() => {
                self.json = false;
                Ok(())
            }
            written => written,
        }
    }

    fn refuse(&mut self, number: u64, field: Option<&str>, why: &str, output: &mut Output) -> Result<(), CliError> {
        self.published.refused += 1;
        if self.json {
            let line = json!({"line": number, "status": "refused", "field": field, "error": why});
            return self.answer(&line, output);
        }
        self.progress.suspend(|| output.note(&format!("{} line {number}: {why}", self.name)));
        Ok(())
    }
}

/// Lines, numbered from 1, of bounded length.
struct Lines {
    input: Box<dyn AsyncBufRead + Unpin + Send>,
    line_bytes_max: usize,
    number: u64,
}

impl Lines {
    /// The next line that is not blank.
    async fn next(&mut self, progress: &ProgressBar) -> io::Result<Option<Line>> {
        loop {
            let Some((text, length)) = self.read_line(progress).await? else { return Ok(None) };
            self.number += 1;
            let text = if self.number == 1 { without_bom(&text) } else { &text };
            let text = text.trim_ascii();
            if length > self.line_bytes_max.saturating_add(2) {
                return Ok(Some(Line { number: self.number, text: Err(length) }));
            }
            if !text.is_empty() {
                return Ok(Some(Line { number: self.number, text: Ok(Bytes::copy_from_slice(text)) }));
            }
        }
    }

    /// A line up to the limit, and its whole length; what is over the limit is read and dropped.
    async fn read_line(&mut self, progress: &ProgressBar) -> io::Result<Option<(Vec<u8>, usize)>> {
        let (mut text, mut length) = (Vec::new(), 0_usize);
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((length > 0).then_some((text, length)));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            let line = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.line_bytes_max.saturating_add(2).saturating_sub(text.len()).min(line.len());
            text.extend_from_slice(&line[..room]);
            length += taken;
            self.input.consume(taken);
            progress.inc(taken as u64);
            if end.is_some() {
                return Ok(Some((text, length)));
            }
        }
    }
}
