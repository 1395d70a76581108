//! Whose token is good for what, and what is answered where there is nothing.

use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, declared, event};

const READER: &str = "a-token-for-the-dashboard";
const WRITER: &str = "a-token-for-carol-on-call";

/// Settings with a token to look and one for everything, the latter as its hash.
fn settings() -> String {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(WRITER));
    format!(
        "[[server.tokens]]\nname = \"dashboard\"\ntoken = \"{READER}\"\naccess = \"read\"\n\
         [[server.tokens]]\nname = \"carol\"\ntoken = \"sha256:{hash}\"\naccess = \"full\"\n"
    )
}

/// What a request is answered: the status, whether it is a problem document that says so itself, and its words.
struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answered {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status} without JSON: {body:?}"));
        Self { status, headers, body }
    }

    #[track_caller]
    fn is_a_problem(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            (&self.body["type"], &self.body["status"]),
            (&json!("about:blank"), &json!(status)),
            "{}",
            self.body
        );
        assert!(self.body["title"].is_string(), "{}", self.body);
        assert!(self.body["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{words:?}: {}", self.body);
    }
}

async fn ask(program: &Program, method: Method, path: &str, token: Option<&str>, body: &str) -> Answered {
    let mut request = program.asking(method, &format!("{}{path}", program.address)).body(body.to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answered::of(request).await
}

#[tokio::test]
async fn a_token_for_looking_looks_at_everything_and_changes_nothing() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&(settings() + &declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    for path in ["/v1/endpoints", "/v1/deliveries"] {
        let looked = ask(&program, Method::GET, path, Some(READER), "").await;
        assert_eq!(looked.status, 200, "{path}: {}", looked.body);
    }
    let publish = async |token| ask(&program, Method::POST, "/v1/events", token, &event("note", "e")).await;
    publish(Some(READER)).await.is_a_problem(403, "the token of dashboard is for looking only");
    let refused = publish(None).await;
    refused.is_a_problem(401, "Authorization: Bearer");
    assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer");
    let managed = ask(&program, Method::POST, "/api/admin/system-webhook/list", Some(READER), "{}").await;
    assert_eq!(
        (managed.status, &managed.body["error"]["code"]),
        (403, &json!("PERMISSION_DENIED")),
        "{}",
        managed.body
    );
    assert_eq!(receiver.book().arrived.len(), 0);
    program.stop().await;
}

#[tokio::test]
async fn a_named_token_for_everything_does_what_the_admins_does() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&(settings() + &declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    let published = ask(&program, Method::POST, "/v1/events", Some(WRITER), &event("note", "e")).await;
    assert_eq!(published.status, 200, "{}", published.body);
    receiver.until_distinct(1).await;
    assert_eq!(ask(&program, Method::GET, "/v1/endpoints", Some(WRITER), "").await.status, 200);
    let managed = ask(&program, Method::POST, "/api/admin/system-webhook/list", Some(WRITER), "{}").await;
    assert_eq!((managed.status, managed.body[0]["id"].as_str()), (200, Some("hook")), "{}", managed.body);
    program.stop().await;
}

#[tokio::test]
async fn where_there_is_nothing_and_for_another_method_there_is_a_problem_in_words() {
    let home = Home::new("");
    let program = home.serve().await;
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/deliveries/a/b", "/v1/events/"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            ask(&program, method, path, Some(TOKEN), "").await.is_a_problem(404, "/openapi.json");
        }
    }
    for (method, path, allowed) in [
        (Method::POST, "/v1/endpoints", "GET,HEAD"),
        (Method::PUT, "/v1/deliveries", "GET,HEAD"),
        (Method::DELETE, "/openapi.json", "GET,HEAD"),
        (Method::GET, "/v1/events", "POST"),
    ] {
        let refused = ask(&program, method, path, Some(TOKEN), "").await;
        refused.is_a_problem(405, "");
        assert_eq!(refused.headers[ALLOW], allowed, "{path}");
    }
    program.stop().await;
}
