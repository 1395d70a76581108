//! Reading the history's file, in the process that writes it or in another.
//!
//! A page walks the index of that filter which leaves the fewest, and looks at the others row by row. It looks at no more than
//! [`EXAMINED_MAX`] rows, whatever is asked for, so that every page is soon there: one of few among many is short, or empty, and
//! tells where to go on.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use tokio::sync::Mutex;

use super::bodies::event_of;
use super::forgetting::forget;
use super::row::{ATTEMPT_COLUMNS, DELIVERY_COLUMNS, read_attempt, read_delivery};
use super::schema::open_to_read;
use crate::model::{DeliveryId, DeliveryState, Source, UserId};
use crate::record::RecordError;
use crate::record::history::read::{ATTEMPTS_MAX, EXAMINED_MAX, Found, PAGE_BODY_BYTES_MAX, Shown, WithEvent};
use crate::record::history::{Erased, HistoryCursor, HistoryFilter, HistoryPage, KeptAttempt, KeptDelivery};
use crate::sqlite::{FileIdentity, SqliteError, SqliteThread};

/// Where in a row of a page what follows [`DELIVERY_COLUMNS`] begins.
const REST: usize = 13;

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
        let read = |connection: &Connection, number, kept| Ok((kept, latest_attempt(connection, number)?));
        self.call(move |connection| page(connection, &filter, limit, after, read, |_| 0)).await
    }

    pub(in crate::record::history) async fn read(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<WithEvent>, RecordError> {
        let read = |connection: &Connection, number, kept: KeptDelivery| {
            let event = event_of(connection, number, &kept)?;
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
        // In the order of how few they leave.
        let few_first = |state: &DeliveryState| *state != DeliveryState::Delivered;
        let mut given: Vec<(&str, &str, usize, &str)> = Vec::new();
        if let Some(event) = &filter.event {
            given.push(("deliveries_by_event", "event_id", 1, event.as_str()));
        }
        if let Some(state) = filter.state.as_ref().filter(|state| few_first(state)) {
            given.push(("deliveries_by_state", "state", 9, state.as_str()));
        }
        if let Some(webhook) = &filter.webhook {
            given.push(("deliveries_by_webhook", "webhook", 5, webhook.as_str()));
        }
        if let Some(kind) = &filter.kind {
            given.push(("deliveries_by_type", "type", 2, kind.as_str()));
        }
        if let Some(state) = filter.state.as_ref().filter(|state| !few_first(state)) {
            given.push(("deliveries_by_state", "state", 9, state.as_str()));
        }
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        let mut given = given.into_iter();
        let index = given.next().map_or("deliveries_by_time", |(index, column, _, text)| {
            conditions.push(format!("{column} = ?"));
            values.push(Value::from(text.to_owned()));
            index
        });
        for (condition, at) in [("accepted_at >= ?", filter.since), ("accepted_at < ?", filter.until)] {
            if let Some(at) = at {
                conditions.push(condition.to_owned());
                values.push(Value::from(at.as_millis()));
            }
        }
        if let Some(HistoryCursor { accepted_at, number }) = after {
            conditions.push("(accepted_at, number) < (?, ?)".to_owned());
            values.extend([Value::from(accepted_at), Value::from(number)]);
        }
        let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS}, number FROM deliveries INDEXED BY {index} WHERE {conditions} \
             ORDER BY accepted_at DESC, number DESC LIMIT {}",
            EXAMINED_MAX + 1
        );
        Self { sql, values, rest: given.map(|(_, _, column, text)| (column, text.to_owned())).collect() }
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

/// A page of what `read` makes of each delivery with the number of its row; it ends when `bytes` of them are too many.
fn page<T>(
    connection: &Connection,
    filter: &HistoryFilter,
    limit: u32,
    after: Option<HistoryCursor>,
    read: impl Fn(&Connection, i64, KeptDelivery) -> Result<T, String>,
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
        let number: i64 = row.get(REST)?;
        last = Some(HistoryCursor { accepted_at: row.get(6)?, number });
        if !walk.fits(row)? {
            continue;
        }
        found += 1;
        match read_delivery(row).and_then(|kept| read(connection, number, kept)) {
            Ok(kept) => {
                held += bytes(&kept);
                page.deliveries.push(kept);
            }
            Err(why) => page.problems.push(format!("the delivery {} cannot be read: {why}", row.get::<_, String>(0)?)),
        }
    }
    Ok(page)
}

fn latest_attempt(connection: &Connection, number: i64) -> Result<Option<KeptAttempt>, String> {
    Ok(latest_attempts(connection, number, 1)?.pop())
}

/// The latest `count` attempts of the delivery with that number, the latest first.
fn latest_attempts(connection: &Connection, number: i64, count: u32) -> Result<Vec<KeptAttempt>, String> {
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery = ?1 ORDER BY generation DESC, attempt DESC LIMIT ?2"
    );
    let read = || -> rusqlite::Result<Vec<Result<KeptAttempt, String>>> {
        connection.prepare_cached(&sql)?.query_map((number, count), |row| Ok(read_attempt(row)))?.collect()
    };
    read().map_err(|error| format!("its attempts: {error}"))?.into_iter().collect()
}

fn with_event(connection: &mut Connection, id: &DeliveryId) -> rusqlite::Result<Option<Result<WithEvent, String>>> {
    let transaction = connection.transaction()?;
    let sql = format!("SELECT {DELIVERY_COLUMNS}, number FROM deliveries WHERE delivery_id = ?1");
    let row = |row: &Row<'_>| Ok((read_delivery(row), row.get::<_, i64>(REST)?));
    let found = transaction.prepare_cached(&sql)?.query_row([id.as_str()], row).optional()?;
    Ok(found.map(|(kept, number)| {
        let kept = kept?;
        let event = event_of(&transaction, number, &kept)?;
        Ok((kept, event))
    }))
}

fn show(connection: &mut Connection, id: &DeliveryId) -> rusqlite::Result<Option<Shown>> {
    // One look at the file, so that the attempts are those of the state.
    let transaction = connection.transaction()?;
    let sql = format!("SELECT {DELIVERY_COLUMNS}, number FROM deliveries WHERE delivery_id = ?1");
    let row = |row: &Row<'_>| Ok((read_delivery(row), row.get::<_, i64>(REST)?));
    let found = transaction.prepare_cached(&sql)?.query_row([id.as_str()], row).optional()?;
    Ok(found.map(|(kept, number)| {
        let mut attempts = latest_attempts(&transaction, number, ATTEMPTS_MAX)?;
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
            ("by_time", filter()),
            ("by_time", HistoryFilter { until: Some(Timestamp::from_millis(9)), ..filter() }),
            ("by_webhook", HistoryFilter { webhook: webhook.clone(), kind: kind.clone(), ..filter() }),
            ("by_webhook", HistoryFilter { webhook, state: Some(DeliveryState::Delivered), ..filter() }),
            ("by_type", HistoryFilter { kind, ..filter() }),
            ("by_state", HistoryFilter { state: Some(DeliveryState::Dead), ..filter() }),
            ("by_state", HistoryFilter { state: Some(DeliveryState::Delivered), ..filter() }),
            ("by_event", HistoryFilter { event: EventId::new("e1").ok(), ..filter() }),
        ];
        for (index, filter) in filters {
            let walk = Walk::of(&filter, Some(cursor));
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", walk.sql)).expect("plan");
            let plan = statement.query_map(params_from_iter(&walk.values), |row| row.get::<_, String>(3));
            let plan: Vec<String> = plan.expect("plan").map(|line| line.expect("line")).collect();
            let plan = plan.join("; ");
            assert!(plan.starts_with(&format!("SEARCH deliveries USING INDEX deliveries_{index} ")), "{plan}");
            assert!(plan.contains("accepted_at<?") || plan.contains("(accepted_at,rowid)<(?,?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
