//! `hikyaku bench`: every figure is there, and nothing is left behind.

use serde_json::{Value, json};

use crate::support::amqp::Stranger;
use crate::support::broker;
use crate::support::postgres;
use crate::support::program::Home;

const FIGURES: [&str; 6] =
    ["bare_per_s", "accept_per_s", "drain_per_s", "end_to_end_per_s", "drain_to_bare", "end_to_end_to_bare"];

fn assert_figures(measured: &Value) {
    for figure in FIGURES {
        assert!(measured[figure].as_f64().is_some_and(|rate| rate > 0.0), "{figure}: {measured}");
    }
    assert_eq!(measured["events"], 300);
}

#[tokio::test]
async fn the_benchmark_measures_a_file_against_bare_posts() {
    let home = Home::bare("");
    assert_figures(&home.cli(&["bench", "--events", "300", "--runs", "1", "--json"]).await.json());
}

#[tokio::test]
async fn the_benchmark_of_the_history_compares_deliveries_with_it_and_without() {
    let home = Home::bare("");
    let measured = home.cli(&["bench", "--record", "--events", "300", "--runs", "2", "--json"]).await.json();
    for figure in ["off_per_s", "on_per_s", "on_to_off"] {
        assert!(measured[figure].as_f64().is_some_and(|rate| rate > 0.0), "{figure}: {measured}");
    }
    assert_eq!((&measured["events"], &measured["missing"]), (&json!(300), &json!(0)));
    assert_eq!((&measured["queue"], &measured["store"]), (&json!("sqlite"), &json!("sqlite")));
}

#[tokio::test]
async fn the_benchmark_of_the_history_runs_over_rabbitmq_and_postgresql_and_leaves_no_schema() {
    let (queue, store) = (broker::shared_url().await, postgres::database());
    let home = Home::bare("");
    let args = ["bench", "--record", "--events", "300", "--runs", "1", "--json", "--queue", &queue, "--store", &store];
    let measured = home.cli(&args).await.json();
    assert_eq!((&measured["events"], &measured["missing"]), (&json!(300), &json!(0)));
    assert_eq!((&measured["queue"], &measured["store"]), (&json!("rabbitmq"), &json!("postgresql")));
    assert_eq!(postgres::sql(&store, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'hikyaku%'").trim(), "0");
}

#[tokio::test]
async fn the_benchmark_over_rabbitmq_measures_against_a_bare_loop_and_deletes_its_queues() {
    let url = broker::shared_url().await;
    let home = Home::bare("");
    let ran = home.cli(&["bench", "--events", "300", "--runs", "1", "--json", "--queue", &url]).await;
    let (_, rest) = ran.stderr.split_once("begin with ").expect("it names its queues");
    let prefix = rest.split_once(',').expect("the name ends").0.to_owned();
    assert!(prefix.starts_with("hikyaku.bench-"), "a user who may touch only `hikyaku.` can measure too: {prefix}");
    assert_figures(&ran.json());
    let stranger = Stranger::connect(&url).await;
    for queue in ["work", "retry", "delay.1s"] {
        assert_eq!(stranger.depth(&format!("{prefix}{queue}")).await, None, "{prefix}{queue} is still there");
    }
}

#[tokio::test]
async fn the_benchmark_of_misskeys_webhooks_tells_how_soon_all_of_them_were_answered() {
    let home = Home::bare("");
    let measured =
        home.cli(&["bench", "--ingest", "200", "--events", "200", "--concurrency", "8", "--json"]).await.json();
    assert_eq!((&measured["answered"], &measured["asked_per_s"]), (&Value::from(200), &Value::from(200)));
    let figure = |name: &str| measured[name].as_f64().unwrap_or_else(|| panic!("{name}: {measured}"));
    assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p99_ms") && figure("p99_ms") <= figure("max_ms"));
    assert!(figure("answered_per_s") < 250.0, "it sends no faster than it was told to: {measured}");
    assert!(figure("server_cores") > 0.0 && figure("server_us_per_request") > 0.0, "{measured}");
}

#[tokio::test]
async fn the_benchmark_of_bad_neighbours_compares_the_healthy_and_finds_every_event() {
    let home = Home::bare("");
    // Nine measurements, and what hangs is given up after the deadline: waiting, not work.
    let load = ["--endpoints", "10", "--rate", "10", "--seconds", "1", "--deadline-ms", "300", "--runs", "1"];
    let measured = home.cli(&[&["bench", "--isolation", "--json"], &load[..]].concat()).await.json();

    assert_eq!(
        (&measured["queue"], &measured["compared"], &measured["all_found"]),
        (&json!("sqlite"), &json!(5), &json!(true))
    );
    let scenarios = measured["scenarios"].as_array().expect("a list");
    let found: Vec<(&str, u64)> = scenarios
        .iter()
        .map(|scenario| (scenario["scenario"].as_str().unwrap_or("?"), scenario["bad"].as_u64().unwrap_or(99)))
        .collect();
    let expected = [("none", 0), ("few_hang", 1), ("many_hang", 5), ("many_slow", 5), ("many_refuse", 5)];
    assert_eq!(found, expected);
    assert_eq!(scenarios[0]["balances"].as_array().map(Vec::len), Some(5), "before and after each with bad ones");
    for scenario in scenarios {
        let figure = |name: &str| scenario[name].as_f64().unwrap_or_else(|| panic!("{name}: {scenario}"));
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p99_ms") && figure("p99_ms") <= figure("max_ms"));
        assert!(figure("p50_ratio") > 0.0 && figure("p99_ratio") > 0.0 && figure("cores") > 0.0, "{scenario}");
        let balance = &scenario["balances"][0];
        let of = |name: &str| balance[name].as_u64().unwrap_or_else(|| panic!("{name}: {balance}"));
        assert_eq!((of("published"), of("delivered") + of("waiting") + of("dead")), (100, 100), "{balance}");
    }
    let delivered = |place: usize| scenarios[place]["balances"][0]["delivered"].as_u64();
    assert_eq!([0, 1, 2, 4].map(delivered), [100, 90, 50, 50].map(Some), "those that hang or refuse get nothing");
}

#[tokio::test]
async fn the_benchmark_of_an_outage_tells_what_waiting_costs_and_finds_every_delivery() {
    let home = Home::bare("");
    let load = ["--rate", "10", "--seconds", "3", "--deadline-ms", "300"];
    for (hang, receiver) in [(None, "refuses"), (Some("--hang"), "hangs")] {
        let args: Vec<&str> = ["bench", "--outage", "300", "--json"].into_iter().chain(load).chain(hang).collect();
        let measured = home.cli(&args).await.json();

        let of = |name: &str| measured[name].as_f64().unwrap_or_else(|| panic!("{name}: {measured}"));
        assert_eq!((&measured["receiver"], &measured["all_found"]), (&json!(receiver), &json!(true)), "{measured}");
        assert!(of("attempts") > 0.0 && of("parks_mean") <= of("parks_max"), "{measured}");
        assert!(measured["used"]["percent"].as_f64().is_some_and(|percent| percent > 0.0), "{measured}");
        let balance = &measured["balance"];
        assert_eq!((&balance["published"], &balance["waiting"]), (&json!(330), &json!(330)), "{balance}");
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_said_so() {
    let home = Home::bare("");
    home.cli(&["bench", "--endpoints", "10"]).await.failed(2, &["--isolation"]);
    let no_process = ["bench", "--outage", "300", "--queue", "amqp://127.0.0.1:1", "--broker-pid", "4294967295"];
    home.cli(&no_process).await.failed(1, &["--broker-pid must be that of a process on this machine"]);
    home.cli(&["bench", "--queue", "sqlite:queue.db"]).await.failed(2, &["`bench` has a file of its own"]);
    let away = ["bench", "--events", "300", "--queue", "amqp://127.0.0.1:1"];
    home.cli(&away).await.failed(1, &["cannot be reached"]);
}
