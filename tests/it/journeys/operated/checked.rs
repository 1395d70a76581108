//! The operators' API, held against its own document by Schemathesis: what is allowed is taken, what is not is refused in a problem
//! document, every answer has the shape that is promised, and nothing ends in a 500. Over a file and over PostgreSQL.
//!
//! `HIKYAKU_SCHEMATHESIS_EXAMPLES=1000 cargo test --test it operated::checked` looks for longer.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::database;
use crate::support::program::{Home, Program, TOKEN, declared, events, until};
use crate::support::pypi::Requirements;

static SCHEMATHESIS: Requirements = Requirements::new("schemathesis");
/// Requests to each operation, unless the variable says otherwise.
const EXAMPLES: &str = "15";
/// How long it may take, on a machine that has other things to do.
const LONGEST: Duration = Duration::from_secs(170);
/// What is not asked. The stream never ends by itself, so there is no whole answer to look at; `journeys::operated::looked` reads
/// it. Forgetting waits three seconds each time until every process knows of it, and an import takes NDJSON, of which Schemathesis
/// makes none that is right: both have a table of their own below.
const NOT_ASKED: [&str; 3] = ["/v1/stream", "/v1/forget", "/v1/dead-letters/import"];
/// Where what is allowed may be refused: of several parameters one must say which are meant, and no document can say that.
const SETTINGS: &str = r#"
[[operations]]
include-path-regex = "^/v1/(dead-letters/(replay|purge)|deliveries/resend)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]
"#;

/// A program that has something to tell: deliveries that were made, that wait and that are dead.
async fn busy(settings: &str) -> (Home, Program, [Receiver; 2]) {
    let receivers = [Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(404)).await];
    let webhooks = declared("well", &receivers[0].url("/"), "note") + &declared("bad", &receivers[1].url("/"), "note");
    let home = Home::new(&format!("{settings}{webhooks}"));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 20)).await.0, 200);
    until("the history has all of them", async || {
        let (status, page) = program.operate("/v1/deliveries").await;
        (status == 200 && page["deliveries"].as_array().map_or(0, Vec::len) == 40).then_some(())
    })
    .await;
    (home, program, receivers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_that_is_not_as_the_document_says() {
    schemathesis_finds_nothing("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_that_is_not_as_the_document_says_over_postgresql() {
    schemathesis_finds_nothing(&format!("store.url = \"{}\"\n", database())).await;
}

/// Runs it on a program with these settings.
async fn schemathesis_finds_nothing(settings: &str) {
    let (home, program, _receivers) = busy(settings).await;
    let python = SCHEMATHESIS.python().await;
    let examples = std::env::var("HIKYAKU_SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    home.write("schemathesis.toml", SETTINGS);
    let mut command = Command::new(python.with_file_name("schemathesis"));
    command.arg("run").arg(format!("{}/openapi.json", program.address));
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    command.args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", &examples]);
    // The same each time, so that what it finds is found again.
    command.args(["--seed", "7", "--continue-on-failure"]);
    command.args(NOT_ASKED.iter().flat_map(|path| ["--exclude-path", path]));
    command.args(["--warnings", "off", "--no-color", "--generation-database", "none"]);
    command.current_dir(home.path("")).env("NO_COLOR", "1").kill_on_drop(true);
    let limit = if examples == EXAMPLES { LONGEST } else { Duration::from_secs(3600) };
    let ran = tokio::time::timeout(limit, command.output()).await;
    let ran = ran.unwrap_or_else(|_| panic!("it did not end within {limit:?}")).expect("it starts");
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    // It has looked at something.
    let (_, document) = program.operate("/openapi.json").await;
    let count = document["paths"].as_object().map_or(0, |paths| {
        paths
            .iter()
            .filter(|(path, _)| !NOT_ASKED.contains(&path.as_str()))
            .flat_map(|(_, item)| item.as_object())
            .map(|item| item.len())
            .sum()
    });
    assert!(count >= 4 && said.contains(&format!("Tested: {count}")), "{count} operations: {said}");
    let (status, answered) = program.operate("/v1/endpoints").await;
    assert_eq!((status, &answered["total"]), (200, &Value::from(2)), "it is as well as before");
    program.stop().await;
}

#[tokio::test]
async fn what_schemathesis_leaves_out_is_refused_in_problem_documents_too_when_it_is_not_as_the_document_says() {
    let home = Home::new("");
    let program = home.serve().await;
    let long = "u".repeat(129);
    let (forget, import) = ("/v1/forget", "/v1/dead-letters/import");
    for (method, path, query, body, status, words) in [
        (Method::POST, forget, String::new(), "", 400, "user"),
        (Method::POST, forget, "?user=".to_owned(), "", 400, "user"),
        (Method::POST, forget, format!("?user={long}"), "", 400, "user"),
        (Method::POST, forget, "?user=a%00b".to_owned(), "", 400, "user"),
        (Method::POST, forget, "?user=a&user=b".to_owned(), "", 400, "user"),
        (Method::POST, forget, "?user=a&source=".to_owned(), "", 400, "source"),
        (Method::POST, forget, "?user=a&dryRun=true".to_owned(), "", 400, "dryRun"),
        (Method::GET, forget, "?user=a".to_owned(), "", 405, "Allow"),
        (Method::DELETE, forget, "?user=a".to_owned(), "", 405, "Allow"),
        (Method::POST, import, "?dryRun=perhaps".to_owned(), "", 400, "dryRun"),
        (Method::POST, import, "?webhook=wh1".to_owned(), "", 400, "webhook"),
        (Method::POST, import, String::new(), "", 400, "no line"),
        (Method::POST, import, String::new(), "\n\n", 400, "no line"),
        (Method::POST, import, String::new(), "nonsense\n[]\n{}\nnull", 400, "line 1"),
        (Method::POST, import, "?dryRun=true".to_owned(), "{\"id\":\"msg_x\"}", 400, "line 1"),
        (Method::PUT, import, String::new(), "", 405, "Allow"),
    ] {
        let request = program.asking(method.clone(), &format!("{}{path}{query}", program.address)).bearer_auth(TOKEN);
        let response = request.body(body).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{method} {path}{query} {body:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}{query}");
        let problem: Value = serde_json::from_slice(&response.bytes().await.expect("whole")).expect("JSON");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem.to_string().contains(words), "{method} {path}{query} {body:?}: {problem}");
    }
    for path in [forget, import] {
        let request = program.asking(Method::POST, &format!("{}{path}", program.address));
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 401, "{path}");
    }
    program.stop().await;
}
