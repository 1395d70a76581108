//! misskey-js, unchanged, manages webhooks here with a person's own Misskey token.

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::misskey::Misskey;
use crate::support::misskey_js::MisskeyJs;
use crate::support::program::{Home, until};

const ALICE: &str = "9ks5o1w5k3x9alice";

fn note(id: &str) -> String {
    json!({"type": "note", "userId": ALICE, "eventId": id, "body": {"note": {"id": id}}}).to_string()
}

/// The fields that misskey-js declares a user's webhook to have.
const USER_WEBHOOK: [&str; 9] =
    ["id", "userId", "name", "on", "url", "secret", "active", "latestSentAt", "latestStatus"];
/// Those of a system webhook.
const SYSTEM_WEBHOOK: [&str; 9] =
    ["id", "isActive", "updatedAt", "latestSentAt", "latestStatus", "name", "on", "url", "secret"];

#[track_caller]
fn assert_has(webhook: &Value, fields: &[&str]) {
    for field in fields {
        assert!(webhook.get(field).is_some(), "{field} is missing: {webhook}");
    }
}

#[tokio::test]
async fn misskey_js_creates_lists_shows_updates_pauses_tests_and_deletes_a_users_webhook() {
    let (misskey, receiver) = (Misskey::start().await, Receiver::start(Behaviour::Answer(200)).await);
    let token = misskey.world(|world| world.person(ALICE, "alice"));
    let home = Home::new(&format!("misskey.url = \"{}\"\n", misskey.url()));
    let program = home.serve().await;
    let mut js = MisskeyJs::start(&program.address, &token).await;

    let params = json!({"name": "bot", "url": receiver.url("/hook"), "secret": "s3cr3t", "on": ["mention", "note"]});
    let made = js.request("i/webhooks/create", params).await.expect("made");
    assert_has(&made, &USER_WEBHOOK);
    assert_eq!((&made["userId"], &made["active"]), (&json!(ALICE), &json!(true)));
    let id = made["id"].clone();
    assert_eq!(js.request("i/webhooks/list", json!({})).await, Ok(json!([made])));
    assert_eq!(js.request("i/webhooks/show", json!({"webhookId": id})).await, Ok(made));
    assert_eq!(program.post(note("first")).await.0, 200);
    receiver.until("the webhook gets its events", |book| book.event_ids.contains("first")).await;

    let pause = json!({"webhookId": id, "name": "paused bot", "active": false});
    assert_eq!(js.request("i/webhooks/update", pause).await, Ok(Value::Null));
    assert_eq!(program.post(note("while-paused")).await.0, 200);
    program.metric_is("hikyaku_deliveries_skipped_total", 1.0).await;
    assert_eq!(js.request("i/webhooks/test", json!({"webhookId": id, "type": "follow"})).await, Ok(Value::Null));
    receiver.until_distinct(2).await;
    let tested: Value = serde_json::from_slice(&receiver.book().arrived[1].body).expect("JSON");
    assert_eq!((&tested["type"], &tested["body"]["user"]["id"]), (&json!("follow"), &json!("dummy-user-1")));
    assert_eq!(js.request("i/webhooks/update", json!({"webhookId": id, "active": true})).await, Ok(Value::Null));
    assert_eq!(program.post(note("afterwards")).await.0, 200);
    receiver.until("it gets events again", |book| book.event_ids.contains("afterwards")).await;
    assert!(!receiver.book().event_ids.contains("while-paused"));
    until("the latest attempt is shown", async || {
        program.call("i/webhooks/list", json!({})).await.1[0]["latestStatus"].is_number().then_some(())
    })
    .await;
    let shown = js.request("i/webhooks/show", json!({"webhookId": id})).await.expect("there");
    assert_eq!((&shown["name"], &shown["latestStatus"]), (&json!("paused bot"), &json!(200)));

    assert_eq!(js.request("i/webhooks/delete", json!({"webhookId": id})).await, Ok(Value::Null));
    assert_eq!(js.request("i/webhooks/list", json!({})).await, Ok(json!([])));
    let error = js.request("i/webhooks/show", json!({"webhookId": id})).await.expect_err("gone");
    assert_eq!((&error["code"], &error["kind"]), (&json!("NO_SUCH_WEBHOOK"), &json!("client")), "{error}");
    let error = js.request("i/webhooks/create", json!({"name": ""})).await.expect_err("no name");
    assert_eq!((&error["code"], &error["info"]["param"]), (&json!("INVALID_PARAM"), &json!("name")), "{error}");
    program.stop().await;
}

#[tokio::test]
async fn misskey_js_manages_system_webhooks_with_a_moderators_token() {
    let (misskey, receiver) = (Misskey::start().await, Receiver::start(Behaviour::Answer(204)).await);
    let token = misskey.world(|world| {
        let token = world.person(ALICE, "alice");
        world.change(ALICE, |alice| alice.is_moderator = true);
        token
    });
    let home = Home::new(&format!("misskey.url = \"{}\"\n", misskey.url()));
    let program = home.serve().await;
    let mut js = MisskeyJs::start(&program.address, &token).await;
    let mut params = json!({"isActive": true, "name": "mods", "url": receiver.url("/"), "on": ["abuseReport"]});
    let made = js.request("admin/system-webhook/create", params.clone()).await.expect("made");
    assert_has(&made, &SYSTEM_WEBHOOK);
    assert_eq!(js.request("admin/system-webhook/list", json!({"isActive": true})).await, Ok(json!([made])));
    (params["id"], params["isActive"]) = (made["id"].clone(), json!(false));
    let updated = js.request("admin/system-webhook/update", params).await.expect("updated");
    assert_eq!(updated["isActive"], json!(false));
    assert_eq!(js.request("admin/system-webhook/show", json!({"id": made["id"]})).await, Ok(updated));
    let test = json!({"webhookId": made["id"], "type": "userCreated"});
    assert_eq!(js.request("admin/system-webhook/test", test).await, Ok(Value::Null));
    receiver.until_distinct(1).await;
    assert_eq!(js.request("admin/system-webhook/delete", json!({"id": made["id"]})).await, Ok(Value::Null));
    let error = js.request("admin/system-webhook/show", json!({"id": made["id"]})).await.expect_err("gone");
    assert_eq!(error["code"], "NO_SUCH_SYSTEM_WEBHOOK");
    program.stop().await;
}
