//! `hikyaku reconcile`, once, by a person.

use serde_json::json;

use super::{ALICE, OURS, SECRET, SYSTEM_SECRET, give_up_notes, note, scene, scene_with_token};
use crate::support::journey_receiver::Arrived;
use crate::support::misskey::{GivenUp, Mood, USER_QUEUE};

#[tokio::test]
async fn what_misskey_gave_up_is_taken_in_and_delivered_with_its_very_bytes() {
    let scene = scene_with_token().await;
    let body = r#"{"z":1.0,"a":12345678901234567890123,"lone":"\ud800","esc":"\u0041\/"}"#;
    scene.misskey.world(|world| world.give_up(&GivenUp { content: body, ..note("e1", OURS, SECRET) }));
    let said = scene.home.cli(&["reconcile"]).await.ok();
    assert_eq!(said, "1 deliveries that Misskey gave up, 1 of them to here: 1 taken in, 0 known already, 0 refused\n");

    let program = scene.home.serve().await;
    scene.receiver.until_distinct(1).await;
    let expected = format!(
        "{{\"server\":\"{}\",\"hookId\":\"alices\",\"userId\":\"{ALICE}\",\"eventId\":\"e1\",\"createdAt\":1774960496789,\
         \"type\":\"note\",\"body\":{body}}}",
        scene.misskey.url()
    );
    assert_eq!(String::from_utf8_lossy(&scene.receiver.book().arrived[0].body), expected);
    program.stop().await;
}

#[tokio::test]
async fn both_lists_are_read_and_each_source_has_its_own_address() {
    let scene = scene_with_token().await;
    let second = format!("{OURS}/second");
    scene.misskey.world(|world| {
        world.give_up(&GivenUp { kind: "userCreated", user: None, ..note("system", OURS, SYSTEM_SECRET) });
        world.give_up(&note("first", OURS, SECRET));
        world.give_up(&note("second", &second, SECRET));
    });
    let done = scene.home.cli(&["reconcile", "--json"]).await.json();
    let expected = json!({"dryRun": false, "found": 3, "unreadable": 0, "ours": 3, "takenIn": 3, "known": 0, "refused": [], "fullLists": []});
    assert_eq!(done, expected);
    let program = scene.home.serve().await;
    scene.receiver.until_distinct(3).await;
    let of = |arrived: &Arrived| (arrived.event_id(), arrived.header("x-misskey-hook-id").to_owned());
    let mut hooks: Vec<_> = scene.receiver.book().arrived.iter().map(of).collect();
    hooks.sort();
    let expected = [("first", "alices"), ("second", "seconds"), ("system", "systems")];
    assert_eq!(hooks, expected.map(|(event, hook)| (event.to_owned(), hook.to_owned())));
    program.stop().await;
}

#[tokio::test]
async fn done_twice_it_takes_in_nothing_new() {
    let scene = scene_with_token().await;
    scene.misskey.world(|world| give_up_notes(world, "e", 5));
    scene.home.cli(&["reconcile"]).await.ok();
    scene.misskey.world(|world| give_up_notes(world, "later", 1));
    let done = scene.home.cli(&["reconcile", "--json"]).await.json();
    assert_eq!((&done["takenIn"], &done["known"]), (&json!(1), &json!(5)), "{done}");
}

#[tokio::test]
async fn what_was_for_others_is_left_alone() {
    let scene = scene_with_token().await;
    scene.misskey.world(|world| {
        world.give_up(&note("e1", "https://bot.example/hook", SECRET));
        world.give_up(&note("e2", "http://172.28.0.10:8787/elsewhere", SECRET));
        world.give_up_data(USER_QUEUE, "x", r#"{"of":"a fork that we do not know"}"#);
    });
    let done = scene.home.cli(&["reconcile", "--json"]).await.json();
    assert_eq!((&done["found"], &done["unreadable"], &done["ours"]), (&json!(3), &json!(1), &json!(0)), "{done}");
}

#[tokio::test]
async fn a_job_is_worth_what_its_secret_is_as_if_it_had_been_sent() {
    let scene = scene_with_token().await;
    scene.misskey.world(|world| {
        world.give_up(&note("guessed", OURS, "a-guess"));
        // Someone with a webhook of his own, who knows Alice's secret no more than anyone else knows it.
        world.give_up(&GivenUp { user: Some("9zzzzzzzk3x90009"), ..note("anothers", OURS, SECRET) });
        world.give_up(&GivenUp { kind: "userCreated", user: None, ..note("forged", OURS, SECRET) });
        world.give_up(&note("lost", &format!("{OURS}/nobodys"), SECRET));
        world.give_up(&note("good", OURS, SECRET));
    });
    let ran = scene.home.cli(&["reconcile"]).await;
    let refused = |event: &str, words: &str| {
        let line = ran.stderr.lines().find(|line| line.contains(&format!("event {event} ")));
        let line = line.unwrap_or_else(|| panic!("{event} is not told: {ran:#?}"));
        assert!(line.contains(words) && !line.contains(SECRET) && !line.contains("a-guess"), "{line}");
    };
    refused("guessed", "none of those of the source");
    refused("anothers", "does not cover");
    refused("forged", "does not cover");
    refused("lost", "has the source \"nobodys\"");
    assert!(ran.ok().contains("5 of them to here: 1 taken in, 0 known already, 4 refused"));
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let scene = scene_with_token().await;
    scene.misskey.world(|world| {
        give_up_notes(world, "e", 2);
        world.give_up(&note("guessed", OURS, "a-guess"));
    });
    for _ in 0..2 {
        let said = scene.home.cli(&["reconcile", "--dry-run"]).await.ok();
        let expected = "3 deliveries that Misskey gave up, 3 of them to here: would be 2 taken in, 0 known already, \
                        would be 1 refused\n";
        assert_eq!(said, expected);
    }
    scene.home.cli(&["reconcile"]).await.ok();
    let done = scene.home.cli(&["reconcile", "--dry-run", "--json"]).await.json();
    assert_eq!((&done["takenIn"], &done["known"], &done["dryRun"]), (&json!(0), &json!(2), &json!(true)), "{done}");
}

#[tokio::test]
async fn a_full_list_is_told_since_older_ones_may_be_lost() {
    let scene = scene_with_token().await;
    scene.misskey.world(|world| give_up_notes(world, "e", 101));
    let ran = scene.home.cli(&["reconcile"]).await;
    assert!(ran.stderr.contains("list userWebhookDeliver is full"), "{ran:#?}");
    assert!(ran.ok().contains("100 taken in"));
}

#[tokio::test]
async fn a_token_can_be_given_for_once_and_is_never_an_argument() {
    let scene = scene("", |_| String::new()).await;
    scene.misskey.world(|world| give_up_notes(world, "e", 1));
    scene.home.cli(&["reconcile"]).await.failed(2, &["set misskey.token", "--token -"]);
    scene.home.cli(&["reconcile", "--token", &scene.token]).await.failed(2, &["takes only `-`"]);
    let ran = scene.home.cli_with(&["reconcile", "--token", "-"], &format!("{}\n", scene.token)).await;
    assert!(ran.ok().contains("1 taken in"));
}

#[tokio::test]
async fn whatever_is_wrong_with_misskey_or_the_token_is_told_with_its_cure() {
    let scene = scene("", |_| String::new()).await;
    let (weak, native) = scene.misskey.world(|world| {
        (world.app_token(super::MODERATOR, &["read:account"]), world.app_token(ALICE, &["read:admin:queue"]))
    });
    let run = async |token: &str| {
        let ran = scene.home.cli_with(&["reconcile", "--token", "-"], token).await;
        assert!(!ran.stderr.contains(token), "{ran:#?}");
        ran
    };
    run("nobodys0nobodys0")
        .await
        .failed(1, &["(userWebhookDeliver) cannot be read", "AUTHENTICATION_FAILED", "taken back"]);
    run(&weak).await.failed(1, &["PERMISSION_DENIED", "needs the permission read:admin:queue"]);
    run(&native).await.failed(1, &["ROLE_PERMISSION_DENIED", "must be a moderator's"]);
    scene.misskey.behave(Mood::Answers(502, "<html>Bad Gateway</html>"));
    run(&scene.token).await.failed(1, &["Misskey does not answer: it answered 502"]);
}
