//! Writing entries: one transaction for many, each idempotent.
//!
//! Most entries are the first of their delivery, and nearly all of these are its last too: they are added by one statement. Only what
//! is there already is read, put together with what has come, by the rules of [`Merged`], and written again.

use std::collections::{BTreeMap, HashSet};

use super::place::Key;
use super::{BEGIN, Rows, bodies, marks, natural, packs};
use crate::model::{DeliveryState, Outcome, Timestamp, UserId};
use crate::postgres::{PostgresError, Row, Session, Statements, ToSql};
use crate::record::history::{Attempted, Entry};
use crate::record::postgres::{integer, without_nul};

/// Adds those that are not there, and tells the places of these.
const ADD: &str = "
    WITH put AS (
        INSERT INTO deliveries (accepted_at, tie, delivery_id, event_id, type, user_id, source, webhook, generation, attempts, parks,
            state, reason, changed_at, due_at, last_generation, last_attempt, started_at, took_us, outcome, status, error, response,
            worker)
        SELECT *, CASE WHEN last_attempt IS NULL THEN NULL ELSE $24 END
        FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TEXT[],
            $9::INTEGER[], $10::INTEGER[], $11::INTEGER[], $12::TEXT[], $13::TEXT[], $14::BIGINT[], $15::BIGINT[], $16::INTEGER[],
            $17::INTEGER[], $18::BIGINT[], $19::BIGINT[], $20::TEXT[], $21::INTEGER[], $22::TEXT[], $23::TEXT[])
            AS given (accepted_at, tie, delivery_id, event_id, type, user_id, source, webhook, generation, attempts, parks, state,
                reason, changed_at, due_at, last_generation, last_attempt, started_at, took_us, outcome, status, error, response)
        ON CONFLICT DO NOTHING
        RETURNING accepted_at, tie
    )
    SELECT coalesce(array_agg(accepted_at), '{}'), coalesce(array_agg(tie), '{}') FROM put
";

/// Locks rows in the order of their places.
const KEPT: &str = "
    SELECT accepted_at, tie, generation, attempts, state <> 'waiting', parks, last_generation, last_attempt, outcome
    FROM unnest($1::BIGINT[], $2::BIGINT[]) AS given (accepted_at, tie) JOIN deliveries USING (accepted_at, tie)
    ORDER BY accepted_at, tie FOR UPDATE OF deliveries
";

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
        body_bytes = greatest(body_bytes + $3, 0)
    RETURNING deliveries, attempts";

/// An attempt among those of its delivery: generation, and number.
type Which = (u32, u32);

/// How far a delivery has come: by generation, attempts spent, whether it has ended, and how often it was parked since its last
/// attempt. What is as far is written again, since it is the same.
type Far = (u32, u32, bool, u32);

/// What has come of one delivery.
struct Merged<'a> {
    /// The entry that came furthest.
    furthest: &'a Entry,
    /// Each attempt once.
    attempts: BTreeMap<Which, &'a Attempted>,
}

impl<'a> Merged<'a> {
    fn latest(&self) -> Option<(Which, &'a Attempted)> {
        self.attempts.last_key_value().map(|(which, attempt)| (*which, *attempt))
    }
}

/// What is kept of a delivery already.
struct Kept {
    far: Far,
    /// The latest attempt, and whether it delivered.
    latest: Option<(Which, bool)>,
}

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
    /// Of `latest` so many are new.
    new: i64,
}

/// Writes `entries`, all or none, and tells how many rows there are then.
pub(super) async fn write(session: &mut Session, entries: &[Entry], worker: &str) -> Result<Rows, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    let body_bytes = bodies::put(&mut transaction, entries).await?;
    let merged = merged(entries);
    let added = add(&mut transaction, &merged, worker).await?;
    let mut changes = Changes::default();
    let mut attempts: i64 = 0;
    let mut there = Vec::new();
    for (key, merged) in &merged {
        if added.contains(key) {
            attempts += i64::from(merged.latest().is_some());
            let latest = merged.latest().map(|(which, _)| which);
            let earlier = merged.attempts.iter().filter(|(which, _)| Some(**which) != latest);
            changes.earlier.extend(earlier.map(|(which, attempt)| (*key, *which, *attempt)));
        } else {
            there.push(*key);
        }
    }
    change(&mut transaction, &merged, &there, &mut changes).await?;
    attempts += put(&mut transaction, &changes, worker).await?;
    let new: Vec<(Key, &Entry)> =
        merged.iter().filter(|(key, _)| added.contains(key)).map(|(key, merged)| (*key, merged.furthest)).collect();
    packs::put(&mut transaction, &new).await?;
    if !new.is_empty() {
        marks::put(&mut transaction, &new).await?;
    }
    let deliveries = i64::try_from(new.len()).unwrap_or(i64::MAX);
    let row = transaction.query_opt(COUNT, &[&deliveries, &attempts, &body_bytes]).await?;
    transaction.commit().await?;
    Ok(row.map_or(Rows::default(), |row| Rows { deliveries: natural(row.get(0)), attempts: natural(row.get(1)) }))
}

/// What has come of each delivery, in the order of their places.
fn merged(entries: &[Entry]) -> BTreeMap<Key, Merged<'_>> {
    let mut all: BTreeMap<Key, Merged<'_>> = BTreeMap::new();
    for entry in entries {
        let key = Key::of(entry.accepted_at, &entry.id);
        let merged = all.entry(key).or_insert_with(|| Merged { furthest: entry, attempts: BTreeMap::new() });
        if far(entry) >= far(merged.furthest) {
            merged.furthest = entry;
        }
        if let Some(attempt) = &entry.attempt {
            let known = merged.attempts.entry((entry.generation, attempt.number)).or_insert(attempt);
            if attempt.outcome == Outcome::Delivered && known.outcome != Outcome::Delivered {
                *known = attempt;
            }
        }
    }
    all
}

fn far(entry: &Entry) -> Far {
    (entry.generation, entry.attempts, entry.state != DeliveryState::Waiting, entry.parks)
}

/// Adds those that are not there, and tells the places of these.
async fn add(
    statements: &mut Statements,
    merged: &BTreeMap<Key, Merged<'_>>,
    worker: &str,
) -> Result<HashSet<Key>, PostgresError> {
    let (moments, ties): (Vec<i64>, Vec<i64>) = merged.keys().map(|key| (key.accepted_at, key.tie)).unzip();
    let each = || merged.values().map(|merged| merged.furthest);
    let texts = |of: fn(&Entry) -> &str| each().map(of).collect::<Vec<&str>>();
    let optional = |of: fn(&Entry) -> Option<&str>| each().map(of).collect::<Vec<Option<&str>>>();
    let counts = |of: fn(&Entry) -> u32| each().map(|entry| integer(of(entry))).collect::<Vec<i32>>();
    let changed: Vec<i64> = each().map(|entry| entry.changed_at.as_millis()).collect();
    let due: Vec<Option<i64>> = each().map(|entry| entry.due.map(Timestamp::as_millis)).collect();
    let latest: Vec<Option<(Which, &Attempted)>> = merged.values().map(Merged::latest).collect();
    let generations: Vec<Option<i32>> = latest.iter().map(|latest| latest.map(|(which, _)| integer(which.0))).collect();
    let numbers: Vec<Option<i32>> = latest.iter().map(|latest| latest.map(|(which, _)| integer(which.1))).collect();
    let made = || latest.iter().map(|latest| latest.map(|(_, attempt)| attempt));
    let started: Vec<Option<i64>> = made().map(|made| made.map(|made| made.started_at.as_millis())).collect();
    let took: Vec<Option<i64>> = made().map(|made| made.map(took_us)).collect();
    let outcomes: Vec<Option<&str>> = made().map(|made| made.map(|made| made.outcome.as_str())).collect();
    let statuses: Vec<Option<i32>> = made().map(|made| made.and_then(|made| made.status).map(i32::from)).collect();
    let errors: Vec<_> = made().map(|made| made.map(|made| without_nul(&made.error))).collect();
    let responses: Vec<_> = made().map(|made| made.map(|made| without_nul(&made.response))).collect();
    let row = statements
        .query_opt(
            ADD,
            &[
                &moments,
                &ties,
                &texts(|entry| entry.id.as_str()),
                &texts(|entry| entry.event.as_str()),
                &texts(|entry| entry.kind.as_str()),
                &optional(|entry| entry.user.as_ref().map(UserId::as_str)),
                &texts(|entry| entry.source.as_str()),
                &texts(|entry| entry.webhook.as_str()),
                &counts(|entry| entry.generation),
                &counts(|entry| entry.attempts),
                &counts(|entry| entry.parks),
                &texts(|entry| entry.state.as_str()),
                &optional(|entry| entry.reason),
                &changed,
                &due,
                &generations,
                &numbers,
                &started,
                &took,
                &outcomes,
                &statuses,
                &errors,
                &responses,
                &worker,
            ],
        )
        .await?;
    let (moments, ties): (Vec<i64>, Vec<i64>) = row.map_or_else(Default::default, |row| (row.get(0), row.get(1)));
    Ok(moments.into_iter().zip(ties).map(|(accepted_at, tie)| Key { accepted_at, tie }).collect())
}

/// Finds what is to be done for the deliveries `there`.
async fn change<'a>(
    statements: &mut Statements,
    merged: &BTreeMap<Key, Merged<'a>>,
    there: &[Key],
    changes: &mut Changes<'a>,
) -> Result<(), PostgresError> {
    if there.is_empty() {
        return Ok(());
    }
    let [moments, ties] = keys(there);
    for row in statements.query(KEPT, &[&moments, &ties]).await? {
        let key = Key { accepted_at: row.get(0), tie: row.get(1) };
        let Some(merged) = merged.get(&key) else { continue };
        changes.add(key, merged, &kept(&row));
    }
    Ok(())
}

fn keys(keys: &[Key]) -> [Vec<i64>; 2] {
    [keys.iter().map(|key| key.accepted_at).collect(), keys.iter().map(|key| key.tie).collect()]
}

fn kept(row: &Row) -> Kept {
    let count = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
    let is_there = row.get::<_, Option<i32>>(7).is_some();
    let delivered = row.get::<_, Option<&str>>(8) == Some(Outcome::Delivered.as_str());
    let latest = is_there.then(|| ((count(6), count(7)), delivered));
    Kept { far: (count(2), count(3), row.get(4), count(5)), latest }
}

impl<'a> Changes<'a> {
    /// What has come for a delivery of which that is kept.
    fn add(&mut self, key: Key, merged: &Merged<'a>, kept: &Kept) {
        if far(merged.furthest) >= kept.far {
            self.further.push((key, merged.furthest));
        }
        for (which, attempt) in &merged.attempts {
            let placed = (key, *which, *attempt);
            let is_last = merged.latest().is_some_and(|(latest, _)| latest == *which);
            match kept.latest {
                None if is_last => {
                    self.latest.push(placed);
                    self.new += 1;
                }
                Some((latest, _)) if is_last && *which > latest => {
                    self.overtaken.push(key);
                    self.latest.push(placed);
                    self.new += 1;
                }
                Some((latest, delivered)) if is_last && *which == latest => {
                    if attempt.outcome == Outcome::Delivered && !delivered {
                        self.latest.push(placed);
                    }
                }
                _ => self.earlier.push(placed),
            }
        }
    }
}

/// Does what is to be done, and tells how many attempts are new.
async fn put(statements: &mut Statements, changes: &Changes<'_>, worker: &str) -> Result<i64, PostgresError> {
    if !changes.further.is_empty() {
        come_further(statements, &changes.further).await?;
    }
    if !changes.overtaken.is_empty() {
        let [moments, ties] = keys(&changes.overtaken);
        statements.execute(KEEP_LATEST, &[&moments, &ties]).await?;
    }
    put_attempts(statements, PUT_LATEST, &changes.latest, worker).await?;
    Ok(changes.new + put_attempts(statements, PUT_EARLIER, &changes.earlier, worker).await?)
}

async fn come_further(statements: &mut Statements, further: &[(Key, &Entry)]) -> Result<(), PostgresError> {
    let (moments, ties): (Vec<i64>, Vec<i64>) = further.iter().map(|(key, _)| (key.accepted_at, key.tie)).unzip();
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
    let (moments, ties): (Vec<i64>, Vec<i64>) = attempts.iter().map(|(key, ..)| (key.accepted_at, key.tie)).unzip();
    let generations: Vec<i32> = attempts.iter().map(|(_, which, _)| integer(which.0)).collect();
    let numbers: Vec<i32> = attempts.iter().map(|(_, which, _)| integer(which.1)).collect();
    let made = || attempts.iter().map(|(.., attempt)| *attempt);
    let started: Vec<i64> = made().map(|made| made.started_at.as_millis()).collect();
    let took: Vec<i64> = made().map(took_us).collect();
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

fn took_us(attempt: &Attempted) -> i64 {
    i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX)
}
