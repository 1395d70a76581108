//! Writing entries: one transaction for many, each idempotent.
//!
//! A statement changes a row once, so of what comes several times in a group the entry that came furthest is written, by the same
//! rule by which what is written comes further.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

use super::{BEGIN, Rows, bodies, natural};
use crate::model::{DeliveryId, DeliveryState, Outcome, Timestamp, UserId};
use crate::postgres::{PostgresError, Session, Statements, ToSql};
use crate::record::history::{Attempted, Entry};
use crate::record::postgres::{integer, without_nul};

/// A delivery comes further: by generation, attempts spent, whether it has ended, and how often it was parked since its last
/// attempt. What is as far is written again, since it is the same.
const PUT_DELIVERIES: &str = "
    WITH put AS (
        INSERT INTO deliveries AS kept (delivery_id, event_id, type, user_id, source, webhook, accepted_at, generation, attempts,
            parks, state, reason, changed_at, due_at)
        SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[],
            $8::INTEGER[], $9::INTEGER[], $10::INTEGER[], $11::TEXT[], $12::TEXT[], $13::BIGINT[], $14::BIGINT[])
        ON CONFLICT (delivery_id) DO UPDATE SET
            generation = excluded.generation, attempts = excluded.attempts, parks = excluded.parks, state = excluded.state,
            reason = excluded.reason, changed_at = excluded.changed_at, due_at = excluded.due_at
        WHERE (excluded.generation, excluded.attempts, excluded.state <> 'waiting', excluded.parks)
            >= (kept.generation, kept.attempts, kept.state <> 'waiting', kept.parks)
        RETURNING xmax = 0 AS is_new -- no transaction has changed or locked it before
    )
    SELECT count(*) FILTER (WHERE is_new) FROM put
";

/// Of a number that was tried twice, the try that delivered is kept, else the first.
const PUT_ATTEMPTS: &str = "
    WITH put AS (
        INSERT INTO attempts AS kept (delivery, generation, attempt, started_at, took_us, outcome, status, error, response, worker)
        SELECT deliveries.number, given.generation, given.attempt, given.started_at, given.took_us, given.outcome, given.status,
            given.error, given.response, $10
        FROM unnest($1::TEXT[], $2::INTEGER[], $3::INTEGER[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[], $7::INTEGER[], $8::TEXT[],
            $9::TEXT[]) AS given (delivery_id, generation, attempt, started_at, took_us, outcome, status, error, response)
        JOIN deliveries USING (delivery_id)
        ON CONFLICT (delivery, generation, attempt) DO UPDATE SET
            started_at = excluded.started_at, took_us = excluded.took_us, outcome = excluded.outcome, status = excluded.status,
            error = excluded.error, response = excluded.response, worker = excluded.worker
        WHERE excluded.outcome = 'delivered' AND kept.outcome <> 'delivered'
        RETURNING xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new) FROM put
";

const COUNT: &str = "UPDATE history_rows SET deliveries = deliveries + $1, attempts = attempts + $2
    RETURNING deliveries, attempts";

/// An attempt among others: of which delivery, generation, and number.
type AttemptKey<'a> = (&'a DeliveryId, u32, u32);

/// Writes `entries`, all or none, and tells how many rows there are then.
pub(super) async fn write(session: &mut Session, entries: &[Entry], worker: &str) -> Result<Rows, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    bodies::put(&mut transaction, entries).await?;
    let deliveries = put_deliveries(&mut transaction, &furthest(entries)).await?;
    let attempts = put_attempts(&mut transaction, &each_once(entries), worker).await?;
    let row = transaction.query_opt(COUNT, &[&deliveries, &attempts]).await?;
    transaction.commit().await?;
    Ok(row.map_or(Rows::default(), |row| Rows { deliveries: natural(row.get(0)), attempts: natural(row.get(1)) }))
}

/// Each delivery's entry that came furthest, in the order of their ids.
fn furthest(entries: &[Entry]) -> Vec<&Entry> {
    let mut furthest: BTreeMap<&DeliveryId, &Entry> = BTreeMap::new();
    for entry in entries {
        match furthest.entry(&entry.id) {
            Place::Occupied(mut known) if far(entry) >= far(known.get()) => drop(known.insert(entry)),
            Place::Occupied(_) => {}
            Place::Vacant(place) => drop(place.insert(entry)),
        }
    }
    furthest.into_values().collect()
}

fn far(entry: &Entry) -> (u32, u32, bool, u32) {
    (entry.generation, entry.attempts, entry.state != DeliveryState::Waiting, entry.parks)
}

/// Each attempt once, in the order of their deliveries' ids.
fn each_once(entries: &[Entry]) -> BTreeMap<AttemptKey<'_>, &Attempted> {
    let mut attempts: BTreeMap<AttemptKey<'_>, &Attempted> = BTreeMap::new();
    for entry in entries {
        let Some(attempt) = &entry.attempt else { continue };
        match attempts.entry((&entry.id, entry.generation, attempt.number)) {
            Place::Occupied(mut known) => {
                if attempt.outcome == Outcome::Delivered && known.get().outcome != Outcome::Delivered {
                    known.insert(attempt);
                }
            }
            Place::Vacant(place) => drop(place.insert(attempt)),
        }
    }
    attempts
}

/// Writes how far each has come, unless it is known to have come further, and tells how many are new.
async fn put_deliveries(statements: &mut Statements, entries: &[&Entry]) -> Result<i64, PostgresError> {
    let texts = |of: fn(&Entry) -> &str| entries.iter().map(|entry| of(entry)).collect::<Vec<&str>>();
    let optional =
        |of: fn(&Entry) -> Option<&str>| entries.iter().map(|entry| of(entry)).collect::<Vec<Option<&str>>>();
    let moments = |of: fn(&Entry) -> Timestamp| entries.iter().map(|entry| of(entry).as_millis()).collect::<Vec<i64>>();
    let counts = |of: fn(&Entry) -> u32| entries.iter().map(|entry| integer(of(entry))).collect::<Vec<i32>>();
    let due: Vec<Option<i64>> = entries.iter().map(|entry| entry.due.map(Timestamp::as_millis)).collect();
    let row = statements
        .query_opt(
            PUT_DELIVERIES,
            &[
                &texts(|entry| entry.id.as_str()),
                &texts(|entry| entry.event.as_str()),
                &texts(|entry| entry.kind.as_str()),
                &optional(|entry| entry.user.as_ref().map(UserId::as_str)),
                &texts(|entry| entry.source.as_str()),
                &texts(|entry| entry.webhook.as_str()),
                &moments(|entry| entry.accepted_at),
                &counts(|entry| entry.generation),
                &counts(|entry| entry.attempts),
                &counts(|entry| entry.parks),
                &texts(|entry| entry.state.as_str()),
                &optional(|entry| entry.reason),
                &moments(|entry| entry.changed_at),
                &due,
            ],
        )
        .await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Writes those attempts that are not there, and tells how many these are.
async fn put_attempts(
    statements: &mut Statements,
    attempts: &BTreeMap<AttemptKey<'_>, &Attempted>,
    worker: &str,
) -> Result<i64, PostgresError> {
    if attempts.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = attempts.keys().map(|(id, ..)| id.as_str()).collect();
    let generations: Vec<i32> = attempts.keys().map(|(_, generation, _)| integer(*generation)).collect();
    let numbers: Vec<i32> = attempts.keys().map(|(.., number)| integer(*number)).collect();
    let started: Vec<i64> = attempts.values().map(|attempt| attempt.started_at.as_millis()).collect();
    let took: Vec<i64> =
        attempts.values().map(|attempt| i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX)).collect();
    let outcomes: Vec<&str> = attempts.values().map(|attempt| attempt.outcome.as_str()).collect();
    let statuses: Vec<Option<i32>> = attempts.values().map(|attempt| attempt.status.map(i32::from)).collect();
    let errors: Vec<_> = attempts.values().map(|attempt| without_nul(&attempt.error)).collect();
    let responses: Vec<_> = attempts.values().map(|attempt| without_nul(&attempt.response)).collect();
    let params: [&(dyn ToSql + Sync); 10] =
        [&ids, &generations, &numbers, &started, &took, &outcomes, &statuses, &errors, &responses, &worker];
    Ok(statements.query_opt(PUT_ATTEMPTS, &params).await?.map_or(0, |row| row.get(0)))
}
