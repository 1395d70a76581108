//! What docs/filters.md says of filters, held against the program: each line of its table with the samples that it names.

use bytes::Bytes;
use hikyaku::decide::{Content, passes};
use hikyaku::model::{Arrival, Condition, Event, EventId, Timestamp};
use serde_json::Value;

use crate::support::python::repository;

/// What stands in backticks in a cell of a table.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn sample(name: &str) -> Event {
    let path = repository(&format!("tests/fixtures/misskey/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let event_id = EventId::new("e").expect("an id");
    let arrival = Arrival { now: Timestamp::default(), event_id, event_bytes_max: 1 << 20, source: None };
    Event::parse(&Bytes::from(text), arrival).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn each_filter_of_the_page_lets_through_and_keeps_out_the_samples_that_it_names() {
    let page = std::fs::read_to_string(repository("docs/filters.md")).expect("the page");
    let (_, after) = page.split_once("| to get only |").expect("the table");
    let lines: Vec<&str> = after.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(lines.len() >= 20, "{lines:?}");
    for line in lines {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, _, filters, through, out, _] = cells.as_slice() else { panic!("{line}") };
        let filters: Vec<Value> = quoted(filters).iter().map(|text| serde_json::from_str(text).expect(text)).collect();
        let filters = Condition::read_all("filters", &filters.into()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let lets = |name: &String| {
            let event = sample(name);
            passes(&filters, &event.kind, &Content::of(&event.body))
        };
        assert!(!filters.is_empty() && !quoted(through).is_empty(), "{line}");
        for name in quoted(through) {
            assert!(lets(&name), "{name} is kept out: {line}");
        }
        for name in quoted(out) {
            assert!(!lets(&name), "{name} is let through: {line}");
        }
    }
}
