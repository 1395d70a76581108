//! Writing entries: one transaction for many, each idempotent.
//!
//! Most entries are the first of their delivery, and nearly all of these are its last too: they cost one statement. Only what
//! finds its place taken reads what is there. Entries are written in the order of their places, so that rows are put at the end
//! of their pages and not between others. What most entries have in common, SQLite is told once ([`Add`]).

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::bodies::{add_bytes, has_body, put_body};
use super::place::place_of;
use super::retention::Progress;
use super::{marks, packs};
use crate::model::Outcome;
use crate::record::forgotten::Persons;
use crate::record::history::entry::{Far, of_others};
use crate::record::history::sink::Rows;
use crate::record::history::{Attempted, Entry};

const ADD: &str = "
    INSERT INTO deliveries (number, delivery_id, event_id, type, user_id, source, webhook, accepted_at, generation, attempts, parks,
        state, reason, changed_at, due_at, body, last_generation, last_attempt, started_at, took_us, outcome, status,
        error, response, worker)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)
    ON CONFLICT (number) DO NOTHING
";

const AT_PLACE: &str = "
    SELECT delivery_id, generation, attempts, state <> 'waiting', parks, last_generation, last_attempt, outcome
    FROM deliveries WHERE number = ?1
";

/// The places behind one in which a delivery may lie whose place was taken: so many of one moment would have to lie side by side.
const BEHIND: &str = "
    SELECT number FROM deliveries NOT INDEXED WHERE number > ?1 AND number <= ?1 + 1024 AND delivery_id = ?2 ORDER BY number LIMIT 1
";

const REMOVE: &str = "DELETE FROM deliveries WHERE number = ?1";

const COME_FURTHER: &str = "
    UPDATE deliveries SET generation = ?2, attempts = ?3, parks = ?4, state = ?5, reason = ?6, changed_at = ?7, due_at = ?8,
        body = coalesce(?9, body)
    WHERE number = ?1
";

const KEEP_LATEST: &str = "
    INSERT INTO earlier_attempts (delivery, generation, attempt, started_at, took_us, outcome, status, error, response, worker)
    SELECT number, last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker
    FROM deliveries WHERE number = ?1
";

const PUT_LATEST: &str = "
    UPDATE deliveries SET last_generation = ?2, last_attempt = ?3, started_at = ?4, took_us = ?5, outcome = ?6, status = ?7,
        error = ?8, response = ?9, worker = ?10
    WHERE number = ?1
";

/// Of a number that was tried twice, the try that delivered is kept, else the first.
const PUT_EARLIER: &str = "
    INSERT INTO earlier_attempts (delivery, generation, attempt, started_at, took_us, outcome, status, error, response, worker)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT DO NOTHING
";

const DELIVERED_AFTER_ALL: &str = "
    UPDATE earlier_attempts SET started_at = ?4, took_us = ?5, outcome = ?6, status = ?7, error = ?8, response = ?9, worker = ?10
    WHERE delivery = ?1 AND generation = ?2 AND attempt = ?3 AND outcome <> ?6
";

/// A transaction under way.
struct Writing<'a> {
    transaction: &'a Transaction<'a>,
    add: Add<'a>,
    worker: &'a str,
    /// The rows that were added, in the order of their numbers but for those whose place was taken.
    added: Vec<(i64, &'a Entry)>,
    attempts: u64,
}

/// How many values [`ADD`] has.
const VALUES: usize = 25;

/// The statement [`ADD`] with the values that it was given last: only what differs is given anew.
struct Add<'a> {
    statement: CachedStatement<'a>,
    given: [Option<ValueRef<'a>>; VALUES],
}

/// What a place has.
struct Kept {
    is_it: bool,
    far: Far,
    /// Generation and number of the latest attempt, and whether it delivered.
    latest: Option<((u32, u32), bool)>,
}

/// Writes `entries`, all or none, and tells how many rows there are then.
pub(super) fn write(
    connection: &mut Connection,
    progress: &mut Progress,
    forgotten: impl FnOnce() -> Arc<Persons>,
    entries: &[Entry],
    worker: &str,
) -> rusqlite::Result<Rows> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Now: who removes somebody noted that first, and waits for this transaction.
    let entries = &*of_others(entries, &forgotten());
    let mut writing = Writing {
        transaction: &transaction,
        add: Add { statement: transaction.prepare_cached(ADD)?, given: [None; VALUES] },
        worker,
        added: Vec::with_capacity(entries.len()),
        attempts: 0,
    };
    let mut body_bytes = 0;
    let mut bodies: HashMap<&str, i64> = HashMap::new();
    for entry in entries {
        if let Some(kept) = &entry.body
            && !bodies.contains_key(entry.names.event())
            && !(entry.noted_before && has_body(&transaction, entry)?)
        {
            let (number, bytes) = put_body(&transaction, entry, kept)?;
            bodies.insert(entry.names.event(), number);
            body_bytes += bytes;
        }
    }
    for (place, entry) in by_place(entries) {
        let body = if bodies.is_empty() { None } else { bodies.get(entry.names.event()).copied() };
        let number = writing.put(place, entry, body)?;
        progress.wrote(number, entry);
    }
    if body_bytes > 0 {
        add_bytes(&transaction, body_bytes)?;
    }
    let (added, attempts) = (std::mem::take(&mut writing.added), writing.attempts);
    drop(writing);
    marks::put(&transaction, &added)?;
    packs::put(&transaction, &added)?;
    let sql =
        "UPDATE history_rows SET deliveries = deliveries + ?1, attempts = attempts + ?2 RETURNING deliveries, attempts";
    let rows = transaction.query_row(sql, (added.len() as u64, attempts), |row| {
        Ok(Rows { deliveries: row.get(0)?, attempts: row.get(1)? })
    })?;
    transaction.commit()?;
    Ok(rows)
}

/// The entries in the order of their places; those of one delivery as they came.
fn by_place(entries: &[Entry]) -> Vec<(i64, &Entry)> {
    let mut placed: Vec<_> =
        entries.iter().map(|entry| (place_of(entry.accepted_at, entry.names.id()), entry)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed
}

impl<'a> Add<'a> {
    /// Adds the delivery at `place`, if that is free.
    fn run(&mut self, place: i64, entry: &'a Entry, body: Option<i64>, worker: &'a str) -> rusqlite::Result<bool> {
        let attempt = entry.attempt.as_ref();
        let values: [ValueRef<'a>; VALUES] = [
            ValueRef::Integer(place),
            text(entry.names.id()),
            text(entry.names.event()),
            text(entry.names.kind()),
            optional(entry.names.user(), text),
            text(entry.names.source()),
            text(entry.names.webhook()),
            ValueRef::Integer(entry.accepted_at.as_millis()),
            integer(entry.generation),
            integer(entry.attempts),
            integer(entry.parks),
            text(entry.state.as_str()),
            optional(entry.reason, text),
            ValueRef::Integer(entry.changed_at.as_millis()),
            optional(entry.due, |due| ValueRef::Integer(due.as_millis())),
            optional(body, ValueRef::Integer),
            optional(attempt, |_| integer(entry.generation)),
            optional(attempt, |attempt| integer(attempt.number)),
            optional(attempt, |attempt| ValueRef::Integer(attempt.started_at.as_millis())),
            optional(attempt, |attempt| ValueRef::Integer(attempt.took_us())),
            optional(attempt, |attempt| text(attempt.outcome.as_str())),
            optional(attempt.and_then(|attempt| attempt.status), integer),
            optional(attempt, |attempt| text(&attempt.error)),
            optional(attempt, |attempt| text(&attempt.response)),
            optional(attempt, |_| text(worker)),
        ];
        for (index, (value, given)) in values.into_iter().zip(&mut self.given).enumerate() {
            if !given.is_some_and(|given| is_same(given, value)) {
                self.statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(value))?;
                *given = Some(value);
            }
        }
        Ok(self.statement.raw_execute()? > 0)
    }
}

/// Whether two values are the same; texts that many entries share are so without being read.
fn is_same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Text(a), ValueRef::Text(b)) => std::ptr::eq(a, b) || a == b,
        _ => a == b,
    }
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn integer(number: impl Into<i64>) -> ValueRef<'static> {
    ValueRef::Integer(number.into())
}

fn optional<'a, T>(value: Option<T>, of: impl FnOnce(T) -> ValueRef<'a>) -> ValueRef<'a> {
    value.map_or(ValueRef::Null, of)
}

impl<'a> Writing<'a> {
    /// Writes how far the delivery that wants `place` has come, unless it is known to have come further, and its attempt unless it is
    /// there. Tells its row's number.
    fn put(&mut self, mut place: i64, entry: &'a Entry, body: Option<i64>) -> rusqlite::Result<i64> {
        loop {
            if self.add.run(place, entry, body, self.worker)? {
                // Whoever had taken its place may have been removed since: then it is there, further behind.
                if entry.noted_before
                    && let Some(behind) = self.behind(place, entry)?
                {
                    self.transaction.prepare_cached(REMOVE)?.execute([place])?;
                    place = behind;
                    continue;
                }
                self.added.push((place, entry));
                self.attempts += u64::from(entry.attempt.is_some());
                return Ok(place);
            }
            let Some(kept) = self.at(place, entry)? else { continue };
            if kept.is_it {
                self.come_further(place, entry, body, &kept)?;
                return Ok(place);
            }
            place = place.wrapping_add(1);
        }
    }

    fn behind(&self, place: i64, entry: &Entry) -> rusqlite::Result<Option<i64>> {
        self.transaction.prepare_cached(BEHIND)?.query_row((place, entry.names.id()), |row| row.get(0)).optional()
    }

    fn at(&self, place: i64, entry: &Entry) -> rusqlite::Result<Option<Kept>> {
        let mut read = self.transaction.prepare_cached(AT_PLACE)?;
        let kept = read.query_row([place], |row| {
            let latest = match row.get::<_, Option<u32>>(6)? {
                Some(number) => Some(((row.get(5)?, number), row.get_ref(7)?.as_str()? == Outcome::Delivered.as_str())),
                None => None,
            };
            Ok(Kept {
                is_it: row.get_ref(0)?.as_str()? == entry.names.id(),
                far: (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?),
                latest,
            })
        });
        kept.optional()
    }

    fn come_further(&mut self, place: i64, entry: &Entry, body: Option<i64>, kept: &Kept) -> rusqlite::Result<()> {
        // What is as far is written again, since it is the same.
        if entry.far() >= kept.far {
            self.transaction.prepare_cached(COME_FURTHER)?.execute((
                place,
                entry.generation,
                entry.attempts,
                entry.parks,
                entry.state.as_str(),
                entry.reason,
                entry.changed_at.as_millis(),
                entry.due.map(|due| due.as_millis()),
                body,
            ))?;
        }
        let Some(attempt) = &entry.attempt else { return Ok(()) };
        let which = (entry.generation, attempt.number);
        let delivers = attempt.outcome == Outcome::Delivered;
        match kept.latest {
            Some((latest, _)) if which > latest => {
                self.transaction.prepare_cached(KEEP_LATEST)?.execute([place])?;
                self.put_attempt(PUT_LATEST, place, entry.generation, attempt)?;
                self.attempts += 1;
            }
            Some((latest, delivered)) if which == latest => {
                if delivers && !delivered {
                    self.put_attempt(PUT_LATEST, place, entry.generation, attempt)?;
                }
            }
            Some(_) => {
                let added = self.put_attempt(PUT_EARLIER, place, entry.generation, attempt)?;
                if added == 0 && delivers {
                    self.put_attempt(DELIVERED_AFTER_ALL, place, entry.generation, attempt)?;
                }
                self.attempts += added;
            }
            None => self.attempts += self.put_attempt(PUT_LATEST, place, entry.generation, attempt)?,
        }
        Ok(())
    }

    /// Runs a statement about an attempt, and tells how many rows it changed.
    fn put_attempt(&self, sql: &str, place: i64, generation: u32, attempt: &Attempted) -> rusqlite::Result<u64> {
        let values = (
            place,
            generation,
            attempt.number,
            attempt.started_at.as_millis(),
            attempt.took_us(),
            attempt.outcome.as_str(),
            attempt.status,
            attempt.error.as_str(),
            attempt.response.as_str(),
            self.worker,
        );
        Ok(self.transaction.prepare_cached(sql)?.execute(values)? as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::schema::STEPS;
    use super::*;
    use crate::model::{DeliveryId, DeliveryState, Timestamp};
    use crate::record::history::entry::sample;
    use crate::record::history::names::Names;

    fn id(begin: &str) -> DeliveryId {
        DeliveryId::from_text(&format!("msg_{begin:a<32}")).expect("an id")
    }

    fn attempt(number: u32, outcome: Outcome) -> Attempted {
        Attempted {
            number,
            started_at: Timestamp::from_millis(7),
            took: Duration::from_millis(3),
            outcome,
            status: Some(200),
            error: String::new(),
            response: "hello".to_owned(),
        }
    }

    /// The delivery with that id has come to `state` by the attempt of that number.
    fn entry(id: &DeliveryId, number: u32, state: DeliveryState) -> Entry {
        let outcome = if state == DeliveryState::Delivered { Outcome::Delivered } else { Outcome::ServerError };
        Entry {
            names: Names::joined([id.as_str(), "e1", "note", "", "default", "wh1"]),
            accepted_at: Timestamp::from_millis(5),
            attempts: number,
            noted_before: number > 1,
            state,
            changed_at: Timestamp::from_millis(9),
            attempt: Some(attempt(number, outcome)),
            ..sample()
        }
    }

    fn write(connection: &mut Connection, entries: &[Entry]) -> rusqlite::Result<Rows> {
        super::write(connection, &mut Progress::default(), Arc::default, entries, "here/1")
    }

    fn file() -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        connection
    }

    fn written(connection: &Connection) -> Vec<(String, i64, u32, String)> {
        let sql = "SELECT delivery_id, number & 0xfffff, attempts, state FROM deliveries ORDER BY number";
        let mut statement = connection.prepare(sql).expect("asked");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        rows.expect("asked").map(|row| row.expect("a row")).collect()
    }

    #[test]
    fn deliveries_that_want_one_place_lie_side_by_side_and_are_told_apart() {
        let mut connection = file();
        let (first, second, third) = (id("aaab7"), id("aaab2"), id("aaac"));
        let waiting = |id: &DeliveryId| entry(id, 1, DeliveryState::Waiting);
        let entries = [waiting(&first), waiting(&second), waiting(&third)];
        let rows = write(&mut connection, &entries).expect("written");
        assert_eq!(rows, Rows { deliveries: 3, attempts: 3 });
        let again = [&second, &third].map(|id| entry(id, 2, DeliveryState::Delivered));
        let rows = write(&mut connection, &again).expect("written");
        assert_eq!(rows, Rows { deliveries: 3, attempts: 5 });
        let text = |id: &DeliveryId| id.as_str().to_owned();
        let expected = [
            (text(&first), 1, 1, "waiting".to_owned()),
            (text(&second), 2, 2, "delivered".to_owned()),
            (text(&third), 3, 2, "delivered".to_owned()),
        ];
        assert_eq!(written(&connection), expected);
    }

    #[test]
    fn a_delivery_whose_place_became_free_goes_on_where_it_lies() {
        let mut connection = file();
        let (first, second, third) = (id("aaab7"), id("aaab2"), id("aaab3"));
        let entries = [&first, &second, &third].map(|id| entry(id, 1, DeliveryState::Waiting));
        write(&mut connection, &entries).expect("written");
        connection.execute("DELETE FROM deliveries WHERE delivery_id <> ?1", [third.as_str()]).expect("removed");
        let rows = write(&mut connection, &[entry(&third, 2, DeliveryState::Delivered)]).expect("written");
        assert_eq!(rows, Rows { deliveries: 3, attempts: 4 }, "none was added to those that were counted");
        assert_eq!(written(&connection), [(third.as_str().to_owned(), 3, 2, "delivered".to_owned())]);
    }

    #[test]
    fn a_parked_delivery_whose_place_became_free_goes_on_where_it_lies_with_its_first_attempt() {
        let mut connection = file();
        let (first, second) = (id("aaab7"), id("aaab2"));
        let parked = |id: &DeliveryId| Entry { attempt: None, parks: 1, ..entry(id, 0, DeliveryState::Waiting) };
        write(&mut connection, &[parked(&first), parked(&second)]).expect("written");
        connection.execute("DELETE FROM deliveries WHERE delivery_id = ?1", [first.as_str()]).expect("removed");
        let failed = Entry { noted_before: true, ..entry(&second, 1, DeliveryState::Waiting) };
        let rows = write(&mut connection, &[failed]).expect("written");
        assert_eq!(rows, Rows { deliveries: 2, attempts: 1 }, "none was added to those that were counted");
        assert_eq!(written(&connection), [(second.as_str().to_owned(), 2, 1, "waiting".to_owned())]);
    }

    #[test]
    fn attempts_that_come_in_any_order_are_all_there_and_the_latest_lies_with_its_delivery() {
        let mut connection = file();
        for number in [2, 1, 4, 3, 2, 4] {
            let entry = entry(&id("b"), number, DeliveryState::Waiting);
            write(&mut connection, &[entry]).expect("written");
        }
        let sql = "SELECT group_concat(attempt) FROM (SELECT attempt FROM attempts ORDER BY attempt)";
        let all: String = connection.query_row(sql, [], |row| row.get(0)).expect("asked");
        assert_eq!(all, "1,2,3,4");
        let sql = "SELECT last_attempt, attempts, (SELECT attempts FROM history_rows) FROM deliveries";
        let latest = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        assert_eq!(latest, Ok((4, 4, 4)));
    }
}
