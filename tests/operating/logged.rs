//! What a log's lines have: text for people, JSON for programs, and ids by which they are found.

use serde_json::Value;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event};

#[tokio::test]
async fn where_no_terminal_is_lines_are_json_and_on_one_they_are_text() {
    let home = Home::new("log.format = \"auto\"\n");
    let mut program = home.serve().await;
    let line = program.line("listens on").await;
    let line: Value = serde_json::from_str(&line).expect("a JSON document");
    assert_eq!(line["level"], "INFO");
    program.stop().await;

    // `script` gives it a terminal, and keeps what it writes there.
    let mut program = home.start_shell("exec script --quiet --flush --command 'exec \"$HIKYAKU\" serve' terminal >&2");
    let line = program.line("listens on").await;
    assert!(serde_json::from_str::<Value>(&line).is_err() && line.contains("INFO"), "{line}");
}

#[tokio::test]
async fn each_line_about_a_delivery_has_its_id_its_event_and_its_webhook() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let gone = Receiver::start(Behaviour::Answer(404)).await;
    let home = Home::new(&format!(
        "log.format = \"json\"\nlog.level = \"debug\"\n{}{}",
        declared("well", &receiver.url("/"), "note"),
        declared("ill", &gone.url("/"), "note")
    ));
    let mut program = home.serve().await;
    assert_eq!(program.post(event("note", "event-1")).await.0, 200);
    program.line("dead-lettered").await;
    program.line("\"delivered\"").await;
    let lines: Vec<Value> = program.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_deliveries: Vec<&Value> = lines.iter().filter(|line| line["fields"]["delivery"].is_string()).collect();
    assert!(of_deliveries.len() >= 2, "{lines:#?}");
    for line in of_deliveries {
        let fields = &line["fields"];
        assert!(fields["delivery"].as_str().is_some_and(|id| id.starts_with("msg_")), "{line}");
        assert_eq!(fields["event"], "event-1", "{line}");
        assert!(fields["webhook"].is_string(), "{line}");
    }
    program.stop().await;
}
