//! The report as text for a terminal: two tables of aligned columns and a sentence that does the sum.
//!
//! Takes a [`Report`], gives a `String`. No line of the tables is wider than [`COLUMNS`]; names that would make it so are
//! cut with an ellipsis. No colours, so that it reads the same in a log.

use std::fmt::Write as _;

use super::report::{Report, Sums};

/// Columns that a terminal is taken to have.
const COLUMNS: usize = 100;
/// Characters of a webhook's id that are shown.
const WEBHOOK_CHARS_MAX: usize = 20;
/// Characters of an event type that are shown; Misskey's longest has 38.
const TYPE_CHARS_MAX: usize = 40;

impl Report {
    /// The report as text that ends with a line break: by webhook, by event type, and the sum in words or what is wrong.
    pub fn table(&self) -> String {
        let mut text = String::new();
        push_table(&mut text, &self.webhook_cells(), 3);
        for row in self.by_webhook.iter().filter(|row| !row.dead_by_reason.is_empty()) {
            let reasons: Vec<_> =
                row.dead_by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            let webhook = cut(row.webhook.as_str(), WEBHOOK_CHARS_MAX);
            push_line(&mut text, &format!("{webhook}: dead-lettered as {}", reasons.join(", ")));
        }
        text.push('\n');
        push_table(&mut text, &self.type_cells(), 1);
        text.push('\n');
        self.push_closing(&mut text);
        text
    }

    fn webhook_cells(&self) -> Vec<Vec<String>> {
        let mut cells = vec![header(&["webhook", "receiver", "owner"], &["attempts"])];
        for row in &self.by_webhook {
            let names =
                vec![cut(row.webhook.as_str(), WEBHOOK_CHARS_MAX), row.receiver.to_owned(), row.owner.to_owned()];
            cells.push(line(names, row.sums, Some(row.attempts)));
        }
        let names = vec!["total".to_owned(), String::new(), String::new()];
        cells.push(line(names, self.total(), Some(self.attempts)));
        cells
    }

    fn type_cells(&self) -> Vec<Vec<String>> {
        let mut cells = vec![header(&["type", "accepted"], &[])];
        for row in &self.by_type {
            let names = vec![cut(row.kind.as_str(), TYPE_CHARS_MAX), row.accepted.to_string()];
            cells.push(line(names, row.sums, None));
        }
        cells.push(line(vec!["total".to_owned(), self.accepted.to_string()], self.total(), None));
        cells
    }

    fn push_closing(&self, text: &mut String) {
        let Sums { deliveries, delivered, dead, waiting, skipped } = self.total();
        let sign = if deliveries == delivered + dead + waiting { "=" } else { "!=" };
        let mut sum = format!(
            "{} events, {deliveries} deliveries {sign} {delivered} delivered + {dead} dead-lettered + {waiting} waiting",
            self.accepted
        );
        if skipped > 0 {
            // Writing to a String cannot fail.
            let _written = write!(sum, "\nnot queued, because the webhook had been deactivated: {skipped}");
        }
        if self.problems().is_empty() {
            let _written = writeln!(text, "accounted for: {sum}");
            return;
        }
        let _written = writeln!(text, "NOT accounted for: {sum}");
        for problem in self.problems() {
            let _written = writeln!(text, "- {problem}");
        }
    }
}

fn header(names: &[&str], more: &[&str]) -> Vec<String> {
    let sums = ["deliveries", "delivered", "dead", "waiting", "skipped"];
    names.iter().chain(&sums).chain(more).map(|name| (*name).to_owned()).collect()
}

fn line(mut names: Vec<String>, sums: Sums, attempts: Option<u64>) -> Vec<String> {
    let Sums { deliveries, delivered, dead, waiting, skipped } = sums;
    let numbers = [deliveries, delivered, dead, waiting, skipped];
    names.extend(numbers.into_iter().chain(attempts).map(|number| number.to_string()));
    names
}

/// Writes `cells` with two spaces between columns: the first `texts` columns flush left, the rest flush right.
fn push_table(text: &mut String, cells: &[Vec<String>], texts: usize) {
    let columns = cells.first().map_or(0, Vec::len);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in cells {
        let padded: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(n, (cell, width))| if n < texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        push_line(text, padded.join("  ").trim_end());
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(&cut(line, COLUMNS));
    text.push('\n');
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sound;
    use super::*;
    use crate::model::{EventType, WebhookId};

    #[test]
    fn the_table_accounts_for_every_delivery() {
        let expected = "\
webhook  receiver  owner   deliveries  delivered  dead  waiting  skipped  attempts
healthy  healthy   user             3          3     0        0        0         5
gone     gone      user             2          0     1        1        1         1
sys      slow      system           1          1     0        0        0         1
total                               6          4     1        1        1         7
gone: dead-lettered as gone 1

type         accepted  deliveries  delivered  dead  waiting  skipped
mention             1           1          1     0        0        1
note                2           4          2     1        1        0
userCreated         1           1          1     0        0        0
total               4           6          4     1        1        1

accounted for: 4 events, 6 deliveries = 4 delivered + 1 dead-lettered + 1 waiting
not queued, because the webhook had been deactivated: 1
";
        assert_eq!(Report::new(&sound()).table(), expected);
    }

    #[test]
    fn an_account_with_problems_says_so_and_names_them() {
        let mut inputs = sound();
        inputs.delivered.pop();
        let table = Report::new(&inputs).table();
        let sum = "NOT accounted for: 4 events, 6 deliveries != 3 delivered + 1 dead-lettered + 1 waiting";
        assert!(table.contains(sum), "{table}");
        assert!(table.contains("\n- webhook sys: 1 deliveries are due, and 0 are accounted for"), "{table}");
        assert!(!table.contains("\naccounted for"), "{table}");
    }

    #[test]
    fn the_table_fits_a_hundred_columns_whatever_the_names() {
        let mut inputs = sound();
        let long = WebhookId::new(&"w".repeat(128)).expect("valid");
        inputs.webhooks[1].id = long.clone();
        inputs.attempts[1].1 = 10_000_000;
        inputs.events[0].kind = EventType::new(&"語".repeat(42)).expect("valid");
        inputs.dead = crate::model::DeathReason::ALL.iter().map(|r| (inputs.dead[0].0.clone(), *r)).collect();
        inputs.dead.iter_mut().for_each(|(one, _)| one.webhook = long.clone());
        let table = Report::new(&inputs).table();
        let tables = table.split("NOT accounted for").next().expect("the tables");
        assert!(tables.contains("語…") && tables.contains("w…"), "{table}");
        for line in tables.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }
}
