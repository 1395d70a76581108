//! `hikyaku demo`: no set-up, and an account in which every delivery is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::program::Home;

/// The samples' types, each with how often it comes, as the fixtures' files say.
fn fixtures() -> BTreeMap<String, u64> {
    let mut types = BTreeMap::new();
    for folder in ["user", "system"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/misskey").join(folder);
        for entry in std::fs::read_dir(folder).expect("fixtures") {
            let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a fixture");
            let event: Value = serde_json::from_str(&text).expect("JSON");
            *types.entry(event["type"].as_str().expect("a type").to_owned()).or_default() += 1;
        }
    }
    types
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is no count in {value}"))
}

fn sum(rows: &Value, key: &str) -> u64 {
    rows.as_array().expect("rows").iter().map(|row| number(row, key)).sum()
}

#[tokio::test]
async fn the_demo_accounts_for_every_delivery_of_every_fixture() {
    // A settings file that would stop any other command, so that the demo shows that it needs none.
    let home = Home::bare("nonsense = 1\n");
    let began = Instant::now();
    let report = home.cli(&["demo", "--json"]).await.json();
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());

    let types = fixtures();
    let by_type = report["by_type"].as_array().expect("rows");
    let told = by_type.iter().map(|row| (row["type"].as_str().expect("a type").to_owned(), number(row, "accepted")));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), types);
    assert_eq!(number(&report, "accepted"), types.values().sum::<u64>());
    assert!(by_type.iter().all(|row| number(row, "delivered") > 0), "a type reached nobody: {report}");

    let whole = |row: &Value| {
        number(row, "deliveries") == ["delivered", "dead", "waiting"].map(|key| number(row, key)).iter().sum::<u64>()
    };
    let rows = ["by_webhook", "by_type"].into_iter().flat_map(|key| report[key].as_array().expect("rows"));
    for row in rows.chain([&report]) {
        assert!(whole(row), "{row}");
    }
    for key in ["deliveries", "delivered", "dead", "waiting"] {
        assert_eq!(sum(&report["by_webhook"], key), number(&report, key), "{key}");
        assert_eq!(sum(&report["by_type"], key), number(&report, key), "{key}");
    }
    assert_eq!(sum(&report["by_webhook"], "attempts"), number(&report, "attempts"));
    assert!(number(&report, "attempts") > number(&report, "deliveries"), "nothing was tried again");
    assert!(number(&report, "delivered") > 0 && number(&report, "dead") > 0, "{report}");
    assert_eq!(number(&report, "waiting"), 0);
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(std::fs::read_dir(home.path("")).expect("the folder").count(), 1, "it left something behind");
}

#[tokio::test]
async fn the_demo_kept_running_tells_its_addresses_and_ends_when_interrupted() {
    let home = Home::bare("");
    let mut program = home.start(&["demo", "--keep"]);
    let line = program.line("still running").await;
    let (_, rest) = line.split_once("metrics on ").expect("the metrics' address");
    let (status, text) = program.get_at(rest.trim_end_matches("/metrics"), "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("hikyaku_deliveries_total{result=\"delivered\"}"), "{text}");
    let token = program.line("the bearer token is ").await;
    assert!(token.contains("demo-admin-token"), "{token}");

    program.signal("INT").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
}
