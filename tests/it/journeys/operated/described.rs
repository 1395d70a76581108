//! `/openapi.json`, held against what the program answers.

use reqwest::Method;
use serde_json::Value;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::database;
use crate::support::program::{Home, Program, TOKEN, declared, events, until};
use crate::support::python::faults_of;

/// Events to each of two webhooks, and so deliveries that ended well, and dead letters.
const EVENTS: usize = 4;

#[tokio::test]
async fn whatever_the_document_describes_is_answered_and_asks_for_a_token() {
    let home = Home::new("");
    let program = home.serve().await;
    let (status, document) = program.operate_without_token("/openapi.json").await;
    assert_eq!(status, 200, "the document needs no token: {document}");
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for name in item.as_object().expect("operations").keys() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).expect("a method");
            // An id that there is none of is answered in JSON too.
            let url = format!("{}{}", program.address, path.replace("{id}", "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg"));
            let status =
                async |request: reqwest::RequestBuilder| request.send().await.expect("an answer").status().as_u16();
            assert_eq!(status(program.asking(method.clone(), &url)).await, 401, "{name} {path} without a token");
            let told = status(program.asking(method, &url).bearer_auth(TOKEN)).await;
            assert!(!matches!(told, 401 | 403 | 405 | 501), "{name} {path}: {told}");
            count += 1;
        }
    }
    assert!(count >= 4, "{document}");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_and_moments_of_a_file_are_what_the_document_lets_parameters_be() {
    what_pages_tell_fits_the_document("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_and_moments_of_postgresql_are_what_the_document_lets_parameters_be() {
    what_pages_tell_fits_the_document(&format!("store.url = \"{}\"\n", database())).await;
}

/// Reads each listing to its end, an element at a time, and holds its cursors, and the moments in it, against the schemas of
/// the parameters by which they are asked for again.
async fn what_pages_tell_fits_the_document(settings: &str) {
    let receivers = [Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(404)).await];
    let webhooks = declared("well", &receivers[0].url("/"), "note") + &declared("bad", &receivers[1].url("/"), "note");
    let home = Home::new(&format!("{settings}{webhooks}"));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
    until("the history has the end of all", async || {
        let (_, page) = program.operate("/v1/deliveries").await;
        let ended = page["deliveries"].as_array()?.iter().filter(|delivery| delivery["state"] != "waiting").count();
        (ended == 2 * EVENTS).then_some(())
    })
    .await;
    let (_, document) = program.operate("/openapi.json").await;
    let moment = schema_of(&document, "/v1/deliveries", "since").expect("a parameter");
    let mut cases = Vec::new();
    let mut lists = Vec::new();
    for path in document["paths"].as_object().expect("paths").keys() {
        let Some(cursor) = schema_of(&document, path, "cursor") else { continue };
        assert!(cursor["pattern"].is_string(), "{path}: {cursor}");
        let pages = pages_of(&program, path).await;
        lists.push((path.as_str(), pages.len()));
        cases.extend(
            pages.iter().map(|page| (cursor.clone(), page["next"].clone())).filter(|(_, next)| !next.is_null()),
        );
        let moments = pages.iter().flat_map(moments_of);
        cases.extend(moments.map(|moment_told| (moment.clone(), moment_told)));
    }
    // The listing of webhooks has those of the settings file, the others those of the events.
    assert_eq!(lists, [("/v1/dead-letters", EVENTS), ("/v1/deliveries", 2 * EVENTS), ("/v1/webhooks", 2)]);
    assert!(cases.iter().filter(|(schema, _)| *schema == moment).count() >= 6 * EVENTS, "{cases:?}");
    for ((schema, told), faults) in cases.iter().zip(faults_of(&cases)) {
        assert!(faults.is_empty(), "{told} against {schema}: {faults:?}");
    }
    program.stop().await;
}

/// What the document says of the parameter `name` of `GET path`.
fn schema_of(document: &Value, path: &str, name: &str) -> Option<Value> {
    let parameters = document["paths"][path]["get"]["parameters"].as_array()?;
    parameters.iter().find(|parameter| parameter["name"] == name).map(|parameter| parameter["schema"].clone())
}

/// The pages of a listing, each with one element.
async fn pages_of(program: &Program, path: &str) -> Vec<Value> {
    let mut pages: Vec<Value> = Vec::new();
    loop {
        let next = pages.last().map(|page| page["next"].as_str().expect("a cursor"));
        let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        let (status, page) = program.operate(&format!("{path}?limit=1{cursor}")).await;
        assert_eq!(status, 200, "{path}: {page}");
        let is_last = page["next"].is_null();
        pages.push(page);
        if is_last {
            return pages;
        }
        assert!(pages.len() < 10 * EVENTS, "{path} never ends: {pages:?}");
    }
}

/// Every moment that is told in it, by the names of moments.
fn moments_of(told: &Value) -> Vec<Value> {
    match told {
        Value::Array(items) => items.iter().flat_map(moments_of).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                // That February has a 29th is not said by the document's pattern, so that no generator makes one of any year.
                Some(text) if name == "since" || name.ends_with("At") => {
                    vec![text.replace("-02-29T", "-02-28T").into()]
                }
                _ => moments_of(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}
