//! Pages of dead letters in a SQLite file. A listing walks one of the indexes, all of which end in the order of the listing;
//! `delivery_id` alone makes that order total, since one generation of a delivery is kept.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::row;
use crate::model::DeliveryId;
use crate::record::dead_letters::page::Bounds;
use crate::record::dead_letters::{Cursor, Filter, Page};

/// The statement of a page, which asks for one row more than it holds: that one tells whether there is another page.
fn page_sql(columns: &str, terms: &Terms, bounds: Bounds) -> String {
    format!(
        "SELECT {columns} FROM dead_letters WHERE {} ORDER BY died_at DESC, delivery_id DESC LIMIT {}",
        terms.sql(),
        bounds.rows + 1
    )
}

/// Reads a page of `columns`, each row by `read`.
pub(super) fn page<T>(
    connection: &Connection,
    columns: &str,
    terms: &Terms,
    bounds: Bounds,
    read: fn(&Row<'_>) -> Result<T, String>,
) -> rusqlite::Result<Page<T>> {
    let mut statement = connection.prepare_cached(&page_sql(columns, terms, bounds))?;
    let mut rows = statement.query(params_from_iter(&terms.values))?;
    let mut page = Page { letters: Vec::new(), next: None, problems: Vec::new() };
    let (mut seen, mut body_bytes, mut last) = (0, 0, None);
    while let Some(row) = rows.next()? {
        if seen == bounds.rows || body_bytes >= bounds.body_bytes {
            page.next = last;
            break;
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
    Ok(page)
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
        let text = |text: &str| Value::from(text.to_owned());
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
            terms.add("died_at >= ?", [Value::from(since.as_millis())]);
        }
        if let Some(until) = filter.until {
            terms.add("died_at < ?", [Value::from(until.as_millis())]);
        }
        if !filter.ids.is_empty() {
            let ids: Vec<&str> = filter.ids.iter().map(DeliveryId::as_str).collect();
            let ids = serde_json::Value::from(ids).to_string();
            terms.add("delivery_id IN (SELECT value FROM json_each(?))", [Value::from(ids)]);
        }
        if let Some(after) = after {
            let place = [Value::from(after.died_at.as_millis()), text(&after.id)];
            terms.add("(died_at, delivery_id) < (?, ?)", place);
        }
        terms
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
    use crate::model::{DeathReason, EventType, Timestamp, WebhookId};

    #[test]
    fn every_page_is_found_by_an_index_that_has_it_in_order() {
        let connection = Connection::open_in_memory().expect("open");
        STEPS.iter().for_each(|step| connection.execute_batch(step).expect("schema"));
        let cursor = Cursor { died_at: Timestamp::from_millis(5), id: "msg_x".to_owned() };
        let filters = [
            ("by_time", Filter::default()),
            ("by_time", Filter { since: Some(Timestamp::from_millis(1)), ..Filter::default() }),
            ("by_webhook", Filter { webhook: WebhookId::new("wh1").ok(), ..Filter::default() }),
            ("by_type", Filter { kind: EventType::new("note").ok(), ..Filter::default() }),
            ("by_reason", Filter { reason: Some(DeathReason::Gone), ..Filter::default() }),
        ];
        for (index, filter) in filters {
            let terms = Terms::new(&filter, Some(&cursor));
            let sql = format!("EXPLAIN QUERY PLAN {}", page_sql("body", &terms, Bounds::of_letters(100)));
            let mut statement = connection.prepare(&sql).expect("plan");
            let plan = statement.query_map(params_from_iter(&terms.values), |row| row.get::<_, String>(3));
            let plan: Vec<String> = plan.expect("plan").map(|line| line.expect("line")).collect();
            let plan = plan.join("; ");
            assert!(plan.starts_with(&format!("SEARCH dead_letters USING INDEX dead_letters_{index} ")), "{plan}");
            assert!(plan.contains("died_at") || plan.contains("(died_at,delivery_id)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
