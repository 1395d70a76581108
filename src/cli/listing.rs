//! A listing, page by page: a table for a person, or a JSON array for a program. Whatever is listed, and however much.

use serde_json::Value;

use super::{CliError, Output, Table};

/// Rows read at a time.
const PAGE: u32 = 500;

/// How many rows a listing has.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LimitArgs {
    /// How many to list
    #[arg(long, default_value_t = 100, value_name = "COUNT", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
}

/// A page of what is listed.
#[derive(Debug)]
pub(super) struct Rows<T, C> {
    pub(super) rows: Vec<T>,
    /// Where the next page begins; none: there is no more.
    pub(super) next: Option<C>,
    /// What of it cannot be read, in words.
    pub(super) problems: Vec<String>,
}

/// How what is listed looks.
pub(super) struct Look<T> {
    /// The heads of the table.
    pub(super) heads: &'static [&'static str],
    /// A row of it.
    pub(super) cells: fn(&T) -> Vec<String>,
    /// An element of the array.
    pub(super) json: fn(&T) -> Value,
}

/// Writes at most `limit` rows, which `page` reads, so many of them behind a place; tells whether there are more.
///
/// # Errors
/// What `page` says, or when the listing cannot be written.
pub(super) async fn list<T, C>(
    look: &Look<T>,
    limit: u64,
    json: bool,
    output: &mut Output,
    mut page: impl AsyncFnMut(u32, Option<C>) -> Result<Rows<T, C>, CliError>,
) -> Result<bool, CliError> {
    let (mut left, mut after, mut any) = (limit, None, false);
    let mut table = Table::new(look.heads);
    while left > 0 {
        let Rows { rows, next, problems } = page(u32::try_from(left).unwrap_or(u32::MAX).min(PAGE), after).await?;
        problems.iter().for_each(|problem| output.note(problem));
        left = left.saturating_sub(rows.len() as u64);
        for row in &rows {
            if json {
                output.line(&format!("{}{}", if any { "," } else { "[" }, (look.json)(row)))?;
            } else {
                table.row((look.cells)(row));
            }
            any = true;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output.line(if any { "]" } else { "[]" })?;
    } else {
        table.lines().try_for_each(|line| output.line(&line))?;
    }
    Ok(after.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look<u64> = Look { heads: &["N"], cells: |n| vec![n.to_string()], json: |n| Value::from(*n) };

    /// Pages of the numbers from 0 to 1199 of which every third has none.
    async fn page(limit: u32, after: Option<u64>) -> Result<Rows<u64, u64>, CliError> {
        let from = after.unwrap_or(0);
        let to = (from + u64::from(limit.min(100))).min(1200);
        let rows = if from.is_multiple_of(300) { Vec::new() } else { (from..to).collect() };
        Ok(Rows { rows, next: Some(to).filter(|to| *to < 1200), problems: Vec::new() })
    }

    #[tokio::test]
    async fn a_listing_goes_on_over_empty_pages_until_it_has_its_number_or_the_end_is_reached() {
        for (limit, lines, is_more) in [(250, 250, true), (100_000, 800, false), (0, 0, true)] {
            let (mut output, text) = Output::kept();
            let more = list(&LOOK, limit, false, &mut output, page).await.expect("listed");
            assert_eq!((text.lines().len(), more), (lines + 1, is_more && limit > 0), "{limit}");
            let (mut output, text) = Output::kept();
            list(&LOOK, limit, true, &mut output, page).await.expect("listed");
            let array: Vec<u64> = serde_json::from_str(&text.lines().join("\n")).expect("JSON");
            assert_eq!(array.len(), lines);
        }
    }
}
