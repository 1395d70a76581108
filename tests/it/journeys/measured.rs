//! `/metrics`, `/healthz` and `/readyz`: the names, the format, and the numbers after a run that is known.

use std::collections::{HashMap, HashSet};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, TOKEN, declared, event, events, until};

/// The metrics that dashboards and alerts know (DESIGN, section 6), with their types; those of parts yet to come are not
/// among them.
const NAMES: &[(&str, &str)] = &[
    ("events_accepted_total", "counter"),
    ("attempts_total", "counter"),
    ("attempt_duration_seconds", "histogram"),
    ("delivery_latency_seconds", "histogram"),
    ("deliveries_total", "counter"),
    ("dead_letters_total", "counter"),
    ("dead_letters", "gauge"),
    ("parked_total", "counter"),
    ("in_flight", "gauge"),
    ("breakers_open", "gauge"),
    ("breakers_opened_total", "counter"),
    ("hosts_left_alone", "gauge"),
    ("webhooks_slow", "gauge"),
    ("slot_waiters", "gauge"),
    ("queue_depth", "gauge"),
    ("oldest_waiting_seconds", "gauge"),
    ("broker_connected", "gauge"),
    ("broker_reconnects_total", "counter"),
    ("publish_confirm_seconds", "histogram"),
    ("record_dropped_total", "counter"),
    ("history_deliveries", "gauge"),
    ("history_attempts", "gauge"),
    ("history_pruned_total", "counter"),
    ("history_bodies_left_out_total", "counter"),
];

/// A page of Prometheus' text format 0.0.4, read strictly.
#[derive(Debug, Default)]
struct Page {
    types: HashMap<String, String>,
    samples: HashMap<String, f64>,
}

impl Page {
    /// Reads a page: each family has HELP, then TYPE, then its samples, once and together; each line is well formed.
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end");
        let (mut page, mut helped, mut family) = (Self::default(), HashSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("name and help");
                assert!(helped.insert(name.to_owned()), "{name} is there twice");
                assert!(!help.trim().is_empty(), "{line}");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("name and type");
                assert_eq!(name, family, "TYPE follows its HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                page.types.insert(name.to_owned(), kind.to_owned());
            } else {
                page.sample(line, &family);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("the labels end")),
            None => (series, ""),
        };
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{line}");
        let of_histogram = |suffix| name.strip_suffix(suffix) == Some(family);
        match self.types[family].as_str() {
            "histogram" => assert!(["_bucket", "_sum", "_count"].into_iter().any(of_histogram), "{line} in {family}"),
            _ => assert_eq!(name, family, "a sample among those of another"),
        }
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, quoted) = label.split_once('=').expect("key and value");
            assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("quoted");
            assert!(!text.contains(['"', '\\', '\n']), "{line}");
        }
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "{series} is there twice");
    }

    /// Buckets only grow, and the last one holds everything.
    fn check_histograms(&self) {
        for (series, count) in &self.samples {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let Some(family) = name.strip_suffix("_count").filter(|family| self.types.contains_key(*family)) else {
                continue;
            };
            let labels = labels.trim_end_matches('}');
            let prefix = format!("{family}_bucket{{{labels}{}le=\"", if labels.is_empty() { "" } else { "," });
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(series, value)| {
                    let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
                    Some((bound.replace("+Inf", "inf").parse().expect("a bound"), *value))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{series}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{series}");
        }
    }

    #[track_caller]
    fn assert(&self, series: &str, value: f64) {
        let found = self.samples.get(&format!("hikyaku_{series}"));
        assert_eq!(found, Some(&value), "{series}");
    }
}

#[test]
#[should_panic(expected = "is there twice")]
fn the_reading_of_metrics_is_strict() {
    let family = "# HELP hikyaku_a A.\n# TYPE hikyaku_a gauge\nhikyaku_a 1\n";
    Page::read(family);
    Page::read(&format!("{family}hikyaku_a 2\n"));
}

#[tokio::test]
async fn after_a_known_run_the_numbers_are_those_of_the_run() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let webhooks = declared("good", &receiver.url("/"), "note") + &declared("bad", &receiver.url("/"), "mention");
    let home = Home::new(&format!("delivery.retry_schedule_s = [0.05, 0.05]\n{webhooks}"));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "n", 5)).await.0, 200);
    let other = "{\"type\":\"unheard\",\"source\":\"other\",\"body\":{}}\nnonsense\n";
    assert_eq!(program.post(other).await.0, 200);
    receiver.until_distinct(5).await;
    receiver.behave(Behaviour::Answer(503));
    assert_eq!(program.post(event("mention", "m1")).await.0, 200);
    receiver.until("the second retry fails", |book| book.answered == 8).await;
    receiver.behave(Behaviour::Answer(404));
    assert_eq!(program.post(event("mention", "m2")).await.0, 200);

    program.metric_is("hikyaku_dead_letters", 2.0).await;
    for queue in ["work", "delay", "dead"] {
        program.metric_is(&format!("hikyaku_queue_depth{{queue=\"{queue}\"}}"), 0.0).await;
    }
    let (status, text) = program.get("/metrics").await;
    assert_eq!(status, 200);
    let page = Page::read(&text);
    for (name, kind) in NAMES {
        let found = page.types.get(&format!("hikyaku_{name}"));
        assert_eq!(found.map(String::as_str), Some(*kind), "{name}");
    }
    // Those of any process have the names that Prometheus' libraries give them.
    let is_ours = |name: &String| name.starts_with("hikyaku_") || name.starts_with("process_");
    assert!(page.types.keys().all(is_ours), "{:?}", page.types.keys());
    page.assert("events_accepted_total{source=\"default\"}", 7.0);
    page.assert("events_accepted_total{source=\"other\"}", 1.0);
    page.assert("events_refused_total", 1.0);
    page.assert("attempts_total{outcome=\"delivered\"}", 5.0);
    page.assert("attempts_total{outcome=\"server_error\"}", 3.0);
    page.assert("attempts_total{outcome=\"refused\"}", 1.0);
    page.assert("attempt_duration_seconds_count{outcome=\"server_error\"}", 3.0);
    page.assert("delivery_latency_seconds_count", 5.0);
    page.assert("deliveries_total{result=\"delivered\"}", 5.0);
    page.assert("deliveries_total{result=\"dead\"}", 2.0);
    page.assert("deliveries_total{result=\"dropped\"}", 0.0);
    page.assert("dead_letters_total{reason=\"exhausted\"}", 1.0);
    page.assert("dead_letters_total{reason=\"refused\"}", 1.0);
    page.assert("in_flight", 0.0);
    for reason in ["paused", "no_slot", "breaker_open", "retry_after", "host_down", "rate_limit", "our_fault"] {
        page.assert(&format!("parked_total{{reason=\"{reason}\"}}"), 0.0);
    }
    page.assert("oldest_waiting_seconds", 0.0);
    page.assert("record_dropped_total", 0.0);
    program.stop().await;
}

#[tokio::test]
async fn health_and_metrics_can_have_an_address_of_their_own() {
    let home = Home::new("");
    let together = home.serve().await;
    assert_eq!(together.address, together.metrics_address);
    assert_eq!(together.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(together.get("/readyz").await, (200, "ready\n".to_owned()));
    together.stop().await;

    let home = Home::new("server.metrics_listen = \"127.0.0.1:0\"\n");
    let apart = home.serve().await;
    assert_ne!(apart.address, apart.metrics_address);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(apart.get(path).await.0, 200, "{path}");
        assert_eq!(apart.get_at(&apart.address, path).await.0, 404, "{path} is not where events come in");
    }
    assert_eq!(apart.get("/v1/events").await.0, 404, "events do not come in where it is measured");
    assert_eq!(apart.post(event("note", "e")).await.0, 200);
    apart.stop().await;
}

#[tokio::test]
async fn where_it_is_measured_three_questions_are_answered_and_nothing_else() {
    let home = Home::new("server.metrics_listen = \"127.0.0.1:0\"\n");
    let program = home.serve().await;
    let ask = async |method: &str, path: &str| {
        let request = program.asking(method.parse().expect("a method"), &format!("{}{path}", program.metrics_address));
        let request = request.bearer_auth(TOKEN).header("x-misskey-hook-secret", "s").body("{}");
        request.send().await.expect("an answer").status().as_u16()
    };
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!((ask("GET", path).await, ask("POST", path).await), (200, 405), "{path}");
    }
    let others = ["/", "/v1/events", "/ingest/misskey", "/api/i/webhooks/list", "/api/admin/system-webhook/create"];
    for path in others {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            assert_eq!(ask(method, path).await, 404, "{method} {path}");
        }
    }
    program.stop().await;
}

#[tokio::test]
async fn a_server_on_its_way_out_is_not_ready() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let webhook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("server.metrics_listen = \"127.0.0.1:0\"\n{webhook}"));
    let mut program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    receiver.until_distinct(1).await;
    program.metric_is("hikyaku_in_flight", 1.0).await;
    program.signal("TERM").await;
    program.line("SIGTERM").await;
    // Whoever asks hears so, or finds nobody; `ready` would be wrong.
    let told = async || match program.try_get(&program.metrics_address, "/readyz").await {
        Ok((200, _)) => None,
        Ok((status, words)) => {
            assert_eq!((status, words.as_str()), (503, "shutting down\n"));
            Some(())
        }
        Err(_) => Some(()),
    };
    until("it is not ready, or does not listen any more", told).await;
    program.kill().await;
}
