//! `hikyaku misskey connect`, against a stand-in that answers as Misskey does: what a person has on Misskey afterwards, what
//! is in hikyaku, what was said, and that the token is nowhere.

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::misskey::{Misskey, Mood, World};
use crate::support::misskey_wire::{post, sample};
use crate::support::program::{Home, Program, until};

const ALICE: &str = "9ks5o1w5k3x90001";
const HERE: &str = "http://127.0.0.87:8787/ingest/misskey";
const MASTER: &str = "a-master-of-at-least-32-characters";
/// What MiAuth is asked for.
const PERMISSIONS: [&str; 2] = ["read:account", "write:account"];

/// A home beside `misskey`, whose `[[misskey.ingest]]` has these lines.
fn home(misskey: &Misskey, ingest: &str) -> Home {
    Home::new(&format!(
        "misskey.url = \"{}\"\nmisskey.ingest_url = \"{HERE}\"\n[[misskey.ingest]]\n{ingest}\n",
        misskey.url()
    ))
}

fn with_master(misskey: &Misskey) -> Home {
    home(misskey, &format!("master = \"{MASTER}\""))
}

async fn misskey() -> Misskey {
    let misskey = Misskey::start().await;
    misskey.world(|world| world.person(ALICE, "alice"));
    misskey
}

/// A webhook that Alice has on Misskey.
fn webhook(world: &mut World, name: &str, url: &str, secret: &str, on: &[&str]) -> String {
    let id = world.id();
    world.webhooks.push(json!({
        "id": id, "userId": ALICE, "name": name, "on": on, "url": url, "secret": secret, "active": true,
        "latestSentAt": null, "latestStatus": null,
    }));
    id
}

/// Starts it, and tells the session that the person is to agree to. Everything that it says is on standard error.
async fn start(home: &Home, flags: &str) -> (Program, String) {
    let mut program = home.start_shell(&format!("exec \"$HIKYAKU\" misskey connect {flags} 1>&2"));
    let line = program.line("/miauth/").await;
    let (_, rest) = line.split_once("/miauth/").expect("just found");
    let (session, query) = rest.split_once('?').expect("a query");
    assert!(query.contains("name=hikyaku") && query.contains("permission=read%3Aaccount%2Cwrite%3Aaccount"), "{query}");
    (program, session.to_owned())
}

/// Connects Alice, who agrees, and tells exit code and everything said. Her token is in nothing that is left.
async fn connect(home: &Home, misskey: &Misskey, flags: &str) -> (Option<i32>, String) {
    let (program, session) = start(home, flags).await;
    misskey.world(|world| world.agree(&session, ALICE, &PERMISSIONS));
    let (code, said) = program.ended().await;
    for token in misskey.world(|world| world.tokens.keys().cloned().collect::<Vec<_>>()) {
        assert!(!said.contains(&token), "the token was told:\n{said}");
        assert_eq!(files_with(home, &token), Vec::<String>::new(), "the token is in files");
    }
    assert_eq!(files_with(home, &session), Vec::<String>::new(), "the session is in files");
    (code, said)
}

fn files_with(home: &Home, text: &str) -> Vec<String> {
    let entries = std::fs::read_dir(home.path("")).expect("a folder");
    let has = |path: &std::path::Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file() && has(path));
    paths.map(|path| path.display().to_string()).collect()
}

#[track_caller]
fn assert_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
}

fn webhooks(misskey: &Misskey) -> Vec<Value> {
    misskey.world(|world| world.webhooks.clone())
}

async fn here(home: &Home) -> Vec<Value> {
    home.cli(&["webhooks", "list", "--json"]).await.json().as_array().cloned().expect("a list")
}

#[tokio::test]
async fn a_first_connect_makes_the_webhook_with_the_persons_own_secret_and_every_type() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    let (code, said) = connect(&home, &misskey, "").await;
    assert_eq!(code, Some(0), "{said}");
    let secret = home.cli(&["misskey", "secret", "--user", ALICE]).await.ok();
    let webhooks = webhooks(&misskey);
    let [made] = webhooks.as_slice() else { panic!("{webhooks:#?}") };
    assert_eq!((&made["userId"], &made["url"], &made["active"]), (&json!(ALICE), &json!(HERE), &json!(true)));
    assert_eq!(made["secret"], secret.trim());
    assert_eq!(made["on"], json!(["note", "reply", "renote", "mention", "follow", "followed", "unfollow", "reaction"]));
    assert_said(&said, &["Connected as @alice", "Made the webhook", "unfollow", "thrown away", "/settings/apps"]);
    assert_said(&said, &["webhooks create --user 9ks5o1w5k3x90001 --on"]);
    assert!(!said.contains(secret.trim()), "the secret was told:\n{said}");
}

#[tokio::test]
async fn a_second_connect_finds_all_well_and_changes_nothing() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    connect(&home, &misskey, "").await;
    let before = webhooks(&misskey);
    let (code, said) = connect(&home, &misskey, "--yes").await;
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["it is as it should be"]);
    assert_eq!(webhooks(&misskey), before);
    assert_eq!(misskey.count("i/webhooks/update"), 0);
}

#[tokio::test]
async fn what_the_edit_page_took_away_and_a_changed_secret_are_repaired() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    connect(&home, &misskey, "").await;
    misskey.world(|world| {
        world.webhooks[0]["on"] = json!(["note"]);
        world.webhooks[0]["secret"] = json!("guessed");
        world.webhooks[0]["active"] = json!(false);
        world.webhooks[0]["name"] = json!("Mine");
    });
    let (code, said) = connect(&home, &misskey, "").await;
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["Repaired", "unfollow", "set its secret", "switched it on"]);
    let webhook = webhooks(&misskey)[0].clone();
    let secret = home.cli(&["misskey", "secret", "--user", ALICE]).await.ok();
    assert_eq!((&webhook["active"], &webhook["name"]), (&json!(true), &json!("Mine")));
    assert_eq!(webhook["secret"], secret.trim());
    assert!(webhook["on"].as_array().is_some_and(|on| on.contains(&json!("unfollow")) && on.len() == 8), "{webhook}");
}

#[tokio::test]
async fn of_two_webhooks_that_point_here_one_is_left_on() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    connect(&home, &misskey, "").await;
    misskey.world(|world| webhook(world, "twice", &format!("{HERE}/"), "x", &["note"]));
    let (code, said) = connect(&home, &misskey, "").await;
    assert_eq!(code, Some(0), "{said}");
    let active: Vec<Value> = webhooks(&misskey).iter().map(|webhook| webhook["active"].clone()).collect();
    assert_eq!(active, [json!(true), json!(false)]);
    assert_said(&said, &["Switched off", "everything would come twice"]);
}

#[tokio::test]
async fn webhooks_that_are_taken_over_keep_what_receivers_see_and_are_switched_off_on_misskey() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    let (bot, paused) = misskey.world(|world| {
        world.change(ALICE, |alice| alice.webhook_limit = 9);
        let bot = webhook(world, "My bot", "https://bot.example/hook?token=hunter2", "s3cr3t", &["note", "mention"]);
        let paused = webhook(world, "", "https://paused.example/", "", &["follow"]);
        world.webhooks[1]["active"] = json!(false);
        webhook(world, "An FTP server", "ftp://files.example/", "", &["note"]);
        webhook(world, "Circle", "http://127.0.0.87:8787/ingest/misskey/second", "", &["note"]);
        webhook(world, "Nothing", "https://nothing.example/", "", &[]);
        (bot, paused)
    });
    let (code, said) = connect(&home, &misskey, "--yes").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("hunter2") && !said.contains("s3cr3t"), "{said}");
    assert_said(&said, &["\"An FTP server\": url: the scheme is \"ftp\"", "\"Circle\": it points to hikyaku itself"]);
    assert_said(&said, &["\"Nothing\": nothing to https://nothing.example/", "Switched off on Misskey: \"My bot\""]);

    let shown = home.cli(&["webhooks", "show", &bot, "--reveal", "--json"]).await.json();
    for (key, value) in [
        ("userId", json!(ALICE)),
        ("name", json!("My bot")),
        ("url", json!("https://bot.example/hook?token=hunter2")),
        ("secret", json!("s3cr3t")),
        ("on", json!(["note", "mention"])),
        ("active", json!(true)),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    let shown = home.cli(&["webhooks", "show", &paused, "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["on"]), (&json!("paused"), &json!(["follow"])));
    assert_eq!(here(&home).await.len(), 3);
    let is_active =
        |name: &str| webhooks(&misskey).iter().any(|webhook| webhook["name"] == name && webhook["active"] == true);
    assert!(!is_active("My bot"), "what was taken over is off");
    assert!(is_active("An FTP server") && is_active("Circle"), "what was not stays as it was");
    assert!(is_active("hikyaku"));

    let (code, said) = connect(&home, &misskey, "--yes").await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(here(&home).await.len(), 3, "nothing was taken over twice:\n{said}");
}

#[tokio::test]
async fn a_receiver_that_was_taken_over_gets_its_events_through_hikyaku_as_from_misskey() {
    let misskey = misskey().await;
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = with_master(&misskey);
    let program = home.serve().await;
    let bot = misskey.world(|world| webhook(world, "bot", &receiver.url("/hook"), "s3cr3t", &["note"]));
    let (code, said) = connect(&home, &misskey, "--yes").await;
    assert_eq!(code, Some(0), "{said}");
    // As Misskey sends to the one webhook that is still on there.
    let on: Vec<Value> = webhooks(&misskey).into_iter().filter(|webhook| webhook["active"] == true).collect();
    let [ours] = on.as_slice() else { panic!("{on:#?}") };
    let path = ours["url"].as_str().and_then(|url| url.strip_prefix("http://127.0.0.87:8787")).expect("here");
    let secret = ours["secret"].as_str().expect("a secret");
    let event = sample("user/note.json");
    let mut number = 0;
    // The worker knows the new webhook within a second.
    until("a note arrives", || {
        number += 1;
        let (before, after) = event.split_once("\"eventId\":\"").expect("an id");
        let event = format!("{before}\"eventId\":\"{number}-{after}");
        let (program, receiver) = (&program, &receiver);
        async move {
            let answer = post(&program.address, path, secret, &event).await;
            assert_eq!(answer.status, 204, "{answer:?}");
            (!receiver.book().arrived.is_empty()).then_some(())
        }
    })
    .await;
    let arrived = receiver.book().arrived[0].clone();
    assert_eq!(arrived.header("x-misskey-hook-id"), bot);
    assert_eq!(arrived.header("x-misskey-hook-secret"), "s3cr3t");
    program.stop().await;
}

#[tokio::test]
async fn a_webhook_registered_alike_is_not_taken_over_again_and_a_deleted_one_gets_a_new_id() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    let (alike, deleted) = misskey.world(|world| {
        let alike = webhook(world, "alike", "https://alike.example/hook", "s", &["note", "reply"]);
        (alike, webhook(world, "deleted", "https://deleted.example/hook", "", &["note"]))
    });
    let create = ["webhooks", "create", "--user", ALICE, "--secret", "s", "--on", "reply,note"];
    home.cli(&[&create[..], &["--url", "https://alike.example/hook"]].concat()).await.ok();
    connect(&home, &misskey, "--import --no-pause").await;
    home.cli(&["webhooks", "delete", &deleted]).await.ok();
    let (code, said) = connect(&home, &misskey, "--import --no-pause").await;
    assert_eq!(code, Some(0), "{said}");
    let here = here(&home).await;
    assert!(
        here.iter().all(|webhook| webhook["id"] != alike.as_str() && webhook["id"] != deleted.as_str()),
        "{here:#?}"
    );
    let urls: Vec<&str> = here.iter().filter_map(|webhook| webhook["url"].as_str()).collect();
    assert_eq!(urls, ["https://alike.example/hook", "https://deleted.example/hook"]);
}

#[tokio::test]
async fn no_more_is_taken_over_than_a_person_may_have() {
    let misskey = misskey().await;
    let settings = format!("misskey.webhook_limit = 1\nmisskey.url = \"{}\"", misskey.url());
    let ingest = format!("misskey.ingest_url = \"{HERE}\"\n[[misskey.ingest]]\nmaster = \"{MASTER}\"");
    let home = Home::new(&format!("{settings}\n{ingest}\n"));
    misskey.world(|world| {
        webhook(world, "first", "https://first.example/", "", &["note"]);
        webhook(world, "second", "https://second.example/", "", &["note"]);
    });
    let (code, said) = connect(&home, &misskey, "--yes").await;
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["not taken over: \"second\": a person may have 1 webhooks here (misskey.webhook_limit)"]);
    assert_eq!(here(&home).await.len(), 1);
    assert!(webhooks(&misskey)[1]["active"] == true, "what was not taken over stays on");
}

#[tokio::test]
async fn without_a_terminal_and_without_flags_nothing_is_taken_over_and_nobody_waits() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    misskey.world(|world| webhook(world, "bot", "https://bot.example/hook", "", &["note"]));
    let (code, said) = connect(&home, &misskey, "").await;
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["\"bot\": note to https://bot.example/hook", "no terminal to ask at", "--import"]);
    assert!(here(&home).await.is_empty());
    assert_eq!(webhooks(&misskey)[0]["active"], true);
}

#[tokio::test]
async fn at_a_terminal_both_questions_are_asked() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    misskey.world(|world| webhook(world, "bot", "https://bot.example/hook", "", &["note"]));
    // `script` is a terminal that types what it reads.
    let line = "printf 'y\\nn\\n' | script -qec '\"$HIKYAKU\" misskey connect' /dev/null 1>&2";
    let mut program = home.start_shell(line);
    let shown = program.line("/miauth/").await;
    let session = shown.split("/miauth/").nth(1).and_then(|rest| rest.split('?').next()).expect("a session").to_owned();
    misskey.world(|world| world.agree(&session, ALICE, &PERMISSIONS));
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["Take them over into hikyaku", "[y/N]", "Taken over", "Switch them off on Misskey"]);
    assert_eq!(here(&home).await.len(), 1);
    assert_eq!(webhooks(&misskey)[0]["active"], true, "the second answer was no");
}

#[tokio::test]
async fn a_person_who_does_not_agree_in_time_leaves_everything_as_it_was() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    let (program, _) = start(&home, "--wait 1").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert_said(&said, &["nobody has agreed on Misskey within 1 s", "nothing was changed"]);
    assert!(webhooks(&misskey).is_empty());
}

#[tokio::test]
async fn a_person_who_may_have_no_webhook_is_told_of_webhook_limit() {
    let misskey = misskey().await;
    misskey.world(|world| world.change(ALICE, |alice| alice.webhook_limit = 0));
    let (code, said) = connect(&with_master(&misskey), &misskey, "").await;
    assert_eq!(code, Some(1), "{said}");
    assert_said(&said, &["lets @alice have no webhook", "webhookLimit", "0 on servers", "/admin/roles", "thrown away"]);
    misskey.world(|world| {
        world.change(ALICE, |alice| alice.webhook_limit = 1);
        webhook(world, "bot", "https://bot.example/hook", "", &["note"]);
    });
    let (code, said) = connect(&with_master(&misskey), &misskey, "").await;
    assert_eq!(code, Some(1), "{said}");
    assert_said(&said, &["lets @alice have no webhook besides \"bot\":", "deleted at", "/settings/connect"]);
}

#[tokio::test]
async fn while_misskey_is_away_it_is_asked_on() {
    let misskey = misskey().await;
    let home = with_master(&misskey);
    misskey.behave(Mood::Answers(502, "<html>Bad Gateway</html>"));
    let (mut program, session) = start(&home, "").await;
    program.line("asking on").await;
    misskey.release();
    misskey.world(|world| world.agree(&session, ALICE, &PERMISSIONS));
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");

    misskey.behave(Mood::Answers(404, "<html>Not Found</html>"));
    let (program, _) = start(&home, "").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert_said(&said, &["is that Misskey"]);
}

#[tokio::test]
async fn where_no_secret_fits_the_person_is_told_which_setting_does() {
    let misskey = misskey().await;
    let system = home(&misskey, "secret = \"a-secret-for-the-system\"\nscope = \"system\"");
    let said = system
        .cli(&["misskey", "connect"])
        .await
        .failed(2, &["no [[misskey.ingest]] of the source default", "`master`"]);
    assert!(!said.contains("/miauth/"), "nobody is asked in vain:\n{said}");
    let other = home(&misskey, "secret = \"a-secret-of-somebody-else\"\nscope = \"user:somebody\"");
    let (code, said) = connect(&other, &misskey, "").await;
    assert_eq!(code, Some(2), "{said}");
    assert_said(&said, &["scope = \"user:9ks5o1w5k3x90001\"", "thrown away"]);
    assert!(webhooks(&misskey).is_empty());
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named() {
    let home = Home::new("");
    home.cli(&["misskey", "connect"]).await.failed(2, &["misskey.url"]);
    let home = Home::new("misskey.url = \"http://127.0.0.1:1\"");
    home.cli(&["misskey", "connect"]).await.failed(2, &["misskey.ingest_url"]);
}
