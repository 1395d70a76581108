//! Reading the history's file, in the process that writes it or in another.
//!
//! A page walks along that filter which leaves the fewest, an index, or what marks or packs tell of it, or the table itself, and looks
//! at the others row by row. It looks at no more than [`EXAMINED_MAX`] rows, whatever is asked for, so that every page is soon there: one of few among many is short,
//! or empty, and tells where to go on.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use tokio::sync::Mutex;

use super::bodies::event_of;
use super::forgetting::forget;
use super::marks::{BY_TYPE, BY_WEBHOOK, SLOT_BITS, slot_of};
use super::packs::{self, BY_EVENT, BY_ID};
use super::place::first_place;
use super::row::{
    ATTEMPT_COLUMNS, DELIVERY_COLUMNS, DELIVERY_COLUMNS_COUNT, LATEST_COLUMNS, read_attempt, read_delivery, read_latest,
};
use super::schema::open_to_read;
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Source, UserId, WebhookId};
use crate::record::RecordError;
use crate::record::history::read::{ATTEMPTS_MAX, EXAMINED_MAX, Found, PAGE_BODY_BYTES_MAX, Shown, WithEvent};
use crate::record::history::{Erased, HistoryCursor, HistoryFilter, HistoryPage, KeptAttempt, KeptDelivery};
use crate::sqlite::columns::read_column;
use crate::sqlite::{FileIdentity, SqliteError, SqliteThread};

/// Where in a row of [`COLUMNS`] the row's number is, and where its latest attempt begins.
const NUMBER: usize = DELIVERY_COLUMNS_COUNT;
const LATEST: usize = NUMBER + 1;

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

    pub(in crate::record::history) async fn check(&self) -> Result<(), RecordError> {
        self.thread().await.map(drop)
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

/// The first and the last number that a row may have.
#[derive(Clone, Copy)]
struct Numbers {
    first: i64,
    last: i64,
}

impl Numbers {
    fn of(filter: &HistoryFilter, after: Option<HistoryCursor>) -> Self {
        let before = [filter.until.map(first_place), after.map(|after| after.number)].into_iter().flatten().min();
        Self {
            first: filter.since.map_or(0, first_place),
            last: before.map_or(i64::MAX, |before| before.saturating_sub(1)),
        }
    }
}

impl Walk {
    fn of(connection: &Connection, filter: &HistoryFilter, after: Option<HistoryCursor>) -> rusqlite::Result<Self> {
        let numbers = Numbers::of(filter, after);
        // In the order of how few they leave. Most are delivered.
        let few = |state: &DeliveryState| *state != DeliveryState::Delivered;
        let mut walk = if let Some(event) = &filter.event {
            Self::of_event(connection, event.as_str(), numbers)?
        } else if let Some(state) = filter.state.filter(few) {
            Self::of_state(state, numbers)
        } else if let Some(webhook) = &filter.webhook {
            Self::of_marks(BY_WEBHOOK.0, webhook.as_str(), numbers)
        } else if let Some(kind) = &filter.kind {
            Self::of_marks(BY_TYPE.0, kind.as_str(), numbers)
        } else {
            Self::of_all(numbers)
        };
        let looked_for = [
            (1, filter.event.as_ref().map(EventId::as_str)),
            (2, filter.kind.as_ref().map(EventType::as_str)),
            (5, filter.webhook.as_ref().map(WebhookId::as_str)),
            (9, filter.state.map(DeliveryState::as_str)),
        ];
        walk.rest = looked_for.into_iter().filter_map(|(column, text)| Some((column, text?.to_owned()))).collect();
        Ok(walk)
    }

    fn of_all(Numbers { first, last }: Numbers) -> Self {
        Self::along("deliveries NOT INDEXED WHERE number BETWEEN ?1 AND ?2", "", [first.into(), last.into()])
    }

    fn of_state(state: DeliveryState, Numbers { first, last }: Numbers) -> Self {
        // So that the planner knows that the index of some states is enough.
        let from = "deliveries INDEXED BY deliveries_by_state WHERE state = ?1 AND state <> 'delivered' AND number BETWEEN ?2 AND ?3";
        Self::along(from, "", [state.as_str().to_owned().into(), first.into(), last.into()])
    }

    /// Every row in the slots that are marked so.
    fn of_marks(table: &str, marked: &str, Numbers { first, last }: Numbers) -> Self {
        let from = format!(
            "{table} CROSS JOIN deliveries NOT INDEXED ON number BETWEEN max(slot << {SLOT_BITS}, ?2) AND min((slot << {SLOT_BITS}) + {}, ?3)
             WHERE marked = ?1 AND slot BETWEEN ?4 AND ?5",
            (1_i64 << SLOT_BITS) - 1
        );
        let slots = [slot_of(first).into(), slot_of(last).into()];
        let [first_slot, last_slot] = slots;
        Self::along(&from, "slot DESC, ", [marked.to_owned().into(), first.into(), last.into(), first_slot, last_slot])
    }

    /// The rows that may be of that event, which are few.
    fn of_event(connection: &Connection, event: &str, Numbers { first, last }: Numbers) -> rusqlite::Result<Self> {
        let mut numbers = packs::find(connection, BY_EVENT, event)?;
        numbers.retain(|number| (first..=last).contains(number));
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.dedup();
        numbers.truncate(EXAMINED_MAX as usize + 1);
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let from = "(SELECT value AS listed FROM json_each(?1)) CROSS JOIN deliveries NOT INDEXED ON number = listed";
        Ok(Self::along(from, "", [format!("[{}]", numbers.join(",")).into()]))
    }

    fn along(from: &str, order: &str, values: impl IntoIterator<Item = Value>) -> Self {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS}, number, {LATEST_COLUMNS} FROM {from} ORDER BY {order}number DESC LIMIT {}",
            EXAMINED_MAX + 1
        );
        Self { sql, values: values.into_iter().collect(), rest: Vec::new() }
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
    let walk = Walk::of(connection, filter, after)?;
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
    let sql = format!("SELECT {DELIVERY_COLUMNS}, number FROM deliveries WHERE number = ?1 AND delivery_id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    for number in packs::find(connection, BY_ID, id.as_str())? {
        let row = |row: &Row<'_>| Ok((read_delivery(row), row.get(NUMBER)?));
        let found = statement.query_row((number, id.as_str()), row).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
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
    use crate::model::Timestamp;

    #[test]
    fn every_page_walks_an_index_that_has_it_in_order() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let cursor = HistoryCursor { accepted_at: 5, number: 7 };
        let filter = HistoryFilter::default;
        let (webhook, kind) = (WebhookId::new("wh1").ok(), EventType::new("note").ok());
        let marks = "SEARCH {table} USING PRIMARY KEY (marked=? AND slot>? AND slot<?); ";
        let by = |table: &str| marks.replace("{table}", table) + "SEARCH deliveries USING INTEGER PRIMARY KEY ";
        let table = || "SEARCH deliveries USING INTEGER PRIMARY KEY ".to_owned();
        let state = "SEARCH deliveries USING INDEX deliveries_by_state ".to_owned();
        let filters = [
            (table(), filter()),
            (table(), HistoryFilter { state: Some(DeliveryState::Delivered), ..filter() }),
            (table(), HistoryFilter { until: Some(Timestamp::from_millis(9)), ..filter() }),
            (by("webhook_marks"), HistoryFilter { webhook: webhook.clone(), kind: kind.clone(), ..filter() }),
            (by("webhook_marks"), HistoryFilter { webhook, state: Some(DeliveryState::Delivered), ..filter() }),
            (by("type_marks"), HistoryFilter { kind, ..filter() }),
            (state, HistoryFilter { state: Some(DeliveryState::Dead), ..filter() }),
        ];
        for (begin, filter) in filters {
            let plan = plan_of(&connection, &Walk::of(&connection, &filter, Some(cursor)).expect("a walk"));
            assert!(plan.starts_with(&begin), "{plan}");
            assert!(plan.ends_with("rowid>? AND rowid<?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[test]
    fn the_few_deliveries_of_an_event_are_read_by_their_numbers() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let filter = HistoryFilter { event: EventId::new("e1").ok(), ..HistoryFilter::default() };
        let plan = plan_of(&connection, &Walk::of(&connection, &filter, None).expect("a walk"));
        assert!(plan.contains("SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        assert!(!plan.contains("SCAN deliveries"), "{plan}");
    }

    fn plan_of(connection: &Connection, walk: &Walk) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", walk.sql)).expect("plan");
        let plan = statement.query_map(params_from_iter(&walk.values), |row| row.get::<_, String>(3));
        let plan: Vec<String> = plan.expect("plan").map(|line| line.expect("line")).collect();
        plan.join("; ")
    }
}
