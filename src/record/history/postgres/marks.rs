//! Marks: in which slots of time deliveries to a webhook, and events of a type, lie, as in a file (`super::super::sqlite::marks`).
//!
//! A row always has its marks, though several add rows while one removes marks: that one lets nobody add any meanwhile, and looks only
//! then for rows.

use std::collections::BTreeSet;

use super::place::Key;
use crate::model::Timestamp;
use crate::postgres::{PostgresError, Statements};
use crate::record::history::Entry;

/// Bits of a moment, in milliseconds, below its slot.
const SLOT_BITS: u32 = 2;
/// Marks that are looked at in one step.
const STEP_MARKS: i64 = 2000;
/// Slots whose rows are looked at in one go.
const SLOTS: usize = 250;

/// The tables of marks.
pub(super) const OF_WEBHOOKS: &str = "webhook_marks";
pub(super) const OF_TYPES: &str = "type_marks";

/// Marks where rows were added.
pub(super) async fn put(statements: &mut Statements, added: &[(Key, &Entry)]) -> Result<(), PostgresError> {
    let slot = |key: &Key| key.accepted_at >> SLOT_BITS;
    // In order, so that two that mark the same do not wait for each other.
    let webhooks = added.iter().map(|(key, entry)| (entry.names.webhook(), slot(key))).collect();
    put_each(statements, OF_WEBHOOKS, &webhooks).await?;
    let types = added.iter().map(|(key, entry)| (entry.names.kind(), slot(key))).collect();
    put_each(statements, OF_TYPES, &types).await
}

async fn put_each(
    statements: &mut Statements,
    table: &str,
    marks: &BTreeSet<(&str, i64)>,
) -> Result<(), PostgresError> {
    let (marked, slots): (Vec<&str>, Vec<i64>) = marks.iter().copied().unzip();
    let sql = format!("INSERT INTO {table} SELECT * FROM unnest($1::TEXT[], $2::BIGINT[]) ON CONFLICT DO NOTHING");
    statements.execute(&sql, &[&marked, &slots]).await?;
    Ok(())
}

/// Some slots that are marked so.
pub(super) struct Slots {
    /// Their moments, in milliseconds.
    pub(super) moments: Vec<i64>,
    /// Before this moment are others, if there are any.
    pub(super) rest: Option<i64>,
}

/// The last slots that are marked so and have moments from `first` to `last`, which is one of theirs.
pub(super) async fn slots(
    statements: &mut Statements,
    (table, marked): (&str, &str),
    (first, last): (i64, i64),
) -> Result<Slots, PostgresError> {
    let sql = format!(
        "SELECT slot FROM {table} WHERE marked = $1 AND slot BETWEEN $2 AND $3 ORDER BY slot DESC LIMIT {SLOTS}"
    );
    let rows = statements.query(&sql, &[&marked, &(first >> SLOT_BITS), &(last >> SLOT_BITS)]).await?;
    let slots: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let first_of = |slot: i64| slot << SLOT_BITS;
    let moments = slots.iter().flat_map(|slot| first_of(*slot)..=first_of(*slot) + ((1 << SLOT_BITS) - 1)).collect();
    let rest = slots.last().filter(|_| slots.len() == SLOTS).map(|slot| first_of(*slot));
    Ok(Slots { moments, rest })
}

/// How far the sweeping of a table of marks has come.
#[derive(Debug, Default)]
pub(super) struct Swept(Option<(String, i64)>);

/// Lets nobody add marks until the end of the transaction.
pub(super) async fn lock(statements: &mut Statements) -> Result<(), PostgresError> {
    statements.batch(&format!("LOCK TABLE {OF_WEBHOOKS}, {OF_TYPES} IN SHARE ROW EXCLUSIVE MODE")).await
}

/// Looks at some marks, and removes those of slots before `front` that have no rows any more. To be done under [`lock`].
pub(super) async fn sweep(
    statements: &mut Statements,
    table: &str,
    front: Timestamp,
    swept: &mut Swept,
) -> Result<(), PostgresError> {
    let (mark, slot) = swept.0.take().unwrap_or((String::new(), i64::MIN));
    let sql = format!(
        "SELECT marked, slot FROM {table} WHERE (marked, slot) > ($1, $2) ORDER BY marked, slot LIMIT 1 OFFSET {STEP_MARKS}"
    );
    let end = statements.query_opt(&sql, &[&mark, &slot]).await?;
    let end: Option<(String, i64)> = end.map(|row| (row.get(0), row.get(1)));
    // No text is above this.
    let (last, last_slot) = end.clone().unwrap_or((char::MAX.to_string(), i64::MAX));
    let sql = format!(
        "DELETE FROM {table} WHERE (marked, slot) > ($1, $2) AND (marked, slot) <= ($3, $4) AND slot < $5
            AND NOT EXISTS (SELECT 1 FROM deliveries
                WHERE accepted_at BETWEEN slot << {SLOT_BITS} AND (slot << {SLOT_BITS}) + {})",
        (1 << SLOT_BITS) - 1
    );
    let front = front.as_millis() >> SLOT_BITS;
    statements.execute(&sql, &[&mark, &slot, &last, &last_slot, &front]).await?;
    swept.0 = end;
    Ok(())
}
