//! Reading the history in PostgreSQL.
//!
//! As in a file, a page walks the index of that filter which leaves the fewest, and PostgreSQL looks at the others row by row, up to
//! [`EXAMINED_MAX`] of them. Only when it has looked at all of those in vain is it asked where the next page begins.

use super::bodies::{bytes_of, event_of, of_events};
use super::forgetting::forget;
use super::row::{ATTEMPT_COLUMNS, DELIVERY_COLUMNS, DELIVERY_COLUMNS_COUNT, read_attempt, read_delivery};
use super::tables;
use crate::model::{DeliveryId, DeliveryState, Source, UserId};
use crate::postgres::{Postgres, PostgresError, Row, Session, Statements, ToSql};
use crate::record::RecordError;
use crate::record::history::read::{ATTEMPTS_MAX, EXAMINED_MAX, Found, PAGE_BODY_BYTES_MAX, Shown, WithEvent};
use crate::record::history::{Erased, HistoryCursor, HistoryFilter, HistoryPage};
use crate::record::postgres::{Tables, read_column};

/// Where in a row of a page the number, and the latest attempt, stand.
const NUMBER: usize = DELIVERY_COLUMNS_COUNT;
const ATTEMPT: usize = NUMBER + 1;

/// Reads the history of a database.
#[derive(Debug)]
pub(in crate::record::history) struct PostgresReader {
    tables: Tables,
}

impl PostgresReader {
    /// A reader of the database at which `postgres` is.
    pub(in crate::record::history) fn of(postgres: &Postgres) -> Self {
        Self { tables: tables(postgres) }
    }

    pub(in crate::record::history) async fn list(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<Found>, RecordError> {
        Ok(page(&mut *self.session().await?, &Walk::of(&filter, after), limit).await?)
    }

    pub(in crate::record::history) async fn show(&self, id: &DeliveryId) -> Result<Option<Shown>, RecordError> {
        Ok(show(&mut self.session().await?, id).await?)
    }

    /// Of a page whose bodies are too many bytes, the first half.
    pub(in crate::record::history) async fn read(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<WithEvent>, RecordError> {
        let mut session = self.session().await?;
        let walk = Walk::of(&filter, after);
        let mut limit = limit;
        let page = loop {
            let page = page(&mut session, &walk, limit).await?;
            let bytes = bytes_of(&mut session, &events_of(&page)).await?;
            if limit == 1 || bytes <= PAGE_BODY_BYTES_MAX as u64 {
                break page;
            }
            limit = limit.div_ceil(2);
        };
        let bodies = of_events(&mut session, &events_of(&page)).await?;
        let with_event = |(kept, _): Found| {
            let event = bodies.get(&kept.event).map(|rest| event_of(&kept, rest));
            (kept, event)
        };
        let deliveries = page.deliveries.into_iter().map(with_event).collect();
        Ok(HistoryPage { deliveries, next: page.next, problems: page.problems })
    }

    pub(in crate::record::history) async fn with_event(
        &self,
        id: &DeliveryId,
    ) -> Result<Option<Result<WithEvent, String>>, RecordError> {
        let mut session = self.session().await?;
        let Some(found) = show(&mut session, id).await? else { return Ok(None) };
        let kept = match found {
            Ok((kept, _)) => kept,
            Err(why) => return Ok(Some(Err(why))),
        };
        let bodies = of_events(&mut session, &[kept.event.as_str()]).await?;
        let event = bodies.get(&kept.event).map(|rest| event_of(&kept, rest));
        Ok(Some(Ok((kept, event))))
    }

    pub(in crate::record::history) async fn forget(
        &self,
        source: &Source,
        user: &UserId,
    ) -> Result<Erased, RecordError> {
        match self.tables.session_if_made().await? {
            Some(mut session) => Ok(forget(&mut session, source, user).await?),
            None => Ok(Erased::default()),
        }
    }

    async fn session(&self) -> Result<Session, RecordError> {
        let session = self.tables.session_if_made().await?;
        session.ok_or_else(|| RecordError::NoHistory { place: format!("PostgreSQL at {}", self.tables.place()) })
    }
}

fn events_of(page: &HistoryPage<Found>) -> Vec<&str> {
    page.deliveries.iter().map(|(kept, _)| kept.event.as_str()).collect()
}

/// What a page walks along, and what it looks for on the way.
struct Walk {
    /// Where it walks.
    along: String,
    /// What it looks for.
    rest: String,
    values: Vec<Value>,
    /// How many of `values` are of `along`.
    of_along: usize,
}

type Value = Box<dyn ToSql + Send + Sync>;

impl Walk {
    fn of(filter: &HistoryFilter, after: Option<HistoryCursor>) -> Self {
        // In the order of how few they leave. Most are delivered, and no index has those.
        let few_first = |state: &DeliveryState| *state != DeliveryState::Delivered;
        let mut given: Vec<(&str, &str)> = Vec::new();
        if let Some(event) = &filter.event {
            given.push(("event_id", event.as_str()));
        }
        let is_few = filter.state.as_ref().is_some_and(few_first);
        if let Some(state) = filter.state.filter(|_| is_few) {
            given.push(("state", state.as_str()));
        }
        if let Some(webhook) = &filter.webhook {
            given.push(("webhook", webhook.as_str()));
        }
        if let Some(kind) = &filter.kind {
            given.push(("type", kind.as_str()));
        }
        let mut walk = Self { along: String::new(), rest: "true".to_owned(), values: Vec::new(), of_along: 0 };
        let mut given = given.into_iter();
        match given.next() {
            // So that the planner sees that the index of those that are not delivered has it.
            Some(("state", state)) => walk.along = format!("state = '{state}' AND state <> 'delivered'"),
            Some((column, text)) => {
                let text = walk.value(text.to_owned());
                walk.along = format!("{column} = {text}");
            }
            None => walk.along = "true".to_owned(),
        }
        for (condition, at) in [("accepted_at >=", filter.since), ("accepted_at <", filter.until)] {
            if let Some(at) = at {
                let at = walk.value(at.as_millis());
                walk.along = format!("{} AND {condition} {at}", walk.along);
            }
        }
        if let Some(HistoryCursor { accepted_at, number }) = after {
            let (accepted_at, number) = (walk.value(accepted_at), walk.value(number));
            walk.along = format!("{} AND (accepted_at, number) < ({accepted_at}, {number})", walk.along);
        }
        walk.of_along = walk.values.len();
        for (column, text) in given {
            let text = walk.value(text.to_owned());
            walk.rest = format!("{} AND {column} = {text}", walk.rest);
        }
        if filter.state == Some(DeliveryState::Delivered) {
            walk.rest = format!("{} AND state = 'delivered'", walk.rest);
        }
        walk
    }

    /// Adds a value, and tells how a statement names it.
    fn value(&mut self, value: impl ToSql + Send + Sync + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn values(&self, count: usize) -> Vec<&(dyn ToSql + Sync)> {
        self.values[..count].iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }

    /// The statement of a page, which asks for one row more than it holds.
    fn page_sql(&self, limit: u32) -> String {
        let Self { along, rest, .. } = self;
        let columns = |table: &str, columns: &str| {
            columns.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ")
        };
        format!(
            "SELECT {}, walked.number, {} FROM (
                SELECT {DELIVERY_COLUMNS}, number, {rest} AS fits FROM deliveries WHERE {along}
                ORDER BY accepted_at DESC, number DESC LIMIT {EXAMINED_MAX}
            ) walked LEFT JOIN LATERAL (
                SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE attempts.delivery = walked.number
                ORDER BY generation DESC, attempt DESC LIMIT 1
            ) latest ON true
            WHERE walked.fits ORDER BY walked.accepted_at DESC, walked.number DESC LIMIT {}",
            columns("walked", DELIVERY_COLUMNS),
            columns("latest", ATTEMPT_COLUMNS),
            limit + 1
        )
    }

    /// The statement that tells the last row that is looked at for a page, and whether there is one behind it.
    fn end_sql(&self) -> String {
        format!(
            "SELECT accepted_at, number FROM deliveries WHERE {} ORDER BY accepted_at DESC, number DESC OFFSET {} LIMIT 2",
            self.along,
            EXAMINED_MAX - 1
        )
    }
}

async fn page(statements: &mut Statements, walk: &Walk, limit: u32) -> Result<HistoryPage<Found>, PostgresError> {
    let rows = statements.query(&walk.page_sql(limit), &walk.values(walk.values.len())).await?;
    let mut page = HistoryPage { deliveries: Vec::new(), next: None, problems: Vec::new() };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    for row in rows.iter().take(most) {
        match read_found(row) {
            Ok(found) => page.deliveries.push(found),
            Err(why) => page.problems.push(format!("the delivery {} cannot be read: {why}", row.get::<_, &str>(0))),
        }
    }
    if rows.len() > most {
        page.next = rows.get(most - 1).map(|row| HistoryCursor { accepted_at: row.get(6), number: row.get(NUMBER) });
    } else if walk.rest != "true" {
        let ends = statements.query(&walk.end_sql(), &walk.values(walk.of_along)).await?;
        if let [last, _behind] = &ends[..] {
            page.next = Some(HistoryCursor { accepted_at: last.get(0), number: last.get(1) });
        }
    }
    Ok(page)
}

fn read_found(row: &Row) -> Result<Found, String> {
    let has_attempt = read_column::<Option<i32>>(row, ATTEMPT)?.is_some();
    let latest = has_attempt.then(|| read_attempt(row, ATTEMPT)).transpose();
    Ok((read_delivery(row)?, latest.map_err(|why| format!("its attempts: {why}"))?))
}

async fn show(session: &mut Session, id: &DeliveryId) -> Result<Option<Shown>, PostgresError> {
    // One look, so that the attempts are those of the state.
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, number, latest.* FROM deliveries LEFT JOIN LATERAL (
            SELECT {} FROM attempts WHERE delivery = number ORDER BY generation DESC, attempt DESC LIMIT {ATTEMPTS_MAX}
        ) latest ON true WHERE delivery_id = $1 ORDER BY kept_generation, kept_attempt",
        ATTEMPT_COLUMNS
            .replace("generation", "generation AS kept_generation")
            .replace("attempt,", "attempt AS kept_attempt,")
    );
    let rows = session.query(&sql, &[&id.as_str()]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let read = || {
        let delivery = read_delivery(first)?;
        let has_attempts = read_column::<Option<i32>>(first, ATTEMPT)?.is_some();
        let attempts = rows.iter().filter(|_| has_attempts).map(|row| read_attempt(row, ATTEMPT));
        Ok((delivery, attempts.collect::<Result<Vec<_>, _>>()?))
    };
    Ok(Some(read()))
}
