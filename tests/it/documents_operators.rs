//! The page on the operators' API, held against the program: its commands run as they stand, and what it shows is what is answered.

use serde_json::Value;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, TOKEN, declared, events, until};
use crate::support::python::repository;

/// What stands in the page as the address.
const ADDRESS: &str = "http://127.0.0.1:8787";
/// What is looked at by the commands that are run here, each of which changes nothing.
const LOOKED_AT: [&str; 10] = [
    "/v1/status",
    "/v1/queues",
    "/v1/workers",
    "/v1/webhooks?",
    "/v1/endpoints?",
    "/v1/deliveries?",
    "/v1/stream",
    "hikyaku status",
    "hikyaku deliveries list",
    "hikyaku webhooks",
];

/// Each block of shell, and the block of JSON that shows what it answers, if one follows in its section.
fn examples(page: &str) -> Vec<(String, Option<Value>)> {
    let mut examples: Vec<(String, Option<Value>)> = Vec::new();
    for section in page.split("\n## ") {
        let before = examples.len();
        for block in section.split("\n```").skip(1).step_by(2) {
            let (kind, content) = block.split_once('\n').expect("a kind");
            let is_of_section = examples.len() > before;
            match (kind, examples.last_mut().filter(|_| is_of_section)) {
                ("sh", _) => examples.push((content.to_owned(), None)),
                ("json", Some((_, shown @ None))) => *shown = serde_json::from_str(content).ok(),
                _ => {}
            }
        }
    }
    examples
}

/// Checks that each field that is shown is answered, in lists by their first elements. What is null may be anything.
fn assert_shown_is_answered(shown: &Value, answered: &Value, place: &str) {
    match (shown, answered) {
        (Value::Object(shown), Value::Object(answered)) => {
            for (name, value) in shown {
                let found = answered.get(name).unwrap_or_else(|| panic!("{place}.{name} is shown and not answered"));
                assert_shown_is_answered(value, found, &format!("{place}.{name}"));
            }
        }
        (Value::Array(shown), Value::Array(answered)) => {
            if let (Some(shown), Some(answered)) = (shown.first(), answered.first()) {
                assert_shown_is_answered(shown, answered, &format!("{place}[0]"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (shown, answered) => {
            assert_eq!(
                std::mem::discriminant(shown),
                std::mem::discriminant(answered),
                "{place}: {shown} is shown, and {answered} answered"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_operators_page_run_and_answer_what_it_shows() {
    let receiver = Receiver::start(Behaviour::FailFirst(503, std::time::Duration::ZERO)).await;
    let home = Home::new(&declared("wh1", &receiver.url("/"), "note"));
    let program = home.serve().await;
    home.write("token", TOKEN);
    assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
    until("the history has something that waits", async || {
        let (status, page) = program.operate("/v1/deliveries?webhook=wh1&state=waiting").await;
        (status == 200 && page["deliveries"][0]["lastAttempt"].is_object()).then_some(())
    })
    .await;
    let page = std::fs::read_to_string(repository("docs/operators-api.md")).expect("the page");
    let mut ran = 0;
    for (block, shown) in examples(&page) {
        for command in block.lines().filter(|line| LOOKED_AT.iter().any(|part| line.contains(part))) {
            let line = command.replace(ADDRESS, &program.address).replace("--max-time 5", "--max-time 1");
            let line = line.replacen("hikyaku ", "\"$HIKYAKU\" ", usize::from(line.starts_with("hikyaku ")));
            let said = home.shell(&format!("TOKEN={TOKEN}; {line}")).await;
            // 28: the stream was listened to for as long as was asked for.
            assert!(matches!(said.code, Some(0 | 28)), "{command}: {said:#?}");
            if let (Some(shown), true) = (&shown, command.starts_with("curl")) {
                let answered: Value =
                    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{command}: {said:#?}"));
                assert_shown_is_answered(shown, &answered, command);
            }
            ran += 1;
        }
    }
    assert!(ran >= LOOKED_AT.len(), "only {ran} commands of the page were found");
    program.stop().await;
}
