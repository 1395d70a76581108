//! Writing entries: one transaction for many, each idempotent.
//!
//! Most entries are the first of their delivery, and nearly all of these are its last too: they are added by one `COPY`
//! ([`super::adding`]). Only what is there already is read, put together with what has come ([`Merged`]), and written again.

use super::adding::add;
use super::merged::{Kept, Merged, Which, merged};
use super::place::{Key, columns};
use super::{BEGIN, Rows, bodies, forgetting, marks, natural, packs, retention};
use crate::model::{Outcome, Timestamp};
use crate::postgres::{PostgresError, Session, Statements, ToSql};
use crate::record::history::entry::of_others;
use crate::record::history::{Attempted, Entry};
use crate::record::postgres::{integer, without_nul};

const COME_FURTHER: &str = "
    UPDATE deliveries kept SET generation = given.generation, attempts = given.attempts, parks = given.parks, state = given.state,
        reason = given.reason, changed_at = given.changed_at, due_at = given.due_at
    FROM unnest($1::BIGINT[], $2::BIGINT[], $3::INTEGER[], $4::INTEGER[], $5::INTEGER[], $6::TEXT[], $7::TEXT[], $8::BIGINT[],
        $9::BIGINT[]) AS given (accepted_at, tie, generation, attempts, parks, state, reason, changed_at, due_at)
    WHERE (kept.accepted_at, kept.tie) = (given.accepted_at, given.tie)
";

const KEEP_LATEST: &str = "
    INSERT INTO earlier_attempts (accepted_at, tie, generation, attempt, started_at, took_us, outcome, status, error, response, worker)
    SELECT accepted_at, tie, last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker
    FROM unnest($1::BIGINT[], $2::BIGINT[]) AS given (accepted_at, tie) JOIN deliveries USING (accepted_at, tie)
    ON CONFLICT DO NOTHING
";

/// The arrays of attempts that both statements below are given, and the worker.
const ATTEMPTS_GIVEN: &str = "
    unnest($1::BIGINT[], $2::BIGINT[], $3::INTEGER[], $4::INTEGER[], $5::BIGINT[], $6::BIGINT[], $7::TEXT[], $8::INTEGER[],
        $9::TEXT[], $10::TEXT[])
        AS given (accepted_at, tie, generation, attempt, started_at, took_us, outcome, status, error, response)
";

const PUT_LATEST: &str = "
    UPDATE deliveries kept SET last_generation = given.generation, last_attempt = given.attempt, started_at = given.started_at,
        took_us = given.took_us, outcome = given.outcome, status = given.status, error = given.error, response = given.response,
        worker = $11
    FROM {given} WHERE (kept.accepted_at, kept.tie) = (given.accepted_at, given.tie)
    RETURNING true
";

/// Of a number that was tried twice, the try that delivered is kept, else the first.
const PUT_EARLIER: &str = "
    INSERT INTO earlier_attempts AS kept (accepted_at, tie, generation, attempt, started_at, took_us, outcome, status, error, response,
        worker)
    SELECT *, $11 FROM {given}
    ON CONFLICT (accepted_at, tie, generation, attempt) DO UPDATE SET
        started_at = excluded.started_at, took_us = excluded.took_us, outcome = excluded.outcome, status = excluded.status,
        error = excluded.error, response = excluded.response, worker = excluded.worker
    WHERE excluded.outcome = 'delivered' AND kept.outcome <> 'delivered'
    RETURNING xmax = 0 -- no transaction has changed or locked it before: it is new
";

/// Last, since whoever writes or prunes waits for it.
const COUNT: &str = "UPDATE history_rows SET deliveries = deliveries + $1, attempts = attempts + $2,
        body_bytes = greatest(body_bytes + $3, 0), written_from = least(written_from, $4)
    RETURNING deliveries, attempts";

/// An attempt with its delivery.
type Placed<'a> = (Key, Which, &'a Attempted);

/// What is to be done for deliveries that are there.
#[derive(Default)]
struct Changes<'a> {
    further: Vec<(Key, &'a Entry)>,
    /// Whose latest attempt becomes an earlier one.
    overtaken: Vec<Key>,
    latest: Vec<Placed<'a>>,
    earlier: Vec<Placed<'a>>,
    /// So many attempts in rows of deliveries are new.
    new: i64,
}

/// Writes `entries`, all or none, and tells how many rows there are then.
pub(super) async fn write(session: &mut Session, entries: &[Entry], worker: &str) -> Result<Rows, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    let entries = &*of_others(entries, &forgetting::forgotten(&mut transaction).await?);
    let body_bytes = bodies::put(&mut transaction, entries).await?;
    let merged = merged(entries);
    let there = add(&mut transaction, &merged, worker).await?;
    let mut changes = Changes::default();
    let mut new: Vec<(Key, &Entry)> = Vec::with_capacity(merged.len());
    for merged in &merged {
        match there.get(&merged.key) {
            Some(kept) => changes.add(merged, kept),
            None => {
                new.push((merged.key, merged.furthest));
                changes.add_new(merged);
            }
        }
    }
    let attempts = put(&mut transaction, &changes, worker).await?;
    packs::put(&mut transaction, &new).await?;
    if !new.is_empty() {
        marks::put(&mut transaction, &new).await?;
    }
    let deliveries = i64::try_from(new.len()).unwrap_or(i64::MAX);
    let written_from = retention::written_from(entries);
    let row = transaction.query_opt(COUNT, &[&deliveries, &attempts, &body_bytes, &written_from]).await?;
    transaction.commit().await?;
    Ok(row.map_or(Rows::default(), |row| Rows { deliveries: natural(row.get(0)), attempts: natural(row.get(1)) }))
}

impl<'a> Changes<'a> {
    /// What has come for a delivery whose row is new, and has its latest attempt.
    fn add_new(&mut self, merged: &Merged<'a>) {
        self.new += i64::from(merged.latest.is_some());
        self.add_earlier(merged);
    }

    /// What has come for a delivery of which that is kept.
    fn add(&mut self, merged: &Merged<'a>, kept: &Kept) {
        if merged.furthest.far() >= kept.far {
            self.further.push((merged.key, merged.furthest));
        }
        self.add_earlier(merged);
        let Some((which, attempt)) = merged.latest else { return };
        let placed = (merged.key, which, attempt);
        match kept.latest {
            None => {
                self.latest.push(placed);
                self.new += 1;
            }
            Some((latest, _)) if which > latest => {
                self.overtaken.push(merged.key);
                self.latest.push(placed);
                self.new += 1;
            }
            Some((latest, delivered)) if which == latest => {
                if attempt.outcome == Outcome::Delivered && !delivered {
                    self.latest.push(placed);
                }
            }
            Some(_) => self.earlier.push(placed),
        }
    }

    fn add_earlier(&mut self, merged: &Merged<'a>) {
        self.earlier.extend(merged.earlier.iter().map(|(which, attempt)| (merged.key, *which, *attempt)));
    }
}

/// Does what is to be done, and tells how many attempts are new.
async fn put(statements: &mut Statements, changes: &Changes<'_>, worker: &str) -> Result<i64, PostgresError> {
    if !changes.further.is_empty() {
        come_further(statements, &changes.further).await?;
    }
    if !changes.overtaken.is_empty() {
        let (moments, ties) = columns(changes.overtaken.iter().copied());
        statements.execute(KEEP_LATEST, &[&moments, &ties]).await?;
    }
    put_attempts(statements, PUT_LATEST, &changes.latest, worker).await?;
    Ok(changes.new + put_attempts(statements, PUT_EARLIER, &changes.earlier, worker).await?)
}

async fn come_further(statements: &mut Statements, further: &[(Key, &Entry)]) -> Result<(), PostgresError> {
    let (moments, ties) = columns(further.iter().map(|(key, _)| *key));
    let counts = |of: fn(&Entry) -> u32| further.iter().map(|(_, entry)| integer(of(entry))).collect::<Vec<i32>>();
    let states: Vec<&str> = further.iter().map(|(_, entry)| entry.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = further.iter().map(|(_, entry)| entry.reason).collect();
    let changed: Vec<i64> = further.iter().map(|(_, entry)| entry.changed_at.as_millis()).collect();
    let due: Vec<Option<i64>> = further.iter().map(|(_, entry)| entry.due.map(Timestamp::as_millis)).collect();
    let (generations, attempts) = (counts(|entry| entry.generation), counts(|entry| entry.attempts));
    let parks = counts(|entry| entry.parks);
    let params: [&(dyn ToSql + Sync); 9] =
        [&moments, &ties, &generations, &attempts, &parks, &states, &reasons, &changed, &due];
    statements.execute(COME_FURTHER, &params).await?;
    Ok(())
}

/// Runs a statement over attempts, and tells of how many it says that they are so.
async fn put_attempts(
    statements: &mut Statements,
    sql: &str,
    attempts: &[Placed<'_>],
    worker: &str,
) -> Result<i64, PostgresError> {
    if attempts.is_empty() {
        return Ok(0);
    }
    let (moments, ties) = columns(attempts.iter().map(|(key, ..)| *key));
    let generations: Vec<i32> = attempts.iter().map(|(_, which, _)| integer(which.0)).collect();
    let numbers: Vec<i32> = attempts.iter().map(|(_, which, _)| integer(which.1)).collect();
    let made = || attempts.iter().map(|(.., attempt)| *attempt);
    let started: Vec<i64> = made().map(|made| made.started_at.as_millis()).collect();
    let took: Vec<i64> = made().map(Attempted::took_us).collect();
    let outcomes: Vec<&str> = made().map(|made| made.outcome.as_str()).collect();
    let statuses: Vec<Option<i32>> = made().map(|made| made.status.map(i32::from)).collect();
    let errors: Vec<_> = made().map(|made| without_nul(&made.error)).collect();
    let responses: Vec<_> = made().map(|made| without_nul(&made.response)).collect();
    let params: [&(dyn ToSql + Sync); 11] =
        [&moments, &ties, &generations, &numbers, &started, &took, &outcomes, &statuses, &errors, &responses, &worker];
    let rows = statements.query(&sql.replace("{given}", ATTEMPTS_GIVEN), &params).await?;
    let count = rows.iter().filter(|row| row.get::<_, bool>(0)).count();
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}
