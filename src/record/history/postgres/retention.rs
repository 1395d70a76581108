//! Removing what is past retention: the deliveries that changed longest ago, with their attempts, in small steps. As in a file, those
//! that changed soon after their event was taken in go from the front of the table, and only the others have an index for it.

use std::time::{Duration, Instant};

use super::{BEGIN, Pruned, Rows, bodies, marks, natural, packs};
use crate::model::Timestamp;
use crate::postgres::{PostgresError, Row, Session, Statements, ToSql};
use crate::record::history::Entry;
use crate::record::history::sink::STEP_ROWS;

/// The step of the schema: how far pruning has come, for all workers.
pub(super) const STEP: &str = "
    ALTER TABLE history_rows
        ADD COLUMN pruned_to BIGINT NOT NULL DEFAULT -9223372036854775808, -- before this moment were only rows that changed late
        ADD COLUMN written_from BIGINT NOT NULL DEFAULT 9223372036854775807; -- the first moment of what else was written since
";

/// The advisory lock of whoever prunes: "hikp" in ASCII, and the schema's hash.
const TURN: &str =
    "SELECT pg_try_advisory_xact_lock(1751739248, hashtext(current_schema())), deliveries, attempts, pruned_to,
        written_from
    FROM history_rows";

/// $1: what changed before this goes; $2 and $3: so many deliveries, or attempts, are too many; $4: rows looked at; $5: before this
/// moment are only rows that changed late. Tells how many deliveries and attempts went, that moment as it is now, and the events
/// of what went, with when they were taken in.
const PRUNE: &str = "
    WITH soon AS MATERIALIZED (
        SELECT accepted_at, tie, changed_at, last_attempt FROM deliveries
        WHERE accepted_at >= $5::BIGINT AND NOT changed_at > accepted_at + 60000
            AND (changed_at < $1::BIGINT OR $2::BIGINT > 0 OR $3::BIGINT > 0)
        ORDER BY accepted_at, tie LIMIT $4::BIGINT FOR UPDATE SKIP LOCKED
    ), late AS MATERIALIZED (
        SELECT accepted_at, tie, changed_at, last_attempt FROM deliveries
        WHERE changed_at > accepted_at + 60000 AND (changed_at < $1 OR $2 > 0 OR $3 > 0)
        ORDER BY changed_at LIMIT $4 FOR UPDATE SKIP LOCKED
    ), oldest AS MATERIALIZED (
        SELECT * FROM (SELECT * FROM soon UNION ALL SELECT * FROM late) both_kinds ORDER BY changed_at, accepted_at, tie LIMIT $4
    ), counted AS (
        SELECT accepted_at, tie, changed_at, (last_attempt IS NOT NULL)::INTEGER AS latest, (last_attempt IS NOT NULL)::INTEGER
            + (SELECT count(*) FROM earlier_attempts e WHERE (e.accepted_at, e.tie) = (oldest.accepted_at, oldest.tie)) AS tries
        FROM oldest
    ), summed AS (
        SELECT accepted_at, tie, changed_at, latest, row_number() OVER (ORDER BY changed_at, accepted_at, tie) - 1 AS before,
            coalesce(sum(tries) OVER (ORDER BY changed_at, accepted_at, tie ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
                AS tries_before
        FROM counted
    ), past AS MATERIALIZED (
        SELECT accepted_at, tie, latest FROM summed WHERE changed_at < $1 OR before < $2 OR tries_before < $3
    ), gone_attempts AS (
        DELETE FROM earlier_attempts e USING past WHERE (e.accepted_at, e.tie) = (past.accepted_at, past.tie) RETURNING 1
    ), gone AS (
        DELETE FROM deliveries d USING past WHERE (d.accepted_at, d.tie) = (past.accepted_at, past.tie)
        RETURNING latest, d.event_id, d.accepted_at
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM gone_attempts) + (SELECT coalesce(sum(latest), 0) FROM gone),
        coalesce((SELECT min(accepted_at) FROM soon WHERE (accepted_at, tie) NOT IN (SELECT accepted_at, tie FROM past)),
            (SELECT max(accepted_at) FROM soon), $5),
        (SELECT array_agg(event_id) FROM gone), (SELECT array_agg(accepted_at) FROM gone)
";

/// $4: so far pruning has come. What was being written meanwhile, and was passed over, is waited for here, and has its moment noted.
const COUNT: &str =
    "UPDATE history_rows SET deliveries = greatest(deliveries - $1, 0), attempts = greatest(attempts - $2, 0),
        body_bytes = greatest(body_bytes - $3, 0), pruned_to = least($4, written_from), written_from = 9223372036854775807
    RETURNING deliveries, attempts";

/// When pruning looks again from the beginning: a worker of before, that notes no moment of what it writes, may have been beside us.
const LOOKED_AGAIN: Duration = Duration::from_secs(3600);

/// Whether this is the one that prunes now, and what there is.
#[derive(Debug)]
struct Turn {
    is_ours: bool,
    deliveries: i64,
    attempts: i64,
    pruned_to: i64,
    written_from: i64,
}

impl Turn {
    fn read(row: &Row) -> Self {
        let (is_ours, deliveries, attempts) = (row.get(0), row.get(1), row.get(2));
        Self { is_ours, deliveries, attempts, pruned_to: row.get(3), written_from: row.get(4) }
    }

    fn rows(&self) -> Rows {
        Rows { deliveries: natural(self.deliveries), attempts: natural(self.attempts) }
    }
}

/// How far sweeping has come, and since when pruning goes on from where it was.
#[derive(Debug, Default)]
pub(super) struct Progress {
    began: Option<Instant>,
    webhook_marks: marks::Swept,
    type_marks: marks::Swept,
    packs: i64,
}

impl Progress {
    /// Where to begin, if pruning has come so far; and as of when.
    fn begin(&self, pruned_to: i64) -> (i64, Instant) {
        let began = self.began.filter(|began| began.elapsed() < LOOKED_AGAIN);
        began.map_or_else(|| (i64::MIN, Instant::now()), |began| (pruned_to, began))
    }
}

/// The first moment of those of `entries` that pruning finds by their moment.
pub(super) fn written_from(entries: &[Entry]) -> Option<i64> {
    entries.iter().filter(|entry| !entry.is_late()).map(|entry| entry.accepted_at.as_millis()).min()
}

/// Removes of the deliveries that changed longest ago at most [`STEP_ROWS`]: those that changed before `oldest`, and those that
/// are too many, by themselves or by their attempts. None while another process is at it. Which of those that did not change late
/// changed first is not known to less than the time after which it is late.
pub(super) async fn prune_step(
    session: &mut Session,
    progress: &mut Progress,
    oldest: Timestamp,
    count_max: u64,
) -> Result<Pruned, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    // What a crash of the server brings back is removed again, so nobody waits for its disk.
    transaction.batch("SET LOCAL synchronous_commit = off").await?;
    let turn = transaction.query_opt(TURN, &[]).await?.map(|row| Turn::read(&row));
    let pruned = match turn {
        Some(turn) if turn.is_ours => prune(&mut transaction, progress, &turn, (oldest, count_max)).await?,
        turn => Pruned { deliveries: 0, rows: turn.map_or(Rows::default(), |turn| turn.rows()) },
    };
    transaction.commit().await?;
    Ok(pruned)
}

async fn prune(
    statements: &mut Statements,
    progress: &mut Progress,
    turn: &Turn,
    (oldest, count_max): (Timestamp, u64),
) -> Result<Pruned, PostgresError> {
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let rows_max = i64::try_from(STEP_ROWS).unwrap_or(i64::MAX);
    let excess = |count: i64| (count - count_max).max(0);
    let (too_many, too_many_attempts) = (excess(turn.deliveries), excess(turn.attempts));
    let (from, began) = progress.begin(turn.pruned_to.min(turn.written_from));
    let params: [&(dyn ToSql + Sync); 5] = [&oldest.as_millis(), &too_many, &too_many_attempts, &rows_max, &from];
    let row = statements.query_opt(PRUNE, &params).await?;
    progress.began = Some(began);
    let Some(row) = row.filter(|row| row.get::<_, i64>(0) > 0) else {
        return Ok(Pruned { deliveries: 0, rows: turn.rows() });
    };
    let (gone, gone_attempts, front): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let body_bytes = bodies::leave(statements, row.get(3), row.get(4)).await?;
    let before = Timestamp::from_millis(front);
    marks::lock(statements).await?;
    marks::sweep(statements, marks::OF_WEBHOOKS, before, &mut progress.webhook_marks).await?;
    marks::sweep(statements, marks::OF_TYPES, before, &mut progress.type_marks).await?;
    packs::sweep(statements, &mut progress.packs).await?;
    let row = statements.query_opt(COUNT, &[&gone, &gone_attempts, &body_bytes, &front]).await?;
    let rows = row.map_or(turn.rows(), |row| Rows { deliveries: natural(row.get(0)), attempts: natural(row.get(1)) });
    Ok(Pruned { deliveries: natural(gone), rows })
}
