//! Misskey's management API on a running server: shapes as Misskey's, activity as its users know it.

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, declared, until};
use crate::support::python::repository;

const USER: &str = "9ks5o1w5k3x90001";

/// A user's webhook for notes, made by the admin; its id.
pub(crate) async fn created(program: &Program, url: &str) -> String {
    let params = json!({"userId": USER, "name": "hook", "url": url, "secret": "s", "on": ["note"]});
    let (status, webhook) = program.call("i/webhooks/create", params).await;
    assert_eq!(status, 200, "{webhook}");
    webhook["id"].as_str().expect("an id").to_owned()
}

/// A note of the user's.
fn note(id: &str) -> String {
    json!({"type": "note", "userId": USER, "eventId": id, "body": {"note": {"id": id}}}).to_string()
}

async fn shown(program: &Program, id: &str) -> Value {
    let (status, webhook) = program.call("i/webhooks/show", json!({"webhookId": id})).await;
    assert_eq!(status, 200, "{webhook}");
    webhook
}

/// Checks that `webhook` has what Misskey's users know, without what is hikyaku's own.
#[track_caller]
fn assert_misskeys(webhook: &Value, misskeys: &Value) {
    let (given, expected) = (webhook.as_object().expect("an object"), misskeys.as_object().expect("an object"));
    let own = [
        "source",
        "deactivated",
        "failingSince",
        "format",
        "sendSecret",
        "signingSecret",
        "signingPublicKey",
        "previousSigningSecrets",
        "previousSigningKeys",
        "retryScheduleS",
        "maxAgeS",
        "timeoutMs",
        "rateLimit",
        "clientCertificate",
        "filters",
        "declared",
    ];
    for (name, value) in given.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        assert_eq!(expected.get(name), Some(value), "{name} in {webhook}");
    }
    assert_eq!(given.len(), expected.len() + own.len(), "{webhook}");
}

#[tokio::test]
async fn a_users_webhook_is_made_listed_shown_changed_and_deleted_in_misskeys_shape() {
    let home = Home::new("");
    let program = home.serve().await;
    let params =
        json!({"userId": USER, "name": "hook", "url": "https://a.example/x", "secret": "s3", "on": ["note", "edited"]});
    let (status, made) = program.call("i/webhooks/create", params).await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().expect("an id");
    let mut misskeys = json!({
        "id": id, "userId": USER, "name": "hook", "on": ["note", "edited"], "url": "https://a.example/x", "secret": "s3",
        "active": true, "latestSentAt": null, "latestStatus": null,
    });
    assert_misskeys(&made, &misskeys);
    assert_eq!(shown(&program, id).await, made);
    let (status, listed) = program.call("i/webhooks/list", json!({})).await;
    assert_eq!((status, &listed), (200, &json!([made])));

    let update = json!({"webhookId": id, "name": "other", "url": "https://b.example/", "secret": null, "on": [], "active": false});
    assert_eq!(program.call("i/webhooks/update", update).await, (204, Value::Null));
    misskeys["name"] = "other".into();
    misskeys["url"] = "https://b.example/".into();
    (misskeys["secret"], misskeys["on"], misskeys["active"]) = ("".into(), json!([]), false.into());
    assert_misskeys(&shown(&program, id).await, &misskeys);
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "name": "third"})).await.0, 204);
    misskeys["name"] = "third".into();
    assert_misskeys(&shown(&program, id).await, &misskeys);

    assert_eq!(program.call("i/webhooks/delete", json!({"webhookId": id})).await, (204, Value::Null));
    assert_eq!(program.call("i/webhooks/list", json!({})).await, (200, json!([])));
    for endpoint in ["show", "update", "delete"] {
        let (status, error) = program.call(&format!("i/webhooks/{endpoint}"), json!({"webhookId": id})).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("NO_SUCH_WEBHOOK")), "{endpoint}");
    }
    program.stop().await;
}

#[tokio::test]
async fn a_system_webhook_is_made_listed_shown_changed_and_deleted_in_misskeys_shape() {
    let home = Home::new("misskey.extra_types = [\"serverMoved\"]\n");
    let program = home.serve().await;
    let params =
        json!({"isActive": true, "name": "mods", "url": "https://a.example/", "on": ["userCreated", "serverMoved"]});
    let (status, made) = program.call("admin/system-webhook/create", params).await;
    assert_eq!(status, 200, "{made}");
    let misskeys = |webhook: &Value, name: &str, is_active: bool| {
        json!({
            "id": webhook["id"], "isActive": is_active, "updatedAt": webhook["updatedAt"], "latestSentAt": null,
            "latestStatus": null, "name": name, "on": ["userCreated", "serverMoved"], "url": "https://a.example/",
            "secret": "",
        })
    };
    assert_misskeys(&made, &misskeys(&made, "mods", true));
    let id = made["id"].as_str().expect("an id");
    let update = json!({"id": id, "isActive": false, "name": "m2", "url": "https://a.example/", "on": ["userCreated", "serverMoved"]});
    let (status, updated) = program.call("admin/system-webhook/update", update).await;
    assert_eq!(status, 200, "{updated}");
    assert_misskeys(&updated, &misskeys(&updated, "m2", false));
    assert!(updated["updatedAt"].as_str() > made["updatedAt"].as_str(), "{updated}");
    assert_eq!(program.call("admin/system-webhook/show", json!({"id": id})).await, (200, updated.clone()));
    for (filter, found) in [
        (json!({}), json!([updated])),
        (json!({"isActive": true}), json!([])),
        (json!({"isActive": false, "on": ["userCreated"]}), json!([updated])),
        (json!({"on": ["userCreated", "abuseReport"]}), json!([])),
    ] {
        assert_eq!(program.call("admin/system-webhook/list", filter.clone()).await, (200, found), "{filter}");
    }

    // Each kind of webhook is there for its own endpoints alone.
    assert_eq!(program.call("i/webhooks/show", json!({"webhookId": id})).await.0, 400);
    assert_eq!(program.call("i/webhooks/list", json!({})).await, (200, json!([])));
    let users = created(&program, "https://a.example/").await;
    assert_eq!(program.call("admin/system-webhook/delete", json!({"id": users})).await.0, 404);
    assert_eq!(program.call("admin/system-webhook/delete", json!({"id": id})).await, (204, Value::Null));
    let (status, error) = program.call("admin/system-webhook/show", json!({"id": id})).await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("NO_SUCH_SYSTEM_WEBHOOK")));
    program.stop().await;
}

#[tokio::test]
async fn hikyakus_own_options_are_set_shown_left_alone_and_taken_back() {
    let home = Home::new("");
    let program = home.serve().await;
    let signing = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let own = json!({
        "source": "second", "sendSecret": false, "signingSecret": signing, "retryScheduleS": [0.5, 60.0], "maxAgeS": 3600,
        "timeoutMs": 2500, "format": "cloudevents", "rateLimit": {"perSecond": 0.5, "burst": 3},
        "filters": [{"path": "/note/visibility", "equals": "public"}],
    });
    let mut params = json!({"userId": USER, "name": "hook", "url": "https://a.example/", "on": ["note"]});
    let fields = own.as_object().expect("an object");
    params.as_object_mut().expect("an object").extend(fields.clone());
    let (status, made) = program.call("i/webhooks/create", params).await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().expect("an id");
    for (name, value) in fields {
        assert_eq!(&made[name], value, "{name}");
    }
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "timeoutMs": 3000})).await.0, 204);
    let changed = shown(&program, id).await;
    assert_eq!((&changed["timeoutMs"], &changed["maxAgeS"]), (&json!(3000), &json!(3600)), "the others stay");
    assert_eq!(changed["rateLimit"], own["rateLimit"], "the others stay");
    assert_eq!(
        program.call("i/webhooks/update", json!({"webhookId": id, "rateLimit": {"perSecond": 2.5}})).await.0,
        204
    );
    assert_eq!(
        shown(&program, id).await["rateLimit"],
        json!({"perSecond": 2.5, "burst": 3}),
        "a second's worth at once"
    );
    assert_eq!(changed["format"], "cloudevents");
    assert_eq!(changed["filters"], own["filters"], "the others stay");
    let back = json!({
        "webhookId": id, "signingSecret": null, "retryScheduleS": null, "maxAgeS": null, "timeoutMs": null, "format": null,
        "rateLimit": null, "filters": null, "sendSecret": null,
    });
    assert_eq!(program.call("i/webhooks/update", back).await.0, 204);
    let back = shown(&program, id).await;
    for name in ["signingSecret", "retryScheduleS", "maxAgeS", "timeoutMs", "rateLimit"] {
        assert_eq!(back[name], Value::Null, "{name}");
    }
    assert_eq!((&back["sendSecret"], &back["format"], &back["filters"]), (&json!(true), &json!("misskey"), &json!([])));
    for (filter, count) in [
        (json!({"source": "second"}), 1),
        (json!({"source": "default"}), 0),
        (json!({"userId": USER}), 1),
        (json!({"userId": "somebodyelse"}), 0),
    ] {
        let (_, listed) = program.call("i/webhooks/list", filter.clone()).await;
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{filter}");
    }
    program.stop().await;
}

#[tokio::test]
async fn a_paused_webhook_gets_nothing_and_what_was_under_way_goes_on_when_it_is_active_again() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let home = Home::new("delivery.retry_schedule_s = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]\n");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    assert_eq!(program.post(note("under-way")).await.0, 200);
    receiver.until("the first attempt fails", |book| book.answered >= 1).await;
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "active": false})).await.0, 204);
    let parked = async || (program.metric("hikyaku_parked_total{reason=\"paused\"}").await > 0.0).then_some(());
    until("what is under way is parked", parked).await;
    receiver.behave(Behaviour::Answer(200));
    let before = receiver.book().arrived.len();
    assert_eq!(program.post(note("while-paused")).await.0, 200);
    program.metric_is("hikyaku_deliveries_skipped_total", 1.0).await;
    assert_eq!(receiver.book().arrived.len(), before, "a paused webhook gets nothing");
    assert_eq!(shown(&program, &id).await["latestStatus"], 503);

    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "active": true})).await.0, 204);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;
    assert_eq!(program.post(note("afterwards")).await.0, 200);
    receiver.until("the note after it arrives", |book| book.event_ids.contains("afterwards")).await;
    assert!(receiver.book().event_ids.contains("under-way"));
    assert!(!receiver.book().event_ids.contains("while-paused"), "as in Misskey, it is not made up for");
    let latest = async || (shown(&program, &id).await["latestStatus"] == 200).then_some(());
    until("the latest status is that of the latest attempt", latest).await;
    let sent_at = shown(&program, &id).await["latestSentAt"].as_str().expect("a moment").to_owned();
    assert!(sent_at.len() == 24 && sent_at.ends_with('Z'), "as JavaScript writes it: {sent_at}");
    program.stop().await;
}

#[tokio::test]
async fn a_webhook_that_hikyaku_deactivated_says_why_and_is_activated_again() {
    let receiver = Receiver::start(Behaviour::Answer(410)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, &receiver.url("/")).await;
    assert_eq!(program.post(note("gone")).await.0, 200);
    let deactivated = async || {
        let webhook = shown(&program, &id).await;
        (webhook["active"] == json!(false)).then_some(webhook)
    };
    let webhook = until("it is deactivated", deactivated).await;
    assert_eq!(webhook["deactivated"]["reason"], "gone");
    assert!(webhook["deactivated"]["at"].is_string(), "{webhook}");
    receiver.behave(Behaviour::Answer(200));
    assert_eq!(program.call("i/webhooks/update", json!({"webhookId": id, "active": true})).await.0, 204);
    let webhook = shown(&program, &id).await;
    assert_eq!((&webhook["active"], &webhook["deactivated"]), (&json!(true), &Value::Null));
    assert_eq!(program.post(note("again")).await.0, 200);
    receiver.until("it gets events again", |book| book.event_ids.contains("again")).await;
    program.stop().await;
}

#[tokio::test]
async fn a_webhook_that_fails_for_too_long_is_switched_off_and_its_owner_sees_it_and_is_told() {
    let (failing, other) =
        (Receiver::start(Behaviour::Answer(500)).await, Receiver::start(Behaviour::Answer(200)).await);
    let home = Home::new("delivery.deactivate_after_s = 2\ndelivery.retry_schedule_s = [1, 1, 1, 1, 1, 1, 1, 1]\n");
    let program = home.serve().await;
    let id = created(&program, &failing.url("/secret-path")).await;
    let params = json!({"userId": USER, "name": "told", "url": other.url("/"), "on": ["hikyaku.webhookDeactivated"]});
    assert_eq!(program.call("i/webhooks/create", params).await.0, 200);
    assert_eq!(shown(&program, &id).await["failingSince"], Value::Null);
    assert_eq!(program.post(note("e")).await.0, 200);
    failing.until("the first attempt fails", |book| book.answered == 1).await;
    let since = until("it is seen that it fails", async || {
        let webhook = shown(&program, &id).await;
        webhook["failingSince"].as_str().map(str::to_owned)
    })
    .await;
    let listed = home.cli(&["webhooks", "list"]).await.ok();
    assert!(listed.contains(&format!("500, failing since {}", &since[..10])), "{listed}");

    other.until("the other webhook is told", |book| book.answered == 1).await;

    let webhook = shown(&program, &id).await;
    assert_eq!((&webhook["active"], &webhook["deactivated"]["reason"]), (&json!(false), &json!("failing")));
    assert_eq!(webhook["failingSince"], since);
    let shown = home.cli(&["webhooks", "show", &id, "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["failingSince"]), (&json!("deactivated (failing)"), &json!(since)));
    let told: Value = serde_json::from_slice(&other.book().arrived[0].body).expect("JSON");
    let body = json!({
        "webhook": {"id": id, "name": "hook", "host": "127.0.0.1"}, "reason": "failing", "failingSince": since,
        "deactivatedAt": webhook["deactivated"]["at"],
    });
    assert_eq!((&told["body"], &told["userId"]), (&body, &json!(USER)));
    program.metric_is("hikyaku_webhooks_deactivated_total{reason=\"failing\"}", 1.0).await;
    program.stop().await;
}

#[tokio::test]
async fn when_nobody_answers_the_latest_status_is_1() {
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, "http://127.0.0.1:1/").await;
    assert_eq!(program.post(note("e")).await.0, 200);
    let silent = async || (shown(&program, &id).await["latestStatus"] == 1).then_some(());
    until("the latest status is 1", silent).await;
    program.stop().await;
}

#[tokio::test]
async fn a_system_webhook_that_is_updated_without_a_secret_has_none_as_in_misskey() {
    let home = Home::new("");
    let program = home.serve().await;
    let mut params =
        json!({"isActive": true, "name": "n", "url": "https://a.example/", "secret": "s", "on": ["userCreated"]});
    let (_, made) = program.call("admin/system-webhook/create", params.clone()).await;
    assert_eq!(made["secret"], "s");
    let webhook = params.as_object_mut().expect("an object");
    webhook.remove("secret");
    webhook.insert("id".to_owned(), made["id"].clone());
    let (status, updated) = program.call("admin/system-webhook/update", params).await;
    assert_eq!((status, &updated["secret"]), (200, &json!("")));
    program.stop().await;
}

#[tokio::test]
async fn of_a_deleted_webhook_no_latest_attempt_is_kept() {
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, "http://127.0.0.1:1/").await;
    let latest = hikyaku::record::Latest::open(&home.path("store.db")).await.expect("the store");
    assert_eq!(program.post(note("e")).await.0, 200);
    let noted = async || (!latest.all().await.expect("read").is_empty()).then_some(());
    until("an attempt is noted", noted).await;
    assert_eq!(program.call("i/webhooks/delete", json!({"webhookId": id})).await.0, 204);
    program.stop().await;
    assert!(latest.all().await.expect("read").is_empty());
}

#[tokio::test]
async fn a_declared_webhook_is_shown_and_can_be_neither_changed_nor_deleted() {
    let home = Home::new(&declared("w", "https://a.example/", "userCreated"));
    let program = home.serve().await;
    let (_, webhook) = program.call("admin/system-webhook/show", json!({"id": "w"})).await;
    assert_eq!((&webhook["declared"], &webhook["url"]), (&json!(true), &json!("https://a.example/")));
    let update = json!({"id": "w", "isActive": true, "name": "x", "url": "https://b.example/", "on": []});
    for (endpoint, params) in [("update", update), ("delete", json!({"id": "w"}))] {
        let (status, error) = program.call(&format!("admin/system-webhook/{endpoint}"), params).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("WEBHOOK_DECLARED")), "{error}");
        assert!(error["error"]["info"]["reason"].as_str().expect("words").contains("settings file"), "{error}");
    }
    program.stop().await;
}

#[tokio::test]
async fn the_token_comes_in_the_body_or_as_bearer_token() {
    let home = Home::new("");
    let program = home.serve().await;
    assert_eq!(program.call_raw("i/webhooks/list", format!("{{\"i\":\"{TOKEN}\"}}")).await, (200, "[]".to_owned()));
    let response = program.api("i/webhooks/list").bearer_auth(TOKEN).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200, "an empty body has no parameters");
    assert!(!response.headers().contains_key("access-control-allow-origin"), "no other origin's page may call");
    program.stop().await;
}

#[tokio::test]
async fn the_documented_call_is_answered_as_documented() {
    let page = std::fs::read_to_string(repository("docs/management-api.md")).expect("the page");
    let (_, call) = page.split_once("curl -s http://127.0.0.1:8787/api/").expect("a call");
    let (endpoint, call) = call.split_once(' ').expect("its endpoint ends");
    let (params, rest) = call.split_once("-d '").and_then(|(_, body)| body.split_once('\'')).expect("its body");
    let (_, answer) = rest.split_once("```json\n").expect("an answer");
    let mut documented: Value = serde_json::from_str(answer.split_once("\n```").expect("its end").0).expect("JSON");
    let home = Home::new("");
    let program = home.serve().await;
    let (status, answered) = program.call(endpoint, serde_json::from_str(params).expect("JSON")).await;
    assert_eq!(status, 200, "{answered}");
    documented["id"] = answered["id"].clone();
    assert_eq!(answered, documented);
    program.stop().await;
}
