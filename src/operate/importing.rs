//! Dead letters from NDJSON, as an export has them. A line that is no letter is told by its number, and the rest goes on.
//!
//! Letters that are there already, or whose delivery was put back to work since, change nothing: importing again does no harm,
//! and what was interrupted is done again from the beginning. Letters of somebody who was forgotten after their event was taken in
//! are not taken, and are counted apart.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Line, Lines, Operations};
use crate::model::{Person, Timestamp};
use crate::record::{DeadLetter, RecordError};

/// Letters that are stored together, and the bytes at which that is done before.
const BATCH_LETTERS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a line beyond its event's.
const LINE_BYTES_BEYOND_EVENT: usize = 16 * 1024;
/// Lines that are told of one import.
const REFUSED_MAX: usize = 100;

/// A line that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub error: String,
}

/// What became of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Letters that were added; in a dry run, that would be.
    pub added: u64,
    /// Letters that were there already, or whose delivery was put back to work since.
    pub present: u64,
    /// Letters of somebody who is forgotten.
    pub forgotten: u64,
    /// Lines that are no letters.
    pub refused: u64,
    /// The first of those.
    pub errors: Vec<RefusedLine>,
}

impl Imported {
    /// Why there was nothing to import; nothing when there was something.
    pub fn nothing_in_words(&self) -> Option<String> {
        (self.added + self.present + self.forgotten == 0).then(|| match self.errors.first() {
            Some(RefusedLine { line, error }) => format!("no line is a dead letter; line {line}: {error}"),
            None => "there is no line in it".to_owned(),
        })
    }
}

/// An import under way.
#[derive(Debug)]
pub struct Importing {
    operations: Operations,
    is_dry: bool,
    lines: Lines,
    line_bytes_max: usize,
    batch: Vec<DeadLetter>,
    batch_bytes: usize,
    imported: Imported,
}

impl Importing {
    /// An import of events of at most `event_bytes_max` bytes; when it `is_dry`, nothing is stored.
    pub fn new(operations: Operations, event_bytes_max: usize, is_dry: bool) -> Self {
        // A body in a string may have each of its bytes escaped.
        let line_bytes_max = event_bytes_max.saturating_mul(2).saturating_add(LINE_BYTES_BEYOND_EVENT);
        Self {
            operations,
            is_dry,
            lines: Lines::new(line_bytes_max),
            line_bytes_max,
            batch: Vec::new(),
            batch_bytes: 0,
            imported: Imported::default(),
        }
    }

    /// Takes what has arrived.
    ///
    /// # Errors
    /// What the store says; what was stored before stays so.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), RecordError> {
        for line in self.lines.push(piece) {
            self.take(line).await?;
        }
        Ok(())
    }

    /// Takes the last line, and tells what became of all.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn finish(mut self) -> Result<Imported, RecordError> {
        if let Some(line) = self.lines.finish() {
            self.take(line).await?;
        }
        self.store().await?;
        Ok(self.imported)
    }

    /// What became of the lines so far.
    pub fn so_far(&self) -> &Imported {
        &self.imported
    }

    async fn take(&mut self, Line { number, text }: Line) -> Result<(), RecordError> {
        let letter = match text {
            Ok(text) => read(&text),
            Err(bytes) => Err(format!("the line has {bytes} bytes, and {} are allowed", self.line_bytes_max)),
        };
        match letter {
            Ok((letter, bytes)) => {
                self.batch.push(letter);
                self.batch_bytes += bytes;
                if self.batch.len() >= BATCH_LETTERS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
                    self.store().await?;
                }
            }
            Err(error) => {
                self.imported.refused += 1;
                if self.imported.errors.len() < REFUSED_MAX {
                    self.imported.errors.push(RefusedLine { line: number, error });
                }
            }
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), RecordError> {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let letters = &self.operations.letters;
        let all = batch.len() as u64;
        let forgotten = letters.forgotten().await?;
        batch.retain(|letter| !is_forgotten(letter, &forgotten));
        let count = batch.len() as u64;
        let added = if self.is_dry {
            let named = batch.iter().map(|letter| (letter.id.clone(), letter.delivery.generation)).collect();
            count.saturating_sub(letters.known(named).await?)
        } else {
            letters.add(batch).await?
        };
        self.imported.added += added;
        self.imported.present += count.saturating_sub(added);
        self.imported.forgotten += all.saturating_sub(count);
        Ok(())
    }
}

/// Whether it is of an event that was taken in before its person was forgotten.
fn is_forgotten(letter: &DeadLetter, forgotten: &HashMap<Person, Timestamp>) -> bool {
    let event = &letter.event;
    let since = event.user.as_ref().and_then(|user| forgotten.get(&Person::of(&event.source, user)));
    since.is_some_and(|since| *since >= event.accepted_at)
}

/// The letter, and about how many bytes it takes.
fn read(text: &Bytes) -> Result<(DeadLetter, usize), String> {
    DeadLetter::parse(text).map(|letter| (letter, text.len())).map_err(|error| error.to_string())
}
