//! A webhook's rate limit: what has no token waits its turn in the queue, and costs no attempt.

use std::time::Duration;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, EventId, Options, ParkReason, RateLimit};
use hikyaku::registry::Change;

use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, Setup, World, webhook};

/// The age at which these deliveries are given up.
const MAX_AGE: Duration = Duration::from_secs(3600);

fn limited(per_second: f64, burst: u32) -> Options {
    Options { rate_limit: Some(RateLimit::new(per_second, Some(burst)).expect("allowed")), ..Options::default() }
}

/// A world whose webhook `wh1` has the limit.
async fn world(answers: &[Answer], options: Options) -> (World, std::sync::Arc<crate::support::receiver::Receiver>) {
    let mut world = World::start(Setup { max_age: MAX_AGE, ..Setup::default() }).await;
    let receiver = world.answering(answers).await;
    world.hook_with("wh1", &receiver.url(), HookSetup { options, ..HookSetup::default() }).await;
    (world, receiver)
}

async fn change(world: &World, change: Change) {
    world.registry.update(&webhook("wh1"), change).await.expect("changed");
}

/// How long the event waits for a token, as its step number `step` says.
async fn put_off(world: &World, event: &EventId, step: usize) -> Duration {
    let told = world.step(event, "wh1", step).await;
    let Step::Later { due, wait: Wait::Park(ParkReason::RateLimit), .. } = told else { panic!("{told:?}") };
    due.since(world.clock.now())
}

#[tokio::test]
async fn what_has_no_token_is_put_off_until_its_turn_and_delivered_then() {
    let (mut world, receiver) = world(&[Answer::Status(200)], limited(0.1, 1)).await;
    let first = world.note().await;
    assert_eq!(world.step(&first, "wh1", 1).await, Step::Done);

    let (second, third) = (world.note().await, world.note().await);
    let waits = [put_off(&world, &second, 1).await, put_off(&world, &third, 1).await];
    assert_eq!(waits.map(|wait| wait.as_secs()).iter().sum::<u64>(), 10 + 20, "one behind the other: {waits:?}");
    world.pass(Duration::from_millis(10_100));
    world.steps(2, |told| told.step == Step::Done).await;
    assert_eq!(receiver.count(), 2, "the third has to wait for its own");
    world.pass(Duration::from_secs(11));

    world.steps(3, |told| told.step == Step::Done).await;
    let got = receiver.wait_for(3).await;
    assert!(got.iter().all(|got| got.header("x-hikyaku-attempt") == "1"), "a park costs no attempt");
    world.finish().await;
}

#[tokio::test]
async fn a_retry_takes_a_token_too() {
    let (mut world, receiver) = world(&[Answer::Status(503), Answer::Status(200)], limited(0.01, 1)).await;
    let event = world.note().await;
    assert!(matches!(world.step(&event, "wh1", 1).await, Step::Later { wait: Wait::Retry, .. }));

    world.pass(Duration::from_secs(5));
    let wait = put_off(&world, &event, 2).await;
    assert_eq!((wait.as_secs(), receiver.count()), (95, 1), "the token that the first attempt took has to come again");
    world.pass(wait);

    assert_eq!(world.step(&event, "wh1", 3).await, Step::Done);
    assert_eq!(receiver.wait_for(2).await[1].header("x-hikyaku-attempt"), "2");
    world.finish().await;
}

#[tokio::test]
async fn a_limit_that_is_raised_counts_at_once() {
    let (mut world, receiver) = world(&[Answer::Status(200)], limited(0.001, 1)).await;
    let first = world.note().await;
    assert_eq!(world.step(&first, "wh1", 1).await, Step::Done);
    let second = world.note().await;
    let wait = put_off(&world, &second, 1).await;
    assert!(wait >= Duration::from_secs(450) && wait <= Duration::from_secs(900), "{wait:?}");

    change(&world, Change { options: Some(limited(1000.0, 10)), ..Change::default() }).await;
    let third = world.note().await;
    let soon = put_off(&world, &third, 1).await;
    assert_eq!(soon, Duration::from_secs(1), "a new limit makes no tokens, and the next one is near");
    world.pass(soon);
    assert_eq!(world.step(&third, "wh1", 2).await, Step::Done);
    assert_eq!(receiver.count(), 2);
    world.pass(wait);
    assert_eq!(world.step(&second, "wh1", 2).await, Step::Done);
    world.finish().await;
}

#[tokio::test]
async fn what_never_gets_a_token_is_given_up_at_its_age_and_accounted_for() {
    let (mut world, receiver) = world(&[Answer::Status(200)], limited(0.001, 1)).await;
    let mut events = Vec::new();
    for _ in 0..12 {
        events.push(world.note().await);
    }
    world.steps(12, |_| true).await;

    for pass in 2..=4 {
        // Each comes back at the same moment, and one of them finds the token that has come.
        world.pass(Duration::from_secs(1001));
        world.steps(pass, |told| told.step == Step::Done).await;
        world.all_taken().await;
    }
    world.pass(Duration::from_secs(600));

    let dead =
        |told: &crate::support::world::Told| matches!(told.step, Step::Dead { reason: DeathReason::Expired, .. });
    world.steps(8, dead).await;
    assert_eq!(world.letters(8).await.len(), 8);
    assert_eq!(receiver.count(), 4);
    world.finish().await;
}

#[tokio::test]
async fn a_paused_webhook_takes_no_tokens() {
    let (mut world, receiver) = world(&[Answer::Status(200)], limited(0.001, 1)).await;
    change(&world, Change { active: Some(false), ..Change::default() }).await;
    let event = world.publish_delivery("wh1", |_| {}).await;
    // Its first step is that it was put to work.
    let parked = world.step(&event, "wh1", 2).await;
    let Step::Later { due, wait: Wait::Park(ParkReason::Paused), .. } = parked else { panic!("{parked:?}") };

    change(&world, Change { active: Some(true), ..Change::default() }).await;
    world.pass(due.since(world.clock.now()));

    assert_eq!(world.step(&event, "wh1", 3).await, Step::Done);
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}
