//! A slow or dead webhook delays only itself (promise 6).

use std::time::Duration;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::ParkReason;

use crate::support::patience::within;
use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, Setup, World, webhook};

/// What a healthy webhook may need on a busy machine; far less than the time for which the other hangs.
const PROMPTLY: Duration = Duration::from_secs(8);

fn in_real_time() -> Setup {
    Setup {
        held: false,
        timeout: Duration::from_secs(60),
        slots_per_webhook: 8,
        patience: Duration::from_millis(100),
        // Fewer than the events that hang: were they held, nothing else could be taken.
        prefetch: 64,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_webhook_that_hangs_does_not_delay_a_healthy_one() {
    let mut world = World::start(in_real_time()).await;
    let hanging = world.answering(&[Answer::Held(200)]).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook_with("hanging", &hanging.url(), HookSetup { user: Some("u2"), ..HookSetup::default() }).await;
    world.hook("healthy", &healthy.url()).await;
    for _ in 0..200 {
        world.publish(r#"{"type":"note","userId":"u2","body":{}}"#).await;
    }
    for _ in 0..50 {
        world.note().await;
    }

    let delivered = world.steps(50, |told| told.webhook == webhook("healthy") && told.step == Step::Done);
    within(PROMPTLY, "the healthy webhook has all its events", delivered).await;

    healthy.wait_for(50).await;
    assert!(hanging.count() <= 8, "no more requests at once than slots");
    assert!(hanging.got().iter().all(|got| !got.taken), "it hangs all the while");
    let parked = |step: &Step| matches!(step, Step::Later { wait: Wait::Park(ParkReason::NoSlot), .. });
    assert!(world.told().iter().any(|told| told.webhook == webhook("hanging") && parked(&told.step)));
    let kept = |step: &Step| matches!(step, Step::Later { delivery, .. } if delivery.attempts == 0);
    assert!(world.told().iter().filter(|told| parked(&told.step)).all(|told| kept(&told.step)), "no attempt is spent");
    hanging.release();
    world.finish().await;
}

#[tokio::test]
async fn a_target_that_hangs_does_not_delay_the_others_of_its_event() {
    let mut world = World::start(in_real_time()).await;
    let hanging = world.answering(&[Answer::Held(200)]).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("hanging", &hanging.url()).await;
    world.hook("healthy", &healthy.url()).await;

    let event = world.note().await;

    healthy.wait_for(1).await;
    hanging.wait_for(1).await;
    hanging.release();
    assert_eq!(world.step(&event, "hanging", 1).await, Step::Done);
    assert_eq!(world.step(&event, "healthy", 1).await, Step::Done);
    world.finish().await;
}

#[tokio::test]
async fn what_was_parked_for_want_of_a_slot_is_delivered_once_there_is_one() {
    let mut world = World::start(Setup { slots_per_webhook: 1, ..in_real_time() }).await;
    let receiver = world.answering(&[Answer::Held(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    for _ in 0..4 {
        world.note().await;
    }
    world.steps(3, |told| matches!(told.step, Step::Later { wait: Wait::Park(ParkReason::NoSlot), .. })).await;

    receiver.release();

    world.steps(4, |told| told.step == Step::Done).await;
    let got = receiver.wait_for(4).await;
    assert!(got.iter().all(|got| got.header("x-hikyaku-attempt") == "1"), "a park costs no attempt");
    world.finish().await;
}

#[tokio::test]
async fn one_target_that_hangs_of_very_many_does_not_keep_the_next_events_waiting() {
    // A worker with a prefetch of 16 has 64 deliveries in hand at most: fewer than the event has targets.
    let mut world = World::start(Setup { prefetch: 16, ..in_real_time() }).await;
    let hanging = world.answering(&[Answer::Held(200)]).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("hanging", &hanging.url()).await;
    for number in 0..80 {
        world.hook(&format!("healthy{number}"), &healthy.url()).await;
    }
    world.hook_with("next", &healthy.url(), HookSetup { user: Some("u2"), ..HookSetup::default() }).await;
    world.note().await;
    healthy.wait_for(80).await;
    hanging.wait_for(1).await;

    for _ in 0..5 {
        let next = world.publish(r#"{"type":"note","userId":"u2","body":{}}"#).await;
        assert_eq!(world.step(&next, "next", 1).await, Step::Done);
    }
    assert!(hanging.got().iter().all(|got| !got.taken), "it hangs all the while");
    hanging.release();
    world.steps(86, |told| told.step == Step::Done).await;
    world.finish().await;
}
