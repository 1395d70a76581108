//! The management API with people's own Misskey tokens: a token is worth here what it is worth there.

use serde_json::{Value, json};

use super::managed::created;
use crate::support::misskey::{Misskey, Mood};
use crate::support::program::{Home, Program};

const ALICE: &str = "9ks5o1w5k3x9alice";
const BOB: &str = "9ks5o1w5k3x90bob";

/// A server beside a Misskey, where Alice and Bob have tokens of their logins.
async fn beside(misskey: &Misskey, settings: &str) -> (Home, Program, String, String) {
    let (alice, bob) = misskey.world(|world| (world.person(ALICE, "alice"), world.person(BOB, "bob")));
    let home = Home::new(&format!("misskey.url = \"{}\"\n{settings}", misskey.url()));
    let program = home.serve().await;
    (home, program, alice, bob)
}

fn hook(token: &str) -> Value {
    json!({"i": token, "name": "hook", "url": "https://a.example/", "secret": "s", "on": ["note"]})
}

/// The code and the status of a refusal.
#[track_caller]
fn assert_refused(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, &answer.1["error"]["code"]), (status, &json!(code)), "{}", answer.1);
}

#[tokio::test]
async fn a_person_manages_their_own_webhooks_and_others_are_none_to_them() {
    let misskey = Misskey::start().await;
    let (home, program, alice, bob) = beside(&misskey, "").await;
    let (status, made) = program.call("i/webhooks/create", hook(&alice)).await;
    assert_eq!((status, &made["userId"], &made["source"]), (200, &json!(ALICE), &json!("default")), "{made}");
    let (id, others) = (made["id"].clone(), created(&program, "https://b.example/").await);
    assert_eq!(program.call("i/webhooks/list", json!({"i": alice})).await, (200, json!([made])));
    assert_eq!(program.call("i/webhooks/list", json!({"i": bob})).await, (200, json!([])));

    for (token, id) in [(&bob, id.clone()), (&alice, json!(others))] {
        for endpoint in ["show", "update", "delete", "test"] {
            let params = json!({"i": token, "webhookId": id, "name": "mine now", "type": "note"});
            let answer = program.call(&format!("i/webhooks/{endpoint}"), params).await;
            assert_refused(&answer, 400, "NO_SUCH_WEBHOOK");
        }
    }
    let mut for_bob = hook(&alice);
    for_bob["userId"] = json!(BOB);
    assert_refused(&program.call("i/webhooks/create", for_bob).await, 400, "INVALID_PARAM");
    let mut elsewhere = hook(&alice);
    elsewhere["source"] = json!("second");
    assert_refused(&program.call("i/webhooks/create", elsewhere).await, 400, "INVALID_PARAM");
    assert_eq!(program.call("i/webhooks/show", json!({"webhookId": id})).await.1["name"], "hook", "nothing changed");

    assert_eq!(program.call("i/webhooks/update", json!({"i": alice, "webhookId": id, "name": "n2"})).await.0, 204);
    assert_eq!(program.call("i/webhooks/delete", json!({"i": alice, "webhookId": id})).await.0, 204);
    let said = program.said();
    program.stop().await;
    let store = std::fs::read(home.path("store.db")).expect("the store");
    for token in [&alice, &bob] {
        let is_kept = store.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!is_kept && !said.contains(token.as_str()), "a token is neither stored nor logged");
    }
}

#[tokio::test]
async fn a_webhook_of_the_same_user_at_another_misskey_is_not_this_persons() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, _bob) = beside(&misskey, "").await;
    let params = json!({"userId": ALICE, "source": "second", "name": "n", "url": "https://a.example/", "on": ["note"]});
    let (_, made) = program.call("i/webhooks/create", params).await;
    assert_eq!(program.call("i/webhooks/list", json!({"i": alice})).await, (200, json!([])));
    let shown = program.call("i/webhooks/show", json!({"i": alice, "webhookId": made["id"]})).await;
    assert_refused(&shown, 400, "NO_SUCH_WEBHOOK");
    program.stop().await;
}

#[tokio::test]
async fn an_apps_token_may_do_no_more_than_misskey_lets_it() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, _bob) = beside(&misskey, "").await;
    let (_, made) = program.call("i/webhooks/create", hook(&alice)).await;
    let reads = misskey.world(|world| world.app_token(ALICE, &["read:account"]));
    let writes = misskey.world(|world| world.app_token(ALICE, &["read:account", "write:account"]));
    let none = misskey.world(|world| world.app_token(ALICE, &["read:drive"]));
    assert_eq!(program.call("i/webhooks/list", json!({"i": reads})).await, (200, json!([made])));
    let test =
        json!({"i": reads, "webhookId": made["id"], "type": "note", "override": {"url": "https://evil.example/"}});
    for (endpoint, params) in [
        ("create", hook(&reads)),
        ("update", json!({"i": reads, "webhookId": made["id"], "url": "https://evil.example/"})),
        ("delete", json!({"i": reads, "webhookId": made["id"]})),
        ("test", test),
    ] {
        let answer = program.call(&format!("i/webhooks/{endpoint}"), params).await;
        assert_refused(&answer, 403, "PERMISSION_DENIED");
        let error = &answer.1["error"];
        assert_eq!(
            (&error["kind"], &error["id"]),
            (&json!("permission"), &json!("1370e5b7-d4eb-4566-bb1d-7748ee6a1838"))
        );
    }
    assert_eq!(program.call("i/webhooks/create", hook(&writes)).await.0, 200);
    for endpoint in ["list", "show"] {
        let answer = program.call(&format!("i/webhooks/{endpoint}"), json!({"i": none, "webhookId": made["id"]})).await;
        assert_refused(&answer, 403, "PERMISSION_DENIED");
    }
    program.stop().await;
}

#[tokio::test]
async fn system_webhooks_are_for_a_moderators_own_token_only() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, bob) = beside(&misskey, "").await;
    misskey.world(|world| world.change(ALICE, |alice| alice.is_moderator = true));
    let app =
        misskey.world(|world| world.app_token(ALICE, &["read:account", "write:account", "read:admin:system-webhook"]));
    let params =
        |token: &str| json!({"i": token, "isActive": true, "name": "n", "url": "https://a.example/", "on": []});
    let (status, made) = program.call("admin/system-webhook/create", params(&alice)).await;
    assert_eq!(status, 200, "{made}");
    assert_refused(&program.call("admin/system-webhook/create", params(&app)).await, 400, "ACCESS_DENIED");
    for endpoint in ["create", "list", "show", "update", "delete", "test"] {
        let mut params = params(&bob);
        params["id"] = made["id"].clone();
        params["webhookId"] = made["id"].clone();
        params["type"] = json!("userCreated");
        let answer = program.call(&format!("admin/system-webhook/{endpoint}"), params).await;
        assert_refused(&answer, 403, "ROLE_PERMISSION_DENIED");
    }
    assert_eq!(program.call("admin/system-webhook/list", json!({"i": alice})).await, (200, json!([made])));
    program.stop().await;
}

#[tokio::test]
async fn a_person_has_as_many_webhooks_as_allowed_also_when_several_are_made_at_once() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, bob) = beside(&misskey, "misskey.webhook_limit = 3\n").await;
    let made = futures_util::future::join_all((0..8).map(|_| program.call("i/webhooks/create", hook(&alice)))).await;
    assert_eq!(made.iter().filter(|(status, _)| *status == 200).count(), 3, "{made:?}");
    let refused = made.iter().find(|(status, _)| *status != 200).expect("some");
    assert_refused(refused, 400, "TOO_MANY_WEBHOOKS");
    assert_eq!(refused.1["error"]["id"], "87a9bb19-111e-4e37-81d3-a3e7426453b0");
    assert_eq!(program.call("i/webhooks/create", hook(&bob)).await.0, 200, "each has so many");
    let by_admin = json!({"userId": ALICE, "name": "n", "url": "https://a.example/", "on": ["note"]});
    assert_eq!(program.call("i/webhooks/create", by_admin).await.0, 200, "the admin may go over it");
    program.stop().await;
}

#[tokio::test]
async fn while_misskey_is_away_people_are_told_to_come_again_and_the_admin_goes_on() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, _bob) = beside(&misskey, "").await;
    misskey.behave(Mood::Answers(502, "<html>Bad Gateway</html>"));
    let answer = program.call("i/webhooks/list", json!({"i": alice})).await;
    assert_refused(&answer, 503, "INTERNAL_ERROR");
    let reason = answer.1["error"]["info"]["reason"].as_str().expect("words");
    assert!(reason.contains("the token cannot be checked") && reason.contains("502"), "{reason}");
    assert_eq!(program.call("i/webhooks/list", json!({})).await.0, 200);
    misskey.release();
    crate::support::program::until("people are known again", async || {
        (program.call("i/webhooks/list", json!({"i": alice})).await.0 == 200).then_some(())
    })
    .await;
    program.stop().await;
}

#[tokio::test]
async fn a_token_that_misskey_does_not_know_is_wrong_and_the_admins_is_never_shown_to_misskey() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, _bob) = beside(&misskey, "").await;
    assert_refused(&program.call("i/webhooks/list", json!({"i": "nobodys-token"})).await, 401, "AUTHENTICATION_FAILED");
    program.metric_is("hikyaku_tokens_refused_total", 1.0).await;
    let asked = misskey.calls().len();
    assert_eq!(program.call("i/webhooks/list", json!({})).await.0, 200);
    assert_eq!(misskey.calls().len(), asked);
    assert_eq!(program.call("i/webhooks/list", json!({"i": alice})).await.0, 200);
    assert!(misskey.calls().len() > asked);
    program.stop().await;
}

#[tokio::test]
async fn a_person_who_has_sent_60_tests_is_told_when_to_come_again_and_the_admin_goes_on() {
    let misskey = Misskey::start().await;
    let (_home, program, alice, _bob) = beside(&misskey, "").await;
    let (_, made) = program.call("i/webhooks/create", hook(&alice)).await;
    // It is counted, and sends nothing.
    let test = |token: &str| json!({"i": token, "webhookId": made["id"], "type": "reaction"});
    for number in 0..60 {
        assert_eq!(program.call("i/webhooks/test", test(&alice)).await.0, 204, "the test {number}");
    }
    let answer = program.api("i/webhooks/test").body(test(&alice).to_string()).send().await.expect("an answer");
    let (status, wait) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
    let error: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_refused(&(status, error), 429, "RATE_LIMIT_EXCEEDED");
    let wait: u64 = wait.expect("it says when").to_str().expect("text").parse().expect("seconds");
    assert!((1..=901).contains(&wait), "{wait} s");
    assert_eq!(program.call("i/webhooks/test", test(crate::support::program::TOKEN)).await.0, 204);
    program.stop().await;
}
