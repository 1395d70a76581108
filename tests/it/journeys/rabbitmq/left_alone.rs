//! A webhook that fails, on RabbitMQ: what waits for it lies in the buckets.

use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, until_all_is_done};
use crate::journeys::left_alone::{Pair, SCHEDULE};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{declared, events};

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
