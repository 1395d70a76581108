//! Test sends of the management API: a dummy event of the chosen type, once, whatever the webhook's status and types.

use serde_json::{Value, json};

use super::managed::created;
use crate::support::journey_receiver::{Arrived, Behaviour, Receiver};
use crate::support::program::{Home, Program, until};

fn body(arrived: &Arrived) -> Value {
    serde_json::from_slice(&arrived.body).expect("JSON")
}

async fn latest_status(program: &Program, id: &str) -> Value {
    program.call("i/webhooks/show", json!({"webhookId": id})).await.1["latestStatus"].clone()
}

#[tokio::test]
async fn a_test_sends_each_type_to_a_paused_webhook_that_does_not_ask_for_it() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("misskey.url = \"https://misskey.example\"\n");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "active": false})).await.0, 204);
    let types = ["mention", "unfollow", "follow", "followed", "note", "reply", "renote"];
    for kind in types {
        let answer = program.call("i/webhooks/test", json!({"webhookId": id, "type": kind})).await;
        assert_eq!(answer, (204, Value::Null), "{kind}");
    }
    receiver.until_distinct(types.len()).await;
    let arrived = receiver.book().arrived.clone();
    for kind in types {
        let one = arrived.iter().find(|arrived| body(arrived)["type"] == kind).expect(kind);
        let sent = body(one);
        assert_eq!((&sent["hookId"], &sent["userId"]), (&json!(id), &json!("9ks5o1w5k3x90001")));
        assert_eq!((one.header("x-misskey-hook-secret"), one.attempt()), ("s", "1"));
        assert_eq!(one.header("x-misskey-host"), "misskey.example");
        assert!(sent["body"].to_string().contains("\"dummy-"), "{sent}");
    }
    let until_known = async || (latest_status(&program, &id).await == 200).then_some(());
    until("the latest status is known", until_known).await;
    program.stop().await;
}

#[tokio::test]
async fn a_system_webhook_is_tested_with_every_type_of_its_own() {
    let receiver = Receiver::start(Behaviour::Answer(204)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let params = json!({"isActive": false, "name": "n", "url": receiver.url("/"), "on": []});
    let (_, webhook) = program.call("admin/system-webhook/create", params).await;
    let types = [
        "abuseReport",
        "abuseReportResolved",
        "userCreated",
        "inactiveModeratorsWarning",
        "inactiveModeratorsInvitationOnlyChanged",
    ];
    for kind in types {
        let params = json!({"webhookId": webhook["id"], "type": kind});
        assert_eq!(program.call("admin/system-webhook/test", params).await.0, 204, "{kind}");
    }
    receiver.until_distinct(types.len()).await;
    assert!(receiver.book().arrived.iter().all(|arrived| body(arrived).get("userId").is_none()));
    program.stop().await;
}

#[tokio::test]
async fn a_test_that_fails_is_told_and_is_neither_tried_again_nor_a_dead_letter_nor_a_deactivation() {
    let receiver = Receiver::start(Behaviour::Answer(410)).await;
    let home = Home::new("delivery.retry_schedule_s = [0.01]\n");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    let (status, told) = program.call("i/webhooks/test", json!({"webhookId": id, "type": "note", "wait": true})).await;
    assert_eq!((status, &told["outcome"], &told["status"]), (200, &json!("gone"), &json!(410)), "{told}");
    assert_eq!(told["eventId"], receiver.book().arrived[0].event_id());
    assert!(told["error"].as_str().expect("words").contains("410"), "{told}");
    receiver.behave(Behaviour::Answer(503));
    let (_, told) = program.call("i/webhooks/test", json!({"webhookId": id, "type": "note", "wait": true})).await;
    assert_eq!((&told["outcome"], &told["status"]), (&json!("server_error"), &json!(503)));
    assert_eq!(latest_status(&program, &id).await, 503);
    let (_, shown) = program.call("i/webhooks/show", json!({"webhookId": id})).await;
    assert_eq!((&shown["active"], &shown["deactivated"]), (&json!(true), &Value::Null));
    program.metric_is("hikyaku_test_sends_total{outcome=\"gone\"}", 1.0).await;
    assert_eq!(program.metric("hikyaku_attempts_total{outcome=\"server_error\"}").await, 0.0, "no delivery was made");
    assert_eq!(home.cli(&["dead", "list", "--json"]).await.json(), json!([]));
    assert_eq!(receiver.book().arrived.len(), 2);
    program.stop().await;
}

#[tokio::test]
async fn a_test_can_go_to_another_address_with_another_secret_and_leaves_the_webhook_as_it_is() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, "http://127.0.0.1:1/").await;
    let before = program.call("i/webhooks/show", json!({"webhookId": id})).await.1;
    let params =
        json!({"webhookId": id, "type": "follow", "override": {"url": receiver.url("/other"), "secret": "another"}});
    assert_eq!(program.call("i/webhooks/test", params).await.0, 204);
    receiver.until_distinct(1).await;
    let arrived = receiver.book().arrived[0].clone();
    assert_eq!((arrived.path.as_str(), arrived.header("x-misskey-hook-secret")), ("/other", "another"));
    let after = program.call("i/webhooks/show", json!({"webhookId": id})).await.1;
    assert_eq!((&after["url"], &after["secret"]), (&before["url"], &before["secret"]));
    for (inner, param) in [(json!({"url": "ftp://a"}), "override.url"), (json!({"secret": "合"}), "override.secret")] {
        let params = json!({"webhookId": id, "type": "note", "override": inner});
        let (status, error) = program.call("i/webhooks/test", params).await;
        assert_eq!((status, &error["error"]["info"]["param"]), (400, &json!(param)), "{error}");
    }
    program.stop().await;
}

#[tokio::test]
async fn a_reaction_is_accepted_and_sends_nothing_and_an_unknown_type_or_webhook_is_refused() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    let reaction = json!({"webhookId": id, "type": "reaction", "wait": true});
    assert_eq!(program.call("i/webhooks/test", reaction).await, (204, Value::Null));
    for (kind, words) in [("userCreated", "no event type known"), ("reportCreated", "has no dummy event")] {
        let (status, error) = program.call("i/webhooks/test", json!({"webhookId": id, "type": kind})).await;
        assert_eq!((status, &error["error"]["info"]["param"]), (400, &json!("type")), "{error}");
        assert!(error["error"]["info"]["reason"].as_str().expect("words").contains(words), "{error}");
    }
    let (status, error) = program.call("i/webhooks/test", json!({"webhookId": "none", "type": "note"})).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("NO_SUCH_WEBHOOK")));
    assert_eq!(error["error"]["id"], "0c52149c-e913-18f8-5dc7-74870bfe0cf9");
    assert!(receiver.book().arrived.is_empty());
    program.stop().await;
}

#[tokio::test]
async fn no_more_than_so_many_tests_are_under_way_and_each_ends_in_time() {
    let receiver = Receiver::start(Behaviour::Hold).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    let test = json!({"webhookId": id, "type": "note"});
    for _ in 0..16 {
        assert_eq!(program.call("i/webhooks/test", test.clone()).await.0, 204);
    }
    receiver.until_distinct(16).await;
    let (status, error) = program.call("i/webhooks/test", test.clone()).await;
    assert_eq!((status, &error["error"]["code"]), (429, &json!("RATE_LIMIT_EXCEEDED")), "{error}");
    receiver.behave(Behaviour::Answer(200));
    let room = async || (program.call("i/webhooks/test", test.clone()).await.0 == 204).then_some(());
    until("there is room again", room).await;
    program.stop().await;
}

#[tokio::test]
async fn a_command_sends_a_test_without_a_server_and_tells_what_it_came_to() {
    let receiver = Receiver::start(Behaviour::Answer(204)).await;
    let home = Home::new("");
    let url = receiver.url("/");
    home.cli(&["webhooks", "create", "--url", &url, "--on", "userCreated", "--id", "w", "--paused"]).await.ok();
    let test = ["webhooks", "test", "w", "--type", "userCreated"];
    assert!(home.cli(&test).await.ok().starts_with("delivered: 204 after "));
    assert_eq!(body(&receiver.book().arrived[0])["body"]["id"], "dummy-user-1");
    let elsewhere = home.cli(&[&test[..], &["--url", "http://127.0.0.1:1/", "--json"]].concat()).await;
    assert_eq!(elsewhere.code, Some(1), "{elsewhere:#?}");
    let told: Value = serde_json::from_str(&elsewhere.stdout).expect("JSON");
    assert_eq!((&told["outcome"], &told["status"]), (&json!("connection"), &Value::Null));
    assert_eq!(home.cli(&["webhooks", "show", "w", "--json"]).await.json()["latestStatus"], 1);
    home.cli(&["webhooks", "test", "w", "--type", "note"]).await.failed(2, &["--type", "no dummy event"]);
    home.cli(&["webhooks", "test", "absent", "--type", "note"]).await.failed(1, &["no webhook absent"]);
    home.cli(&[&test[..], &["--secret", "合"]].concat()).await.failed(2, &["secret", "no header can carry"]);
}
