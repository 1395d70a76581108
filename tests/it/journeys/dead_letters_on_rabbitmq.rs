//! `hikyaku dead` with RabbitMQ as the queue: the same commands, the same answers.

use serde_json::{Value, json};

use crate::support::amqp::{Queues, Stranger, delivery_headers, text};
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, until};

/// A body that no JSON library would give back as it is.
const BODY: &str = r#"{ "b":1.0,"a":12345678901234567890, "lone":"\ud800" }"#;

async fn home_on(queues: &Queues, behaviour: Behaviour) -> (Receiver, Home) {
    let receiver = Receiver::start(behaviour).await;
    let settings = format!("{}delivery.retry_schedule_s = [1]\n", queues.settings());
    let home = Home::new(&format!("{settings}{}", declared("hook", &receiver.url("/"), "note")));
    (receiver, home)
}

async fn until_dead(home: &Home, count: usize) -> Vec<Value> {
    let letters = async || {
        let listed = home.cli(&["dead", "list", "--json"]).await.json();
        Some(listed.as_array().expect("an array").clone()).filter(|letters| letters.len() == count)
    };
    until(&format!("{count} dead letters are listed"), letters).await
}

#[tokio::test]
async fn what_is_exhausted_is_listed_shown_replayed_and_delivered_with_its_bytes() {
    let (receiver, home) = home_on(&Queues::own().await, Behaviour::Answer(503)).await;
    let program = home.serve().await;
    assert_eq!(program.post(format!("{{\"type\":\"note\",\"eventId\":\"e\",\"body\":{BODY}}}")).await.0, 200);
    let letter = until_dead(&home, 1).await.remove(0);
    assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("exhausted"), &json!(2)));
    assert_eq!((&letter["lastStatus"], &letter["generation"]), (&json!(503), &json!(0)));
    let id = letter["id"].as_str().expect("an id");
    let shown = home.cli(&["dead", "show", id]).await.ok();
    assert!(shown.contains(BODY), "{shown}");

    receiver.behave(Behaviour::Answer(200));
    assert_eq!(home.cli(&["dead", "replay", "--id", id]).await.ok(), "1 dead letter put back to work\n");
    receiver.until("the replay arrives", |book| book.arrived.len() == 3).await;
    {
        let book = receiver.book();
        let (first, replay) = (&book.arrived[0], &book.arrived[2]);
        assert_eq!((first.id(), replay.id()), (id, id));
        assert_eq!(first.body, replay.body);
        assert_eq!(replay.header("x-hikyaku-attempt"), "1", "attempts start afresh");
    }
    until_dead(&home, 0).await;
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;
    program.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 0.0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_replay_that_dies_again_is_there_again_and_what_is_purged_is_gone() {
    let (receiver, home) = home_on(&Queues::own().await, Behaviour::Answer(404)).await;
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    until_dead(&home, 1).await;
    // Without a server, too: it lies in RabbitMQ until there is one.
    program.stop().await;
    home.cli(&["dead", "replay", "--reason", "refused"]).await.ok();
    until_dead(&home, 0).await;
    let program = home.serve().await;
    let again = until_dead(&home, 1).await.remove(0);
    assert_eq!((&again["generation"], &again["attempts"]), (&json!(1), &json!(1)));
    assert_eq!(receiver.book().arrived.len(), 2);
    let dry = home.cli(&["dead", "purge", "--all", "--dry-run"]).await.ok();
    assert_eq!(dry, "1 dead letter would be deleted\n");
    assert_eq!(home.cli(&["dead", "purge", "--type", "note"]).await.ok(), "1 dead letter deleted\n");
    until_dead(&home, 0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_replay_that_the_broker_does_not_take_leaves_its_letters_where_they_are() {
    let broker = Broker::start().await;
    let queues = Queues { url: broker.url(), prefix: "hikyaku.".to_owned() };
    let (receiver, home) = home_on(&queues, Behaviour::Answer(404)).await;
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    until_dead(&home, 1).await;
    broker.kill().await;
    home.cli(&["dead", "replay", "--all"]).await.failed(1, &["RabbitMQ cannot be reached"]);
    broker.restart().await;
    until("it is ready again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    // It connects, and then does not take the message.
    broker.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    home.cli(&["dead", "replay", "--all"]).await.failed(1, &["RabbitMQ takes no messages for now"]);
    let letter = until_dead(&home, 1).await.remove(0);
    assert_eq!(letter["generation"], 0);

    receiver.behave(Behaviour::Answer(200));
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("it is ready again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    assert_eq!(home.cli(&["dead", "replay", "--all"]).await.ok(), "1 dead letter put back to work\n");
    // What was refused may have been taken after the alarm: then it comes once more, under the same id.
    receiver.until("the replay arrives", |book| book.arrived.len() >= 2).await;
    assert_eq!(receiver.book().distinct(), 1);
    until_dead(&home, 0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_delivery_for_a_webhook_that_nobody_knows_is_a_dead_letter_with_its_event() {
    let queues = Queues::own().await;
    let (receiver, home) = home_on(&queues, Behaviour::Answer(200)).await;
    let program = home.serve().await;
    let stranger = Stranger::connect(&queues.url).await;
    let body = format!("{{\"type\":\"note\",\"eventId\":\"e\",\"body\":{BODY}}}");
    let unknown = delivery_headers(&[("x-hikyaku-webhook", text("unheard-of"))]);
    stranger.publish(&queues.name("due"), "due", body.as_bytes(), unknown).await;
    let letter = until_dead(&home, 1).await.remove(0);
    assert_eq!((&letter["reason"], &letter["webhookId"]), (&json!("unknown_webhook"), &json!("unheard-of")));
    let shown = home.cli(&["dead", "show", letter["id"].as_str().expect("an id")]).await.ok();
    assert!(shown.contains(BODY), "{shown}");
    assert_eq!(receiver.book().arrived.len(), 0);
    program.stop().await;
}
