//! Reading the history in PostgreSQL.
//!
//! As in a file, a page walks along that filter which leaves the fewest, and PostgreSQL looks at the others row by row: up to
//! [`EXAMINED_MAX`] rows of an index, or those in some slots that are marked. Only when it has looked at all of those in vain is it asked
//! where the next page begins.

use super::bodies::{bytes_of, event_of, of_events};
use super::forgetting::forget;
use super::place::tie_of;
use super::row::{
    ATTEMPT_COLUMNS, DELIVERY_COLUMNS, DELIVERY_COLUMNS_COUNT, LATEST_COLUMNS, read_attempt, read_delivery, read_latest,
};
use super::{marks, packs, tables};
use crate::model::{DeliveryId, DeliveryState, EventType, Source, Timestamp, UserId, WebhookId};
use crate::postgres::{Postgres, PostgresError, Row, Session, Statements, ToSql};
use crate::record::RecordError;
use crate::record::history::read::{ATTEMPTS_MAX, EXAMINED_MAX, Found, PAGE_BODY_BYTES_MAX, Shown, WithEvent};
use crate::record::history::{Erased, HistoryCursor, HistoryFilter, HistoryPage};
use crate::record::postgres::Tables;

/// Where in a row of a page the tie, and the latest attempt, stand.
const TIE: usize = DELIVERY_COLUMNS_COUNT;
const LATEST: usize = TIE + 1;
/// How often a page looks for slots that are marked, before it is short.
const ROUNDS_MAX: u32 = 8;

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

    pub(in crate::record::history) async fn check(&self) -> Result<(), RecordError> {
        self.session().await.map(drop)
    }

    pub(in crate::record::history) async fn list(
        &self,
        filter: HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<Found>, RecordError> {
        let mut session = self.session().await?;
        let walk = Walk::of(&mut session, &filter, after).await?;
        Ok(page(&mut session, &walk, limit).await?)
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
        let walk = Walk::of(&mut session, &filter, after).await?;
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
    /// In slots that are marked so, between these moments.
    marked: Option<Marked>,
}

struct Marked {
    table: &'static str,
    text: String,
    first: i64,
    last: i64,
}

type Value = Box<dyn ToSql + Send + Sync>;

impl Walk {
    async fn of(
        statements: &mut Statements,
        filter: &HistoryFilter,
        after: Option<HistoryCursor>,
    ) -> Result<Self, PostgresError> {
        let mut walk = Self {
            along: "true".to_owned(),
            rest: "true".to_owned(),
            values: Vec::new(),
            of_along: 0,
            marked: Marked::of(filter, after),
        };
        // Most are delivered, and no index has those.
        let few = filter.state.filter(|state| *state != DeliveryState::Delivered);
        if let Some(event) = &filter.event {
            let moments = packs::find(statements, packs::BY_EVENT, event.as_str()).await?;
            let (moments, event) = (walk.value(moments), walk.value(event.as_str().to_owned()));
            walk.along = format!("accepted_at = ANY ({moments}) AND event_id = {event}");
        } else if let Some(state) = few {
            // So that the planner sees that the index of those that are not delivered has it.
            walk.along = format!("state = '{state}' AND state <> 'delivered'");
        }
        for (condition, at) in [("accepted_at >=", filter.since), ("accepted_at <", filter.until)] {
            if let Some(at) = at {
                let at = walk.value(at.as_millis());
                walk.along = format!("{} AND {condition} {at}", walk.along);
            }
        }
        if let Some(HistoryCursor { accepted_at, number }) = after {
            let (accepted_at, tie) = (walk.value(accepted_at), walk.value(number));
            walk.along = format!("{} AND (accepted_at, tie) < ({accepted_at}, {tie})", walk.along);
        }
        walk.of_along = walk.values.len();
        let texts = [
            ("webhook", filter.webhook.as_ref().map(WebhookId::as_str)),
            ("type", filter.kind.as_ref().map(EventType::as_str)),
            ("state", filter.state.map(DeliveryState::as_str)),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                let text = walk.value(text.to_owned());
                walk.rest = format!("{} AND {column} = {text}", walk.rest);
            }
        }
        Ok(walk)
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
        format!(
            "SELECT {DELIVERY_COLUMNS}, tie, {LATEST_COLUMNS} FROM (
                SELECT *, {rest} AS fits FROM deliveries WHERE {along} ORDER BY accepted_at DESC, tie DESC LIMIT {EXAMINED_MAX}
            ) walked WHERE fits ORDER BY accepted_at DESC, tie DESC LIMIT {}",
            limit + 1
        )
    }

    /// The statement that tells the last row that is looked at for a page, and whether there is one behind it.
    fn end_sql(&self) -> String {
        format!(
            "SELECT accepted_at, tie FROM deliveries WHERE {} ORDER BY accepted_at DESC, tie DESC OFFSET {} LIMIT 2",
            self.along,
            EXAMINED_MAX - 1
        )
    }

    /// The statement of what is at some moments, which are its last value.
    fn moments_sql(&self, limit: u32) -> String {
        let Self { along, rest, .. } = self;
        format!(
            "SELECT {DELIVERY_COLUMNS}, tie, {LATEST_COLUMNS} FROM deliveries
             WHERE accepted_at = ANY (${}::BIGINT[]) AND {along} AND {rest} ORDER BY accepted_at DESC, tie DESC LIMIT {limit}",
            self.values.len() + 1
        )
    }
}

impl Marked {
    /// Nothing, where there is something better to walk along.
    fn of(filter: &HistoryFilter, after: Option<HistoryCursor>) -> Option<Self> {
        if filter.event.is_some() || filter.state.is_some_and(|state| state != DeliveryState::Delivered) {
            return None;
        }
        let (table, text) = match (&filter.webhook, &filter.kind) {
            (Some(webhook), _) => (marks::OF_WEBHOOKS, webhook.as_str()),
            (None, Some(kind)) => (marks::OF_TYPES, kind.as_str()),
            (None, None) => return None,
        };
        let until = filter.until.map(|until| until.as_millis().saturating_sub(1));
        let last = [until, after.map(|after| after.accepted_at)].into_iter().flatten().min();
        Some(Self {
            table,
            text: text.to_owned(),
            first: filter.since.map_or(i64::MIN, Timestamp::as_millis),
            last: last.unwrap_or(i64::MAX),
        })
    }
}

async fn page(statements: &mut Statements, walk: &Walk, limit: u32) -> Result<HistoryPage<Found>, PostgresError> {
    if let Some(marked) = &walk.marked {
        return page_of_marked(statements, walk, marked, limit).await;
    }
    let rows = statements.query(&walk.page_sql(limit), &walk.values(walk.values.len())).await?;
    let mut page = page_of(&rows, limit);
    if page.next.is_none() && walk.rest != "true" {
        let ends = statements.query(&walk.end_sql(), &walk.values(walk.of_along)).await?;
        if let [last, _behind] = &ends[..] {
            page.next = Some(HistoryCursor { accepted_at: last.get(0), number: last.get(1) });
        }
    }
    Ok(page)
}

/// A page of rows in slots that are marked, some slots after the other.
async fn page_of_marked(
    statements: &mut Statements,
    walk: &Walk,
    marked: &Marked,
    limit: u32,
) -> Result<HistoryPage<Found>, PostgresError> {
    let (mut found, mut last) = (Vec::new(), marked.last);
    for _ in 0..ROUNDS_MAX {
        let slots = marks::slots(statements, (marked.table, &marked.text), (marked.first, last)).await?;
        if !slots.moments.is_empty() {
            let more = limit + 1 - u32::try_from(found.len()).unwrap_or(limit);
            let mut values = walk.values(walk.values.len());
            values.push(&slots.moments);
            found.extend(statements.query(&walk.moments_sql(more), &values).await?);
        }
        let page = page_of(&found, limit);
        let Some(rest) = slots.rest.filter(|_| page.next.is_none()) else { return Ok(page) };
        last = rest.saturating_sub(1);
    }
    let next = Some(HistoryCursor { accepted_at: last.saturating_add(1), number: 0 });
    Ok(HistoryPage { next, ..page_of(&found, limit) })
}

/// The page of those rows, of which one too many says that there is another.
fn page_of(rows: &[Row], limit: u32) -> HistoryPage<Found> {
    let mut page = HistoryPage { deliveries: Vec::new(), next: None, problems: Vec::new() };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    for row in rows.iter().take(most) {
        match read_found(row) {
            Ok(found) => page.deliveries.push(found),
            Err(why) => page.problems.push(format!("the delivery {} cannot be read: {why}", row.get::<_, &str>(0))),
        }
    }
    if rows.len() > most {
        page.next = rows.get(most - 1).map(|row| HistoryCursor { accepted_at: row.get(6), number: row.get(TIE) });
    }
    page
}

fn read_found(row: &Row) -> Result<Found, String> {
    let latest = read_latest(row, LATEST).map_err(|why| format!("its attempts: {why}"));
    Ok((read_delivery(row)?, latest?))
}

async fn show(session: &mut Session, id: &DeliveryId) -> Result<Option<Shown>, PostgresError> {
    let moments = packs::find(session, packs::BY_ID, id.as_str()).await?;
    // One look, so that the attempts are those of the state.
    let mut look = session.reading().await?;
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, tie, {LATEST_COLUMNS} FROM deliveries
         WHERE accepted_at = ANY ($1) AND tie = $2 AND delivery_id = $3 ORDER BY accepted_at DESC LIMIT 1"
    );
    let found = look.query_opt(&sql, &[&moments, &tie_of(id.as_str()), &id.as_str()]).await?;
    let Some(row) = found else {
        look.rollback().await?;
        return Ok(None);
    };
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS} FROM earlier_attempts WHERE accepted_at = $1 AND tie = $2
         ORDER BY generation DESC, attempt DESC LIMIT {}",
        ATTEMPTS_MAX - 1
    );
    let earlier = look.query(&sql, &[&row.get::<_, i64>(6), &tie_of(id.as_str())]).await?;
    look.rollback().await?;
    let read = || {
        let delivery = read_delivery(&row)?;
        let mut attempts = earlier.iter().rev().map(|row| read_attempt(row, 0)).collect::<Result<Vec<_>, _>>()?;
        attempts.extend(read_latest(&row, LATEST)?);
        Ok((delivery, attempts))
    };
    Ok(Some(read()))
}
