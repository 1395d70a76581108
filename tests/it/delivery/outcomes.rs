//! What each kind of answer, and of silence, comes to.

use std::time::{Duration, Instant};

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeactivationReason, DeathReason, LastFailure, Outcome, Status};

use crate::support::receiver::Answer;
use crate::support::world::{Setup, World, nobody, webhook};

/// What the only attempt of a fresh delivery to a receiver that answers `answer` came to.
async fn first_step(world: &mut World, answer: Answer) -> Step {
    let receiver = world.answering(&[answer]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;
    receiver.wait_for(1).await;
    step
}

/// The failure for which a delivery is tried again.
#[track_caller]
fn failure(step: &Step) -> &LastFailure {
    match step {
        Step::Later { delivery, wait: Wait::Retry, .. } if delivery.attempts == 1 => {
            delivery.last.as_ref().expect("a failure")
        }
        step => panic!("no first retry: {step:?}"),
    }
}

#[tokio::test]
async fn answers_that_may_be_better_later_are_tried_again() {
    for (status, outcome) in [
        (408, Outcome::ServerError),
        (425, Outcome::ServerError),
        (429, Outcome::RateLimited),
        (500, Outcome::ServerError),
        (599, Outcome::ServerError),
    ] {
        let mut world = World::plain().await;
        let step = first_step(&mut world, Answer::Status(status)).await;
        let failure = failure(&step);
        assert_eq!((failure.outcome, failure.status), (outcome, Some(status)));
        world.finish().await;
    }
}

#[tokio::test]
async fn every_2xx_is_delivered() {
    for status in [200, 202, 204, 299] {
        let mut world = World::plain().await;
        assert_eq!(first_step(&mut world, Answer::Status(status)).await, Step::Done, "{status}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_is_a_dead_letter_at_once() {
    for status in [304, 400, 401, 404, 422] {
        let mut world = World::plain().await;
        let step = first_step(&mut world, Answer::Status(status)).await;
        let Step::Dead { delivery, reason: DeathReason::Refused } = step else { panic!("{status}: {step:?}") };
        let last = delivery.last.expect("a failure");
        assert_eq!((last.outcome, last.status), (Outcome::Refused, Some(status)));
        assert_eq!(world.letters(1).await[0].reason, DeathReason::Refused);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    for status in [301, 302, 307, 308] {
        let mut world = World::plain().await;
        let elsewhere = world.answering(&[Answer::Status(200)]).await;
        let step = first_step(&mut world, Answer::With(status, "Location", elsewhere.url())).await;
        assert!(matches!(step, Step::Dead { reason: DeathReason::Refused, .. }), "{status}: {step:?}");
        assert_eq!(elsewhere.count(), 0);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_410_kills_its_delivery_and_stops_its_webhook() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(410)]).await;
    world.hook("wh1", &receiver.url()).await;

    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;

    assert!(matches!(step, Step::Dead { reason: DeathReason::Gone, .. }), "{step:?}");
    let found = world.registry.show(&webhook("wh1")).expect("it is still there");
    assert!(matches!(&found.status, Status::Deactivated(why) if why.reason == DeactivationReason::Gone), "{found:?}");
    assert_eq!(world.letters(1).await[0].reason, DeathReason::Gone);
    world.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again() {
    let mut world = World::plain().await;
    let (address, _socket) = nobody();
    world.hook("wh1", &format!("http://{address}/")).await;
    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;
    assert_eq!((failure(&step).outcome, failure(&step).status), (Outcome::Connection, None));
    assert!(failure(&step).error.contains("refused"), "{step:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_name_without_an_address_is_tried_again() {
    let mut world = World::plain().await;
    world.hook("wh1", "http://no-such-host.invalid/").await;
    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;
    assert_eq!((failure(&step).outcome, failure(&step).status), (Outcome::Dns, None));
    assert!(failure(&step).error.contains("no-such-host.invalid"), "{step:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer_and_the_delivery_is_tried_again() {
    for broken in [Answer::HalfHeaders, Answer::HalfBody] {
        let mut world = World::plain().await;
        let receiver = world.answering(&[broken, Answer::Status(200)]).await;
        world.hook("wh1", &receiver.url()).await;
        let event = world.note().await;
        let step = world.step(&event, "wh1", 1).await;
        assert_eq!((failure(&step).outcome, failure(&step).status), (Outcome::Connection, None));
        world.pass(Duration::from_secs(5));
        assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);
        world.finish().await;
    }
}

#[tokio::test]
async fn an_attempt_ends_at_its_deadline_whether_nothing_comes_or_too_little() {
    const DEADLINE: Duration = Duration::from_millis(300);
    for answer in [Answer::Hang, Answer::Drip] {
        let mut world = World::start(Setup { timeout: DEADLINE, ..Setup::default() }).await;
        let began = Instant::now();
        let step = first_step(&mut world, answer.clone()).await;
        let took = began.elapsed();
        assert_eq!((failure(&step).outcome, failure(&step).status), (Outcome::Timeout, None), "{answer:?}");
        assert!(took >= DEADLINE && took < DEADLINE + Duration::from_secs(5), "{answer:?}: {took:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn of_an_answer_without_end_a_little_is_read_and_the_delivery_is_delivered() {
    let mut world = World::plain().await;
    let began = Instant::now();
    assert_eq!(first_step(&mut world, Answer::Endless).await, Step::Done);
    assert!(began.elapsed() < world.setup.timeout, "its end was not waited for");
    world.finish().await;
}

#[tokio::test]
async fn each_attempt_leaves_the_status_that_people_see() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::HalfHeaders, Answer::Status(201)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    world.step(&event, "wh1", 1).await;
    let latest = world.latest.of(&webhook("wh1")).await.expect("read").expect("noted");
    assert_eq!(latest.status, 1, "Misskey's own number where there was no answer");
    world.pass(Duration::from_secs(5));
    world.step(&event, "wh1", 2).await;
    let latest = world.latest.of(&webhook("wh1")).await.expect("read").expect("noted");
    assert_eq!((latest.status, latest.sent_at), (201, world.clock.now()));
    world.finish().await;
}
