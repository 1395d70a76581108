//! Removes what the history has of a person, in steps. There is no index by person: it would cost each delivery that is noted, for
//! what is asked once in a while.

use std::time::Duration;

use super::natural;
use crate::model::{Source, UserId};
use crate::postgres::{PostgresError, Session, Statements};
use crate::record::forgotten::{Persons, person_of_row};
use crate::record::history::Erased;

/// Rows removed in one transaction at most.
const STEP_ROWS: i64 = 1000;
/// How long the walk over a million rows may take.
const WALK_MAX: Duration = Duration::from_secs(120);

const DELIVERIES: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT accepted_at, tie FROM deliveries WHERE user_id = $1 AND source = $2 ORDER BY accepted_at, tie LIMIT $3 FOR UPDATE
    ), gone_attempts AS (
        DELETE FROM earlier_attempts e USING chosen c WHERE (e.accepted_at, e.tie) = (c.accepted_at, c.tie) RETURNING 1
    ), gone AS (
        DELETE FROM deliveries d USING chosen c WHERE (d.accepted_at, d.tie) = (c.accepted_at, c.tie) RETURNING last_attempt
    )
    SELECT count(*), (SELECT count(*) FROM gone_attempts) + count(last_attempt) FROM gone
";

const BODIES: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT event_id FROM bodies WHERE user_id = $1 AND source = $2 ORDER BY event_id LIMIT $3 FOR UPDATE
    ), gone AS (
        DELETE FROM bodies WHERE event_id IN (SELECT event_id FROM chosen) RETURNING octet_length(body) AS bytes
    )
    SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM gone
";

const COUNT: &str =
    "UPDATE history_rows SET deliveries = greatest(deliveries - $1, 0), attempts = greatest(attempts - $2, 0),
    body_bytes = greatest(body_bytes - $3, 0)";

/// Who is forgotten, as it stays until the end of the transaction: whoever notes somebody more waits for it, and removes what it
/// writes. Nobody, where the dead letters' tables, which it stands in, are not made yet.
pub(super) async fn forgotten(statements: &mut Statements) -> Result<Persons, PostgresError> {
    let there = statements.query_opt("SELECT to_regclass('forgotten') IS NOT NULL", &[]).await?;
    if !there.is_some_and(|row| row.get(0)) {
        return Ok(Persons::default());
    }
    statements.batch("LOCK TABLE forgotten IN SHARE MODE").await?;
    let rows = statements.query("SELECT person, forgotten_at FROM forgotten", &[]).await?;
    Ok(rows.iter().filter_map(person_of_row).collect())
}

/// Removes it, and tells how much there was.
pub(super) async fn forget(session: &mut Session, source: &Source, user: &UserId) -> Result<Erased, PostgresError> {
    session.allow(WALK_MAX).await?;
    let mut erased = Erased::default();
    loop {
        let (deliveries, attempts) = step(session, DELIVERIES, source, user).await?;
        erased.deliveries += natural(deliveries);
        erased.attempts += natural(attempts);
        if deliveries < STEP_ROWS {
            break;
        }
    }
    loop {
        let (bodies, _bytes) = step(session, BODIES, source, user).await?;
        erased.bodies += natural(bodies);
        if bodies < STEP_ROWS {
            return Ok(erased);
        }
    }
}

/// A step of either; the second number is of attempts, or of bytes.
async fn step(session: &mut Session, sql: &str, source: &Source, user: &UserId) -> Result<(i64, i64), PostgresError> {
    let mut transaction = session.transaction().await?;
    let row = transaction.query_opt(sql, &[&user.as_str(), &source.as_str(), &STEP_ROWS]).await?;
    let (gone, other): (i64, i64) = row.map_or((0, 0), |row| (row.get(0), row.get(1)));
    let (deliveries, attempts, bytes) = if sql == DELIVERIES { (gone, other, 0) } else { (0, 0, other) };
    transaction.execute(COUNT, &[&deliveries, &attempts, &bytes]).await?;
    transaction.commit().await?;
    Ok((gone, other))
}
