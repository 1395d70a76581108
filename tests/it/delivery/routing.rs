//! Who gets which event.

use std::collections::BTreeSet;

use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, World};

#[tokio::test]
async fn an_event_reaches_exactly_the_webhooks_of_its_user_source_and_type() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(204)]).await;
    let hooks: [(&str, Option<&str>, &str, &[&str]); 7] = [
        ("plain", Some("u1"), "default", &["note"]),
        ("both-types", Some("u1"), "default", &["mention", "note"]),
        ("other-type", Some("u1"), "default", &["mention"]),
        ("other-user", Some("u2"), "default", &["note"]),
        ("other-source", Some("u1"), "other", &["note"]),
        ("system", None, "default", &["userCreated", "note"]),
        ("other-system", None, "other", &["userCreated"]),
    ];
    for (id, user, source, on) in hooks {
        world.hook_with(id, &receiver.url(), HookSetup { user, source, on, ..HookSetup::default() }).await;
    }

    for event in [
        r#"{"eventId":"unwanted","type":"followed","userId":"u1","body":{}}"#,
        r#"{"eventId":"strangers","type":"note","userId":"u3","body":{}}"#,
        r#"{"eventId":"note","type":"note","userId":"u1","body":{}}"#,
        r#"{"eventId":"mention","type":"mention","userId":"u1","body":{}}"#,
        r#"{"eventId":"elsewhere","type":"note","userId":"u1","source":"other","body":{}}"#,
        r#"{"eventId":"created","type":"userCreated","body":{}}"#,
        r#"{"eventId":"system-note","type":"note","userId":null,"body":{}}"#,
    ] {
        world.publish(event).await;
    }
    world.all_taken().await;

    let expected = BTreeSet::from([
        ("plain", "note"),
        ("both-types", "note"),
        ("both-types", "mention"),
        ("other-type", "mention"),
        ("other-source", "elsewhere"),
        ("system", "created"),
        ("system", "system-note"),
    ]);
    let got = receiver.wait_for(expected.len()).await;
    let bodies: Vec<serde_json::Value> =
        got.iter().map(|got| serde_json::from_slice(&got.body).expect("JSON")).collect();
    let pairs: BTreeSet<(&str, &str)> = bodies
        .iter()
        .map(|body| (body["hookId"].as_str().expect("text"), body["eventId"].as_str().expect("text")))
        .collect();
    assert_eq!(pairs, expected);
    world.finish().await;
}

#[tokio::test]
async fn a_webhook_registered_while_the_worker_runs_gets_the_next_event() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(204)]).await;
    world.hook("early", &receiver.url()).await;
    let first = world.note().await;
    world.step(&first, "early", 1).await;

    world.hook("late", &receiver.url()).await;
    let second = world.note().await;

    world.step(&second, "late", 1).await;
    world.step(&second, "early", 1).await;
    let got = receiver.wait_for(3).await;
    assert_eq!(got.iter().filter(|got| got.header("x-misskey-hook-id") == "late").count(), 1);
    world.finish().await;
}
