//! Each call: what it sends, what it makes of the answer, and how it fails.

use std::time::Duration;

use hikyaku::misskey::{JobQueue, MisskeyError, NewWebhook, WebhookChange};
use hikyaku::outbound::{Authorities, CallError, Caller};
use serde_json::json;

use super::{ALICE, client, secret};
use crate::support::misskey::{GivenUp, Misskey, Mood, USER_QUEUE, World};

/// A server with Alice on it, and a token of her login's.
async fn server() -> (Misskey, String) {
    let misskey = Misskey::start().await;
    let token = misskey.world(|world| world.person(ALICE, "alice"));
    (misskey, token)
}

#[tokio::test]
async fn a_call_is_a_post_of_json_with_the_token_in_it_and_says_who_calls() {
    let (misskey, token) = server().await;
    client(&misskey).whoami(&secret(&token)).await.expect("an account");
    let calls = misskey.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].endpoint.as_str(), &calls[0].params), ("i", &json!({ "i": token })));
    assert_eq!(calls[0].headers["content-type"], "application/json");
    assert_eq!(calls[0].headers["user-agent"], concat!("hikyaku/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn whoami_tells_the_account_whatever_its_owner_calls_himself() {
    let (misskey, token) = server().await;
    misskey.world(|world| {
        world.change(ALICE, |alice| {
            alice.name = r#""half a \ud83d""#.to_owned();
            alice.is_moderator = true;
        });
    });
    let account = client(&misskey).whoami(&secret(&token)).await.expect("an account");
    assert_eq!((account.id.as_str(), account.username.as_str()), (ALICE, "alice"));
    assert!(account.is_moderator && !account.is_admin);
    misskey.world(|world| world.change(ALICE, |alice| alice.is_moderator = false));
    let account = client(&misskey).whoami(&secret(&token)).await.expect("an account");
    assert!(!account.is_moderator, "only who is told to");
}

#[tokio::test]
async fn the_probes_are_answered_by_what_the_token_may_and_change_nothing() {
    let (misskey, native) = server().await;
    let (reading, writing) = misskey.world(|world| {
        world.change(ALICE, |alice| alice.is_moderator = true);
        (world.app_token(ALICE, &["read:account"]), world.app_token(ALICE, &["write:account"]))
    });
    let client = client(&misskey);
    let refused = |result: Result<(), MisskeyError>| result.err().map(|error| error.code().expect("a code").to_owned());
    for (token, write, read, system) in [
        (&native, None, None, None),
        (&reading, Some("PERMISSION_DENIED"), None, Some("ACCESS_DENIED")),
        (&writing, None, Some("PERMISSION_DENIED"), Some("ACCESS_DENIED")),
    ] {
        let token = secret(token);
        assert_eq!(refused(client.may_write(&token).await).as_deref(), write);
        assert_eq!(refused(client.may_read(&token).await).as_deref(), read);
        assert_eq!(refused(client.may_manage_system_webhooks(&token).await).as_deref(), system);
    }
    assert!(misskey.world(|world| world.webhooks.is_empty()));
}

#[tokio::test]
async fn who_says_that_it_changed_a_webhook_that_is_not_there_is_not_believed() {
    let (misskey, token) = server().await;
    misskey.behave(Mood::Answers(204, ""));
    let error = client(&misskey).may_write(&secret(&token)).await.expect_err("no leave");
    assert!(matches!(error, MisskeyError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_persons_webhooks_are_made_listed_shown_and_changed_up_to_the_roles_limit() {
    let (misskey, token) = server().await;
    misskey.world(|world| world.change(ALICE, |alice| alice.webhook_limit = 1));
    let (client, token) = (client(&misskey), secret(&token));
    let new = NewWebhook {
        name: "hikyaku".to_owned(),
        url: "http://172.28.0.10:8787/ingest/misskey".to_owned(),
        secret: secret("s3cr3t"),
        on: vec!["note".to_owned(), "unfollow".to_owned()],
    };
    let made = client.create_webhook(&token, &new).await.expect("made");
    assert!(made.active && made.secret == new.secret && made.on == new.on && made.url == new.url, "{made:?}");
    assert!(!format!("{made:?}").contains("s3cr3t"));

    let refused = client.create_webhook(&token, &new).await.expect_err("too many");
    assert_eq!(refused.code(), Some("TOO_MANY_WEBHOOKS"));

    let change = WebhookChange { active: Some(false), on: Some(vec!["follow".to_owned()]), ..WebhookChange::default() };
    client.update_webhook(&token, &made.id, &change).await.expect("changed");
    let listed = client.webhooks(&token).await.expect("a list");
    assert_eq!(listed.len(), 1);
    let shown = client.webhook(&token, &made.id).await.expect("shown");
    for webhook in [&listed[0], &shown] {
        assert_eq!((webhook.active, webhook.on.as_slice()), (false, &["follow".to_owned()][..]));
        assert_eq!((webhook.name.as_str(), &webhook.secret), ("hikyaku", &new.secret), "the rest stays");
        assert_eq!((&webhook.latest_sent_at, webhook.latest_status), (&None, None));
    }
    let strange = NewWebhook { on: vec!["lunch".to_owned()], ..new };
    assert_eq!(client.create_webhook(&token, &strange).await.expect_err("unknown").code(), Some("INVALID_PARAM"));
}

#[tokio::test]
async fn a_miauth_session_gives_its_token_once_after_its_person_has_agreed() {
    let (misskey, _) = server().await;
    let client = client(&misskey);
    let session = "c1f6d42b-468b-4fd2-8274-e58abdedef6f";
    let address = client.miauth_address(session, "hikyaku", &["read:account", "write:account"]);
    let query = "name=hikyaku&permission=read%3Aaccount%2Cwrite%3Aaccount";
    assert_eq!(address.as_str(), format!("{}/miauth/{session}?{query}", misskey.url()));

    assert!(client.miauth_check(session).await.expect("an answer").is_none(), "nobody has agreed");
    misskey.world(|world| world.agree(session, ALICE, &["read:account", "write:account"]));
    let granted = client.miauth_check(session).await.expect("an answer").expect("granted");
    assert_eq!(granted.account.username, "alice");
    client.may_write(&granted.token).await.expect("granted");
    assert!(client.miauth_check(session).await.expect("an answer").is_none(), "once only");
}

/// What Misskey has of an event that it gave up.
fn give_up(world: &mut World, user: Option<&str>, event: &str, content: &str) {
    world.give_up(&GivenUp {
        kind: "note",
        hook: "ajbar5w5k3x90008",
        user,
        event,
        to: "http://127.0.0.1:8787/ingest/misskey",
        secret: "s3cr3t",
        content,
    });
}

#[tokio::test]
async fn failed_jobs_come_with_their_bodies_byte_for_byte_and_the_unreadable_are_counted() {
    let (misskey, native) = server().await;
    let body = r#"{"z":1.0,"a":12345678901234567890123,"lone":"\ud800","esc":"\u0041\/"}"#;
    let token = misskey.world(|world| {
        world.change(ALICE, |alice| alice.is_moderator = true);
        give_up(world, Some(ALICE), "e1", body);
        give_up(world, None, "e2", "{}");
        world.give_up_data(USER_QUEUE, "x", r#"{"of":"a fork that we do not know"}"#);
        world.app_token(ALICE, &["read:admin:queue"])
    });
    let client = client(&misskey);
    for token in [&native, &token] {
        let failed = client.failed_jobs(&secret(token), JobQueue::User).await.expect("jobs");
        assert_eq!((failed.jobs.len(), failed.unreadable, failed.is_full()), (1, 1, false));
        let job = &failed.jobs[0];
        assert_eq!(job.body, body.as_bytes());
        assert_eq!((job.user_id.as_deref(), job.event_id.as_str(), job.kind.as_str()), (Some(ALICE), "e1", "note"));
        assert_eq!((job.created_at_ms, job.secret.expose()), (1_774_960_496_789, "s3cr3t"));
    }
    let system = client.failed_jobs(&secret(&token), JobQueue::System).await.expect("jobs");
    assert_eq!((system.jobs.len(), system.jobs[0].user_id.as_deref()), (1, None));
}

#[tokio::test]
async fn a_full_list_of_failed_jobs_says_so() {
    let (misskey, token) = server().await;
    misskey.world(|world| {
        world.change(ALICE, |alice| alice.is_moderator = true);
        (0..101).for_each(|number| give_up(world, None, &format!("e{number}"), "{}"));
    });
    let failed = client(&misskey).failed_jobs(&secret(&token), JobQueue::System).await.expect("jobs");
    assert!(failed.is_full() && failed.jobs.len() == 100, "{}", failed.jobs.len());
}

#[tokio::test]
async fn what_is_not_misskeys_answer_is_told_apart_from_its_absence() {
    let (misskey, token) = server().await;
    let (client, token) = (client(&misskey), secret(&token));
    for (mood, is_away, words) in [
        (Mood::Answers(502, "<html>Bad Gateway</html>"), true, "it answered 502"),
        (Mood::BreaksOff, true, ""),
        (Mood::Answers(200, "<html>hello</html>"), false, "the answer to i is not as expected (no JSON"),
        (Mood::Answers(200, "{}"), false, "another JSON than Misskey's"),
        (Mood::Answers(404, "<html>Not Found</html>"), false, "it answered 404"),
        (Mood::Redirects, false, "set misskey.url to where it leads"),
    ] {
        misskey.behave(mood.clone());
        let error = client.whoami(&token).await.expect_err("no account");
        assert_eq!(matches!(error, MisskeyError::Away { .. }), is_away, "{mood:?}: {error}");
        assert!(error.to_string().contains(words), "{mood:?}: {error}");
    }
    let redirected = misskey.calls().iter().filter(|call| call.endpoint != "i").count();
    assert_eq!(redirected, 0, "no redirect is followed");
    drop(misskey);
    let error = client.whoami(&token).await.expect_err("no account");
    assert!(matches!(error, MisskeyError::Away { .. }), "{error}");
}

#[tokio::test]
async fn a_call_has_a_deadline_and_its_answer_a_limit() {
    let (misskey, token) = server().await;
    let url: url::Url = format!("{}/api/i", misskey.url()).parse().expect("a URL");
    let body = || json!({ "i": token }).to_string().into_bytes();
    let caller = Caller::new("test", Duration::from_secs(30), &url, &Authorities::default()).expect("a caller");
    let refused = caller.post(&url, body(), 50).await;
    assert_eq!(refused, Err(CallError::TooLarge { max: 50 }));

    misskey.behave(Mood::Held);
    let caller = Caller::new("test", Duration::from_millis(50), &url, &Authorities::default()).expect("a caller");
    let error = caller.post(&url, body(), 5000).await.expect_err("no answer").to_string();
    assert_eq!(error, "no complete answer within 0.05 s");
}

#[tokio::test]
async fn a_caller_calls_the_server_that_the_admin_has_named_though_it_is_private_and_no_other() {
    let (misskey, token) = server().await;
    let named = misskey.url().parse().expect("a URL");
    let caller = Caller::new("test", Duration::from_secs(30), &named, &Authorities::default()).expect("a caller");
    let body = || json!({ "i": token }).to_string().into_bytes();
    let at = |server: &str| format!("{server}/api/i").parse().expect("a URL");
    assert_eq!(caller.post(&at(&misskey.url()), body(), 5000).await.expect("an answer").status, 200);

    let (other, _) = server().await;
    let error = caller.post(&at(&other.url()), body(), 5000).await.expect_err("not asked").to_string();

    assert!(error.contains("another server"), "{error}");
    assert_eq!(other.calls().len(), 0);
}
