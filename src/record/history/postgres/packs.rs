//! Packs: at which moments deliveries and events were taken in, by their ids, as in a file (`super::super::sqlite::packs`). A
//! number in a pack is a moment, in milliseconds.

use super::place::{Key, columns};
use crate::postgres::{PostgresError, Statements};
use crate::record::history::Entry;
use crate::record::history::pack::{self, Packer};

/// Rows of a pack, at most. Of so many that are not packed, some are.
const PACK_ROWS: i64 = 8192;
/// Rows that are written together are packed at once if they are so many.
const PACK_ROWS_MIN: usize = 1024;

/// Rows that are asked for by one statement: of more PostgreSQL would think it worthwhile to compile it, which takes 0.1 s.
const ASKED_AT_ONCE: usize = 4096;

/// What is packed: the table of its packs, and the column of `deliveries`.
pub(super) const BY_ID: (&str, &str) = ("id_packs", "delivery_id");
pub(super) const BY_EVENT: (&str, &str) = ("event_packs", "event_id");

const WAIT: &str = "INSERT INTO unpacked SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[]) ON CONFLICT DO NOTHING";

/// $1: so many at most. Those that another packs are passed over, and those whose rows have gone are packed no more.
const TAKE_WAITING: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT accepted_at, tie FROM unpacked ORDER BY accepted_at, tie LIMIT $1 FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM unpacked USING chosen WHERE (unpacked.accepted_at, unpacked.tie) = (chosen.accepted_at, chosen.tie)
        RETURNING unpacked.accepted_at, unpacked.tie
    )
    SELECT accepted_at, delivery_id, event_id FROM gone JOIN deliveries USING (accepted_at, tie)
";

/// Adds rows to a pack, or to those that wait for one. Packs some of these when they are many.
pub(super) async fn put(statements: &mut Statements, added: &[(Key, &Entry)]) -> Result<(), PostgresError> {
    if added.len() >= PACK_ROWS_MIN {
        let mut packer = Packer::with_capacity(added.len());
        added.iter().for_each(|(key, entry)| packer.add(entry.names.id(), entry.names.event(), key.accepted_at));
        put_packs(statements, packer).await?;
    } else if !added.is_empty() {
        let (moments, ties) = columns(added.iter().map(|(key, _)| *key));
        statements.execute(WAIT, &[&moments, &ties]).await?;
    }
    let row = statements.query_opt("SELECT count(*) FROM unpacked", &[]).await?;
    let waiting: i64 = row.map_or(0, |row| row.get(0));
    if waiting > PACK_ROWS {
        let rows = statements.query(TAKE_WAITING, &[&PACK_ROWS]).await?;
        let mut packer = Packer::with_capacity(rows.len());
        rows.iter().for_each(|row| packer.add(row.get(1), row.get(2), row.get(0)));
        put_packs(statements, packer).await?;
    }
    Ok(())
}

async fn put_packs(statements: &mut Statements, packer: Packer) -> Result<(), PostgresError> {
    let (ids, events) = packer.packs();
    let sql = "WITH put AS (INSERT INTO id_packs (entries) VALUES ($1) RETURNING number)
        INSERT INTO event_packs SELECT number, $2 FROM put";
    statements.execute(sql, &[&ids, &events]).await?;
    Ok(())
}

/// The moments at which rows may lie that have that id.
pub(super) async fn find(
    statements: &mut Statements,
    (table, column): (&str, &str),
    id: &str,
) -> Result<Vec<i64>, PostgresError> {
    // These first: what is packed in between is found twice, else it were not found.
    let mut moments = find_waiting(statements, column, id).await?;
    let sql = format!("SELECT entries FROM {table} WHERE position($1::BYTEA IN entries) > 0");
    for row in statements.query(&sql, &[&&pack::hash_bytes(id)[..]]).await? {
        moments.extend(pack::numbers_of(row.get(0), id));
    }
    moments.sort_unstable();
    moments.dedup();
    Ok(moments)
}

/// Those of the rows that are not packed yet. Which these are is asked first, since PostgreSQL knows badly how many there are, and would
/// look through all deliveries for them.
async fn find_waiting(statements: &mut Statements, column: &str, id: &str) -> Result<Vec<i64>, PostgresError> {
    let waiting = statements.query("SELECT accepted_at, tie FROM unpacked", &[]).await?;
    let sql = format!(
        "SELECT accepted_at FROM unnest($1::BIGINT[], $2::BIGINT[]) AS waiting (accepted_at, tie) WHERE EXISTS (
            SELECT FROM deliveries WHERE (accepted_at, tie) = (waiting.accepted_at, waiting.tie) AND {column} = $3 OFFSET 0)"
    );
    let mut moments = Vec::new();
    for some in waiting.chunks(ASKED_AT_ONCE) {
        let keys = some.iter().map(|row| Key { accepted_at: row.get(0), tie: row.get(1) });
        let (accepted_at, ties) = columns(keys);
        let found = statements.query(&sql, &[&accepted_at, &ties, &id]).await?;
        moments.extend(found.iter().map(|row| row.get::<_, i64>(0)));
    }
    Ok(moments)
}

/// Looks at the pack behind number `swept`, and removes it if none of its rows is left.
pub(super) async fn sweep(statements: &mut Statements, swept: &mut i64) -> Result<(), PostgresError> {
    let sql = "SELECT number, entries FROM id_packs WHERE number > $1 ORDER BY number LIMIT 1";
    let Some(row) = statements.query_opt(sql, &[swept]).await? else {
        *swept = 0;
        return Ok(());
    };
    let mut moments: Vec<i64> = pack::all_numbers_of(row.get(1)).collect();
    moments.sort_unstable();
    moments.dedup();
    let is_there = "SELECT 1 FROM deliveries WHERE accepted_at = ANY ($1) LIMIT 1";
    let number: i64 = row.get(0);
    if statements.query_opt(is_there, &[&moments]).await?.is_none() {
        for (table, _) in [BY_ID, BY_EVENT] {
            statements.execute(&format!("DELETE FROM {table} WHERE number = $1"), &[&number]).await?;
        }
    }
    *swept = number;
    Ok(())
}
