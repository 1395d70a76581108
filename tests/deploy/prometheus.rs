//! `deploy/prometheus`: Prometheus' own tool reads and tests it, and alerts, metrics and runbook are kept in step, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::metrics::{families, scrape, series};
use crate::support::{path, run, said, text};

const RULES: &str = "deploy/prometheus/rules.yml";
const RULE_TESTS: &str = "deploy/prometheus/rules.test.yml";
const RUNBOOK: &str = "docs/RUNBOOK.md";
/// What a section of the runbook that belongs to an alert must say.
const PARTS: [&str; 4] = ["**Means**:", "**Look at**:", "**Do**:", "**Do not** "];

/// A YAML file of the tree as JSON.
pub(crate) fn yaml(name: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = run(Command::new("/usr/bin/python3").args(["-c", script]).arg(path(name)));
    assert!(output.status.success(), "{name}: {}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs promtool in the folder of the rules, and tells what it said; it must be content and have no warning.
#[track_caller]
fn promtool(args: &[&str]) -> String {
    let output = run(Command::new("promtool").args(args).current_dir(path("deploy/prometheus")));
    let words = said(&output);
    assert!(output.status.success(), "promtool {args:?}:\n{words}");
    for bad in ["FAILED", "WARN", "lint"] {
        assert!(!words.contains(bad), "promtool {args:?}:\n{words}");
    }
    words
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn rules() -> Vec<Value> {
    list(&yaml(RULES), "groups").iter().flat_map(|group| list(group, "rules").to_vec()).collect()
}

fn word(rule: &Value, pointer: &str) -> String {
    rule.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Alerts by name.
fn alerts() -> BTreeMap<String, Value> {
    let alerts = rules().into_iter().filter(|rule| rule["alert"].is_string());
    alerts.map(|rule| (word(&rule, "/alert"), rule)).collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_rules_and_settings() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"]);
    for settings in ["prometheus.yml", "one-host.yml"] {
        let words = promtool(&["check", "config", "--lint=all", "--lint-fatal", settings]);
        assert!(words.contains("1 rule files found"), "the rules belong to {settings}: {words}");
    }
}

#[test]
fn what_alerts_and_recorded_series_come_to_is_as_their_tests_say() {
    let words = promtool(&["test", "rules", "rules.test.yml"]);
    assert!(words.contains("SUCCESS"), "{words}");
}

#[test]
fn each_alert_is_tested_where_it_fires_and_where_it_is_silent() {
    let tests = yaml(RULE_TESTS);
    let mut tested: BTreeSet<(String, bool)> = BTreeSet::new();
    for case in list(&tests, "tests").iter().flat_map(|group| list(group, "alert_rule_test")) {
        tested.insert((word(case, "/alertname"), !list(case, "exp_alerts").is_empty()));
    }
    let both = |name: &String| [(name.clone(), false), (name.clone(), true)];
    let expected: BTreeSet<(String, bool)> = alerts().keys().flat_map(both).collect();
    assert_eq!(tested, expected, "alerts, and whether they fire");
    let recorded: BTreeSet<String> = rules().iter().map(|rule| word(rule, "/record")).collect();
    let asked = text(RULE_TESTS);
    let is_shown =
        |name: &&String| name.is_empty() || asked.contains(&format!("expr: {name}\n")) || name.starts_with("instance:");
    assert!(recorded.iter().all(|name| is_shown(&name)), "each recorded series has its test: {recorded:?}");
}

#[test]
fn each_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() {
    for (name, alert) in alerts() {
        assert!(name.starts_with("Hikyaku"), "{name}");
        let severity = word(&alert, "/labels/severity");
        assert!(["critical", "warning"].contains(&severity.as_str()), "{name}: {severity:?}");
        for annotation in ["summary", "description"] {
            let words = word(&alert, &format!("/annotations/{annotation}"));
            assert!(words.len() > 15 && words.ends_with(['.', ')']), "{name}: {annotation}: {words:?}");
        }
        let url = word(&alert, "/annotations/runbook_url");
        assert!(url.starts_with("docs/RUNBOOK.md#"), "{name}: {url:?}");
    }
}

/// A section of the runbook: its anchor, as links name it, and its text up to the next heading.
struct Section {
    anchor: String,
    text: String,
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut in_code = false;
    for line in text(RUNBOOK).lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if line.starts_with('#') && !in_code {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            sections.push(Section { anchor: kept.collect::<String>().replace(' ', "-"), text: String::new() });
        } else if let Some(section) = sections.last_mut() {
            section.text.push_str(&(line.to_owned() + "\n"));
        }
    }
    sections
}

/// Where links to the runbook may lead.
pub(crate) fn anchors() -> BTreeSet<String> {
    sections().into_iter().map(|section| section.anchor).collect()
}

/// The alert that a section says it is for.
fn alert_of(section: &Section) -> Option<(String, String)> {
    let (name, rest) = section.text.trim_start().strip_prefix("Alert `")?.split_once("`, ")?;
    Some((name.to_owned(), rest.split(['.', ',', ':']).next().unwrap_or_default().to_owned()))
}

#[test]
fn each_alert_has_a_section_of_the_runbook_and_each_such_section_its_alert() {
    let mut explained = BTreeMap::new();
    for section in sections() {
        let Some((name, severity)) = alert_of(&section) else { continue };
        for part in PARTS {
            assert!(section.text.contains(part), "{RUNBOOK}#{}: it does not say {part}", section.anchor);
        }
        let url = format!("{RUNBOOK}#{}", section.anchor);
        assert_eq!(explained.insert(name.clone(), (url, severity)), None, "{name} has two sections");
    }
    let place = |alert: &Value| (word(alert, "/annotations/runbook_url"), word(alert, "/labels/severity"));
    let expected: BTreeMap<String, (String, String)> =
        alerts().iter().map(|(name, alert)| (name.clone(), place(alert))).collect();
    assert_eq!(explained, expected, "the runbook's sections, and the alerts");
    // Nor does the prose name one that there is not.
    for name in text(RUNBOOK).split('`').filter(|word| word.starts_with("Hikyaku")) {
        assert!(expected.contains_key(name), "{RUNBOOK} names {name}, and there is no such alert");
    }
}

#[test]
fn the_documented_alerts_are_those_that_there_are() {
    let page = text("docs/monitoring.md");
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| [`")?.split_once("`](")?;
        let (link, rest) = rest.split_once(") | ")?;
        let (severity, _) = rest.split_once(" | ")?;
        Some((name.to_owned(), format!("docs/{link}"), severity.to_owned()))
    };
    let documented: BTreeSet<_> = page.lines().filter_map(row).collect();
    let of = |(name, alert): (&String, &Value)| {
        (name.clone(), word(alert, "/annotations/runbook_url"), word(alert, "/labels/severity"))
    };
    assert_eq!(documented, alerts().iter().map(of).collect(), "the table of docs/monitoring.md, and the rules");
}

#[test]
fn the_example_for_alertmanager_names_alerts_that_there_are() {
    let (settings, alerts) = (text("deploy/prometheus/alertmanager.yml"), alerts());
    assert!(yaml("deploy/prometheus/alertmanager.yml")["route"]["receiver"].is_string());
    let words = settings.split(|c: char| !c.is_ascii_alphanumeric());
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("Hikyaku") && *word != "Hikyaku").collect();
    assert!(named.len() >= 5 && named.iter().all(|name| alerts.contains_key(*name)), "{named:?}");
}

/// The selectors of an expression: names of series with what they ask of labels.
pub(crate) fn selectors(expr: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let word_on = &rest[start..];
        let end = word_on.find(|c: char| !is_name(c)).unwrap_or(word_on.len());
        let (name, after) = word_on.split_at(end);
        let labels = after.strip_prefix('{').and_then(|labels| labels.split_once('}')).map_or("", |(labels, _)| labels);
        if name.starts_with("hikyaku_") || name.starts_with("process_") || name.contains(':') {
            found.push((name.to_owned(), labels.to_owned()));
        }
        // What a label is compared with may look like a name.
        rest = if labels.is_empty() { after } else { &after[labels.len() + 2..] };
    }
    found
}

/// What is wrong with what an expression asks for, given a scrape and the names of recorded series.
pub(crate) fn unknown(expr: &str, scrape: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let there = series(&families(scrape));
    let mut wrong = Vec::new();
    for (name, labels) in selectors(expr) {
        if !there.contains(&name) && !recorded.contains(&name) {
            wrong.push(format!("no series {name}: {expr}"));
        }
        for matcher in labels.split(',').filter(|matcher| !matcher.trim().is_empty()) {
            let Some((label, values)) = matcher.split_once(['=', '!']) else { continue };
            let (label, values) = (label.trim(), values.trim_start_matches(['=', '~']).trim_matches('"'));
            // What Prometheus adds itself, and what this scrape is but once.
            if ["job", "instance"].contains(&label) || name == "hikyaku_info" || values.starts_with('$') {
                continue;
            }
            let has = |value: &str| {
                let pair = format!("{label}=\"{value}\"");
                scrape.lines().any(|line| line.starts_with(&name) && line.contains(&pair))
            };
            wrong.extend(
                values.split('|').filter(|value| !has(value)).map(|value| format!("no {label}={value}: {expr}")),
            );
        }
    }
    wrong
}

#[test]
fn every_series_and_label_that_a_rule_asks_for_is_in_a_scrape() {
    let (rules, scrape) = (rules(), scrape());
    let recorded: BTreeSet<String> = rules.iter().map(|rule| word(rule, "/record")).collect();
    let wrong: Vec<String> = rules.iter().flat_map(|rule| unknown(&word(rule, "/expr"), &scrape, &recorded)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_series_or_label_that_there_is_not_is_found() {
    let scrape = "# TYPE hikyaku_a gauge\nhikyaku_a{queue=\"work\"} 1\n";
    let wrong = |expr: &str| unknown(expr, scrape, &BTreeSet::from(["job:a:sum".to_owned()])).len();
    assert_eq!([wrong("hikyaku_a{queue=\"work\"} > 0"), wrong("max(job:a:sum)")], [0, 0]);
    assert_eq!([wrong("hikyaku_b"), wrong("hikyaku_a{queue=~\"work|wrk\"}"), wrong("job:b:sum")], [1, 1, 1]);
}
