//! Dead letters as NDJSON: what was exported and deleted is there again after an import, byte for byte, by API and command line.

use reqwest::Method;
use serde_json::json;

use super::dead_letters::until_dead;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, declared};

/// Bodies that no JSON library would give back as they are; one has line breaks.
const BODIES: [&str; 2] =
    [r#"{ "b":1.0,"a":12345678901234567890, "lone":"\ud800" }"#, "{\n  \"on\": \"lines\",\r\n  \"b\": 1e400 }"];

/// A server whose receiver has refused an event with each of the bodies.
async fn two_dead() -> (Receiver, Home, Program) {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    for (n, body) in BODIES.iter().enumerate() {
        let text = format!("{{\"type\":\"note\",\"eventId\":\"e{n}\",\"body\":{body}}}");
        assert_eq!(program.post(text).await.0, 200);
    }
    until_dead(&home, 2).await;
    (receiver, home, program)
}

async fn exported(program: &Program) -> String {
    let request = program.asking(Method::GET, &format!("{}/v1/dead-letters/export", program.address));
    let response = request.bearer_auth(TOKEN).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    response.text().await.expect("whole")
}

#[tokio::test]
async fn what_was_exported_and_deleted_is_there_again_after_an_import_and_is_replayed_byte_for_byte() {
    let (receiver, home, program) = two_dead().await;
    let first: Vec<_> = receiver.book().arrived.iter().map(|arrived| arrived.body.clone()).collect();
    let lines = exported(&program).await;
    assert_eq!(lines.lines().count(), 2);
    home.cli(&["dead", "export", "--output", "letters.ndjson"]).await.ok();
    assert_eq!(std::fs::read_to_string(home.path("letters.ndjson")).expect("a file"), lines);
    assert_eq!(home.cli(&["dead", "export"]).await.ok(), lines);

    home.cli(&["dead", "purge", "--all"]).await.ok();
    let (status, imported) = program.operate_by(Method::POST, "/v1/dead-letters/import", lines.clone()).await;
    let expected = json!({"added": 2, "present": 0, "forgotten": 0, "refused": 0, "errors": [], "dryRun": false});
    assert_eq!((status, imported), (200, expected));
    let (_, dry) = program.operate_by(Method::POST, "/v1/dead-letters/import?dryRun=true", lines.clone()).await;
    assert_eq!((&dry["added"], &dry["present"]), (&json!(0), &json!(2)), "{dry}");
    let dry = home.cli_with(&["dead", "import", "--dry-run", "--json"], &lines).await.json();
    assert_eq!((&dry["added"], &dry["present"]), (&json!(0), &json!(2)), "{dry}");
    let told = home.cli(&["dead", "import", "letters.ndjson"]).await.ok();
    assert!(told.starts_with("0 dead letters imported, 2 here already"), "{told}");
    assert_eq!(exported(&program).await, lines);

    receiver.behave(Behaviour::Answer(200));
    home.cli(&["dead", "replay", "--all"]).await.ok();
    receiver.until("both arrive again", |book| book.repeats() == 2).await;
    let mut again: Vec<_> = receiver.book().arrived[2..].iter().map(|arrived| arrived.body.clone()).collect();
    again.sort();
    let mut first = first;
    first.sort();
    assert_eq!(again, first);

    // What was put back to work since is not brought back to die a second time.
    let told = home.cli_with(&["dead", "import", "--json"], &lines).await.json();
    assert_eq!((&told["added"], &told["present"]), (&json!(0), &json!(2)), "{told}");
    until_dead(&home, 0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_line_that_is_no_letter_is_told_by_its_number_and_the_rest_is_imported() {
    let (_receiver, home, program) = two_dead().await;
    let lines = exported(&program).await;
    home.cli(&["dead", "purge", "--all"]).await.ok();
    let (one, other) = lines.split_once('\n').expect("two lines");
    let file = format!(
        "{one}\n\nnonsense\n{}\n{other}",
        other.trim_end().replace("\"reason\":\"refused\"", "\"reason\":\"bored\"")
    );

    let (status, dry) = program.operate_by(Method::POST, "/v1/dead-letters/import?dryRun=true", file.clone()).await;
    assert_eq!((status, &dry["added"], &dry["refused"]), (200, &json!(2), &json!(2)), "{dry}");
    until_dead(&home, 0).await;
    home.write("broken.ndjson", &file);
    let ran = home.cli(&["dead", "import", "broken.ndjson"]).await;
    ran.failed(
        1,
        &["broken.ndjson line 3: it is no dead letter", "broken.ndjson line 4: reason: \"bored\" is unknown"],
    );
    until_dead(&home, 2).await;

    let (status, problem) = program.operate_by(Method::POST, "/v1/dead-letters/import", "nonsense\n").await;
    assert!(status == 400 && problem["detail"].as_str().expect("words").contains("line 1"), "{problem}");
    for (line, kind) in [("null", "invalid type: null"), ("[]", "invalid length 0")] {
        let (_, problem) = program.operate_by(Method::POST, "/v1/dead-letters/import", line).await;
        let words = problem["detail"].as_str().expect("words");
        assert!(words.contains(&format!("{kind}, expected a JSON object")), "{problem}");
    }
    let ran = home.cli(&["dead", "import", "nowhere.ndjson"]).await;
    ran.failed(1, &["nowhere.ndjson cannot be read"]);
    program.stop().await;
}
