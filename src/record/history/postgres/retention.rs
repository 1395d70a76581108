//! Removing what is past retention: the deliveries that changed longest ago, with their attempts, in small steps.

use super::{BEGIN, Pruned, Rows, natural};
use crate::model::Timestamp;
use crate::postgres::{PostgresError, Row, Session, ToSql};
use crate::record::history::sink::STEP_ROWS;

/// The advisory lock of whoever prunes: "hikp" in ASCII, and the schema's hash.
const TURN: &str =
    "SELECT pg_try_advisory_xact_lock(1751739248, hashtext(current_schema())), deliveries, attempts FROM history_rows";

/// $1: what changed before this goes; $2 and $3: so many deliveries, or attempts, are too many; $4: rows looked at.
const PRUNE: &str = "
    WITH oldest AS MATERIALIZED (
        SELECT number, changed_at FROM deliveries WHERE changed_at < $1::BIGINT OR $2::BIGINT > 0 OR $3::BIGINT > 0
        ORDER BY changed_at LIMIT $4::BIGINT FOR UPDATE SKIP LOCKED
    ), counted AS (
        SELECT number, changed_at, (SELECT count(*) FROM attempts WHERE delivery = oldest.number) AS tries FROM oldest
    ), summed AS (
        SELECT number, changed_at, row_number() OVER (ORDER BY changed_at, number) - 1 AS before,
            coalesce(sum(tries) OVER (ORDER BY changed_at, number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
                AS tries_before
        FROM counted
    ), past AS MATERIALIZED (
        SELECT number FROM summed WHERE changed_at < $1 OR before < $2 OR tries_before < $3
    ), gone_attempts AS (
        DELETE FROM attempts WHERE delivery IN (SELECT number FROM past) RETURNING 1
    ), gone AS (
        DELETE FROM deliveries WHERE number IN (SELECT number FROM past) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM gone_attempts)
";

const COUNT: &str =
    "UPDATE history_rows SET deliveries = greatest(deliveries - $1, 0), attempts = greatest(attempts - $2, 0)
    RETURNING deliveries, attempts";

/// Removes of the deliveries that changed longest ago at most [`STEP_ROWS`]: those that changed before `oldest`, and those that
/// are too many, by themselves or by their attempts. None while another process is at it.
pub(super) async fn prune_step(
    session: &mut Session,
    oldest: Timestamp,
    count_max: u64,
) -> Result<Pruned, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    // What a crash of the server brings back is removed again, so nobody waits for its disk.
    transaction.batch("SET LOCAL synchronous_commit = off").await?;
    let row = transaction.query_opt(TURN, &[]).await?;
    let (is_our_turn, deliveries, attempts) = row.map_or((false, 0, 0), |row| (row.get(0), row.get(1), row.get(2)));
    let mut pruned =
        Pruned { deliveries: 0, rows: Rows { deliveries: natural(deliveries), attempts: natural(attempts) } };
    if is_our_turn {
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        let rows_max = i64::try_from(STEP_ROWS).unwrap_or(i64::MAX);
        let excess = |count: i64| (count - count_max).max(0);
        let (too_many, too_many_attempts) = (excess(deliveries), excess(attempts));
        let params: [&(dyn ToSql + Sync); 4] = [&oldest.as_millis(), &too_many, &too_many_attempts, &rows_max];
        let row = transaction.query_opt(PRUNE, &params).await?;
        let (gone, gone_attempts): (i64, i64) = row.map_or((0, 0), |row| (row.get(0), row.get(1)));
        pruned.deliveries = natural(gone);
        if gone > 0 {
            let row = transaction.query_opt(COUNT, &[&gone, &gone_attempts]).await?;
            let rows = |row: Row| Rows { deliveries: natural(row.get(0)), attempts: natural(row.get(1)) };
            pruned.rows = row.map_or(pruned.rows, rows);
        }
    }
    transaction.commit().await?;
    Ok(pruned)
}
