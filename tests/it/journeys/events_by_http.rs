//! `POST /v1/events`: every shape that events come in, and every way to be refused.

use std::convert::Infallible;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, answer, declared, event};

/// A server with one webhook for notes.
async fn server() -> (Receiver, Home, Program) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    (receiver, home, program)
}

fn accepted(ids: &[&str]) -> Value {
    let results: Vec<Value> = ids.iter().map(|id| json!({"status": "accepted", "eventId": id})).collect();
    json!({"accepted": ids.len(), "refused": 0, "results": results})
}

async fn post_as(program: &Program, content_type: &str, body: String) -> (u16, Value) {
    answer(program.producer().header("content-type", content_type).body(body)).await.expect("an answer")
}

#[track_caller]
fn assert_error((status, body): (u16, Value), expected: u16, words: &[&str]) {
    assert_eq!(status, expected, "{body}");
    let error = body["error"].as_str().unwrap_or_else(|| panic!("no error in {body}"));
    for part in words {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}

#[tokio::test]
async fn an_object_an_array_and_lines_are_all_taken_and_delivered() {
    let (receiver, _home, program) = server().await;
    let object = event("note", "object");
    assert_eq!(program.post(object).await, (200, accepted(&["object"])));
    let array = format!("[{}, {}]", event("note", "a1"), event("note", "a2"));
    assert_eq!(post_as(&program, "application/json", array).await, (200, accepted(&["a1", "a2"])));
    let lines = |id: &str| format!("{}\r\n\n{}\n", event("note", &format!("{id}1")), event("note", &format!("{id}2")));
    assert_eq!(post_as(&program, "application/x-ndjson", lines("n")).await, (200, accepted(&["n1", "n2"])));
    assert_eq!(post_as(&program, "text/plain", lines("s")).await, (200, accepted(&["s1", "s2"])), "sniffed");

    receiver.until_distinct(7).await;
    let expected = ["object", "a1", "a2", "n1", "n2", "s1", "s2"].map(str::to_owned);
    assert_eq!(receiver.book().event_ids, expected.into());
    program.stop().await;
}

#[tokio::test]
async fn a_body_arrives_with_its_very_bytes() {
    let (receiver, _home, program) = server().await;
    let body = r#"{ "z":1.0,  "a":12345678901234567890123, "lone":"\ud800", "esc":"\u0041\/", "z":2 }"#;
    let text = format!("{{\"type\":\"note\",\"eventId\":\"e\",\"createdAt\":1774960496789,\"body\":{body}}}");
    assert_eq!(program.post(text).await.0, 200);
    receiver.until_distinct(1).await;
    let expected = format!(
        "{{\"hookId\":\"hook\",\"eventId\":\"e\",\"createdAt\":1774960496789,\"type\":\"note\",\"body\":{body}}}"
    );
    assert_eq!(String::from_utf8_lossy(&receiver.book().arrived[0].body), expected);
    program.stop().await;
}

#[tokio::test]
async fn bad_items_among_good_ones_are_refused_by_field_and_the_rest_is_stored() {
    let (receiver, _home, program) = server().await;
    let items = [
        event("note", "good1"),
        r#"{"type":"note"}"#.to_owned(),
        r#"{"type":7,"body":{}}"#.to_owned(),
        r#"{"type":"note","body":{},"createdAt":"yesterday"}"#.to_owned(),
        "7".to_owned(),
        event("note", "good2"),
    ];
    let (status, answer) = program.post(format!("[{}]", items.join(","))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(2), &json!(4)), "{answer}");
    let results = answer["results"].as_array().expect("results");
    let fields: Vec<&Value> = results.iter().map(|result| &result["field"]).collect();
    assert_eq!(fields, [&Value::Null, &json!("body"), &json!("type"), &json!("createdAt"), &Value::Null, &Value::Null]);
    for (index, result) in results.iter().enumerate() {
        let good = index == 0 || index == 5;
        assert_eq!(result["status"], if good { "accepted" } else { "refused" }, "{result}");
        assert_eq!(result["error"].is_string(), !good, "{result}");
    }
    assert!(results[1]["error"].as_str().expect("words").contains("`body` is missing"), "{answer}");

    receiver.until_distinct(2).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    assert_eq!(receiver.book().event_ids, ["good1".to_owned(), "good2".to_owned()].into());
    program.stop().await;
}

#[tokio::test]
async fn a_bad_line_among_good_ones_is_refused_alone() {
    let (receiver, _home, program) = server().await;
    let lines = format!("{}\n{{\"type\": broken\n{}\n", event("note", "e1"), event("note", "e2"));
    let (status, answer) = post_as(&program, "application/x-ndjson", lines).await;
    assert_eq!(status, 200, "{answer}");
    let of = |index: usize| answer["results"][index]["status"].as_str().expect("a status").to_owned();
    assert_eq!([of(0), of(1), of(2)], ["accepted", "refused", "accepted"]);
    assert!(answer["results"][1]["error"].as_str().expect("words").contains("not JSON"), "{answer}");
    receiver.until_distinct(2).await;
    program.stop().await;
}

#[tokio::test]
async fn a_request_without_a_valid_event_is_answered_400_in_words() {
    let (_receiver, _home, program) = server().await;
    let (status, answer) = program.post(r#"[{"type":"note"},{"body":{}}]"#).await;
    assert_eq!(status, 400);
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(0), &json!(2)), "{answer}");
    assert_eq!((&answer["results"][0]["field"], &answer["results"][1]["field"]), (&json!("body"), &json!("type")));

    assert_error(program.post("not JSON at all").await, 400, &["neither a JSON object"]);
    assert_error(program.post("").await, 400, &["no event"]);
    assert_error(program.post("[]").await, 400, &["no event"]);
    program.stop().await;
}

#[tokio::test]
async fn nobody_publishes_without_the_token() {
    let (_receiver, _home, program) = server().await;
    let ask = async |request: reqwest::RequestBuilder| {
        let response = request.body(event("note", "e")).send().await.expect("an answer");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.expect("bytes")).expect("JSON"))
    };
    assert_error(ask(program.request()).await, 401, &["Authorization: Bearer"]);
    assert_error(ask(program.request().bearer_auth("wrong")).await, 401, &["wrong"]);
    assert_error(ask(program.request().bearer_auth(&TOKEN[1..])).await, 401, &["wrong"]);
    assert_error(ask(program.request().header("authorization", TOKEN)).await, 401, &["Authorization: Bearer"]);
    assert_eq!(program.metric("hikyaku_queue_depth{queue=\"work\"}").await, 0.0);

    let unset = Home::bare("server.listen = \"127.0.0.1:0\"\n");
    let program = unset.serve().await;
    assert_error(ask(program.request().bearer_auth(TOKEN)).await, 401, &["server.admin_token is not set"]);
    assert_error(ask(program.request().bearer_auth("")).await, 401, &["server.admin_token is not set"]);
    program.stop().await;
}

#[tokio::test]
async fn whoever_sends_too_much_gets_to_read_the_answer_whether_or_not_it_told_the_length() {
    let (receiver, _home, program) = server().await;
    let line = event("note", &"x".repeat(100)) + "\n";
    let body = line.repeat(16 * 1024 * 1024 / line.len() + 1);
    assert_error(program.post(body.clone()).await, 413, &["16777216 bytes", "several requests"]);

    let chunks: Vec<Vec<u8>> = body.as_bytes().chunks(1 << 20).map(<[u8]>::to_vec).collect();
    let frames = chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
    let streamed = StreamBody::new(futures_util::stream::iter(frames));
    assert_error(program.post(reqwest::Body::wrap(streamed)).await, 413, &["16777216 bytes", "several requests"]);

    let refused = answer(program.request().bearer_auth("wrong").body(body)).await.expect("an answer");
    assert_error(refused, 401, &["wrong"]);

    assert_eq!(program.post(event("note", "small")).await.0, 200);
    receiver.until_distinct(1).await;
    assert_eq!(receiver.book().event_ids, ["small".to_owned()].into(), "nothing of the large ones was stored");
    program.stop().await;
}

#[tokio::test]
async fn an_event_over_1_mib_is_refused_with_both_numbers_and_its_neighbours_pass() {
    let (receiver, _home, program) = server().await;
    let of_size = |id: &str, bytes: usize| {
        let head = format!("{{\"type\":\"note\",\"eventId\":\"{id}\",\"body\":{{\"x\":\"");
        let padding = "x".repeat(bytes - head.len() - "\"}}".len());
        format!("{head}{padding}\"}}}}")
    };
    let (largest, over) = (of_size("largest", 1_048_576), of_size("over", 1_048_577));
    let (status, answer) = program.post(format!("[{largest},{over},{}]", event("note", "small"))).await;
    assert_eq!(status, 200, "{answer}");
    let refused = answer["results"][1]["error"].as_str().expect("refused");
    assert!(refused.contains("1048577") && refused.contains("1048576"), "{refused}");
    receiver.until_distinct(2).await;
    assert_eq!(receiver.book().event_ids, ["largest".to_owned(), "small".to_owned()].into());
    program.stop().await;
}

#[tokio::test]
async fn an_event_without_an_id_is_told_the_id_that_its_receiver_gets() {
    let (receiver, _home, program) = server().await;
    let (status, answer) = program.post(r#"[{"type":"note","body":{}},{"type":"note","body":{}}]"#).await;
    assert_eq!(status, 200, "{answer}");
    let told = |index: usize| answer["results"][index]["eventId"].as_str().expect("an id").to_owned();
    assert_ne!(told(0), told(1), "equal events are two");
    receiver.until_distinct(2).await;
    assert_eq!(receiver.book().event_ids, [told(0), told(1)].into());
    program.stop().await;
}

#[tokio::test]
async fn a_compressed_request_is_refused_in_words_that_say_so() {
    let (_receiver, _home, program) = server().await;
    let encoded = |encoding: &str| program.producer().header("content-encoding", encoding).body(event("note", "e"));
    assert_error(answer(encoded("gzip")).await.expect("an answer"), 415, &["Content-Encoding", "not compressed"]);
    assert_eq!(answer(encoded("identity")).await.expect("an answer"), (200, accepted(&["e"])));
    program.stop().await;
}
