//! Pages of dead letters in a SQLite file. A listing walks one of the indexes, all of which end in the order of the listing;
//! `delivery_id` alone makes that order total, since one generation of a delivery is kept.
//!
//! A filter of which no index has all walks the index of the condition that leaves the fewest, and looks at the others row by
//! row: at no more than [`EXAMINED_MAX`] rows, whatever is asked for.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params_from_iter};

use super::row;
use crate::model::DeliveryId;
use crate::record::dead_letters::page::{Bounds, upper_end};
use crate::record::dead_letters::{Cursor, Filter, Page, Purged};

/// Rows of the index that a page walks along which are looked at for it, so that every page is soon there.
const EXAMINED_MAX: u32 = 10_000;

/// What a page walks along, and where it ends at the latest.
pub(super) struct Walk {
    terms: Terms,
    /// The name of the index; none: the planner chooses.
    index: Option<&'static str>,
    /// The last place that is looked at; none: all that is walked over fits, so that the page's own limit is enough.
    end: Option<Cursor>,
}

impl Walk {
    /// The walk over what `filter` lets through, behind `after`.
    pub(super) fn of(connection: &Connection, filter: &Filter, after: Option<&Cursor>) -> rusqlite::Result<Self> {
        let mut terms = Terms::new(filter, after);
        if !filter.ids.is_empty() {
            return Ok(Self { terms, index: None, end: None });
        }
        let mut given = leading(filter);
        let Some(first) = given.next() else { return Ok(Self { terms, index: Some("by_time"), end: None }) };
        let end = if given.next().is_some() { end_of(connection, &first, filter, after)? } else { None };
        if let Some(end) = &end {
            let place = [Value::from(end.died_at.as_millis()), Value::from(end.id.clone())];
            terms.add("(died_at, delivery_id) >= (?, ?)", place);
        }
        Ok(Self { terms, index: Some(first.index), end })
    }

    /// The statement that reads at most `rows` rows of `columns`.
    fn sql(&self, columns: &str, rows: u32) -> String {
        let index = self.index.map(|index| format!("INDEXED BY dead_letters_{index}")).unwrap_or_default();
        format!(
            "SELECT {columns} FROM dead_letters {index} WHERE {} ORDER BY died_at DESC, delivery_id DESC LIMIT {rows}",
            self.terms.sql()
        )
    }
}

/// A condition that an index has in the order of the listing.
struct Leading {
    index: &'static str,
    condition: &'static str,
    value: Value,
}

/// Those of `filter`, in the order of how few letters they leave.
fn leading(filter: &Filter) -> impl Iterator<Item = Leading> {
    let text = |text: &str| Value::from(text.to_owned());
    let of = |index, condition, value: Option<Value>| value.map(|value| Leading { index, condition, value });
    [
        of("by_event", "event_id = ?", filter.event.as_ref().map(|event| text(event.as_str()))),
        of("by_webhook", "webhook = ?", filter.webhook.as_ref().map(|webhook| text(webhook.as_str()))),
        of("by_status", "last_status = ?", filter.status.map(Value::from)),
        of("by_reason", "reason = ?", filter.reason.map(|reason| text(reason.as_str()))),
        of("by_type", "type = ?", filter.kind.as_ref().map(|kind| text(kind.as_str()))),
    ]
    .into_iter()
    .flatten()
}

/// The place of the last row that a walk along `first` looks at; nothing when there are fewer.
fn end_of(
    connection: &Connection,
    first: &Leading,
    filter: &Filter,
    after: Option<&Cursor>,
) -> rusqlite::Result<Option<Cursor>> {
    let mut terms = Terms::default();
    terms.add(first.condition, [first.value.clone()]);
    terms.add_place(filter, after);
    let sql = format!(
        "SELECT died_at, delivery_id FROM dead_letters INDEXED BY dead_letters_{} WHERE {} \
         ORDER BY died_at DESC, delivery_id DESC LIMIT 1 OFFSET {}",
        first.index,
        terms.sql(),
        EXAMINED_MAX - 1
    );
    connection.prepare_cached(&sql)?.query_row(params_from_iter(terms.values), row::cursor).optional()
}

/// Reads a page of `columns`, each row by `read`.
pub(super) fn page<T>(
    connection: &Connection,
    columns: &str,
    walk: &Walk,
    bounds: Bounds,
    read: fn(&Row<'_>) -> Result<T, String>,
) -> rusqlite::Result<Page<T>> {
    // One row more than a page holds: that one tells whether there is another page.
    let mut statement = connection.prepare_cached(&walk.sql(columns, bounds.rows + 1))?;
    let mut rows = statement.query(params_from_iter(&walk.terms.values))?;
    let mut page = Page { letters: Vec::new(), next: None, problems: Vec::new() };
    let (mut seen, mut body_bytes, mut last) = (0, 0, None);
    while let Some(row) = rows.next()? {
        if seen == bounds.rows || body_bytes >= bounds.body_bytes {
            page.next = last;
            return Ok(page);
        }
        let here = row::cursor(row)?;
        match read(row) {
            Ok(letter) => page.letters.push(letter),
            Err(why) => page.problems.push(format!("the dead letter {} cannot be read: {why}", here.id)),
        }
        seen += 1;
        body_bytes += row.get::<_, u64>("body_bytes")?;
        last = Some(here);
    }
    page.next.clone_from(&walk.end);
    Ok(page)
}

/// Removes at most `rows` rows of the walk, those first that a page would have first.
pub(super) fn purge_page(transaction: &Transaction<'_>, walk: &Walk, rows: u32) -> rusqlite::Result<Purged> {
    let sql =
        format!("DELETE FROM dead_letters WHERE rowid IN ({}) RETURNING died_at, delivery_id", walk.sql("rowid", rows));
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut removed: Vec<Cursor> =
        statement.query_map(params_from_iter(&walk.terms.values), row::cursor)?.collect::<rusqlite::Result<_>>()?;
    if removed.len() < rows as usize {
        return Ok(Purged { removed: removed.len() as u64, next: walk.end.clone() });
    }
    removed.sort_unstable_by(|a, b| (b.died_at, &b.id).cmp(&(a.died_at, &a.id)));
    Ok(Purged { removed: removed.len() as u64, next: removed.pop() })
}

/// Conditions and their values, all of which must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    conditions: Vec<&'static str>,
    pub(super) values: Vec<Value>,
}

impl Terms {
    pub(super) fn new(filter: &Filter, after: Option<&Cursor>) -> Self {
        let mut terms = Self::default();
        for Leading { condition, value, .. } in leading(filter) {
            terms.add(condition, [value]);
        }
        if !filter.ids.is_empty() {
            let ids: Vec<&str> = filter.ids.iter().map(DeliveryId::as_str).collect();
            let ids = serde_json::Value::from(ids).to_string();
            terms.add("delivery_id IN (SELECT value FROM json_each(?))", [Value::from(ids)]);
        }
        terms.add_place(filter, after);
        terms
    }

    /// The conditions for the place in the listing.
    fn add_place(&mut self, filter: &Filter, after: Option<&Cursor>) {
        if let Some(since) = filter.since {
            self.add("died_at >= ?", [Value::from(since.as_millis())]);
        }
        let (until, after) = upper_end(filter, after);
        if let Some(until) = until {
            self.add("died_at < ?", [Value::from(until.as_millis())]);
        }
        if let Some(after) = after {
            let place = [Value::from(after.died_at.as_millis()), Value::from(after.id.clone())];
            self.add("(died_at, delivery_id) < (?, ?)", place);
        }
    }

    pub(super) fn add<const N: usize>(&mut self, condition: &'static str, values: [Value; N]) {
        self.conditions.push(condition);
        self.values.extend(values);
    }

    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" AND ") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::STEPS;
    use super::*;
    use crate::model::{DeathReason, EventId, EventType, Timestamp, WebhookId};

    #[test]
    fn every_page_is_found_by_an_index_that_has_it_in_order() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let cursor = Cursor { died_at: Timestamp::from_millis(5), id: "msg_x".to_owned() };
        let webhook = WebhookId::new("wh1").ok();
        let filters = [
            ("by_time", Filter::default()),
            ("by_time", Filter { since: Some(Timestamp::from_millis(1)), ..Filter::default() }),
            ("by_webhook", Filter { webhook: webhook.clone(), ..Filter::default() }),
            ("by_webhook", Filter { webhook, reason: Some(DeathReason::Gone), status: Some(410), ..Filter::default() }),
            ("by_type", Filter { kind: EventType::new("note").ok(), ..Filter::default() }),
            ("by_event", Filter { event: EventId::new("e1").ok(), ..Filter::default() }),
            ("by_status", Filter { status: Some(503), ..Filter::default() }),
            ("by_reason", Filter { reason: Some(DeathReason::Gone), ..Filter::default() }),
        ];
        for (index, filter) in filters {
            let walk = Walk::of(&connection, &filter, Some(&cursor)).expect("a walk");
            let sql = format!("EXPLAIN QUERY PLAN {}", walk.sql("body", 100));
            let mut statement = connection.prepare(&sql).expect("plan");
            let plan = statement.query_map(params_from_iter(&walk.terms.values), |row| row.get::<_, String>(3));
            let plan: Vec<String> = plan.expect("plan").map(|line| line.expect("line")).collect();
            let plan = plan.join("; ");
            assert!(plan.starts_with(&format!("SEARCH dead_letters USING INDEX dead_letters_{index} ")), "{plan}");
            assert!(plan.contains("died_at") || plan.contains("(died_at,delivery_id)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
