//! `hikyaku serve`, by itself: at its start and from time to time.

use serde_json::json;

use super::{ALICE, MODERATOR, OURS, SECRET, Scene, give_up_notes, note, scene, scene_with_token};
use crate::support::misskey::Mood;
use crate::support::misskey_wire::post;
use crate::support::program::until;

#[tokio::test]
async fn at_its_start_serve_takes_in_what_misskey_gave_up_meanwhile_and_says_so_in_one_line() {
    let Scene { misskey, receiver, home, .. } = scene_with_token().await;
    misskey.world(|world| {
        give_up_notes(world, "e", 3);
        world.give_up(&note("others", "https://bot.example/hook", SECRET));
        world.give_up(&note("guessed", OURS, "a-guess"));
    });
    let mut program = home.serve().await;
    let line = program.line("reconciled: ").await;
    let expected = "of 5 deliveries that Misskey gave up, 4 were for us: 3 taken in, 0 known already, 1 refused";
    assert!(line.contains(expected) && line.contains("INFO"), "{line}");
    assert!(program.line("guessed").await.contains("none of those of the source"));
    receiver.until_distinct(3).await;
    program.metric_is("hikyaku_events_reconciled_total", 3.0).await;
    let said = program.said();
    assert!(!said.contains(SECRET) && !said.contains("a-guess"), "{said}");
    program.stop().await;

    let mut program = home.serve().await;
    let line = program.line("reconciled: ").await;
    assert!(line.contains("0 taken in, 3 known already, 1 refused"), "{line}");
    program.stop().await;
    assert_eq!(receiver.book().distinct(), 3);
    assert_eq!(receiver.book().repeats(), 0);
}

#[tokio::test]
async fn while_misskey_is_away_serve_is_ready_and_works_and_reconciles_when_it_is_back() {
    let Scene { misskey, receiver, home, .. } = scene_with_token().await;
    misskey.world(|world| give_up_notes(world, "e", 2));
    misskey.behave(Mood::Answers(502, "<html>Bad Gateway</html>"));
    let mut program = home.serve().await;
    let line = program.line("not reconciled").await;
    assert!(line.contains("WARN") && line.contains("it answered 502"), "{line}");
    assert_eq!(program.get("/readyz").await, (200, "ready\n".to_owned()));

    misskey.release();
    program.line("2 taken in").await;
    receiver.until_distinct(2).await;
    program.stop().await;
}

#[tokio::test]
async fn a_held_answer_of_misskeys_delays_neither_readiness_nor_the_end() {
    let Scene { misskey, home, .. } = scene_with_token().await;
    misskey.behave(Mood::Held);
    let program = home.serve().await;
    misskey.wait_for("admin/queue/jobs", 1).await;
    assert_eq!(program.get("/readyz").await.0, 200);
    let said = program.said();
    assert!(!said.contains("not reconciled"), "it was ready only after it had given up waiting:\n{said}");
    program.stop().await;
}

#[tokio::test]
async fn a_token_that_may_not_read_the_list_is_an_error_that_says_what_to_mend() {
    let Scene { misskey, home, .. } = scene("", |_| "nobodys0nobodys0".to_owned()).await;
    let mut program = home.serve().await;
    let line = program.line("not reconciled").await;
    assert!(line.contains("ERROR") && line.contains("set misskey.token anew"), "{line}");
    // Asked again, and told once.
    misskey.wait_for("admin/queue/jobs", 2).await;
    let said = program.said();
    assert_eq!(said.matches("not reconciled").count(), 1, "{said}");
    program.stop().await;
}

#[tokio::test]
async fn what_is_given_up_while_it_runs_is_taken_in_too() {
    let Scene { misskey, receiver, home, .. } = scene("misskey.reconcile_every_s = 1\n", str::to_owned).await;
    let mut program = home.serve().await;
    program.line("0 were for us").await;
    misskey.world(|world| give_up_notes(world, "later", 1));
    receiver.until_distinct(1).await;
    program.line("1 taken in").await;
    until("it looks again", async || (misskey.count("admin/queue/jobs") >= 8).then_some(())).await;
    assert_eq!(receiver.book().repeats(), 0);
    let said = program.said();
    assert_eq!(said.matches("reconciled: ").count(), 2, "no line when there is no news:\n{said}");
    program.stop().await;
}

#[tokio::test]
async fn what_came_by_http_and_what_was_fetched_are_the_same_once_taken_in() {
    let Scene { misskey, receiver, home, .. } = scene("", |_| String::new()).await;
    let token = misskey.world(|world| world.app_token(MODERATOR, &["read:admin:queue"]));
    let program = home.serve().await;
    // Sent, stored, and the answer was lost, so that Misskey tried and gave up; and given up without ever coming here.
    let sent = |event: &str| {
        format!(
            r#"{{"server":"https://misskey.example","hookId":"ajbar5w5k3x90008","userId":"{ALICE}","eventId":"{event}","createdAt":1774960496789,"type":"note","body":{{}}}}"#
        )
    };
    assert_eq!(post(&program.address, "/ingest/misskey", SECRET, &sent("came0")).await.status, 204);
    misskey.world(|world| {
        give_up_notes(world, "came", 1);
        give_up_notes(world, "fetched", 1);
    });
    let done = home.cli_with(&["reconcile", "--token", "-", "--json"], &token).await.json();
    assert_eq!((&done["takenIn"], &done["known"]), (&json!(1), &json!(1)), "{done}");
    // A person presses "retry" in Misskey's list.
    assert_eq!(post(&program.address, "/ingest/misskey", SECRET, &sent("fetched0")).await.status, 204);
    receiver.until_distinct(2).await;
    program.stop().await;
    assert_eq!(receiver.book().repeats(), 0);
}

#[tokio::test]
async fn without_a_token_misskey_is_not_asked() {
    let Scene { misskey, receiver, home, .. } = scene("", |_| String::new()).await;
    let program = home.serve().await;
    assert_eq!(program.post(crate::support::program::event("userCreated", "e")).await.0, 200);
    receiver.until_distinct(1).await;
    assert!(misskey.calls().is_empty());
    program.stop().await;
}
