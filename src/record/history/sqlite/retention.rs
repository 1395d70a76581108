//! Removing what is past retention: the deliveries that changed longest ago, with their attempts, in small steps.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::model::Timestamp;
use crate::record::history::sink::{Pruned, Rows, STEP_ROWS};

/// Removes of the deliveries that changed longest ago at most [`STEP_ROWS`]: those that changed before `oldest`, and those that
/// are too many, by themselves or by their attempts.
pub(super) fn prune_step(connection: &mut Connection, oldest: Timestamp, count_max: u64) -> rusqlite::Result<Pruned> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = rows(&transaction)?;
    let (mut now, mut gone) = (before, 0);
    let sql = "SELECT number, changed_at, last_attempt IS NOT NULL FROM deliveries ORDER BY changed_at LIMIT ?1";
    let candidates: Vec<(i64, i64, u64)> = transaction
        .prepare_cached(sql)?
        .query_map([STEP_ROWS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (number, changed_at, latest) in candidates {
        if changed_at >= oldest.as_millis() && now.deliveries <= count_max && now.attempts <= count_max {
            break;
        }
        let sql = "DELETE FROM earlier_attempts WHERE delivery = ?1";
        let attempts = latest + transaction.prepare_cached(sql)?.execute([number])? as u64;
        transaction.prepare_cached("DELETE FROM deliveries WHERE number = ?1")?.execute([number])?;
        now = Rows { deliveries: now.deliveries.saturating_sub(1), attempts: now.attempts.saturating_sub(attempts) };
        gone += 1;
    }
    if gone > 0 {
        let sql = "UPDATE history_rows SET deliveries = ?1, attempts = ?2";
        transaction.execute(sql, (now.deliveries, now.attempts))?;
    }
    transaction.commit()?;
    Ok(Pruned { deliveries: gone, rows: now })
}

fn rows(transaction: &Transaction<'_>) -> rusqlite::Result<Rows> {
    transaction.query_row("SELECT deliveries, attempts FROM history_rows", [], |row| {
        Ok(Rows { deliveries: row.get(0)?, attempts: row.get(1)? })
    })
}
