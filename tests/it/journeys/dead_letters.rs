//! `hikyaku dead`: what was given up is listed with its reason, shown with its bytes, replayed, purged.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, TOKEN, declared, event, until};

/// A body that no JSON library would give back as it is.
const BODY: &str = r#"{ "b":1.0,"a":12345678901234567890, "lone":"\ud800" }"#;

async fn letters(home: &Home) -> Vec<Value> {
    let listed = home.cli(&["dead", "list", "--json"]).await.json();
    listed.as_array().expect("an array").clone()
}

/// Waits until there are `count` dead letters, and lists them.
pub(super) async fn until_dead(home: &Home, count: usize) -> Vec<Value> {
    let there = async || Some(letters(home).await).filter(|letters| letters.len() == count);
    until(&format!("{count} dead letters are listed"), there).await
}

/// A server whose receiver has refused one event with 404.
async fn one_dead() -> (Receiver, Home, Program, Value) {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    let text = format!("{{\"type\":\"note\",\"eventId\":\"e\",\"body\":{BODY}}}");
    assert_eq!(program.post(text).await.0, 200);
    let letter = until_dead(&home, 1).await.remove(0);
    (receiver, home, program, letter)
}

fn id_of(letter: &Value) -> String {
    letter["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn what_a_receiver_refused_is_listed_with_its_reason_and_shown_with_its_bytes() {
    let (receiver, home, program, letter) = one_dead().await;
    let id = id_of(&letter);
    assert_eq!(receiver.book().arrived[0].id(), id);
    assert_eq!((&letter["reason"], &letter["lastStatus"]), (&json!("refused"), &json!(404)));
    assert_eq!(
        (&letter["webhookId"], &letter["type"], &letter["eventId"]),
        (&json!("hook"), &json!("note"), &json!("e"))
    );
    assert_eq!((&letter["generation"], &letter["attempts"]), (&json!(0), &json!(1)));

    let table = home.cli(&["dead", "list"]).await.ok();
    assert!(table.contains(&id) && table.contains("refused") && table.contains("the receiver answered 404"), "{table}");
    for shown in [&["dead", "show", &id][..], &["dead", "show", &id, "--json"]] {
        let text = home.cli(shown).await.ok();
        assert!(text.contains(BODY), "{text}");
    }
    let other = format!("msg_{}", "a".repeat(id.len() - 4));
    home.cli(&["dead", "show", &other]).await.failed(1, &["no dead letter", &other]);
    for wrong in
        [&["dead", "show", "nonsense"][..], &["deliveries", "show", "nonsense"], &["deliveries", "resend", "nonsense"]]
    {
        home.cli(wrong).await.failed(2, &["error: \"nonsense\": a delivery id is"]);
    }
    let long = "x".repeat(100);
    home.cli(&["dead", "purge", "--id", &long]).await.failed(2, &["--id: \"xxx", "x\": a delivery id is"]);
    program.stop().await;
}

#[tokio::test]
async fn a_replayed_letter_reaches_its_receiver_with_the_same_id_and_the_same_bytes() {
    let (receiver, home, program, letter) = one_dead().await;
    receiver.behave(Behaviour::Answer(200));
    let id = id_of(&letter);
    let told = home.cli(&["dead", "replay", "--id", &id]).await.ok();
    assert_eq!(told, "1 dead letter put back to work\n");
    receiver.until("the replay arrives", |book| book.arrived.len() == 2).await;
    {
        let book = receiver.book();
        assert_eq!(book.arrived[1].id(), id);
        assert_eq!(book.arrived[1].body, book.arrived[0].body);
        assert_eq!(book.arrived[1].header("x-hikyaku-attempt"), "1", "attempts start afresh");
    }
    assert_eq!(letters(&home).await, [] as [Value; 0]);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_replay_that_dies_again_is_there_again_in_the_next_generation() {
    let (receiver, home, program, letter) = one_dead().await;
    home.cli(&["dead", "replay", "--all"]).await.ok();
    receiver.until("the replay arrives", |book| book.arrived.len() == 2).await;
    let again = until_dead(&home, 1).await.remove(0);
    assert_eq!((&again["id"], &again["generation"]), (&letter["id"], &json!(1)));
    assert_eq!(again["attempts"], 1, "attempts start afresh");
    program.stop().await;
}

#[tokio::test]
async fn nothing_is_replayed_or_purged_without_being_told_which_and_a_dry_run_changes_nothing() {
    let (receiver, home, program, letter) = one_dead().await;
    for command in ["replay", "purge"] {
        home.cli(&["dead", command]).await.failed(2, &["--webhook", "--all"]);
        home.cli(&["dead", command, "--all", "--webhook", "hook"]).await.failed(2, &["not both"]);
        home.cli(&["dead", command, "--reason", "boredom"]).await.failed(2, &["boredom", "refused"]);
        home.cli(&["dead", command, "--since", "someday"]).await.failed(2, &["--since", "someday"]);
        let dry = home.cli(&["dead", command, "--all", "--dry-run"]).await.ok();
        assert!(dry.starts_with("1 dead letter would be"), "{dry}");
        let dry = home.cli(&["dead", command, "--webhook", "other", "--dry-run"]).await.ok();
        assert!(dry.starts_with("0 dead letters would be"), "{dry}");
        let none = home.cli(&["dead", command, "--type", "mention"]).await.ok();
        assert!(none.starts_with("0 dead letters"), "{none}");
    }
    assert_eq!(letters(&home).await, [letter]);
    assert_eq!(receiver.book().arrived.len(), 1);

    assert_eq!(home.cli(&["dead", "purge", "--type", "note", "--since", "1h"]).await.ok(), "1 dead letter deleted\n");
    assert_eq!(letters(&home).await, [] as [Value; 0]);
    program.stop().await;
}

#[tokio::test]
async fn what_is_for_a_deleted_webhook_is_not_sent_again_and_stays_and_that_is_told() {
    what_is_for_a_deleted_webhook_stays("").await;
}

/// With those settings.
pub(super) async fn what_is_for_a_deleted_webhook_stays(settings: &str) {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let key = "store.encryption_key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n";
    let home = Home::new(&format!("{key}{settings}"));
    home.write("token", TOKEN);
    home.cli(&["webhooks", "create", "--id", "gone", "--url", &receiver.url("/"), "--on", "note", "--user", "u1"])
        .await
        .ok();
    let program = home.serve().await;
    let event = "{\"type\":\"note\",\"eventId\":\"e\",\"userId\":\"u1\",\"body\":{}}";
    assert_eq!(program.post(event).await.0, 200);
    let letter = until_dead(&home, 1).await.remove(0);
    until("the history has it", async || {
        let (_, page) = program.operate("/v1/deliveries?state=dead").await;
        (page["deliveries"].as_array()?.len() == 1).then_some(())
    })
    .await;
    home.cli(&["webhooks", "delete", "gone"]).await.ok();

    let words = "the webhook gone is deleted: 1 dead letters to it are not sent, and stay as they are";
    let remote = ["--url", program.address.as_str(), "--token-file", "token"];
    for at in [&[][..], &remote] {
        for dry in [&[][..], &["--dry-run"]] {
            home.cli(&[&["dead", "replay", "--all"], dry, at].concat()).await.failed(1, &[words]);
        }
        home.cli(&[&["deliveries", "resend", "--all"], at].concat()).await.failed(1, &["the webhook gone is deleted"]);
        home.cli(&[&["deliveries", "resend", &id_of(&letter)], at].concat())
            .await
            .failed(1, &["webhook gone is deleted"]);
    }
    let (status, came) = program.operate_by(Method::POST, "/v1/dead-letters/replay?all=true", "").await;
    assert_eq!((status, &came["count"], &came["left"], &came["done"]), (200, &json!(0), &json!(1), &json!(true)));
    assert_eq!(came["problems"], json!([words]));
    let one = format!("/v1/dead-letters/{}/replay", id_of(&letter));
    let (status, problem) = program.operate_by(Method::POST, &one, "").await;
    assert!(
        status == 409 && problem["detail"].as_str().is_some_and(|detail| detail.contains("is deleted")),
        "{problem}"
    );
    assert_eq!(letters(&home).await, [letter], "it is as it was");
    let other = ["webhooks", "create", "--id", "other", "--url", &receiver.url("/"), "--on", "note", "--user", "u1"];
    home.cli(&other).await.ok();
    program.stop().await;

    // By somebody whose shell has no key to the webhooks.
    let settings = std::fs::read_to_string(home.path("hikyaku.toml")).expect("read");
    home.write("hikyaku.toml", &settings.replace("store.encryption_key", "# "));
    home.cli(&["dead", "replay", "--all"]).await.failed(1, &[words]);
}

#[tokio::test]
async fn letters_are_replayed_without_a_server_and_delivered_by_the_next() {
    let (receiver, home, program, _) = one_dead().await;
    program.stop().await;
    receiver.behave(Behaviour::Answer(200));
    home.cli(&["dead", "replay", "--reason", "refused"]).await.ok();
    assert_eq!(receiver.book().arrived.len(), 1);
    let program = home.serve().await;
    receiver.until("the replay arrives", |book| book.arrived.len() == 2).await;
    program.stop().await;
}

#[tokio::test]
async fn a_listing_that_nobody_reads_to_its_end_ends_quietly() {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    // More than a pipe holds (64 KiB), so that the listing is still writing when its reader has gone.
    let events: String = (0..1000).map(|n| event("note", &format!("e{n}")) + "\n").collect();
    assert_eq!(program.post(events).await.0, 200);
    let all = async || {
        let counted = home.cli(&["dead", "replay", "--all", "--dry-run"]).await.ok();
        counted.starts_with("1000 dead").then_some(())
    };
    until("1,000 dead letters are stored", all).await;
    for listing in ["dead list --limit 1000", "dead list --limit 1000 --json"] {
        let line = format!("{{ \"$HIKYAKU\" {listing}; echo \"code $?\" >&2; }} | head -1");
        let ran = home.shell(&line).await;
        assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, "code 0\n"), "{listing}");
    }
    program.stop().await;
}
