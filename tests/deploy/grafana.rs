//! `deploy/grafana/dashboard.json`: it has what Grafana needs, and a real Prometheus with our settings and rules, which scrapes a server
//! that delivers well and badly, has an answer to every question that the dashboard asks.
//!
//! Grafana itself is not run: it is in none of the registries that the tests use.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::metrics::scrape;
use crate::prometheus::{anchors, unknown, yaml};
use crate::served::{Served, ask, receivers, until};
use crate::support::{PATIENCE, Running, path, run, said, text};

const DASHBOARD: &str = "deploy/grafana/dashboard.json";
/// What Grafana puts for its variables, as far as the dashboard uses them.
const VARIABLES: [(&str, &str); 3] = [("$__rate_interval", "1m"), ("$job", "hikyaku"), ("$instance", ".*")];
/// How often something happens.
const EVERY: Duration = Duration::from_millis(100);
/// What the picture shows.
const SHOWN: Duration = Duration::from_secs(240);
/// Questions to which zero is the answer of a server that nothing has happened to but bad receivers, or is at most moments.
const MAY_BE_ZERO: [&str; 13] = [
    "ALERTS",
    "hikyaku_events_not_stored_total",
    "hikyaku_events_reconciled_total",
    "hikyaku_part_failing",
    "hikyaku_broker_",
    "hikyaku_troubles_total",
    "hikyaku_record_dropped_total",
    "hikyaku_messages_unreadable_total",
    "hikyaku_hosts_left_alone",
    "hikyaku_webhooks_slow",
    "hikyaku_slot_waiters",
    "hikyaku_in_flight",
    "hikyaku_oldest_waiting_seconds",
];

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).expect("JSON")
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap_or_default()
}

/// Every question of the dashboard with the title of its panel.
fn questions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let of = |panel: &Value| {
        let asked = list(panel, "targets").iter().map(|target| target["expr"].as_str().expect("an expression"));
        asked.map(|expr| (title(panel).to_owned(), expr.to_owned())).collect::<Vec<_>>()
    };
    list(&dashboard, "panels").iter().flat_map(of).collect()
}

#[test]
fn every_panel_has_what_grafana_needs() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "of Grafana 9 or later");
    assert_eq!((dashboard["uid"].as_str(), &dashboard["id"]), (Some("hikyaku"), &Value::Null));
    let kinds = ["row", "stat", "timeseries", "heatmap", "state-timeline", "table"];
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard, "panels") {
        let name = title(panel);
        assert!(!name.is_empty() && kinds.contains(&panel["type"].as_str().expect("a type")), "{panel}");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: its id is another's");
        let at = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{name} is wider than the page");
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{name} lies over another panel at {cell:?}");
        }
        if panel["type"] == "row" {
            continue;
        }
        let by_variable = json!({"type": "prometheus", "uid": "${datasource}"});
        assert_eq!(panel["datasource"], by_variable, "{name}");
        assert!(panel["description"].as_str().is_some_and(|words| words.ends_with('.')), "{name} is not described");
        let unit = panel.pointer("/fieldConfig/defaults/unit").or(panel.pointer("/options/yAxis/unit"));
        assert!(unit.is_some_and(Value::is_string), "{name} has no unit");
        let refs: BTreeSet<&str> =
            list(panel, "targets").iter().filter_map(|target| target["refId"].as_str()).collect();
        assert!(!refs.is_empty() && refs.len() == list(panel, "targets").len(), "{name}: refIds");
        assert!(list(panel, "targets").iter().all(|target| target["datasource"] == by_variable), "{name}");
    }
    let variables: Vec<&str> =
        list(&dashboard["templating"], "list").iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "job", "instance", "runbook"]);
}

#[test]
fn each_panel_leads_to_a_section_of_the_runbook() {
    let (dashboard, anchors) = (dashboard(), anchors());
    for panel in list(&dashboard, "panels").iter().filter(|panel| panel["type"] != "row") {
        let link = panel.pointer("/links/0/url").and_then(Value::as_str).unwrap_or_default();
        let anchor = link.strip_prefix("${runbook}#").unwrap_or_else(|| panic!("{}: {link:?}", title(panel)));
        assert!(anchors.contains(anchor), "{}: the runbook has no section #{anchor}", title(panel));
    }
    let runbook = &list(&dashboard["templating"], "list")[3]["query"];
    assert!(path(runbook.as_str().expect("a path")).is_file(), "{runbook}");
}

#[test]
fn every_series_and_label_that_the_dashboard_asks_for_is_in_a_scrape() {
    let scrape = scrape();
    let wrong: Vec<String> =
        questions().iter().flat_map(|(_, expr)| unknown(expr, &scrape, &BTreeSet::new())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn grafana_is_told_where_prometheus_and_the_dashboard_are() {
    let source = yaml("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["type"], "prometheus");
    let interval = &yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"];
    assert_eq!(&source["datasources"][0]["jsonData"]["timeInterval"], interval, "rates need to know the interval");
    let provider = yaml("deploy/grafana/provisioning/dashboards/hikyaku.yml");
    assert_eq!(provider["providers"][0]["type"], "file");
}

/// A Prometheus of Debian's, with the settings and rules of `deploy/prometheus`, that scrapes `served` twice a second.
struct Prometheus {
    address: String,
    _process: Running,
    _folder: TempDir,
}

impl Prometheus {
    fn start(served: &Served) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = yaml("deploy/prometheus/one-host.yml");
        settings["global"] = json!({"scrape_interval": "500ms", "evaluation_interval": "500ms"});
        settings["rule_files"] = json!([path("deploy/prometheus/rules.yml")]);
        settings["scrape_configs"][0]["static_configs"][0]["targets"] = json!([served.address]);
        let file: PathBuf = folder.path().join("prometheus.yml");
        std::fs::write(&file, settings.to_string()).expect("written; JSON is YAML");
        // Nobody else gets it between these lines, as ports are given out in turn.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.args([&format!("--web.listen-address={port}"), "--log.level=warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Running(command.spawn().expect("prometheus; tests/run installs it"));
        let prometheus = Self { address: port.to_string(), _process: process, _folder: folder };
        until("Prometheus is ready", || {
            ask(&prometheus.address, "GET /-/ready", "", "").ok().filter(|(status, _)| *status == 200)
        });
        prometheus
    }

    /// The data of an answer of its API, or what it says is wrong.
    fn api(&self, path: &str) -> Result<Value, String> {
        let (_, body) = ask(&self.address, &format!("GET /api/v1/{path}"), "", "").expect("an answer");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) }
    }

    /// The values of the series that answer an expression; those that are no number are left out.
    fn values(&self, expr: &str) -> Result<Vec<f64>, String> {
        let asked = VARIABLES.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value));
        let encoded = asked.bytes().fold(String::new(), |mut encoded, byte| {
            let _written = write!(encoded, "%{byte:02X}");
            encoded
        });
        let data = self.api(&format!("query?query={encoded}"))?;
        let value = |series: &Value| series["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        Ok(list(&data, "result").iter().filter_map(value).filter(|value| !value.is_nan()).collect())
    }
}

/// A server with a receiver of each kind, and a webhook of each kind of trouble.
fn served() -> Served {
    let receivers = receivers();
    let mut settings = "delivery.breaker_failures = 3\ndelivery.retry_schedule_s = [0.5, 0.5]\n".to_owned();
    let _written = write!(settings, "[[misskey.ingest]]\nsecret = \"a-secret-of-misskeys\"\nscope = \"any\"\n");
    for (id, status, more) in [
        ("good", 200, ""),
        ("down", 503, ""),
        ("refuses", 404, ""),
        ("gone", 410, ""),
        ("filtered", 200, "[[webhooks.filters]]\npath = \"/is\"\nequals = \"other\"\n"),
    ] {
        let _written = write!(
            settings,
            "[[webhooks]]\nid = \"{id}\"\nurl = \"http://{receivers}/{status}\"\non = [\"note\"]\n{more}"
        );
    }
    Served::start(&settings)
}

/// Lets happen once more what a server sees in a day.
fn happens(served: &Served, round: usize) {
    let event = |kind: &str, n: usize| {
        format!("{{\"type\":\"{kind}\",\"eventId\":\"{kind}-{round}-{n}\",\"body\":{{\"is\":\"this\"}}}}\n")
    };
    let events: String =
        (0..5).map(|n| event("note", n)).chain([event("unheard", 0), "no event\n".to_owned()]).collect();
    served.publish(&events);
    // Each is sent twice.
    let misskeys = format!(
        "{{\"server\":\"https://misskey.example\",\"hookId\":\"h\",\"userId\":\"u\",\"eventId\":\"m{}\",\
         \"createdAt\":1774960496789,\"type\":\"note\",\"body\":{{}}}}",
        round / 2
    );
    for secret in ["a-secret-of-misskeys", "another"] {
        let headers = format!("X-Misskey-Hook-Secret: {secret}\r\nContent-Type: application/json\r\n");
        let _status = ask(&served.address, "POST /ingest/misskey", &headers, &misskeys).expect("an answer");
    }
}

#[test]
fn prometheus_has_an_answer_to_every_question_of_the_dashboard() {
    let served = served();
    let prometheus = Prometheus::start(&served);
    let may_be_zero = |expr: &str| MAY_BE_ZERO.iter().any(|name| expr.contains(name));
    // What happens once, such as a 410, must come after a first scrape: else it is no increase.
    until("the first scrape", || prometheus.values("hikyaku_info").ok().filter(|found| !found.is_empty()));
    let (mut open, began) = (questions(), Instant::now());
    for round in 0.. {
        happens(&served, round);
        open.retain(|(panel, expr)| {
            let values = prometheus.values(expr).unwrap_or_else(|error| panic!("{panel}: {expr}: {error}"));
            values.is_empty() || (!may_be_zero(expr) && values.iter().all(|value| *value == 0.0))
        });
        if open.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "in {round} rounds without data, or with zeros only: {open:#?}");
        std::thread::park_timeout(EVERY);
    }
    // And the rules have been worked out on the way, without an error.
    let groups = prometheus.api("rules").expect("an answer");
    for rule in list(&groups, "groups").iter().flat_map(|group| list(group, "rules")) {
        assert_eq!((&rule["health"], rule["lastError"].as_str()), (&json!("ok"), None), "{rule}");
    }
    served.stop();
}

/// Not a test: makes the picture of the documentation, which takes some minutes. `PICTURE_PYTHON` has matplotlib.
#[test]
#[ignore = "makes docs/images/dashboard.png in some minutes, by a Python with matplotlib that PICTURE_PYTHON names"]
fn the_picture_of_the_dashboard() {
    let python = std::env::var("PICTURE_PYTHON").expect("PICTURE_PYTHON: a Python that has matplotlib");
    let served = served();
    let prometheus = Prometheus::start(&served);
    until("the first scrape", || prometheus.values("hikyaku_info").ok().filter(|found| !found.is_empty()));
    let began = Instant::now();
    // More in the middle, so that there is something to see.
    for round in 0.. {
        let gone = began.elapsed();
        if gone >= SHOWN {
            break;
        }
        happens(&served, round);
        let is_busy = (SHOWN / 3..SHOWN * 2 / 3).contains(&gone);
        std::thread::park_timeout(if is_busy { EVERY } else { EVERY * 5 });
    }
    let mut draw = Command::new(python);
    draw.arg(path("tests/deploy/picture.py")).arg(format!("http://{}", prometheus.address));
    let drawn = run(draw.arg(SHOWN.as_secs().to_string()).arg(path("docs/images/dashboard.png")));
    assert!(drawn.status.success(), "{}", said(&drawn));
    served.stop();
}
