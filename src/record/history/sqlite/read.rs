//! Reading the history's file, in the process that writes it or in another.
//!
//! A page walks the index of that filter which leaves the fewest, or the table itself, and looks at the others row by row. It looks
//! at no more than [`EXAMINED_MAX`] rows, whatever is asked for, so that every page is soon there: one of few among many is short,
//! or empty, and tells where to go on.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use tokio::sync::Mutex;

use super::bodies::event_of;
use super::forgetting::forget;
use super::place::first_place;
use super::row::{
    ATTEMPT_COLUMNS, DELIVERY_COLUMNS, DELIVERY_COLUMNS_COUNT, LATEST_COLUMNS, read_attempt, read_delivery, read_latest,
};
use super::schema::open_to_read;
use crate::model::{DeliveryId, DeliveryState, Source, UserId};
use crate::record::RecordError;
use crate::record::history::read::{ATTEMPTS_MAX, EXAMINED_MAX, Found, PAGE_BODY_BYTES_MAX, Shown, WithEvent};
use crate::record::history::{Erased, HistoryCursor, HistoryFilter, HistoryPage, KeptAttempt, KeptDelivery};
use crate::sqlite::columns::read_column;
use crate::sqlite::{FileIdentity, SqliteError, SqliteThread};

/// Where in a row of [`COLUMNS`] the row's number is, and where its latest attempt begins.
const NUMBER: usize = DELIVERY_COLUMNS_COUNT;
const LATEST: usize = NUMBER + 1;

/// The blocks that have rows, those written last first.
const BLOCKS: &str = "
    WITH RECURSIVE blocks (block) AS (
        SELECT max(block) FROM deliveries
        UNION ALL
        SELECT (SELECT max(d.block) FROM deliveries d WHERE d.block < blocks.block) FROM blocks WHERE blocks.block IS NOT NULL
    )
";

/// Reads the history of a file.
#[derive(Debug)]
pub(in crate::record::history) struct SqliteReader {
    path: PathBuf,
    file: Mutex<Option<Open>>,
}

/// The open file.
#[derive(Debug)]
struct Open {
    thread: SqliteThread,
    identity: FileIdentity,
}

impl SqliteReader {
    /// A reader of the file at `path`, which it opens when it is asked for something.
    pub(in crate::record::history) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::new(None) }
    }

    pub(in crate::record::history) async fn list(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<Found>, RecordError> {
        let read = |_: &Connection, row: &Row<'_>, kept| Ok((kept, read_latest(row, LATEST)?));
        self.call(move |connection| page(connection, &filter, limit, after, read, |_| 0)).await
    }

    pub(in crate::record::history) async fn read(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<WithEvent>, RecordError> {
        let read = |connection: &Connection, row: &Row<'_>, kept: KeptDelivery| {
            let event = event_of(connection, read_column(row, NUMBER)?, &kept)?;
            Ok((kept, event))
        };
        let bytes = |(_, event): &WithEvent| event.as_ref().map_or(0, |event| event.body.bytes().len());
        self.call(move |connection| page(connection, &filter, limit, after, read, bytes)).await
    }

    /// On a connection of its own, which may write.
    pub(in crate::record::history) async fn forget(
        &self,
        source: &Source,
        user: &UserId,
    ) -> Result<Erased, RecordError> {
        let (path, source, user) = (self.path.clone(), source.clone(), user.clone());
        let erased = tokio::task::spawn_blocking(move || forget(&path, &source, &user)).await;
        Ok(erased.map_err(|_| SqliteError::Closed { path: self.path.clone() })??)
    }

    pub(in crate::record::history) async fn with_event(
        &self,
        id: &DeliveryId,
    ) -> Result<Option<Result<WithEvent, String>>, RecordError> {
        let asked = id.clone();
        self.call(move |connection| with_event(connection, &asked)).await
    }

    pub(in crate::record::history) async fn show(&self, id: &DeliveryId) -> Result<Option<Shown>, RecordError> {
        let asked = id.clone();
        self.call(move |connection| show(connection, &asked)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RecordError> {
        let thread = self.thread().await?;
        Ok(thread.call(job).await?)
    }

    /// The thread that reads the file, which is opened if it is not open, or was replaced.
    async fn thread(&self) -> Result<SqliteThread, RecordError> {
        let mut file = self.file.lock().await;
        if let Some(open) = file.as_ref().filter(|open| open.identity.check().is_ok()) {
            return Ok(open.thread.clone());
        }
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let Some(connection) = open_to_read(&path)? else { return Ok(None) };
            let thread = SqliteThread::start("history-read", &path, connection)?;
            Ok::<_, SqliteError>(Some(Open { thread, identity: FileIdentity::of(&path) }))
        });
        let opened = opened.await.map_err(|_| SqliteError::Closed { path: self.path.clone() })??;
        let opened = opened.ok_or_else(|| RecordError::NoHistory { place: self.path.display().to_string() })?;
        Ok(file.insert(opened).thread.clone())
    }
}

/// What a page walks along, and what it looks for on the way.
struct Walk {
    sql: String,
    values: Vec<Value>,
    /// Columns that must have these texts.
    rest: Vec<(usize, String)>,
}

impl Walk {
    fn of(filter: &HistoryFilter, after: Option<HistoryCursor>) -> Self {
        // In the order of how few they leave. Most are delivered.
        let few = |state: &&DeliveryState| **state != DeliveryState::Delivered;
        let mut given: Vec<(&str, &str, usize, &str)> = Vec::new();
        if let Some(event) = &filter.event {
            given.push(("deliveries_by_event", "event_id", 1, event.as_str()));
        }
        if let Some(state) = filter.state.as_ref().filter(few) {
            given.push(("deliveries_by_state", "state", 9, state.as_str()));
        }
        if let Some(webhook) = &filter.webhook {
            given.push(("deliveries_by_webhook", "webhook", 5, webhook.as_str()));
        }
        if let Some(kind) = &filter.kind {
            given.push(("deliveries_by_type", "type", 2, kind.as_str()));
        }
        let by = given.first().copied();
        let mut rest: Vec<(usize, String)> =
            given.iter().skip(1).map(|(_, _, column, text)| (*column, (*text).to_owned())).collect();
        if filter.state == Some(DeliveryState::Delivered) {
            rest.push((9, DeliveryState::Delivered.as_str().to_owned()));
        }
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        if let Some((_, column, _, text)) = by {
            conditions.push(format!("{column} = ?"));
            values.push(Value::from(text.to_owned()));
        }
        // So that the planner knows that the index of some states is enough.
        if by.is_some_and(|(_, column, ..)| column == "state") {
            conditions.push("state <> 'delivered'".to_owned());
        }
        for (condition, at) in [("number >= ?", filter.since), ("number < ?", filter.until)] {
            if let Some(at) = at {
                conditions.push(condition.to_owned());
                values.push(Value::from(first_place(at)));
            }
        }
        if let Some(HistoryCursor { number, .. }) = after {
            conditions.push("number < ?".to_owned());
            values.push(Value::from(number));
        }
        let (before, from) = match by {
            Some((index @ "deliveries_by_event", ..)) => {
                (BLOCKS, format!("blocks CROSS JOIN deliveries INDEXED BY {index} USING (block)"))
            }
            Some((index, ..)) => ("", format!("deliveries INDEXED BY {index}")),
            None => ("", "deliveries NOT INDEXED".to_owned()),
        };
        let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let sql = format!(
            "{before} SELECT {DELIVERY_COLUMNS}, number, {LATEST_COLUMNS} FROM {from} WHERE {conditions} \
             ORDER BY number DESC LIMIT {}",
            EXAMINED_MAX + 1
        );
        Self { sql, values, rest }
    }

    fn fits(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        for (column, text) in &self.rest {
            if row.get_ref(*column)? != ValueRef::Text(text.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A page of what `read` makes of each delivery and its row; it ends when `bytes` of them are too many.
fn page<T>(
    connection: &Connection,
    filter: &HistoryFilter,
    limit: u32,
    after: Option<HistoryCursor>,
    read: impl Fn(&Connection, &Row<'_>, KeptDelivery) -> Result<T, String>,
    bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<HistoryPage<T>> {
    let walk = Walk::of(filter, after);
    let mut statement = connection.prepare_cached(&walk.sql)?;
    let mut rows = statement.query(params_from_iter(&walk.values))?;
    let mut page = HistoryPage { deliveries: Vec::new(), next: None, problems: Vec::new() };
    let (mut examined, mut found, mut held, mut last) = (0, 0, 0, None);
    while let Some(row) = rows.next()? {
        if found == limit || examined == EXAMINED_MAX || held >= PAGE_BODY_BYTES_MAX {
            page.next = last;
            break;
        }
        examined += 1;
        last = Some(HistoryCursor { accepted_at: row.get(6)?, number: row.get(NUMBER)? });
        if !walk.fits(row)? {
            continue;
        }
        found += 1;
        match read_delivery(row).and_then(|kept| read(connection, row, kept)) {
            Ok(kept) => {
                held += bytes(&kept);
                page.deliveries.push(kept);
            }
            Err(why) => page.problems.push(format!("the delivery {} cannot be read: {why}", row.get::<_, String>(0)?)),
        }
    }
    Ok(page)
}

/// The latest attempts of the delivery with that number, the latest first.
fn latest_attempts(connection: &Connection, number: i64) -> Result<Vec<KeptAttempt>, String> {
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery = ?1 ORDER BY generation DESC, attempt DESC LIMIT ?2"
    );
    let read = || -> rusqlite::Result<Vec<Result<KeptAttempt, String>>> {
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_map((number, ATTEMPTS_MAX), |row| Ok(read_attempt(row, 0)))?.collect()
    };
    read().map_err(|error| format!("its attempts: {error}"))?.into_iter().collect()
}

/// The delivery with that id and the number of its row. Should it be there twice, since its event was taken in twice, the one that
/// was written last.
fn find(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<Option<(Result<KeptDelivery, String>, i64)>> {
    let sql = format!(
        "{BLOCKS} SELECT {DELIVERY_COLUMNS}, number FROM blocks CROSS JOIN deliveries INDEXED BY deliveries_by_id USING (block)
         WHERE delivery_id = ?1 LIMIT 1"
    );
    let row = |row: &Row<'_>| Ok((read_delivery(row), row.get(NUMBER)?));
    connection.prepare_cached(&sql)?.query_row([id.as_str()], row).optional()
}

fn with_event(connection: &mut Connection, id: &DeliveryId) -> rusqlite::Result<Option<Result<WithEvent, String>>> {
    let transaction = connection.transaction()?;
    Ok(find(&transaction, id)?.map(|(kept, number)| {
        let kept = kept?;
        let event = event_of(&transaction, number, &kept)?;
        Ok((kept, event))
    }))
}

fn show(connection: &mut Connection, id: &DeliveryId) -> rusqlite::Result<Option<Shown>> {
    // One look at the file, so that the attempts are those of the state.
    let transaction = connection.transaction()?;
    Ok(find(&transaction, id)?.map(|(kept, number)| {
        let mut attempts = latest_attempts(&transaction, number)?;
        attempts.reverse();
        Ok((kept?, attempts))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::schema::STEPS;
    use super::*;
    use crate::model::{EventId, EventType, Timestamp, WebhookId};

    #[test]
    fn every_page_walks_an_index_that_has_it_in_order() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let cursor = HistoryCursor { accepted_at: 5, number: 7 };
        let filter = HistoryFilter::default;
        let (webhook, kind) = (WebhookId::new("wh1").ok(), EventType::new("note").ok());
        let filters = [
            ("INTEGER PRIMARY KEY", filter()),
            ("INTEGER PRIMARY KEY", HistoryFilter { state: Some(DeliveryState::Delivered), ..filter() }),
            ("INTEGER PRIMARY KEY", HistoryFilter { until: Some(Timestamp::from_millis(9)), ..filter() }),
            ("INDEX deliveries_by_webhook", HistoryFilter { webhook: webhook.clone(), kind: kind.clone(), ..filter() }),
            (
                "INDEX deliveries_by_webhook",
                HistoryFilter { webhook, state: Some(DeliveryState::Delivered), ..filter() },
            ),
            ("INDEX deliveries_by_type", HistoryFilter { kind, ..filter() }),
            ("INDEX deliveries_by_state", HistoryFilter { state: Some(DeliveryState::Dead), ..filter() }),
        ];
        for (index, filter) in filters {
            let plan = plan_of(&connection, &Walk::of(&filter, Some(cursor)));
            assert!(plan.starts_with(&format!("SEARCH deliveries USING {index} ")), "{plan}");
            assert!(plan.contains("rowid<?"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[test]
    fn the_few_deliveries_of_an_event_are_searched_in_one_block_after_the_other() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let filter = HistoryFilter { event: EventId::new("e1").ok(), ..HistoryFilter::default() };
        let plan = plan_of(&connection, &Walk::of(&filter, None));
        let search = "SEARCH deliveries USING INDEX deliveries_by_event (block=? AND event_id=?)";
        assert!(plan.contains(search) && plan.contains("SCAN blocks"), "{plan}");
        assert!(!plan.contains("SCAN d"), "each block is found by one search: {plan}");
    }

    fn plan_of(connection: &Connection, walk: &Walk) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", walk.sql)).expect("plan");
        let plan = statement.query_map(params_from_iter(&walk.values), |row| row.get::<_, String>(3));
        let plan: Vec<String> = plan.expect("plan").map(|line| line.expect("line")).collect();
        plan.join("; ")
    }
}
