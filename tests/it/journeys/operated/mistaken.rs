//! Requests and commands that ask for what there is not: each is refused in words that name what is wrong, and nothing is done.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::program::{Home, Program, event};

const ID: &str = "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg";

/// What is answered to `method path` with `body`: the status, and the problem.
async fn ask(program: &Program, method: &str, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    program.operate_by(method, path, body).await
}

#[track_caller]
fn names((status, problem): (u16, Value), parameter: &str, words: &str) {
    let mistake = &problem["errors"][0];
    assert_eq!((status, &mistake["parameter"]), (400, &json!(parameter)), "{problem}");
    assert!(mistake["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{words:?}: {problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{words:?}: {problem}");
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(400)), "{problem}");
}

#[tokio::test]
async fn where_no_parameter_is_taken_an_unknown_one_is_answered_with_that() {
    let home = Home::new("");
    let program = home.serve().await;
    for (method, path) in [("GET", "/v1/status"), ("POST", &format!("/v1/dead-letters/{ID}/replay"))] {
        let told = ask(&program, method, &format!("{path}?limit=1"), "").await;
        assert_eq!(told.1["errors"][0]["detail"], "there is no such parameter; this path takes none", "{told:?}");
        names(told, "limit", "takes none");
    }
    program.stop().await;
}

#[tokio::test]
async fn a_parameter_whose_bytes_are_no_utf_8_is_named_and_nothing_else_is_taken_for_it() {
    let home = Home::new("");
    let program = home.serve().await;
    for (path, parameter) in [
        ("/v1/deliveries?type=%FF", "type"),
        ("/v1/dead-letters?event=a%C3", "event"),
        ("/v1/webhooks?limit=1&user=%ed%a0%80", "user"),
    ] {
        names(ask(&program, "GET", path, "").await, parameter, "no UTF-8");
    }
    names(ask(&program, "POST", "/v1/dead-letters/purge?type=%FF", "").await, "type", "no UTF-8");
    names(ask(&program, "GET", "/v1/deliveries?%FF=1", "").await, "\u{fffd}", "no such parameter");
    let (status, page) = ask(&program, "GET", "/v1/deliveries?type=%EF%BF%BD", "").await;
    assert_eq!(status, 200, "U+FFFD itself is a character as any: {page}");
    program.stop().await;
}

#[tokio::test]
async fn a_moment_or_an_age_before_1970_is_refused_as_such_by_the_api_and_by_commands() {
    let home = Home::new("");
    let program = home.serve().await;
    for early in ["99999999999years", "99999999999999999999years", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"] {
        for path in ["/v1/deliveries?since", "/v1/dead-letters?until", "/v1/deliveries/resend?webhook=w&before"] {
            let method = if path.contains("resend") { "POST" } else { "GET" };
            let (_, parameter) = path.split_once(['?', '&']).expect("a query");
            let parameter = parameter.rsplit('&').next().expect("the last");
            names(ask(&program, method, &format!("{path}={early}"), "").await, parameter, "moments from 1970-01-01");
        }
        for (args, flag) in [(["dead", "list"], "--since"), (["deliveries", "list"], "--until")] {
            home.cli(&[&args[..], &[flag, early]].concat()).await.failed(2, &[flag, "moments from 1970-01-01"]);
        }
    }
    let (status, page) = ask(&program, "GET", "/v1/deliveries?since=1970-01-01T00:00:00Z&until=20years", "").await;
    assert_eq!(status, 200, "{page}");
    names(ask(&program, "GET", "/v1/deliveries?since=1969-13-01T00:00:00Z", "").await, "since", "neither a moment");
    program.stop().await;
}

#[tokio::test]
async fn events_with_a_parameter_are_refused_and_none_of_them_is_taken() {
    let home = Home::new("");
    let program = home.serve().await;
    let told = ask(&program, "POST", "/v1/events?x=1", event("note", "e")).await;
    assert!(told.1["error"].as_str().is_some_and(|words| words.starts_with("x: ")), "{told:?}");
    names(told, "x", "takes none");
    let stranger = program.asking(Method::POST, &format!("{}/v1/events?x=1", program.address));
    let status = stranger.send().await.expect("an answer").status();
    assert_eq!(status, 401, "who is not let in is told nothing else");
    assert_eq!(ask(&program, "POST", "/v1/events?", event("note", "e")).await.0, 200, "nothing is asked for by `?`");
    program.metric_is("hikyaku_events_accepted_total{source=\"default\"}", 1.0).await;
    program.stop().await;
}

#[tokio::test]
async fn what_takes_no_body_refuses_one_and_does_nothing() {
    let home = Home::new("");
    let program = home.serve().await;
    for (method, path) in [
        ("POST", "/v1/dead-letters/replay?all=true".to_owned()),
        ("POST", "/v1/dead-letters/purge?all=true".to_owned()),
        ("POST", format!("/v1/dead-letters/{ID}/replay")),
        ("DELETE", format!("/v1/dead-letters/{ID}")),
        ("POST", "/v1/deliveries/resend?all=true".to_owned()),
        ("POST", format!("/v1/deliveries/{ID}/resend")),
        ("POST", "/v1/forget?user=u1".to_owned()),
        ("PUT", "/v1/log-level?level=debug".to_owned()),
    ] {
        for body in ["{\"webhook\":\"wh1\"}", "[]", "null", "webhook=wh1", &" {\n".repeat(100_000)] {
            let (status, problem) = ask(&program, method, &path, body.to_owned()).await;
            assert_eq!((status, &problem["type"]), (400, &json!("about:blank")), "{method} {path}: {problem}");
            let detail = problem["detail"].as_str().expect("words");
            assert!(detail.contains("takes no body"), "{method} {path}: {problem}");
        }
        // Forgetting takes its time, and has nothing that is not seen in the others.
        for body in ["", "{}", " { }\n"].iter().filter(|_| !path.contains("forget")) {
            let (status, told) = ask(&program, method, &path, *body).await;
            let expected = if path.contains(ID) { 404 } else { 200 };
            assert_eq!(status, expected, "{method} {path} {body:?}: {told}");
        }
    }
    program.stop().await;
}
