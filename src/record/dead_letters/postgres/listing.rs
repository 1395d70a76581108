//! Pages of dead letters in PostgreSQL. A listing walks one of the indexes, all of which end in the order of the listing.

use crate::model::{DeliveryId, Timestamp};
use crate::postgres::{PostgresError, Row, Statements, ToSql};
use crate::record::dead_letters::page::Bounds;
use crate::record::dead_letters::{Cursor, Filter, Page};

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
        let text = |text: &str| -> Value { Box::new(text.to_owned()) };
        let moment = |at: Timestamp| -> Value { Box::new(at.as_millis()) };
        if let Some(webhook) = &filter.webhook {
            terms.add("webhook = ?", [text(webhook.as_str())]);
        }
        if let Some(kind) = &filter.kind {
            terms.add("type = ?", [text(kind.as_str())]);
        }
        if let Some(reason) = filter.reason {
            terms.add("reason = ?", [text(reason.as_str())]);
        }
        if let Some(since) = filter.since {
            terms.add("died_at >= ?", [moment(since)]);
        }
        if let Some(until) = filter.until {
            terms.add("died_at < ?", [moment(until)]);
        }
        if !filter.ids.is_empty() {
            let ids: Vec<String> = filter.ids.iter().map(DeliveryId::to_string).collect();
            terms.add("delivery_id = ANY (?)", [Box::new(ids)]);
        }
        if let Some(after) = after {
            terms.add("(died_at, delivery_id) < (?, ?)", [moment(after.died_at), text(&after.id)]);
        }
        terms
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
    terms: &Terms,
    bounds: Bounds,
    columns: &str,
    read: fn(&Row) -> Result<T, String>,
) -> Result<Page<T>, PostgresError> {
    let rows = statements.query(&page_sql(columns, terms, bounds), &terms.values()).await?;
    let mut page = Page { letters: Vec::new(), next: None, problems: Vec::new() };
    let (mut seen, mut last) = (0, None);
    for row in rows {
        if seen == bounds.rows || row.get("is_beyond") {
            page.next = last;
            break;
        }
        let here = Cursor { died_at: Timestamp::from_millis(row.get("died_at")), id: row.get("delivery_id") };
        match read(&row) {
            Ok(letter) => page.letters.push(letter),
            Err(why) => page.problems.push(format!("the dead letter {} cannot be read: {why}", here.id)),
        }
        seen += 1;
        last = Some(here);
    }
    Ok(page)
}
