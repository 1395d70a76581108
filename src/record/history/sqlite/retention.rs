//! Removing what is past retention: the deliveries that changed longest ago, with their attempts, in small steps.
//!
//! Nearly all deliveries end soon after their event was taken in, and rows lie in the order of that. So these go from the front of the
//! table, and only the others, which changed late, have an index by when they changed.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::{bodies, marks, packs};
use crate::model::Timestamp;
use crate::record::history::Entry;
use crate::record::history::entry::LATE_MS;
use crate::record::history::sink::{Pruned, Rows, STEP_ROWS};

/// How long it is remembered where pruning was: other processes may write before that. Not for shorter, since rows that changed late
/// stay where they are, and are all looked at again then.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How far pruning has come, for as long as a file is open.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Below this number are only rows that changed late, as far as is known.
    front: i64,
    /// Since when that is.
    front_since: Option<Instant>,
    webhook_marks: marks::Swept,
    type_marks: marks::Swept,
    packs: i64,
}

impl Progress {
    /// An entry was written to the row of that number.
    pub(super) fn wrote(&mut self, number: i64, entry: &Entry) {
        if !entry.is_late() {
            self.front = self.front.min(number);
        }
    }
}

/// A row that may go.
#[derive(Clone, Copy)]
struct Candidate {
    number: i64,
    changed_at: i64,
    /// Attempts in the row: 1 or none.
    latest: u64,
    is_late: bool,
}

/// Removes of the deliveries that changed longest ago at most [`STEP_ROWS`]: those that changed before `oldest`, and those that
/// are too many, by themselves or by their attempts. Which of those that did not change late changed first is not known to less than
/// the time after which it is late.
pub(super) fn prune_step(
    connection: &mut Connection,
    progress: &mut Progress,
    oldest: Timestamp,
    count_max: u64,
) -> rusqlite::Result<Pruned> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = rows(&transaction)?;
    let (mut now, mut gone, mut body_bytes) = (before, 0, 0);
    if progress.front_since.is_none_or(|since| since.elapsed() >= REMEMBERED) {
        (progress.front, progress.front_since) = (0, Some(Instant::now()));
    }
    let soon = soon_changed(&transaction, progress.front)?;
    let mut candidates = late_changed(&transaction)?;
    candidates.extend(&soon);
    candidates.sort_by_key(|candidate| candidate.changed_at);
    let mut front = soon.last().map_or(i64::MAX, |last| last.number.saturating_add(1));
    for (place, Candidate { number, changed_at, latest, .. }) in candidates.iter().copied().enumerate() {
        let is_past = changed_at < oldest.as_millis() || now.deliveries > count_max || now.attempts > count_max;
        if !is_past || place == STEP_ROWS {
            let left = candidates[place..].iter().filter(|left| !left.is_late).map(|left| left.number).min();
            front = left.unwrap_or(front);
            break;
        }
        let sql = "DELETE FROM earlier_attempts WHERE delivery = ?1";
        let attempts = latest + transaction.prepare_cached(sql)?.execute([number])? as u64;
        body_bytes += remove(&transaction, number)?;
        now = Rows { deliveries: now.deliveries.saturating_sub(1), attempts: now.attempts.saturating_sub(attempts) };
        gone += 1;
    }
    if gone > 0 {
        let sql = "UPDATE history_rows SET deliveries = ?1, attempts = ?2";
        transaction.execute(sql, (now.deliveries, now.attempts))?;
        bodies::subtract_bytes(&transaction, body_bytes)?;
        marks::sweep(&transaction, marks::BY_WEBHOOK.0, front, &mut progress.webhook_marks)?;
        marks::sweep(&transaction, marks::BY_TYPE.0, front, &mut progress.type_marks)?;
        packs::sweep(&transaction, &mut progress.packs)?;
    }
    transaction.commit()?;
    progress.front = front;
    Ok(Pruned { deliveries: gone, rows: now })
}

/// Removes the delivery of that number, with its event's body if it was the last that had it, and tells how many bytes that took.
fn remove(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM deliveries WHERE number = ?1 RETURNING body, event_id, accepted_at";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else { return Ok(0) };
    match row.get(0)? {
        Some(body) => {
            let (event, accepted_at) = (row.get_ref(1)?.as_str()?.to_owned(), Timestamp::from_millis(row.get(2)?));
            drop(rows);
            bodies::leave(transaction, body, &event, accepted_at)
        }
        None => Ok(0),
    }
}

/// The first rows that did not change late, from that number on.
fn soon_changed(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<Vec<Candidate>> {
    let sql = format!(
        "SELECT number, changed_at, last_attempt IS NOT NULL FROM deliveries NOT INDEXED
         WHERE number >= ?1 AND NOT changed_at > accepted_at + {LATE_MS} ORDER BY number LIMIT ?2"
    );
    let read = |row: &Row<'_>| candidate(row, false);
    transaction.prepare_cached(&sql)?.query_map((from, STEP_ROWS), read)?.collect()
}

/// Of the rows that changed late those that did so longest ago.
fn late_changed(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Candidate>> {
    let sql = format!(
        "SELECT number, changed_at, last_attempt IS NOT NULL FROM deliveries INDEXED BY deliveries_changed_late
         WHERE changed_at > accepted_at + {LATE_MS} ORDER BY changed_at LIMIT ?1"
    );
    let read = |row: &Row<'_>| candidate(row, true);
    transaction.prepare_cached(&sql)?.query_map([STEP_ROWS], read)?.collect()
}

fn candidate(row: &Row<'_>, is_late: bool) -> rusqlite::Result<Candidate> {
    Ok(Candidate { number: row.get(0)?, changed_at: row.get(1)?, latest: row.get(2)?, is_late })
}

fn rows(transaction: &Transaction<'_>) -> rusqlite::Result<Rows> {
    transaction.query_row("SELECT deliveries, attempts FROM history_rows", [], |row| {
        Ok(Rows { deliveries: row.get(0)?, attempts: row.get(1)? })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::collections::HashSet;
    use std::time::Duration;

    use super::super::schema::STEPS;
    use super::super::write::write;
    use super::*;
    use crate::model::{DeliveryId, EventId, WebhookId};
    use crate::record::history::entry::sample;
    use crate::record::history::names::Names;

    const MINUTE: Duration = Duration::from_secs(60);

    fn id(number: u32) -> DeliveryId {
        DeliveryId::of(&EventId::new(&format!("e{number}")).expect("an id"), &WebhookId::new("wh").expect("an id"))
    }

    /// The delivery `number`, whose event was taken in so many milliseconds after the beginning, changes after another while.
    fn entry(number: u32, after: Duration) -> Entry {
        let accepted_at = Timestamp::from_millis(1_000_000 + i64::from(number));
        let (event, webhook) = (format!("e{number}"), format!("wh{}", number % 7));
        let kind = if number.is_multiple_of(10) { "mention" } else { "note" };
        Entry {
            names: Names::joined([id(number).as_str(), &event, kind, "", "default", &webhook]),
            accepted_at,
            changed_at: accepted_at.plus(after),
            ..sample()
        }
    }

    struct File {
        connection: Connection,
        progress: Progress,
    }

    impl File {
        fn new() -> Self {
            let connection = Connection::open_in_memory().expect("open");
            STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
            Self { connection, progress: Progress::default() }
        }

        fn write(&mut self, entries: &[Entry]) {
            write(&mut self.connection, &mut self.progress, Arc::default, entries, "here/1").expect("written");
        }

        /// Prunes until nothing goes any more.
        fn prune(&mut self, oldest: Timestamp, count_max: u64) {
            while prune_step(&mut self.connection, &mut self.progress, oldest, count_max).expect("pruned").deliveries
                > 0
            {}
        }

        fn left(&self) -> HashSet<String> {
            let mut statement = self.connection.prepare("SELECT delivery_id FROM deliveries").expect("asked");
            statement.query_map([], |row| row.get(0)).expect("asked").map(|id| id.expect("an id")).collect()
        }

        fn number(&self, sql: &str) -> u64 {
            self.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
        }

        /// How many rows have not both their marks, or cannot be found by their ids.
        fn lost(&self) -> usize {
            let sql =
                "SELECT count(*) FROM deliveries WHERE (webhook, number >> 22) NOT IN (SELECT * FROM webhook_marks)
                OR (type, number >> 22) NOT IN (SELECT * FROM type_marks)";
            let is_lost = |id: &&String| packs::find(&self.connection, packs::BY_ID, id).expect("asked").is_empty();
            let unmarked = usize::try_from(self.number(sql)).expect("few");
            unmarked + self.left().iter().filter(is_lost).count()
        }
    }

    fn ids(numbers: impl IntoIterator<Item = u32>) -> HashSet<String> {
        numbers.into_iter().map(|number| id(number).as_str().to_owned()).collect()
    }

    #[test]
    fn those_that_changed_longest_ago_go_whether_they_changed_late_or_not() {
        let mut file = File::new();
        // One in 100 changed a day late.
        let is_late = |number: &u32| number.is_multiple_of(100);
        let day = 24 * 60 * MINUTE;
        file.write(&(0..3000).map(|n| entry(n, if is_late(&n) { day } else { MINUTE })).collect::<Vec<_>>());
        file.prune(Timestamp::from_millis(0), 1000);
        let late = (0..3000).filter(is_late);
        assert_eq!(file.left(), ids((2021..3000).filter(|n| !is_late(n)).chain(late)));
        assert_eq!(file.lost(), 0);

        // What comes behind the front, and what changes there, goes in its turn.
        file.write(&(0..50).map(|number| entry(number, 2 * day)).collect::<Vec<_>>());
        file.write(&[entry(77, MINUTE)]);
        assert_eq!(file.lost(), 0);
        file.prune(Timestamp::from_millis(1_000_000).plus(day + Duration::from_millis(10_000)), 1_000_000);
        assert_eq!(file.left(), ids(0..50));
        assert_eq!(file.lost(), 0);
    }

    #[test]
    fn what_another_process_wrote_before_the_front_goes_once_that_is_forgotten() {
        let mut file = File::new();
        file.prune(Timestamp::from_millis(0), 1000);
        write(&mut file.connection, &mut Progress::default(), Arc::default, &[entry(1, MINUTE)], "there/1")
            .expect("written");
        let long_after = Timestamp::from_millis(1_000_000_000);
        file.prune(long_after, 1000);
        assert_eq!(file.left(), ids([1]), "it is remembered that there was nothing");

        file.progress.front_since = Instant::now().checked_sub(REMEMBERED);
        file.prune(long_after, 1000);
        assert_eq!(file.left(), HashSet::new());
    }

    #[test]
    fn of_rows_that_have_gone_neither_marks_nor_packs_are_left_after_a_while() {
        let mut file = File::new();
        for first in (0..30_000).step_by(1500) {
            file.write(&(first..first + 1500).map(|number| entry(number, MINUTE)).collect::<Vec<_>>());
            file.prune(Timestamp::from_millis(0), 2000);
        }
        assert_eq!(file.lost(), 0);
        let marks = file.number("SELECT count(*) FROM webhook_marks");
        assert!(marks < 3 * 2000, "{marks} marks of 2,000 rows");
        let packs = file.number("SELECT count(*) FROM id_packs");
        assert!(packs < 8, "{packs} packs of 2,000 rows");
        assert_eq!(file.number("SELECT count(*) FROM id_packs JOIN event_packs USING (number)"), packs);
    }
}
