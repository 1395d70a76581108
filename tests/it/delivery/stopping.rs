//! Shutdown and what comes after it.

use std::time::Duration;

use hikyaku::decide::Step;

use crate::support::patience::never;
use crate::support::receiver::Answer;
use crate::support::world::{Setup, World};

#[tokio::test]
async fn what_is_in_flight_at_shutdown_is_finished_and_counted() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Held(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    receiver.wait_for(1).await;

    let mut stopping = Box::pin(world.stop_process());
    never("the worker ends while something is in flight", &mut stopping).await;
    receiver.release();
    stopping.await;

    assert_eq!(world.step(&event, "wh1", 1).await, Step::Done);
    world.start_process().await;
    assert_eq!(world.queue().depths().await.expect("counted").work, 0);
    receiver.wait_for(1).await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_finished_within_the_grace_stays_in_the_queue_and_is_delivered_after_a_restart() {
    let mut world = World::start(Setup { grace: Duration::from_millis(200), ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Hang, Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    receiver.wait_for(1).await;

    let took = world.stop_process().await;

    assert!(took < world.setup.timeout, "the grace ends it, not the deadline: {took:?}");
    assert_eq!(world.told().len(), 0);
    world.start_process().await;
    assert_eq!(world.step(&event, "wh1", 1).await, Step::Done);
    let got = receiver.wait_for(2).await;
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[1].header("x-hikyaku-attempt"), "1", "shutdown costs no attempt");
    world.finish().await;
}

#[tokio::test]
async fn an_event_that_waits_at_shutdown_is_neither_sent_nor_lost() {
    let (patience, grace) = (Duration::from_secs(60), Duration::from_millis(200));
    let mut world = World::start(Setup { concurrency: 1, patience, grace, ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Hang, Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    for _ in 0..20 {
        world.note().await;
    }
    receiver.wait_for(1).await;

    world.stop_process().await;

    receiver.wait_for(1).await;
    world.start_process().await;
    world.steps(20, |told| told.step == Step::Done).await;
    receiver.wait_for(21).await;
    world.finish().await;
}

#[tokio::test]
async fn a_retry_keeps_its_time_over_a_restart() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(503), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    world.step(&event, "wh1", 1).await;

    world.stop_process().await;
    world.pass(Duration::from_secs(3));
    world.start_process().await;
    world.pass(Duration::from_secs(2));

    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);
    let got = receiver.wait_for(2).await;
    assert_eq!(got[1].at.since(got[0].at), Duration::from_secs(5));
    assert_eq!(got[1].header("x-hikyaku-attempt"), "2");
    world.finish().await;
}
