//! What was taken in once, as a table: the same one in the queue's file, where it is noted in the transaction that stores the
//! message, and in the store, for queues that remember nothing.
//!
//! A row is a key and when it was noted. Rows are numbered as they come, so the oldest are found without an index of their
//! own. They count for [`REMEMBERED_FOR`]; each transaction that notes some removes twice as many that are past it, or over
//! the table's bound, so the table shrinks as fast as it grew and no transaction is long.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::model::{ReceiptKey, Timestamp};

/// How long a receipt counts: what Misskey has failed to send it keeps for 7 days at most, and for so long somebody may have
/// it sent again.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(8 * 86_400);
/// Receipts that a table keeps at most: 8 days of 6 a second.
pub const RECEIPTS_MAX: u64 = 4_000_000;
/// Bytes that a row takes in the file, its place in the index included, rounded up (measured: 69 with a million rows).
pub const RECEIPT_ROW_BYTES: u64 = 128;

/// The table's schema, a step of whoever has it.
pub const RECEIPTS_SCHEMA: &str = "
    CREATE TABLE receipts (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        noted_ms INTEGER NOT NULL
    ) STRICT;
";

/// Notes `key` at `now`; `false` when it is there already and still counts.
///
/// # Errors
/// What SQLite says; nothing was noted.
pub fn note_receipt(connection: &Connection, key: &ReceiptKey, now: Timestamp) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO receipts (key, noted_ms) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING";
    let mut insert = connection.prepare_cached(sql)?;
    if insert.execute((key.bytes(), now.as_millis()))? == 1 {
        return Ok(true);
    }
    let expired = "DELETE FROM receipts WHERE key = ?1 AND noted_ms < ?2";
    if connection.prepare_cached(expired)?.execute((key.bytes(), oldest(now)))? == 0 {
        return Ok(false);
    }
    Ok(insert.execute((key.bytes(), now.as_millis()))? == 1)
}

/// Whether `key` is there and still counts at `now`.
///
/// # Errors
/// What SQLite says.
pub fn has_receipt(connection: &Connection, key: &ReceiptKey, now: Timestamp) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM receipts WHERE key = ?1 AND noted_ms >= ?2";
    let found = connection.prepare_cached(sql)?.query_row((key.bytes(), oldest(now)), |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// Removes, of the oldest receipts, up to twice as many as were `noted`: those past their time, and those over `count_max`.
///
/// # Errors
/// What SQLite says; nothing was removed.
pub fn prune_receipts(connection: &Connection, noted: u64, now: Timestamp, count_max: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM receipts WHERE id < (SELECT min(id) FROM receipts) + ?1
        AND (noted_ms < ?2 OR id <= (SELECT max(id) FROM receipts) - ?3)";
    connection.prepare_cached(sql)?.execute((noted.saturating_mul(2), oldest(now), count_max))?;
    Ok(())
}

fn oldest(now: Timestamp) -> i64 {
    now.minus(REMEMBERED_FOR).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, Source};

    fn table() -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(RECEIPTS_SCHEMA).expect("schema");
        connection
    }

    fn key(n: u64) -> ReceiptKey {
        ReceiptKey::of(&Source::default(), None, "hook", &EventId::new(&format!("e{n}")).expect("valid"))
    }

    fn day(n: u64) -> Timestamp {
        Timestamp::from_millis(1_774_960_496_789).plus(Duration::from_secs(86_400 * n))
    }

    fn count(connection: &Connection) -> u64 {
        connection.query_row("SELECT count(*) FROM receipts", [], |row| row.get(0)).expect("counted")
    }

    #[test]
    fn a_receipt_counts_for_eight_days_and_can_be_noted_again_afterwards() {
        let table = table();
        assert_eq!(has_receipt(&table, &key(1), day(0)), Ok(false));
        assert_eq!(note_receipt(&table, &key(1), day(0)), Ok(true));
        for at in [0, 4, 8] {
            assert_eq!(has_receipt(&table, &key(1), day(at)), Ok(true), "day {at}");
            assert_eq!(note_receipt(&table, &key(1), day(at)), Ok(false), "day {at}");
        }
        assert_eq!(has_receipt(&table, &key(1), day(9)), Ok(false));
        assert_eq!(note_receipt(&table, &key(1), day(9)), Ok(true));
        assert_eq!((note_receipt(&table, &key(1), day(17)), count(&table)), (Ok(false), 1));
    }

    #[test]
    fn what_is_past_its_time_goes_twice_as_fast_as_new_ones_come() {
        let table = table();
        (0..100).for_each(|n| assert_eq!(note_receipt(&table, &key(n), day(0)), Ok(true)));
        prune_receipts(&table, 100, day(8), RECEIPTS_MAX).expect("pruned");
        assert_eq!(count(&table), 100, "all still count");
        for n in 0..50 {
            assert_eq!(note_receipt(&table, &key(1000 + n), day(9)), Ok(true));
            prune_receipts(&table, 1, day(9), RECEIPTS_MAX).expect("pruned");
        }
        assert_eq!(count(&table), 50);
        assert_eq!(has_receipt(&table, &key(1000), day(9)), Ok(true));
    }

    #[test]
    fn over_its_bound_a_table_lets_go_of_the_oldest() {
        let table = table();
        for n in 0..100 {
            assert_eq!(note_receipt(&table, &key(n), day(0)), Ok(true));
            prune_receipts(&table, 1, day(0), 10).expect("pruned");
        }
        assert_eq!(count(&table), 10);
        assert_eq!(
            (has_receipt(&table, &key(89), day(0)), has_receipt(&table, &key(90), day(0))),
            (Ok(false), Ok(true))
        );
    }

    #[test]
    fn a_row_takes_no_more_than_is_reckoned_with() {
        let table = table();
        let rows = 20_000;
        table.execute_batch("BEGIN").expect("begun");
        (0..rows).for_each(|n| assert_eq!(note_receipt(&table, &key(n), day(0)), Ok(true)));
        table.execute_batch("COMMIT").expect("committed");
        let number = |sql: &str| table.query_row(sql, [], |row| row.get::<_, u64>(0)).expect("a number");
        let bytes = number("PRAGMA page_count") * number("PRAGMA page_size");
        assert!(bytes < rows * RECEIPT_ROW_BYTES, "{} bytes a row", bytes / rows);
    }
}
