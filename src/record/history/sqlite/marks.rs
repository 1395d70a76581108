//! Marks: where deliveries to a webhook, and events of a type, lie.
//!
//! An index by webhook would have an entry for each delivery, for what is asked once in a while. Rows lie in the order of time, so it
//! is enough to know in which slots of time a webhook has any: a slot is some milliseconds ([`SLOT_BITS`]), and has few rows even when
//! deliveries are made as fast as they can be. Then a mark stands for many rows; when little happens, for one, as an index's entry
//! would. Who reads walks the slots that are marked, and looks at each row in them.
//!
//! A row always has its marks. A mark may be left over from rows that have gone, until [`sweep`] comes by.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction};

use super::place::ID_BITS;
use crate::record::history::Entry;

/// Bits of a row's number below its slot: 4 ms. At 40,000 deliveries a second a slot has 170 rows.
pub(super) const SLOT_BITS: u32 = ID_BITS + 2;

/// Marks that are looked at in one step.
const STEP_MARKS: u64 = 2000;

/// What is marked: the table of its marks, and the column of `deliveries`.
pub(super) const BY_WEBHOOK: (&str, &str) = ("webhook_marks", "webhook");
pub(super) const BY_TYPE: (&str, &str) = ("type_marks", "type");

/// The slot of a row's number.
pub(super) fn slot_of(number: i64) -> i64 {
    number >> SLOT_BITS
}

/// Marks where rows were added.
pub(super) fn put(transaction: &Transaction<'_>, added: &[(i64, &Entry)]) -> rusqlite::Result<()> {
    let webhooks = added.iter().map(|(number, entry)| (entry.names.webhook(), slot_of(*number)));
    put_each(transaction, BY_WEBHOOK.0, webhooks)?;
    let types = added.iter().map(|(number, entry)| (entry.names.kind(), slot_of(*number)));
    put_each(transaction, BY_TYPE.0, types)
}

fn put_each<'a>(
    transaction: &Transaction<'_>,
    table: &str,
    marks: impl Iterator<Item = (&'a str, i64)>,
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2)"))?;
    let (mut known, mut last) = (HashSet::new(), None);
    for mark in marks {
        // Most are as the one before.
        if last != Some(mark) && known.insert(mark) {
            put.execute(mark)?;
        }
        last = Some(mark);
    }
    Ok(())
}

/// How far the sweeping of a table of marks has come.
#[derive(Debug, Default)]
pub(super) struct Swept(Option<(String, i64)>);

/// Looks at some marks, and removes those of slots below `from` that have no rows any more.
pub(super) fn sweep(transaction: &Transaction<'_>, table: &str, from: i64, swept: &mut Swept) -> rusqlite::Result<()> {
    let (mark, slot) = swept.0.take().unwrap_or((String::new(), i64::MIN));
    let sql = format!(
        "SELECT marked, slot FROM {table} WHERE (marked, slot) > (?1, ?2) ORDER BY marked, slot LIMIT 1 OFFSET ?3"
    );
    let mut find_end = transaction.prepare_cached(&sql)?;
    let row = find_end.query_row((&mark, slot, STEP_MARKS), |row| Ok((row.get(0)?, row.get(1)?)));
    let end: Option<(String, i64)> = row.optional()?;
    // No text is above this.
    let (last, last_slot) = end.clone().unwrap_or((char::MAX.to_string(), i64::MAX));
    let sql = format!(
        "DELETE FROM {table} WHERE (marked, slot) > (?1, ?2) AND (marked, slot) <= (?3, ?4) AND slot < ?5
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE number BETWEEN slot << {SLOT_BITS} AND (slot << {SLOT_BITS}) + {})",
        (1_i64 << SLOT_BITS) - 1
    );
    transaction.prepare_cached(&sql)?.execute((mark, slot, last, last_slot, slot_of(from)))?;
    swept.0 = end;
    Ok(())
}
