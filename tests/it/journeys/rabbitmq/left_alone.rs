//! A webhook that fails, on RabbitMQ: what waits for it lies in the buckets.

use serde_json::Value;

use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, until_all_is_done};
use crate::journeys::left_alone::{Pair, SCHEDULE};
use crate::support::amqp::{Queues, Stranger};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, events, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_is_left_alone_seen_by_operators_and_gets_everything_afterwards() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let pair = Pair::start().await;
    let home = home(&url, &prefix, &pair.settings());
    let program = home.serve().await;
    pair.check(&program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_each_leaves_alone_who_hangs_and_others_get_everything_meanwhile() {
    const EVENTS: usize = 400;
    let (url, prefix) = (shared_url().await, own_prefix());
    let hanging = Receiver::start(Behaviour::Hang).await;
    let well = Receiver::start(Behaviour::Answer(200)).await;
    let webhooks = declared("hanging", &hanging.url("/"), "note") + &declared("well", &well.url("/"), "mention");
    // Fewer than the events that hang: were they held, nothing else could be taken.
    let limits = "queue.prefetch = 64\ndelivery.concurrency = 64\ndelivery.timeout_ms = 2000\n";
    let home = home(&url, &prefix, &format!("{limits}{SCHEDULE}{webhooks}"));
    let workers = [home.serve().await, home.serve().await];
    assert_eq!(workers[0].post(events("note", "n", EVENTS)).await.0, 200);
    assert_eq!(workers[0].post(events("mention", "m", EVENTS)).await.0, 200);

    well.until_within(LONG, "the healthy webhook has everything", |book| book.distinct() >= EVENTS).await;
    for worker in &workers {
        worker.metric_is("hikyaku_breakers_open", 1.0).await;
    }
    let attempts = hanging.book().arrived.len();
    assert!(attempts < EVENTS, "{attempts} attempts, where each worker needs ten to know");
    hanging.behave(Behaviour::Answer(200));

    hanging.until_within(2 * LONG, "everything arrives", |book| book.distinct() >= EVENTS).await;
    for worker in &workers {
        until_all_is_done(worker).await;
    }
    for worker in workers {
        worker.stop().await;
    }
    assert_nothing_is_left(&url, &prefix).await;
    assert_all_arrived(&hanging, &(0..EVENTS).map(|n| format!("n{n}")).collect());
    assert_all_arrived(&well, &(0..EVENTS).map(|n| format!("m{n}")).collect());
    assert_eq!(well.book().repeats(), 0);
}

/// Has a webhook be left alone, with `settings`; tells which events a queue of somebody else's that is bound to `events` gets, and in which
/// states the operators see them.
async fn mirrored(settings: &str) -> (Vec<String>, Vec<(String, Value)>) {
    let failing = Receiver::start(Behaviour::Answer(503)).await;
    let queues = Queues::own().await;
    let hook = declared("failing", &failing.url("/"), "note");
    let home = Home::new(&format!("delivery.breaker_failures = 1\n{settings}{}{hook}", queues.settings()));
    let program = home.serve().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    let stranger = Stranger::connect(&queues.url).await;
    let mirror = stranger.listen(&queues.name("events")).await;
    // The first fails, the second is to see whether the receiver is well again.
    for (number, id) in ["e1", "e2", "e3", "e4"].into_iter().enumerate() {
        assert_eq!(program.post(event("note", id)).await.0, 200);
        until("the operators see it", async || {
            let (_, page) = program.operate("/v1/deliveries").await;
            (page["deliveries"].as_array().map(Vec::len) == Some(number + 1)).then_some(())
        })
        .await;
    }
    let (_, page) = program.operate("/v1/deliveries").await;
    let mut states = Vec::new();
    for delivery in page["deliveries"].as_array().expect("some").iter().rev() {
        let id = delivery["id"].as_str().expect("an id");
        let (_, shown) = program.operate(&format!("/v1/deliveries/{id}")).await;
        states.push((
            shown["delivery"]["eventId"].as_str().expect("an id").to_owned(),
            shown["delivery"]["reason"].clone(),
        ));
    }
    let mut passed = Vec::new();
    while let Some(message) = stranger.take(&mirror).await {
        passed.push(message.properties.message_id().as_ref().expect("an id").as_str().to_owned());
    }
    program.stop().await;
    (passed, states)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_for_a_webhook_that_is_left_alone_waits_from_the_start_and_passes_events_only_without_foresight() {
    let states = ["retry", "breaker_open", "breaker_open", "breaker_open"].map(Value::from);
    let expected: Vec<(String, Value)> = (1..=4).map(|n| format!("e{n}")).zip(states).collect();

    assert_eq!(mirrored("").await, (vec!["e1".to_owned(), "e2".to_owned()], expected.clone()));

    let all: Vec<String> = (1..=4).map(|n| format!("e{n}")).collect();
    assert_eq!(mirrored("delivery.foresight = false\n").await, (all, expected));
}
