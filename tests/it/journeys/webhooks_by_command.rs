//! `hikyaku webhooks` beside a running server: changes are live within a second, and secrets stay hidden.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, event, until};

/// What the registry promises.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

/// Publishes notes until one arrives at `path`, and tells how long that took.
async fn reached(program: &Program, receiver: &Receiver, path: &str) -> Duration {
    let began = Instant::now();
    let mut number = 0;
    let arrives = || {
        number += 1;
        let id = format!("{}-{number}", path.trim_start_matches('/'));
        async move {
            assert_eq!(program.post(event("note", &id)).await.0, 200);
            receiver.book().arrived.iter().any(|arrived| arrived.path == path).then_some(())
        }
    };
    until(&format!("a note reaches {path}"), arrives).await;
    began.elapsed()
}

async fn show(home: &Home, id: &str) -> Value {
    home.cli(&["webhooks", "show", id, "--json"]).await.json()
}

#[tokio::test]
async fn a_webhook_created_beside_a_running_server_gets_events_within_a_second() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let url = receiver.url("/created");
    let created = home
        .cli(&["webhooks", "create", "--url", &url, "--on", "note,mention", "--name", "A name", "--id", "w", "--json"])
        .await
        .json();
    assert_eq!((&created["id"], &created["url"], &created["status"]), (&json!("w"), &json!(url), &json!("active")));
    assert_eq!((&created["on"], &created["userId"]), (&json!(["note", "mention"]), &Value::Null));
    let took = reached(&program, &receiver, "/created").await;
    assert!(took < LIVE_WITHIN * 2, "it took {took:?}");

    let listed = home.cli(&["webhooks", "list", "--json"]).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["name"], "A name");
    let table = home.cli(&["webhooks", "list"]).await.ok();
    assert!(table.contains("ID") && table.contains(&url) && table.contains("active"), "{table}");
    let latest = async || (show(&home, "w").await["latestStatus"] == 200).then_some(());
    until("the latest status is recorded", latest).await;
    program.stop().await;
}

#[tokio::test]
async fn an_updated_webhook_gets_its_events_at_its_new_address() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    home.cli(&["webhooks", "create", "--url", &receiver.url("/old"), "--on", "note", "--id", "w"]).await.ok();
    reached(&program, &receiver, "/old").await;
    home.cli(&["webhooks", "update", "w", "--url", &receiver.url("/new")]).await.ok();
    let took = reached(&program, &receiver, "/new").await;
    assert!(took < LIVE_WITHIN * 2, "it took {took:?}");

    let updated = home.cli(&["webhooks", "update", "w", "--active", "false", "--json"]).await.json();
    assert_eq!((&updated["status"], &updated["url"]), (&json!("paused"), &json!(receiver.url("/new"))));
    let skipped = async || {
        assert_eq!(program.post(event("note", "while-paused")).await.0, 200);
        (program.metric("hikyaku_deliveries_skipped_total").await > 0.0).then_some(())
    };
    until("an event is skipped because the webhook is paused", skipped).await;
    home.cli(&["webhooks", "update", "w"]).await.failed(2, &["nothing to change"]);
    home.cli(&["webhooks", "update", "absent", "--name", "x"]).await.failed(1, &["no webhook absent"]);
    program.stop().await;
}

#[tokio::test]
async fn what_is_under_way_to_a_deleted_webhook_is_dropped_and_counted() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let home = Home::new("delivery.retry_schedule_s = [2]\n");
    home.cli(&["webhooks", "create", "--url", &receiver.url("/"), "--on", "note", "--id", "w"]).await.ok();
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    receiver.until("the first attempt fails", |book| book.answered == 1).await;
    home.cli(&["webhooks", "delete", "w"]).await.ok();

    program.metric_is("hikyaku_deliveries_total{result=\"dropped\"}", 1.0).await;
    assert_eq!(receiver.book().arrived.len(), 1, "no second attempt");
    assert_eq!(home.cli(&["dead", "list", "--json"]).await.json(), json!([]));
    assert_eq!(home.cli(&["webhooks", "list", "--json"]).await.json(), json!([]));
    home.cli(&["webhooks", "delete", "w"]).await.failed(1, &["no webhook w"]);
    let again = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "w"];
    home.cli(&again).await.failed(1, &["w was deleted"]);
    program.stop().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_is_refused_in_words() {
    let home = Home::new("");
    for (url, words) in [
        ("ftp://a.example/", "http"),
        ("https://user:pass@a.example/", "password"),
        ("not a url", "url"),
        ("https://", "url"),
    ] {
        let said = home.cli(&["webhooks", "create", "--url", url, "--on", "note"]).await.failed(2, &["error: ", words]);
        assert!(!said.contains("pass@"), "it repeats the password: {said}");
        let said = home.cli(&["webhooks", "update", "w", "--url", url]).await;
        assert_ne!(said.code, Some(0), "{said:#?}");
    }
    assert_eq!(home.cli(&["webhooks", "list", "--json"]).await.json(), json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_an_argument_is_told_by_its_flag() {
    let home = Home::new("");
    home.cli(&["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "w"]).await.ok();
    for (flag, value, words) in [
        ("--url", "a.example", "is no URL"),
        ("--url", "http://10.0.0.1/", "private"),
        ("--name", "\u{202e}", "turns round"),
        ("--name", "\u{200b}", "nothing of it can be seen"),
        ("--name", "ab\u{7}", "its character number 3 is a control character (U+0007), which is no part of a name"),
        ("--secret", "a\nb", "its character number 2 is a control character (U+000A), which cannot be sent"),
        ("--format", "teams", "misskey, discord, slack or cloudevents"),
        ("--signing-secret", "plain", "does not begin with `whsec_`"),
        ("--signing-key", "plain", "`whsk_`"),
    ] {
        let begin = format!("error: {flag}: ");
        let said = home.cli(&["webhooks", "update", "w", flag, value]).await.failed(2, &[&begin, words]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--source", " default"];
    home.cli(&create).await.failed(2, &["error: --source: ", "white space at an end"]);
}

#[tokio::test]
async fn secrets_are_shown_only_when_asked_for() {
    let home = Home::new("");
    let signing = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let create = ["webhooks", "create", "--url", "https://a.example/?token=q-token", "--on", "note", "--id", "w"];
    let secrets = ["--secret", "-", "--signing-secret", signing];
    let created = home.cli_with(&[&create[..], &secrets[..]].concat(), "s3cr3t-of-the-hook\nnot this\n").await.ok();
    let list = home.cli(&["webhooks", "list"]).await.ok();
    let list_json = home.cli(&["webhooks", "list", "--json"]).await.ok();
    let shown = home.cli(&["webhooks", "show", "w"]).await.ok();
    for text in [&created, &list, &list_json, &shown] {
        assert!(!text.contains("s3cr3t") && !text.contains(signing), "{text}");
    }
    assert!(!list.contains("q-token"), "{list}");
    let revealed = home.cli(&["webhooks", "show", "w", "--reveal", "--json"]).await.json();
    assert_eq!((&revealed["secret"], &revealed["signingSecret"]), (&json!("s3cr3t-of-the-hook"), &json!(signing)));
}

#[tokio::test]
async fn a_webhook_of_the_settings_file_gets_events_and_cannot_be_changed_by_command() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("declared", &receiver.url("/"), "note"));
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    receiver.until_distinct(1).await;
    assert_eq!(show(&home, "declared").await["declaredIn"], "settings file");
    home.cli(&["webhooks", "update", "declared", "--name", "x"]).await.failed(1, &["declared in the settings file"]);
    home.cli(&["webhooks", "delete", "declared"]).await.failed(1, &["declared in the settings file"]);
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "declared"];
    home.cli(&create).await.failed(1, &["there is a webhook declared already"]);
    assert_eq!(show(&home, "declared").await["status"], "active");
    program.stop().await;
}

#[tokio::test]
async fn with_an_encryption_key_a_secret_arrives_and_stands_nowhere_in_the_store_and_the_key_can_change() {
    const KEY: &str = "encryption_key = \"cGxlYXNlIGRvIG5vdCB1c2UgdGhpcyBrZXkgYXQgYWw=\"";
    const OTHER: &str = "encryption_key = \"YW5vdGhlciBrZXkgdGhhdCBpcyBub3QgdG8gYmUgdSE=\"";
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("[store]\n");
    let set = |store: &str| {
        let settings = std::fs::read_to_string(home.path("hikyaku.toml")).expect("settings");
        let begin = settings.split_once("[store]\n").expect("a section").0;
        home.write("hikyaku.toml", &format!("{begin}[store]\n{store}\n"));
    };
    set("");
    let create = ["webhooks", "create", "--id", "w", "--url", &receiver.url("/t0ken"), "--on", "note", "--secret"];
    home.cli(&[&create[..], &["s3cr3t-of-w"]].concat()).await.ok();
    set(KEY);
    let program = home.serve().await;
    reached(&program, &receiver, "/t0ken").await;
    assert_eq!(receiver.book().arrived[0].header("x-misskey-hook-secret"), "s3cr3t-of-w");
    program.stop().await;
    let store = std::fs::read(home.path("store.db")).expect("the store");
    for secret in ["s3cr3t-of-w", "t0ken"] {
        assert!(!store.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    set(OTHER);
    home.cli(&["webhooks", "list"]).await.failed(1, &["are sealed with a key", "store.previous_encryption_keys"]);
    set(&format!("{OTHER}\n{}", KEY.replace("encryption_key = ", "previous_encryption_keys = [") + "]"));
    assert_eq!(home.cli(&["webhooks", "show", "w", "--json"]).await.json()["url"], json!(receiver.url("/t0ken")));
    set(OTHER);
    assert_eq!(show(&home, "w").await["url"], json!(receiver.url("/t0ken")));
}

#[tokio::test]
async fn a_type_that_is_not_known_is_refused_with_what_was_meant_and_taken_when_asked_to() {
    let home = Home::new("misskey.extra_types = [\"clipped\"]\n");
    let create = ["webhooks", "create", "--url", "https://a.example/", "--id", "w", "--user", "u", "--on"];
    let create = |on: &'static str| [&create[..], &[on]].concat();
    let words = ["--on", "\"notes\" is no event type", "did you mean \"note\"?", "--any-type"];
    home.cli(&create("mention,notes")).await.failed(2, &words);
    assert_eq!(home.cli(&["webhooks", "list", "--json"]).await.json(), json!([]), "nothing is made");
    home.cli(&create("note,clipped")).await.ok();

    home.cli(&["webhooks", "update", "w", "--on", "userCreatd"]).await.failed(2, &["no event type", "--any-type"]);
    home.cli(&["webhooks", "update", "w", "--on", "userCreatd", "--any-type"]).await.ok();
    assert_eq!(show(&home, "w").await["on"], json!(["userCreatd"]));
}

#[tokio::test]
async fn a_type_that_misskey_sends_to_others_only_is_taken_with_a_note() {
    let home = Home::new("");
    let create = ["webhooks", "create", "--url", "https://a.example/", "--id", "w", "--on", "note"];
    let said = home.cli(&create).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stderr.contains("Misskey sends note to users' webhooks only"), "{said:#?}");
}

#[tokio::test]
async fn the_server_warns_of_a_declared_type_that_is_not_known_and_goes_on() {
    let declared =
        "[[webhooks]]\nid = \"d\"\nuser_id = \"u\"\nurl = \"https://a.example/\"\non = [\"notes\", \"mention\"]\n";
    let home = Home::new(declared);
    let program = home.serve().await;
    let said = async || {
        let said = program.said();
        (said.contains("may wait in vain: on: \"notes\"") && said.contains("did you mean \"note\"?")).then_some(())
    };
    until("it warns of the type", said).await;
    assert!(!program.said().contains("on: \"mention\""), "{}", program.said());
    program.stop().await;
}

#[tokio::test]
async fn a_rate_limit_is_set_changed_and_taken_away_by_command_and_a_bad_one_refused_in_words() {
    let home = Home::new("");
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note", "--id", "w", "--rate-limit"];
    for (limit, words) in [
        (&["5 a second"][..], "--rate-limit: \"5 a second\" is no number per second such as 5/s, nor `none`"),
        (&["0/s"], "--rate-limit: it is 0, and 0.001 to 10000 requests per second are allowed"),
        (&["NaN"], "0.001 to 10000 requests per second are allowed"),
        (&["5/s", "--rate-burst", "0"], "--rate-burst: it is 0, and 1 to 10000 requests at once are allowed"),
        (&["none", "--rate-burst", "3"], "there is no burst without a rate limit"),
    ] {
        home.cli(&[&create[..], limit].concat()).await.failed(2, &["error: ", words]);
    }
    home.cli(&[&create[..], &["5/s"]].concat()).await.ok();
    assert_eq!(show(&home, "w").await["rateLimit"], json!({"perSecond": 5.0, "burst": 5}));
    let update = ["webhooks", "update", "w"];
    for (change, limit) in [
        (&["--rate-burst", "10"][..], json!({"perSecond": 5.0, "burst": 10})),
        (&["--name", "x"], json!({"perSecond": 5.0, "burst": 10})),
        (&["--rate-limit", "0.2"], json!({"perSecond": 0.2, "burst": 1})),
        (&["--rate-limit", "none"], Value::Null),
    ] {
        home.cli(&[&update[..], change].concat()).await.ok();
        assert_eq!(show(&home, "w").await["rateLimit"], limit, "{change:?}");
    }
    home.cli(&[&update[..], &["--rate-burst", "3"]].concat()).await.failed(2, &["there is no rate limit yet"]);
}
