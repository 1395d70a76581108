//! What was delivered is sent again: one delivery, everything of the last hours to one webhook; with the same id and bytes, once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events, until};

const EVENTS: usize = 40;

/// A server that has delivered 40 events to each of two webhooks.
async fn delivered(settings: &str) -> (Receiver, Receiver, Home, Program) {
    let (one, other) = (Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(200)).await);
    let webhooks = declared("one", &one.url("/"), "note") + &declared("other", &other.url("/"), "note");
    let home = Home::new(&format!("{settings}{webhooks}"));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
    until_delivered(&program, 0, 2 * EVENTS).await;
    (one, other, home, program)
}

/// Waits until the history has so many deliveries that were delivered in `generation`, and tells their ids.
async fn until_delivered(program: &Program, generation: u64, count: usize) -> Vec<String> {
    until(&format!("the history has {count} delivered in generation {generation}"), async || {
        let (_, page) = program.operate("/v1/deliveries?state=delivered&limit=1000").await;
        let deliveries = page["deliveries"].as_array()?;
        let of_it = deliveries.iter().filter(|delivery| delivery["generation"] == generation);
        let ids: Vec<String> = of_it.map(|delivery| delivery["id"].as_str().expect("an id").to_owned()).collect();
        (ids.len() == count).then_some(ids)
    })
    .await
}

#[tokio::test]
async fn one_delivery_is_sent_again_with_its_id_and_bytes_and_it_is_told_by_whom() {
    let (one, _other, home, program) = delivered("").await;
    let first = one.book().arrived[3].clone();
    let path = format!("/v1/deliveries/{}/resend", first.id());
    let (status, resent) = program.operate_by(Method::POST, &path, "").await;
    assert_eq!(
        (status, &resent["isNew"], &resent["replayed"]["how"]),
        (200, &json!(true), &json!("resend")),
        "{resent}"
    );
    one.until("it arrives again", |book| book.repeats() == 1).await;
    let again = one.book().arrived.last().expect("it").clone();
    assert_eq!((again.id(), &again.body, again.attempt()), (first.id(), &first.body, "1"));
    until_delivered(&program, 1, 1).await;

    let told = home.cli(&["deliveries", "resend", first.id()]).await.ok();
    assert_eq!(told, format!("{} sent again, as generation 2\n", first.id()));
    one.until("it arrives once more", |book| book.repeats() == 2).await;
    let (_, shown) = program.operate(&format!("/v1/deliveries/{}", first.id())).await;
    let by: Vec<&Value> = shown["replays"].as_array().expect("replays").iter().map(|replay| &replay["by"]).collect();
    assert!(by[0] == "admin" && by[1].as_str().expect("a name").contains(" at "), "{shown}");

    let other = format!("msg_{}", "a".repeat(32));
    assert_eq!(program.operate_by(Method::POST, &format!("/v1/deliveries/{other}/resend"), "").await.0, 404);
    home.cli(&["deliveries", "resend", &other]).await.failed(1, &["neither in the history nor a dead letter"]);
    program.stop().await;
}

#[tokio::test]
async fn everything_of_the_last_hours_is_sent_again_to_one_webhook_and_going_on_from_the_same_beginning_sends_nothing_twice()
 {
    let (one, other, home, program) = delivered("").await;
    let path = "/v1/deliveries/resend?webhook=one&since=2h";
    let (status, dry) = program.operate_by(Method::POST, &format!("{path}&dryRun=true"), "").await;
    assert_eq!((status, &dry["count"], &dry["done"]), (200, &json!(EVENTS), &json!(true)), "{dry}");
    assert_eq!(one.book().repeats(), 0);

    let (status, came) = program.operate_by(Method::POST, path, "").await;
    assert_eq!((status, &came["count"], &came["withoutBody"]), (200, &json!(EVENTS), &json!(0)), "{came}");
    one.until("each arrives again", |book| book.repeats() == EVENTS).await;
    until_delivered(&program, 1, EVENTS).await;
    let before = came["before"].as_str().expect("a moment");
    let (_, again) = program.operate_by(Method::POST, &format!("{path}&before={before}"), "").await;
    assert_eq!((&again["count"], &again["underWay"]), (&json!(0), &json!(EVENTS)), "{again}");

    let told = home.cli(&["deliveries", "resend", "--webhook", "one", "--since", "2h"]).await.ok();
    assert_eq!(told, format!("{EVENTS} deliveries sent again; 0 on their way already; 0 without a body\n"));
    one.until("each arrives once more", |book| book.repeats() == 2 * EVENTS).await;
    assert_eq!((one.book().distinct(), other.book().repeats()), (EVENTS, 0));
    home.cli(&["deliveries", "resend"]).await.failed(2, &["say which deliveries"]);
    home.cli(&["deliveries", "resend", "--all", "--webhook", "one"]).await.failed(2, &["--all"]);
    program.stop().await;
}

#[tokio::test]
async fn without_bodies_nothing_is_sent_again_and_it_is_told_what_keeps_them() {
    let (one, _other, home, program) = delivered("history.bodies = false\n").await;
    let id = one.book().arrived[0].id().to_owned();
    let (status, problem) = program.operate_by(Method::POST, &format!("/v1/deliveries/{id}/resend"), "").await;
    assert!(status == 409 && problem["detail"].as_str().expect("words").contains("history.bodies"), "{problem}");
    let told = home.cli(&["deliveries", "resend", "--all"]).await;
    let words = told.failed(1, &["history.bodies"]);
    assert!(!words.contains("error"), "{words}");
    assert_eq!(one.book().repeats(), 0);
    program.stop().await;
}

#[tokio::test]
async fn what_came_to_its_end_though_the_history_had_lost_its_beginning_or_all_of_it_is_sent_again() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let home = Home::new(&format!(
        "delivery.retry_schedule_s = [2]\n{}",
        declared("one", &receiver.url("/"), "note") + &declared("two", &receiver.url("/two"), "mention")
    ));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 1)).await.0, 200);
    until("its first attempt is in the history", async || {
        let (_, page) = program.operate("/v1/deliveries?state=waiting").await;
        page["deliveries"].as_array().filter(|deliveries| deliveries.len() == 1).map(|_| ())
    })
    .await;
    home.shell("rm history.db*").await.ok();
    receiver.behave(Behaviour::Answer(200));
    let id = until_delivered(&program, 0, 1).await.remove(0);
    let path = format!("/v1/deliveries/{id}/resend");
    assert_eq!(program.operate_by(Method::POST, &path, "").await.0, 200);
    receiver.until("it arrives once more", |book| book.answered == 3).await;
    until_delivered(&program, 1, 1).await;

    receiver.behave(Behaviour::Answer(503));
    assert_eq!(program.post(events("mention", "f", 1)).await.0, 200);
    until("it is dead", async || (program.operate("/v1/status").await.1["deadLetters"] == 1).then_some(())).await;
    let id = receiver.book().arrived.last().expect("it").id().to_owned();
    program.stop().await;
    home.shell("rm history.db*").await.ok();
    let program = home.serve().await;
    receiver.behave(Behaviour::Answer(200));
    let told = home.cli(&["deliveries", "resend", &id]).await.ok();
    assert_eq!(told, format!("{id} sent again, as generation 1\n"));
    assert_eq!(until_delivered(&program, 1, 1).await, [id]);
    assert_eq!(program.operate("/v1/status").await.1["deadLetters"], 0);
    program.stop().await;
}
