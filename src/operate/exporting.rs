//! Dead letters as NDJSON: one letter a line, newest first, page by page, so that a million cost the memory of a page.

use serde_json::json;

use super::Operations;
use crate::record::{Cursor, Filter, RecordError};

/// Letters of a page; one whose bodies exceed 16 MiB ends sooner.
const PAGE: u32 = 100;

/// An export under way.
#[derive(Debug)]
pub struct Exporting {
    operations: Operations,
    filter: Filter,
    /// Where the next page begins; nothing once there is no more.
    after: Option<Option<Cursor>>,
}

/// Some lines of an export.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The lines, each with its end. Of a letter that cannot be read, a line tells why.
    pub lines: String,
    /// Letters in them.
    pub count: u64,
    /// Letters that cannot be read, in words.
    pub problems: Vec<String>,
}

impl Exporting {
    /// Exports what `filter` lets through.
    pub fn of(operations: Operations, filter: Filter) -> Self {
        Self { operations, filter, after: Some(None) }
    }

    /// The next lines; nothing at the end. Some may have none.
    ///
    /// # Errors
    /// What the store says; the export is not whole.
    pub async fn next(&mut self) -> Result<Option<Exported>, RecordError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let page = self.operations.letters.read(&self.filter, PAGE, after).await?;
        self.after = page.next.map(Some);
        let mut exported = Exported { count: page.letters.len() as u64, ..Exported::default() };
        for letter in &page.letters {
            exported.lines.push_str(&letter.to_line());
            exported.lines.push('\n');
        }
        for problem in &page.problems {
            exported.lines.push_str(&json!({ "problem": problem }).to_string());
            exported.lines.push('\n');
        }
        exported.problems = page.problems;
        Ok(Some(exported))
    }
}
