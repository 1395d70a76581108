//! Packs: in which rows deliveries and events are, by their ids.
//!
//! Of some thousand rows that were written one after the other, a list of ids is written in one go ([`pack`]). Who looks for an id
//! asks each pack, at most some hundred, and looks at the rows that it names.
//!
//! A row that was written with few others waits to be packed with those that come after it. What a pack names may have gone, or be
//! another's, so a row always tells itself by its id.

use rusqlite::{Connection, Transaction};

use crate::record::history::Entry;
use crate::record::history::pack::{self, Packer};

/// Rows of a pack, at most. Of so many that are not packed, some are.
const PACK_ROWS: usize = 8192;
/// Rows that are written together are packed at once if they are so many.
const PACK_ROWS_MIN: usize = 1024;
/// Packs that are looked at in one step.
const STEP_PACKS: usize = 4;

/// What is packed: the table of its packs, and the column of `deliveries`.
pub(super) const BY_ID: (&str, &str) = ("id_packs", "delivery_id");
pub(super) const BY_EVENT: (&str, &str) = ("event_packs", "event_id");

/// Adds rows to a pack, or to those that wait for one. Packs some of these when they are many.
pub(super) fn put(transaction: &Transaction<'_>, added: &[(i64, &Entry)]) -> rusqlite::Result<()> {
    if added.len() >= PACK_ROWS_MIN {
        let mut packer = Packer::with_capacity(added.len());
        added.iter().for_each(|(number, entry)| packer.add(entry.names.id(), entry.names.event(), *number));
        put_packs(transaction, packer)?;
    } else {
        let mut put = transaction.prepare_cached("INSERT OR IGNORE INTO unpacked VALUES (?1)")?;
        for (number, _) in added {
            put.execute([number])?;
        }
    }
    let waiting: usize =
        transaction.prepare_cached("SELECT count(*) FROM unpacked")?.query_row([], |row| row.get(0))?;
    if waiting > PACK_ROWS { pack_waiting(transaction) } else { Ok(()) }
}

fn pack_waiting(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "SELECT u.number, delivery_id, event_id FROM unpacked u LEFT JOIN deliveries d ON d.number = u.number
        ORDER BY u.number LIMIT ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([PACK_ROWS])?;
    let (mut packer, mut last) = (Packer::default(), None);
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        last = Some(number);
        // One that has gone meanwhile has none.
        if let (Some(id), Some(event)) = (row.get_ref(1)?.as_str_or_null()?, row.get_ref(2)?.as_str_or_null()?) {
            packer.add(id, event, number);
        }
    }
    put_packs(transaction, packer)?;
    transaction.prepare_cached("DELETE FROM unpacked WHERE number <= ?1")?.execute([last])?;
    Ok(())
}

fn put_packs(transaction: &Transaction<'_>, packer: Packer) -> rusqlite::Result<()> {
    let (ids, events) = packer.packs();
    transaction.prepare_cached("INSERT INTO id_packs (entries) VALUES (?1)")?.execute([ids])?;
    let number = transaction.last_insert_rowid();
    transaction.prepare_cached("INSERT INTO event_packs VALUES (?1, ?2)")?.execute((number, events))?;
    Ok(())
}

/// The numbers of rows that may have that id, those of rows that were written last first.
pub(super) fn find(connection: &Connection, (table, column): (&str, &str), id: &str) -> rusqlite::Result<Vec<i64>> {
    let sql = format!(
        "SELECT u.number FROM unpacked u CROSS JOIN deliveries d ON d.number = u.number WHERE {column} = ?1 ORDER BY 1 DESC"
    );
    let mut waiting = connection.prepare_cached(&sql)?;
    let mut numbers = waiting.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut packs = connection.prepare_cached(&format!("SELECT entries FROM {table} ORDER BY number DESC"))?;
    let mut rows = packs.query([])?;
    while let Some(row) = rows.next()? {
        numbers.extend(pack::numbers_of(row.get_ref(0)?.as_blob()?, id));
    }
    Ok(numbers)
}

/// Looks at some packs, those behind number `swept`, and removes those of whose rows none is left.
pub(super) fn sweep(transaction: &Transaction<'_>, swept: &mut i64) -> rusqlite::Result<()> {
    let sql = "SELECT number, entries FROM id_packs WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut is_there = transaction.prepare_cached("SELECT 1 FROM deliveries WHERE number = ?1")?;
    let mut rows = statement.query((*swept, STEP_PACKS))?;
    let (mut seen, mut gone) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        seen.push(number);
        let mut is_alive = false;
        for number in pack::all_numbers_of(row.get_ref(1)?.as_blob()?) {
            is_alive = is_there.exists([number])?;
            if is_alive {
                break;
            }
        }
        if !is_alive {
            gone.push(number);
        }
    }
    for number in gone {
        for table in [BY_ID.0, BY_EVENT.0] {
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE number = ?1"))?.execute([number])?;
        }
    }
    // After the last ones it begins anew.
    *swept = if seen.len() < STEP_PACKS { 0 } else { seen.last().copied().unwrap_or_default() };
    Ok(())
}
