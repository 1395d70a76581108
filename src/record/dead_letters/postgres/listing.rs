//! Pages of dead letters in PostgreSQL. A listing walks one of the indexes, all of which end in the order of the listing.

use super::removal::{End, remove_first};
use crate::model::{DeliveryId, Timestamp};
use crate::postgres::{PostgresError, Row, Statements, ToSql};
use crate::record::dead_letters::page::{Bounds, upper_end};
use crate::record::dead_letters::{Cursor, Filter, Page, Purged};

/// Rows of the index that a page walks along which are looked at for it.
const EXAMINED_MAX: u32 = 10_000;

/// A value of a condition.
pub(super) type Value = Box<dyn ToSql + Send + Sync>;

/// Conditions and their values, all of which must hold.
#[derive(Default)]
pub(super) struct Terms {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Terms {
    pub(super) fn new(filter: &Filter, after: Option<&Cursor>) -> Self {
        let mut terms = Self::default();
        for (condition, value) in leading(filter) {
            terms.add(condition, [value]);
        }
        if !filter.ids.is_empty() {
            let ids: Vec<String> = filter.ids.iter().map(DeliveryId::to_string).collect();
            terms.add("delivery_id = ANY (?)", [Box::new(ids)]);
        }
        terms.add_place(filter, after);
        terms
    }

    /// The conditions for the place in the listing.
    fn add_place(&mut self, filter: &Filter, after: Option<&Cursor>) {
        let moment = |at: Timestamp| -> Value { Box::new(at.as_millis()) };
        if let Some(since) = filter.since {
            self.add("died_at >= ?", [moment(since)]);
        }
        let (until, after) = upper_end(filter, after);
        if let Some(until) = until {
            self.add("died_at < ?", [moment(until)]);
        }
        if let Some(after) = after {
            self.add("(died_at, delivery_id) < (?, ?)", [moment(after.died_at), Box::new(after.id.clone())]);
        }
    }

    /// No place behind `end`.
    fn add_end(&mut self, end: &Cursor) {
        self.add("(died_at, delivery_id) >= (?, ?)", [Box::new(end.died_at.as_millis()), Box::new(end.id.clone())]);
    }

    /// Adds a condition, in which each `?` is the next of its values.
    pub(super) fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        let mut numbered = String::new();
        let mut number = self.values.len();
        for part in condition.split_inclusive('?') {
            match part.strip_suffix('?') {
                Some(part) => {
                    number += 1;
                    numbered.push_str(&format!("{part}${number}"));
                }
                None => numbered.push_str(part),
            }
        }
        self.conditions.push(numbered);
        self.values.extend(values);
    }

    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" AND ") }
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// The conditions of `filter` that an index has in the order of the listing, in the order of how few letters they leave.
fn leading(filter: &Filter) -> Vec<(&'static str, Value)> {
    let text = |text: &str| -> Value { Box::new(text.to_owned()) };
    let mut given: Vec<(&'static str, Value)> = Vec::new();
    given.extend(filter.event.as_ref().map(|event| ("event_id = ?", text(event.as_str()))));
    given.extend(filter.webhook.as_ref().map(|webhook| ("webhook = ?", text(webhook.as_str()))));
    given.extend(
        filter.status.map(|status| -> (&'static str, Value) { ("last_status = ?", Box::new(i32::from(status))) }),
    );
    given.extend(filter.reason.map(|reason| ("reason = ?", text(reason.as_str()))));
    given.extend(filter.kind.as_ref().map(|kind| ("type = ?", text(kind.as_str()))));
    given
}

/// What a page walks along, and where it ends at the latest, so that it is soon there, whatever is asked for.
pub(super) struct Walk {
    pub(super) terms: Terms,
    /// The last place that is looked at; none: all that is walked over fits, or there is no more.
    pub(super) end: Option<Cursor>,
}

impl Walk {
    /// The walk over what `filter` lets through, behind `after`.
    pub(super) async fn of(
        statements: &mut Statements,
        filter: &Filter,
        after: Option<&Cursor>,
    ) -> Result<Self, PostgresError> {
        let mut terms = Terms::new(filter, after);
        let mut given = leading(filter);
        if !filter.ids.is_empty() || given.len() < 2 {
            return Ok(Self { terms, end: None });
        }
        let mut along = Terms::default();
        let (condition, value) = given.swap_remove(0);
        along.add(condition, [value]);
        along.add_place(filter, after);
        let sql = format!(
            "SELECT died_at, delivery_id FROM dead_letters WHERE {} ORDER BY died_at DESC, delivery_id DESC OFFSET {} LIMIT 1",
            along.sql(),
            EXAMINED_MAX - 1
        );
        let row = statements.query_opt(&sql, &along.values()).await?;
        let end = row.map(|row| Cursor { died_at: Timestamp::from_millis(row.get(0)), id: row.get(1) });
        if let Some(end) = &end {
            terms.add_end(end);
        }
        Ok(Self { terms, end })
    }
}

/// The statement of a page, which asks for one row more than it holds: that one tells whether there is another page. So does the
/// first row before which there are as many bytes of bodies as it may hold, and those after it are not asked for.
fn page_sql(columns: &str, terms: &Terms, bounds: Bounds) -> String {
    let rows = bounds.rows + 1;
    let conditions = terms.sql();
    let bytes_max = i64::try_from(bounds.body_bytes).unwrap_or(i64::MAX);
    let order = "ORDER BY died_at DESC, delivery_id DESC";
    format!(
        "WITH page AS (
            SELECT *, octet_length(body) AS body_bytes FROM dead_letters WHERE {conditions} {order} LIMIT {rows}
        ), summed AS (
            SELECT *, coalesce(sum(body_bytes) OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before,
                coalesce(sum(body_bytes) OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING), 0) AS bytes_before_that
            FROM page
        )
        SELECT {columns}, bytes_before >= {bytes_max} AS is_beyond FROM summed WHERE bytes_before_that < {bytes_max} {order}"
    )
}

/// Reads a page of `columns`, each row by `read`.
pub(super) async fn page<T>(
    statements: &mut Statements,
    walk: &Walk,
    bounds: Bounds,
    columns: &str,
    read: fn(&Row) -> Result<T, String>,
) -> Result<Page<T>, PostgresError> {
    let rows = statements.query(&page_sql(columns, &walk.terms, bounds), &walk.terms.values()).await?;
    let mut page = Page { letters: Vec::new(), next: None, problems: Vec::new() };
    let (mut seen, mut last) = (0, None);
    for row in rows {
        if seen == bounds.rows || row.get("is_beyond") {
            page.next = last;
            return Ok(page);
        }
        let here = Cursor { died_at: Timestamp::from_millis(row.get("died_at")), id: row.get("delivery_id") };
        match read(&row) {
            Ok(letter) => page.letters.push(letter),
            Err(why) => page.problems.push(format!("the dead letter {} cannot be read: {why}", here.id)),
        }
        seen += 1;
        last = Some(here);
    }
    page.next.clone_from(&walk.end);
    Ok(page)
}

/// Removes at most `rows` letters of the walk, those first that a page would have first.
pub(super) async fn purge_page(statements: &mut Statements, walk: &Walk, rows: u32) -> Result<Purged, PostgresError> {
    let step = remove_first(statements, &walk.terms, End::Newest, u64::from(rows)).await?;
    let next = if step.chosen < u64::from(rows) { walk.end.clone() } else { step.last };
    Ok(Purged { removed: step.removed, next })
}
