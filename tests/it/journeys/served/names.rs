//! `X-Request-Id`: in every answer, in every line about the request, and in the words of errors that are ours to shape.

use serde_json::{Value, json};

use super::{SECRET, server};
use crate::support::program::{Program, TOKEN, event};

/// One request to each kind of route, by what it is refused with or answered: method, path, body, status.
const REQUESTS: [(&str, &str, &str, u16); 8] = [
    ("GET", "/healthz", "", 200),
    ("GET", "/metrics", "", 200),
    ("GET", "/nowhere", "", 404),
    ("PUT", "/v1/events", "", 405),
    ("POST", "/v1/events", "{}", 401),
    ("POST", "/ingest/misskey", "{}", 401),
    ("POST", "/api/i/webhooks/list", "{}", 401),
    ("POST", "/api/nothing", "{}", 404),
];

async fn named(program: &Program, request: (&str, &str, &str, u16), id: &str) -> reqwest::Response {
    let (method, path, body, status) = request;
    let url = format!("{}{path}", program.address);
    let method = method.parse().expect("a method");
    let request = program.asking(method, &url).body(body.to_owned());
    let answer = request.header("x-request-id", id).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), status, "{path}");
    answer
}

fn id_of(answer: &reqwest::Response) -> String {
    let ids: Vec<_> = answer.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids.len(), 1, "{:?}", answer.headers());
    ids[0].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn every_answer_has_the_name_that_its_request_came_with_or_a_new_one_where_that_is_none() {
    let (_home, program) = server("").await;
    for request in REQUESTS {
        assert_eq!(id_of(&named(&program, request, "Root=1-5759e988/a+b:c_d.e").await), "Root=1-5759e988/a+b:c_d.e");
        for ill_formed in ["two words", "a\"b", "<b>", &"x".repeat(129), ""] {
            let made = id_of(&named(&program, request, ill_formed).await);
            assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ill_formed:?}: {made}");
        }
    }
    program.stop().await;
}

#[tokio::test]
async fn an_error_says_the_requests_name_where_misskey_does_not_say_how_errors_look() {
    let (_home, program) = server("").await;
    let error = async |request| -> Value {
        let text = named(&program, request, "name-1").await.text().await.expect("a body");
        serde_json::from_str(&text).expect("JSON")
    };
    for request in [REQUESTS[3], REQUESTS[4], REQUESTS[5]] {
        assert_eq!(error(request).await["requestId"], "name-1", "{request:?}");
    }
    let misskeys = error(REQUESTS[6]).await;
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&misskeys), ["error"]);
    assert_eq!(keys(&misskeys["error"]), ["code", "id", "info", "kind", "message"]);
    program.stop().await;
}

#[tokio::test]
async fn every_line_about_a_request_has_its_name_in_both_formats() {
    for format in ["text", "json"] {
        let (_home, mut program) = server(&format!("log.level = \"debug\"\nlog.format = \"{format}\"\n")).await;
        for (number, request) in REQUESTS.into_iter().enumerate() {
            named(&program, request, &format!("name-{number}")).await;
        }
        let ingested = program.asking(reqwest::Method::POST, &format!("{}/ingest/misskey", program.address));
        let ingested = ingested.header("x-misskey-hook-secret", SECRET).header("x-request-id", "ingested");
        let body = json!({"server": "https://m.example", "hookId": "h", "userId": "u", "eventId": "e", "type": "note", "createdAt": 1, "body": {}});
        assert_eq!(ingested.body(body.to_string()).send().await.expect("an answer").status().as_u16(), 204);
        let published = program.producer().header("x-request-id", "published").body(event("note", "p"));
        assert_eq!(published.send().await.expect("an answer").status().as_u16(), 200);
        let wrong = program.request().bearer_auth("wrong").header("x-request-id", "wrong-token").body("{}");
        assert_eq!(wrong.send().await.expect("an answer").status().as_u16(), 401);

        for (id, words) in [
            ("name-0", "answered"),
            ("name-2", "answered"),
            ("name-5", "a Misskey's webhook was refused"),
            ("name-6", "answered"),
            ("ingested", "events accepted"),
            ("ingested", "answered"),
            ("published", "events accepted"),
            ("published", "answered"),
            ("wrong-token", "a request to /v1/events was refused: its token is wrong"),
        ] {
            let told = |line: &&str| match format {
                "text" => line.contains(&format!("request{{id=\"{id}\"}}: {words}")),
                _ => {
                    let line: Value = serde_json::from_str(line).expect("JSON");
                    let message = line["fields"]["message"].as_str().expect("words");
                    line["span"] == json!({"name": "request", "id": id}) && message.starts_with(words)
                }
            };
            // What a task of its own says can come after the answer.
            let begins =
                if format == "text" { format!("request{{id=\"{id}\"}}: {words}") } else { format!("\"id\":\"{id}\"") };
            program.line(&begins).await;
            let said = program.said();
            assert!(said.lines().filter(told).count() == 1, "{id}: {words}:\n{said}");
        }
        assert!(!program.said().contains(TOKEN), "{}", program.said());
        program.stop().await;
    }
}
