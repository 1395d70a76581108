//! Rows of deliveries that have none yet. `COPY` takes a third of what an `INSERT` takes that looks for each row whether it is there. It
//! adds all or none, so those that are perhaps there are looked for before it, and all of them when it has met with one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::merged::{KEPT_COLUMNS, Kept, Merged, took_us};
use super::place::{Key, columns};
use crate::model::{Timestamp, UserId};
use crate::postgres::{PostgresError, Statements, ToSql, Type};
use crate::record::postgres::{integer, without_nul};

/// How often all rows are looked for, since another worker may add one between a look and `COPY`. Then the group is tried again as
/// after any other failure.
const LOOKS_MAX: usize = 3;

const ADD: &str = "
    COPY deliveries (accepted_at, tie, delivery_id, event_id, type, user_id, source, webhook, generation, attempts, parks, state, reason,
        changed_at, due_at, last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker)
    FROM STDIN (FORMAT binary)
";

const COLUMNS: usize = 24;

/// The types of the columns of [`ADD`], in its order.
const TYPES: [Type; COLUMNS] = {
    const BIGINT: Type = Type::INT8;
    const INTEGER: Type = Type::INT4;
    const TEXT: Type = Type::TEXT;
    [
        BIGINT, BIGINT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, INTEGER, INTEGER, INTEGER, TEXT, TEXT, BIGINT, BIGINT,
        INTEGER, INTEGER, BIGINT, BIGINT, TEXT, INTEGER, TEXT, TEXT, TEXT,
    ]
};

/// The values of a row, as they are sent.
struct NewRow<'a> {
    accepted_at: i64,
    tie: i64,
    delivery_id: &'a str,
    event_id: &'a str,
    kind: &'a str,
    user_id: Option<&'a str>,
    source: &'a str,
    webhook: &'a str,
    generation: i32,
    attempts: i32,
    parks: i32,
    state: &'a str,
    reason: Option<&'a str>,
    changed_at: i64,
    due_at: Option<i64>,
    /// These and those below are of the latest attempt.
    last_generation: Option<i32>,
    last_attempt: Option<i32>,
    started_at: Option<i64>,
    took_us: Option<i64>,
    outcome: Option<&'a str>,
    status: Option<i32>,
    error: Option<Cow<'a, str>>,
    response: Option<Cow<'a, str>>,
    worker: Option<&'a str>,
}

impl<'a> NewRow<'a> {
    fn of(key: Key, merged: &Merged<'a>, worker: &'a str) -> Self {
        let entry = merged.furthest;
        let (which, attempt) = merged.latest().unzip();
        Self {
            accepted_at: key.accepted_at,
            tie: key.tie,
            delivery_id: entry.id.as_str(),
            event_id: entry.event.as_str(),
            kind: entry.kind.as_str(),
            user_id: entry.user.as_ref().map(UserId::as_str),
            source: entry.source.as_str(),
            webhook: entry.webhook.as_str(),
            generation: integer(entry.generation),
            attempts: integer(entry.attempts),
            parks: integer(entry.parks),
            state: entry.state.as_str(),
            reason: entry.reason,
            changed_at: entry.changed_at.as_millis(),
            due_at: entry.due.map(Timestamp::as_millis),
            last_generation: which.map(|which| integer(which.0)),
            last_attempt: which.map(|which| integer(which.1)),
            started_at: attempt.map(|attempt| attempt.started_at.as_millis()),
            took_us: attempt.map(took_us),
            outcome: attempt.map(|attempt| attempt.outcome.as_str()),
            status: attempt.and_then(|attempt| attempt.status).map(i32::from),
            error: attempt.map(|attempt| without_nul(&attempt.error)),
            response: attempt.map(|attempt| without_nul(&attempt.response)),
            worker: attempt.map(|_| worker),
        }
    }

    /// In the order of [`ADD`].
    fn values(&self) -> [&(dyn ToSql + Sync); COLUMNS] {
        [
            &self.accepted_at,
            &self.tie,
            &self.delivery_id,
            &self.event_id,
            &self.kind,
            &self.user_id,
            &self.source,
            &self.webhook,
            &self.generation,
            &self.attempts,
            &self.parks,
            &self.state,
            &self.reason,
            &self.changed_at,
            &self.due_at,
            &self.last_generation,
            &self.last_attempt,
            &self.started_at,
            &self.took_us,
            &self.outcome,
            &self.status,
            &self.error,
            &self.response,
            &self.worker,
        ]
    }
}

/// Adds a row for each delivery that has none, and tells what is kept of the others, whose rows it locks.
pub(super) async fn add(
    statements: &mut Statements,
    merged: &BTreeMap<Key, Merged<'_>>,
    worker: &str,
) -> Result<BTreeMap<Key, Kept>, PostgresError> {
    statements.batch("SAVEPOINT adding").await?;
    let mut there = look(statements, merged.iter().filter(|(_, merged)| merged.noted_before)).await?;
    let mut looks = 0;
    loop {
        if there.len() == merged.len() {
            return Ok(there);
        }
        let new = merged.iter().filter(|(key, _)| !there.contains_key(key));
        let rows = new.map(|(key, merged)| NewRow::of(*key, merged, worker));
        match statements.copy(ADD, &TYPES, rows, NewRow::values).await {
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
    deliveries: impl Iterator<Item = (&'a Key, &'a Merged<'b>)>,
) -> Result<BTreeMap<Key, Kept>, PostgresError> {
    let (moments, ties) = columns(deliveries.map(|(key, _)| *key));
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
