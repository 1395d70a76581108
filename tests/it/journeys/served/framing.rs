//! Bytes that mean one thing to a proxy and another to a server: whatever can be read in two ways is refused, or nothing follows.

use serde_json::json;

use super::{SECRET, server};
use crate::support::program::{Program, TOKEN, event};
use crate::support::raw::{Raw, status};

/// What a smuggler wants taken for a request of its own.
fn smuggled() -> String {
    let event = event("note", "smuggled");
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    )
}

/// Sends `bytes` and tells everything that is answered until the server closes the connection, which it must.
async fn answered(program: &Program, bytes: impl AsRef<[u8]>) -> String {
    Raw::sending(program, bytes).await.rest().await
}

/// The same, and ends before the server has all that it waits for: then there may be no answer.
async fn cut_off(program: &Program, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::sending(program, bytes).await;
    raw.end().await;
    raw.rest().await
}

async fn assert_nothing_came_in(program: &Program) {
    let (_, metrics) = program.get("/metrics").await;
    assert!(!metrics.contains("hikyaku_events_accepted_total{"), "{metrics}");
}

#[tokio::test]
async fn a_head_that_two_servers_could_read_differently_is_refused_and_what_follows_is_no_request() {
    let (_home, program) = server("").await;
    let smuggled = smuggled();
    let long = "x".repeat(1000);
    let many: String = (0..200).map(|number| format!("x-{number}: a\r\n")).collect();
    let endless: String = (0..2000).map(|_| format!("x-a: {long}\r\n")).collect();
    for (what, headers, statuses) in [
        ("two lengths", "content-length: 0\r\ncontent-length: 5\r\n", [400, 0]),
        ("a list of lengths", "content-length: 0, 5\r\n", [400, 0]),
        ("a signed length", "content-length: +0\r\n", [400, 0]),
        ("a length in hexadecimal", "content-length: 0x0\r\n", [400, 0]),
        ("a negative length", "content-length: -1\r\n", [400, 0]),
        ("a coding that is not the last", "transfer-encoding: chunked, identity\r\n", [400, 0]),
        ("a coding that nobody knows", "transfer-encoding: xchunked\r\n", [400, 0]),
        ("a space before the colon", "transfer-encoding : chunked\r\ncontent-length: 0\r\n", [400, 0]),
        ("a name with a line feed", "x\n-y: a\r\ncontent-length: 0\r\n", [400, 0]),
        ("a value with a carriage return", "x: a\rb\r\ncontent-length: 0\r\n", [400, 0]),
        ("a value with a zero", "x: a\0b\r\ncontent-length: 0\r\n", [400, 0]),
        ("a folded line", "x: a\r\n transfer-encoding: chunked\r\ncontent-length: 0\r\n", [400, 0]),
        ("very many headers", many.as_str(), [431, 431]),
        ("a head without end", endless.as_str(), [431, 0]),
    ] {
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n");
        let answer = cut_off(&program, head + &smuggled).await;
        assert!(statuses.contains(&status(&answer)), "{what}: {answer:?}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{what}: {answer}");
    }
    assert_nothing_came_in(&program).await;
    program.stop().await;
}

#[tokio::test]
async fn other_versions_of_http_are_no_requests() {
    let (_home, program) = server("").await;
    for begin in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
        "GET /metrics HTTP/2.0\r\nhost: a\r\n\r\n",
        "GET /metrics\r\n",
        "\u{16}\u{3}\u{1}\0\u{5}hello",
    ] {
        let answer = cut_off(&program, begin).await;
        assert!([400, 505, 0].contains(&status(&answer)) && !answer.contains("hikyaku_"), "{begin:?}: {answer:?}");
    }
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    let head = Raw::sending(&program, upgrade).await.head().await;
    assert!(status(&head) == 200 && !head.contains("upgrade"), "it goes on as it was: {head:?}");
    program.stop().await;
}

#[tokio::test]
async fn what_follows_a_request_in_chunks_is_no_request_whatever_its_length_says() {
    let (_home, program) = server("").await;
    for both in
        ["transfer-encoding: chunked\r\ncontent-length: 4\r\n", "content-length: 4\r\ntransfer-encoding: chunked\r\n"]
    {
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n{both}\r\n");
        let answer = answered(&program, format!("{head}0\r\n\r\n{}", smuggled())).await;
        assert!(status(&answer) == 400 && answer.matches("HTTP/1.1").count() == 1, "{both}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n") && !answer.contains("keep-alive"), "{answer}");
    }
    assert_nothing_came_in(&program).await;
    program.stop().await;
}

#[tokio::test]
async fn a_body_that_has_not_the_length_it_says_brings_nothing_in() {
    let (_home, program) = server("").await;
    let event = event("note", "e");
    for (path, who, shorter) in [
        ("/v1/events", format!("authorization: Bearer {TOKEN}"), 400),
        ("/ingest/misskey", format!("x-misskey-hook-secret: {SECRET}"), 503),
    ] {
        let head = |length| format!("POST {path} HTTP/1.1\r\nhost: a\r\n{who}\r\ncontent-length: {length}\r\n\r\n");
        let answer = cut_off(&program, head(event.len() + 1) + &event).await;
        assert!([shorter, 0].contains(&status(&answer)), "{path}, fewer bytes than said: {answer}");
        let answer = answered(&program, head(event.len() - 1) + &event + "\r\n\r\n").await;
        assert_eq!(status(&answer), 400, "{path}, more bytes than said: {answer}");
        let chunks = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\n{who}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
            event.len()
        );
        for end in ["", "0\r\n", "zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n"] {
            let answer = cut_off(&program, format!("{chunks}{end}")).await;
            assert!([shorter, 0].contains(&status(&answer)), "{path}, chunks that end with {end:?}: {answer}");
        }
    }
    assert_nothing_came_in(&program).await;
    program.stop().await;
}

#[tokio::test]
async fn who_asks_for_leave_to_send_its_body_gets_it_only_with_the_right_token() {
    let (_home, program) = server("").await;
    let event = event("note", "e");
    let head = |token: &str| {
        let length = event.len();
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut right = Raw::sending(&program, head(TOKEN)).await;
    assert_eq!(status(&right.head().await), 100);
    right.send(&event).await.expect("sent");
    assert_eq!(status(&right.head().await), 200);
    let wrong = Raw::sending(&program, head("wrong")).await.rest().await;
    assert!(status(&wrong) == 401 && !wrong.contains("100 Continue"), "{wrong}");
    program.stop().await;
}

#[tokio::test]
async fn no_path_leads_past_the_check_of_its_source() {
    let (_home, program) = server("").await;
    let body = event("note", "e");
    for path in [
        "/ingest/misskey/..",
        "/ingest/misskey/../v1/events",
        "/ingest/misskey/%2e%2e",
        "/ingest/misskey/%2E%2E%2Fv1%2Fevents",
        "/ingest/misskey/default/../other",
        "/ingest/misskey/default%00",
        "/ingest/misskey/default%0d%0ax-a:%20b",
        "/ingest/misskey/DEFAULT",
        "/ingest/misskey/%64efault%20",
        "/ingest/misskey/%ff",
        "/ingest//misskey",
        "//ingest/misskey",
        "/ingest/misskey;default",
        "/ingest/%6disskey",
        "/./ingest/misskey",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-misskey-hook-secret: {SECRET}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = answered(&program, head + &body).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
    }
    assert_nothing_came_in(&program).await;
    let said = program.said();
    assert!(said.lines().all(|line| !line.starts_with("x-a")) && !said.contains('\0'), "{said}");
    program.stop().await;
}

#[tokio::test]
async fn without_a_trusted_proxy_what_a_guesser_says_of_his_address_counts_for_nothing() {
    let (_home, program) = server("").await;
    let number = std::cell::Cell::new(0);
    let guess = async || {
        number.set(number.get() + 1);
        let claimed = format!("203.0.113.{}", number.get() % 250);
        let request = program.api("i/webhooks/list").header("x-forwarded-for", &claimed).header("x-real-ip", &claimed);
        let request = request.header("forwarded", format!("for={claimed}"));
        let body = json!({"i": "a-wrong-token-for-journeys"}).to_string();
        request.body(body).send().await.expect("an answer").status().as_u16()
    };
    let began = std::time::Instant::now();
    // He is one and the same, so of many at once some are told that it is too much.
    while !futures_util::future::join_all((0..100).map(|_| guess())).await.contains(&429) {
        assert!(began.elapsed() < crate::support::program::PATIENCE, "he is never told that it is too much");
    }
    program.stop().await;
}
