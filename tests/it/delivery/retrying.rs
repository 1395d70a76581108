//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, Delivery, Outcome, Timestamp};

use crate::support::receiver::Answer;
use crate::support::world::{BEGIN, HookSetup, Setup, World};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The delivery and due time of a retry.
#[track_caller]
fn retry(step: Step) -> (Delivery, Timestamp) {
    match step {
        Step::Later { delivery, due, wait: Wait::Retry } => (delivery, due),
        step => panic!("no retry: {step:?}"),
    }
}

/// The delivery and reason of a death.
#[track_caller]
fn death(step: Step) -> (Delivery, DeathReason) {
    match step {
        Step::Dead { delivery, reason } => (delivery, reason),
        step => panic!("no death: {step:?}"),
    }
}

#[tokio::test]
async fn a_receiver_that_fails_once_gets_it_on_the_second_attempt_as_planned_and_not_before() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(503), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let other = world.answering(&[Answer::Status(200)]).await;
    world.hook_with("other", &other.url(), HookSetup { user: Some("u2"), ..HookSetup::default() }).await;

    let event = world.note().await;
    let (delivery, due) = retry(world.step(&event, "wh1", 1).await);
    assert_eq!(due, BEGIN.plus(seconds(5)));
    let last = delivery.last.expect("a failure");
    assert_eq!((delivery.attempts, last.outcome, last.status), (1, Outcome::ServerError, Some(503)));

    world.pass(Duration::from_millis(4999));
    // This one goes the same way, is due no later, and shows that the way was gone.
    let marker = world.publish_delivery("other", |_| {}).await;
    world.step(&marker, "other", 2).await;
    assert_eq!(receiver.count(), 1, "a millisecond is missing");
    world.pass(Duration::from_millis(1));

    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);
    let got = receiver.wait_for(2).await;
    assert!(got[1].at >= due);
    assert_eq!(got[0].header("x-hikyaku-attempt"), "1");
    assert_eq!(got[1].header("x-hikyaku-attempt"), "2");
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[0].body, got[1].body);
    world.finish().await;
}

#[tokio::test]
async fn retry_after_lengthens_the_wait_up_to_its_limit_and_never_shortens_it() {
    let date = "Tue, 31 Mar 2026 12:36:36 GMT"; // BEGIN is 12:34:56.789
    let cases = [("120", 120_000), ("1", 5000), (date, 99_211), ("86400", 3_600_000), ("soon", 5000)];
    let mut world = World::plain().await;
    let mut expected = Vec::new();
    for (n, (text, wait_ms)) in cases.into_iter().enumerate() {
        let receiver = world.answering(&[Answer::With(503, "Retry-After", text.to_owned())]).await;
        let id = format!("wh{n}");
        world.hook(&id, &receiver.url()).await;
        expected.push((id, text, BEGIN.plus(Duration::from_millis(wait_ms))));
    }

    let event = world.note().await;

    for (id, text, expected) in expected {
        let (_, due) = retry(world.step(&event, &id, 1).await);
        assert_eq!(due, expected, "Retry-After: {text}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_webhooks_own_schedule_and_age_come_before_the_settings() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(500)]).await;
    let mut setup = HookSetup::default();
    setup.options.retry_schedule = Some(vec![seconds(7)]);
    world.hook_with("schedule", &receiver.url(), setup).await;
    let mut setup = HookSetup::default();
    setup.options.max_age = Some(seconds(4));
    world.hook_with("age", &receiver.url(), setup).await;

    let event = world.note().await;

    let (_, due) = retry(world.step(&event, "schedule", 1).await);
    assert_eq!(due, BEGIN.plus(seconds(7)));
    assert_eq!(death(world.step(&event, "age", 1).await).1, DeathReason::Expired);
    world.finish().await;
}

#[tokio::test]
async fn once_the_schedule_is_spent_the_delivery_is_a_dead_letter_with_its_last_failure() {
    let mut world = World::start(Setup { schedule: vec![seconds(5), seconds(30)], ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Status(500), Answer::Status(502), Answer::Status(503)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    for (attempt, wait) in [(1, 5), (2, 30)] {
        retry(world.step(&event, "wh1", attempt).await);
        world.pass(seconds(wait));
    }

    let (delivery, reason) = death(world.step(&event, "wh1", 3).await);

    assert_eq!((delivery.attempts, reason), (3, DeathReason::Exhausted));
    receiver.wait_for(3).await;
    let letter = &world.letters(1).await[0];
    let last = letter.delivery.last.as_ref().expect("a failure");
    assert_eq!((letter.event.id.as_str(), letter.reason), (event.as_str(), DeathReason::Exhausted));
    assert_eq!((letter.delivery.attempts, last.status), (3, Some(503)));
    assert_eq!(letter.died_at, BEGIN.plus(seconds(35)));
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_that_would_be_too_old_at_its_next_attempt_is_given_up_at_once() {
    let mut world = World::start(Setup { max_age: seconds(20), ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Status(500)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    retry(world.step(&event, "wh1", 1).await);

    world.pass(seconds(5));

    // The next wait is 30 s.
    let (delivery, reason) = death(world.step(&event, "wh1", 2).await);
    assert_eq!((delivery.attempts, reason), (2, DeathReason::Expired));
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_that_has_grown_too_old_while_it_waited_is_given_up_without_an_attempt() {
    let mut world = World::start(Setup { max_age: seconds(20), ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Status(500)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    retry(world.step(&event, "wh1", 1).await);

    // As after an outage of ours.
    world.pass(seconds(20));

    let (delivery, reason) = death(world.step(&event, "wh1", 2).await);
    assert_eq!((delivery.attempts, reason), (1, DeathReason::Expired));
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn of_a_fan_out_only_the_target_that_failed_is_tried_again() {
    let mut world = World::plain().await;
    let failing = world.answering(&[Answer::Status(500), Answer::Status(200)]).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("failing", &failing.url()).await;
    world.hook("healthy", &healthy.url()).await;
    let event = world.note().await;
    retry(world.step(&event, "failing", 1).await);
    assert_eq!(world.step(&event, "healthy", 1).await, Step::Done);

    world.pass(seconds(5));

    assert_eq!(world.step(&event, "failing", 2).await, Step::Done);
    failing.wait_for(2).await;
    healthy.wait_for(1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_replayed_letter_is_delivered_afresh_under_its_old_id() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(404), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    let letter = world.letters(1).await.remove(0);

    world.replay(&letter).await;

    assert_eq!(world.step(&event, "wh1", 3).await, Step::Done);
    let got = receiver.wait_for(2).await;
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[1].header("x-hikyaku-attempt"), "1", "attempts start afresh");
    assert_eq!(world.letters(0).await, []);
    world.finish().await;
}

#[tokio::test]
async fn a_replayed_letter_that_dies_again_at_once_is_there_in_its_next_generation() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(404)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    let first = world.letters(1).await.remove(0);
    assert_eq!(first.delivery.generation, 0);
    world.pass(seconds(60));

    world.replay(&first).await;

    death(world.step(&event, "wh1", 3).await);
    let second = world.letters(1).await.remove(0);
    assert_eq!((second.id, second.delivery.generation), (first.id, 1));
    assert_eq!(second.delivery.since, BEGIN.plus(seconds(60)), "its age starts afresh");
    world.finish().await;
}
