//! The metrics of the running program as others see them: Prometheus' own tool reads them without a complaint, and the documents
//! list the very ones that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use crate::served::{Served, until};
use crate::support::{said, text};

/// A scrape of a server that has taken an event in, so that the one label whose values are not known before is there too.
pub(crate) fn scrape() -> String {
    let served = Served::start("");
    served.publish("{\"type\":\"note\",\"body\":{}}\n");
    let (status, text) = served.get("/metrics");
    assert_eq!(status, 200);
    served.stop();
    text
}

/// Names and types of the metrics of a scrape.
pub(crate) fn families(scrape: &str) -> BTreeMap<String, String> {
    let families = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    families.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// Every name that a series of these families may have.
pub(crate) fn series(families: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = |(name, kind): (&String, &String)| match kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
        _ => vec![name.clone()],
    };
    families.iter().flat_map(names).collect()
}

/// The words of `text` that are names of metrics of ours, whole or, in a pattern for grep, in part.
fn named(text: &str) -> BTreeSet<String> {
    // A colon belongs to names of recorded series, which are others'.
    let words = text.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_' && c != ':');
    let ours = |word: &&str| word.starts_with("hikyaku_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).filter(|word| word != "hikyaku_" && word != "process_").collect()
}

#[test]
fn promtool_has_nothing_to_say_against_a_scrape() {
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().expect("promtool; tests/run installs it");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(scrape().as_bytes()).expect("read to the end");
    drop(input);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn the_documented_metrics_are_those_of_the_program() {
    let there = families(&scrape());
    let page = text("docs/monitoring.md");
    let (_, tables) = page.split_once("\n## Metrics\n").expect("a section");
    let (tables, _) = tables.split_once("\n## ").expect("another section");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.split(['`', '{']).next()?.to_owned();
        Some((name, (*cells.get(2)?).to_owned()))
    };
    let documented: BTreeMap<String, String> = tables.lines().filter_map(row).collect();
    assert_eq!(documented, there, "the tables of docs/monitoring.md, and the program");
}

#[test]
fn every_metric_that_a_document_names_is_there() {
    let families = families(&scrape());
    let there = series(&families);
    let mut missing = Vec::new();
    for page in ["README.md", "docs/RUNBOOK.md", "docs/monitoring.md", "docs/wire-format.md", "docs/misskey.md"] {
        for name in named(&text(page)) {
            // What ends with `_` or is the beginning of several is a pattern for grep.
            let is_there = there.contains(&name) || families.contains_key(&name);
            let is_pattern = name.ends_with('_') && there.iter().any(|known| known.starts_with(&name));
            if !is_there && !is_pattern {
                missing.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "metrics that there are not:\n{}", missing.join("\n"));
}

#[test]
fn a_queue_that_cannot_be_written_is_told_to_prometheus_and_so_is_that_this_is_over() {
    let served = Served::start("");
    let stands = || ["ready", "part_failing{part=\"queue\"}"].map(|name| served.value(&format!("hikyaku_{name}")));
    assert_eq!(stands(), [1.0, 0.0]);
    let (there, away) = (served.file("queue.db"), served.file("away.db"));
    std::fs::rename(&there, &away).expect("moved");
    assert_eq!(served.try_publish("{\"type\":\"note\",\"body\":{}}\n").0, 503);
    assert_eq!(stands(), [0.0, 1.0]);
    assert_eq!(served.value("hikyaku_part_failing{part=\"webhooks\"}"), 0.0, "the store is well");
    assert_eq!(served.value("hikyaku_events_not_stored_total"), 1.0);
    std::fs::rename(&away, &there).expect("moved");
    until("it is ready again", || (stands() == [1.0, 0.0]).then_some(()));
    served.stop();
}

#[test]
fn who_waits_for_its_store_tells_what_it_runs_as_and_that_it_is_not_ready() {
    // Port 9 is nobody's: it throws away what it is sent, where there is such a thing at all.
    let served = Served::start("store.url = \"postgres://hikyaku:secret@127.0.0.1:9/hikyaku?sslmode=disable\"\n");
    assert_eq!([served.value("hikyaku_ready"), served.value("hikyaku_part_failing{part=\"webhooks\"}")], [0.0, 1.0]);
    let version = env!("CARGO_PKG_VERSION");
    let labels = format!("queue=\"sqlite\",role=\"all\",store=\"postgresql\",version=\"{version}\"");
    assert_eq!(served.value(&format!("hikyaku_info{{{labels}}}")), 1.0);
    served.stop();
}

#[test]
fn what_the_queues_file_holds_and_may_hold_is_told() {
    let served = Served::start("queue.bytes_max = 67108864\n");
    served.publish("{\"type\":\"note\",\"body\":{}}\n");
    let (holds, may_hold) = (served.value("hikyaku_queue_used_bytes"), served.value("hikyaku_queue_limit_bytes"));
    assert_eq!(may_hold, 67_108_864.0);
    assert!(holds > 0.0 && holds < may_hold, "{holds} bytes");
    served.stop();
}
