//! Rows of deliveries that have none yet. `COPY` takes a third of what an `INSERT` takes that looks for each row whether it is there. It
//! adds all or none, so those that are perhaps there are looked for before it, and all of them when it has met with one.

use std::collections::BTreeMap;

use super::merged::{KEPT_COLUMNS, Kept, Merged};
use super::place::{Key, columns};
use crate::model::Timestamp;
use crate::postgres::{CopyRow, PostgresError, Statements};
use crate::record::history::Attempted;
use crate::record::postgres::{integer, without_nul};

/// How often all rows are looked for, since another worker may add one between a look and `COPY`. Then the group is tried again as
/// after any other failure.
const LOOKS_MAX: usize = 3;

const ADD: &str = "
    COPY deliveries (accepted_at, tie, delivery_id, event_id, type, user_id, source, webhook, generation, attempts, parks, state, reason,
        changed_at, due_at, last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker)
    FROM STDIN (FORMAT binary)
";

/// The row of a delivery that has none yet, in the order of [`ADD`].
fn put_row(merged: &Merged<'_>, worker: &str, row: &mut CopyRow<'_>) {
    let (key, entry) = (merged.key, merged.furthest);
    row.bigint(key.accepted_at)
        .bigint(key.tie)
        .text(entry.names.id())
        .text(entry.names.event())
        .text(entry.names.kind())
        .text(entry.names.user())
        .text(entry.names.source())
        .text(entry.names.webhook())
        .integer(integer(entry.generation))
        .integer(integer(entry.attempts))
        .integer(integer(entry.parks))
        .text(entry.state.as_str())
        .text(entry.reason)
        .bigint(entry.changed_at.as_millis())
        .bigint(entry.due.map(Timestamp::as_millis));
    let (which, attempt) = merged.latest.unzip();
    row.integer(which.map(|which| integer(which.0)))
        .integer(which.map(|which| integer(which.1)))
        .bigint(attempt.map(|attempt| attempt.started_at.as_millis()))
        .bigint(attempt.map(Attempted::took_us))
        .text(attempt.map(|attempt| attempt.outcome.as_str()))
        .integer(attempt.and_then(|attempt| attempt.status).map(i32::from))
        .text(attempt.map(|attempt| without_nul(&attempt.error)).as_deref())
        .text(attempt.map(|attempt| without_nul(&attempt.response)).as_deref())
        .text(attempt.map(|_| worker));
}

/// Adds a row for each delivery that has none, and tells what is kept of the others, whose rows it locks.
pub(super) async fn add(
    statements: &mut Statements,
    merged: &[Merged<'_>],
    worker: &str,
) -> Result<BTreeMap<Key, Kept>, PostgresError> {
    statements.batch("SAVEPOINT adding").await?;
    let mut there = look(statements, merged.iter().filter(|merged| merged.noted_before)).await?;
    let mut looks = 0;
    loop {
        if there.len() == merged.len() {
            return Ok(there);
        }
        let new = merged.iter().filter(|merged| !there.contains_key(&merged.key));
        match statements.copy(ADD, new, |merged, row| put_row(merged, worker, row)).await {
            Err(PostgresError::Taken { .. }) if looks < LOOKS_MAX => {
                statements.batch("ROLLBACK TO SAVEPOINT adding").await?;
                there = look(statements, merged.iter()).await?;
                looks += 1;
            }
            added => return added.map(|()| there),
        }
    }
}

/// What is kept of those deliveries. Locks their rows, in the order of their places.
async fn look<'a, 'b: 'a>(
    statements: &mut Statements,
    deliveries: impl Iterator<Item = &'a Merged<'b>>,
) -> Result<BTreeMap<Key, Kept>, PostgresError> {
    let (moments, ties) = columns(deliveries.map(|merged| merged.key));
    if moments.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT accepted_at, tie, {KEPT_COLUMNS}
        FROM unnest($1::BIGINT[], $2::BIGINT[]) AS given (accepted_at, tie) JOIN deliveries USING (accepted_at, tie)
        ORDER BY accepted_at, tie FOR UPDATE OF deliveries"
    );
    let rows = statements.query(&sql, &[&moments, &ties]).await?;
    Ok(rows.iter().map(|row| (Key { accepted_at: row.get(0), tie: row.get(1) }, Kept::read(row, 2))).collect())
}
