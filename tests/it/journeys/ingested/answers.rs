//! Every way to be refused: with the right status, in words, and counted.

use super::{SECRET, USER, arrivals, ingest, server, small};
use crate::support::misskey_wire::{Agent, post, request};
use crate::support::program::Home;

/// `ingest.event_bytes_max` by default.
const LIMIT: usize = 1_048_576;

/// An event of exactly `bytes` bytes.
fn of_size(id: &str, bytes: usize) -> String {
    let event = small("note", USER, id);
    let padding = bytes - event.len() - "\"x\":\"\"".len();
    event.replace("\"body\":{}", &format!("\"body\":{{\"x\":\"{}\"}}", "x".repeat(padding)))
}

#[tokio::test]
async fn what_trying_again_cannot_mend_is_refused_with_4xx_in_words_and_counted() {
    let (receiver, _home, mut program) = server(&ingest("default", SECRET, "any")).await;
    let event = small("note", USER, "e");
    let address = program.address.clone();
    let ask = async |path: &str, secret: &str, body: &str| post(&address, path, secret, body).await;
    ask("/ingest/misskey", "", &event).await.refused(401, &["X-Misskey-Hook-Secret is missing or empty"]);
    ask("/ingest/misskey", "wrong", &event).await.refused(401, &["the secret is wrong"]);
    ask("/ingest/misskey", "wrong", "no event").await.refused(401, &["the secret is wrong"]);
    for path in ["elsewhere", "a/b", "/", "..%2f", "%ff"] {
        ask(&format!("/ingest/misskey/{path}"), SECRET, &event).await.refused(404, &["no [[misskey.ingest]]"]);
    }
    ask("/ingest/misskey", SECRET, "no event").await.refused(400, &["not JSON"]);
    ask("/ingest/misskey", SECRET, "").await.refused(400, &["not JSON"]);
    ask("/ingest/misskey", SECRET, r#"{"type":"note"}"#).await.refused(400, &["`body` is missing"]);
    let of_no_user = r#"{"type":"note","body":{},"userId":7}"#;
    ask("/ingest/misskey", SECRET, of_no_user).await.refused(400, &["`userId` must be a string"]);
    let head = "POST /ingest/misskey HTTP/1.1\r\nHost: sidecar:8080\r\ncontent-length: 2\r\n\r\n{}";
    let mut agent = Agent::connect(&program.address).await;
    agent.send(head.as_bytes()).await;
    agent.answer().await.refused(401, &["X-Misskey-Hook-Secret is missing or empty"]);
    agent.send(b"GET /ingest/misskey HTTP/1.1\r\nHost: sidecar:8080\r\n\r\n").await;
    let answer = agent.answer().await;
    answer.refused(405, &["POST"]);
    assert_eq!(answer.header("allow"), "POST");

    for (reason, count) in [("no_secret", 2.0), ("wrong_secret", 2.0), ("unknown_source", 5.0), ("not_an_event", 4.0)] {
        let name = format!("hikyaku_ingest_refused_total{{reason=\"{reason}\"}}");
        assert!((program.metric(&name).await - count).abs() < 0.1, "{name}");
    }
    program.line("a Misskey's webhook was refused: the secret is wrong").await;
    assert!(!program.said().contains(SECRET), "a secret is in the log");
    for path in ["/ingest/misskey/", "/ingest/misskey/default/"] {
        assert_eq!(ask(path, SECRET, &event).await.status, 204, "a slash at the end does no harm");
    }
    receiver.until_distinct(1).await;
    assert_eq!(arrivals(&receiver).len(), 1);
    program.stop().await;
}

#[tokio::test]
async fn while_no_webhook_of_misskeys_is_let_in_misskey_is_told_to_keep_what_it_has() {
    let home = Home::new("");
    let mut program = home.serve().await;
    let answer = post(&program.address, "/ingest/misskey", SECRET, &small("note", USER, "e")).await;
    answer.refused(503, &["no [[misskey.ingest]]", "set one"]);
    assert_eq!(answer.header("retry-after"), "30");
    let line = program.line("a Misskey's webhook was refused").await;
    assert!(line.contains("ERROR") && line.contains("no [[misskey.ingest]]"), "{line}");
    program.stop().await;
}

#[tokio::test]
async fn one_byte_over_the_limit_is_413_and_the_limit_itself_is_not() {
    let (receiver, _home, program) = server(&ingest("default", SECRET, "any")).await;
    let (largest, over) = (of_size("largest", LIMIT), of_size("over", LIMIT + 1));
    assert_eq!((largest.len(), over.len()), (LIMIT, LIMIT + 1));
    assert_eq!(post(&program.address, "/ingest/misskey", SECRET, &largest).await.status, 204);
    post(&program.address, "/ingest/misskey", SECRET, &over).await.refused(413, &["1048576"]);

    let mut agent = Agent::connect(&program.address).await;
    let head = String::from_utf8(request("/ingest/misskey", SECRET, b"")).expect("UTF-8");
    let head = head.replace("content-length: 0", "transfer-encoding: chunked");
    agent.send(format!("{head}{:x}\r\n{over}\r\n0\r\n\r\n", over.len()).as_bytes()).await;
    agent.answer().await.refused(413, &["1048576"]);
    receiver.until_distinct(1).await;
    program.stop().await;
}

#[tokio::test]
async fn a_body_far_over_the_limit_is_413_without_being_kept_in_memory() {
    let (_receiver, _home, program) = server(&ingest("default", SECRET, "any")).await;
    let peak_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM").to_owned();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number")
    };
    let before = peak_kib();
    post(&program.address, "/ingest/misskey", SECRET, &of_size("over", 48 * LIMIT)).await.refused(413, &["1048576"]);
    let grown = peak_kib() - before;
    assert!(grown < 16 * 1024, "its memory grew by {grown} KiB");
    program.stop().await;
}
