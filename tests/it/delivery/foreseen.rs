//! What comes for a webhook that is left alone waits from the start: no worker takes it only to put it off, and it is accounted for
//! all the same.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::decide::{SkipReason, Step, Wait};
use hikyaku::model::{
    Arrival, Condition, DeactivationReason, DeliveryId, DeliveryState, Event, EventId, Message, Options, ParkReason,
    Target, Timestamp,
};
use serde_json::json;

use crate::support::patience::soon;
use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, Setup, World, webhook};

const MINUTE: Duration = Duration::from_secs(60);

/// A world in which webhooks fail twice, upon which they are left alone, and are well after that; one more event waits to see that.
/// They want notes and replies of the plain user.
async fn left_alone(webhooks: &[(&str, Options)]) -> World {
    left_alone_in(Setup { breaker_failures: 2, ..Setup::default() }, webhooks).await
}

async fn left_alone_in(setup: Setup, webhooks: &[(&str, Options)]) -> World {
    let mut world = World::start(setup).await;
    for (id, options) in webhooks {
        let receiver = world.answering(&[Answer::Status(503), Answer::Status(503), Answer::Status(200)]).await;
        let setup = HookSetup { on: &["note", "reply"], options: options.clone(), ..HookSetup::default() };
        world.hook_with(id, &receiver.url(), setup).await;
    }
    for _ in 0..2 {
        let failed = world.note().await;
        for (id, _) in webhooks {
            assert!(matches!(world.step(&failed, id, 1).await, Step::Later { wait: Wait::Retry, .. }));
        }
    }
    let to_see = world.note().await;
    for (id, _) in webhooks {
        assert!(is_put_off(&world.step(&to_see, id, 1).await));
    }
    world
}

async fn bad_one() -> World {
    left_alone(&[("bad", Options::default())]).await
}

fn is_put_off(step: &Step) -> bool {
    matches!(step, Step::Later { delivery, wait: Wait::Park(ParkReason::BreakerOpen), .. }
        if (delivery.parks, delivery.attempts) == (1, 0))
}

/// From now on nothing can be published for a worker to take.
fn forbid_work(world: &World) {
    let refuse =
        "CREATE TRIGGER no_work BEFORE INSERT ON work BEGIN SELECT RAISE(ABORT, 'no work, says the test'); END";
    world.queue_file().execute_batch(refuse).expect("a trigger");
}

fn allow_work(world: &World) {
    world.queue_file().execute_batch("DROP TRIGGER no_work").expect("there is one");
}

/// A plain note that is not in the world's book.
fn note(id: &str, now: Timestamp) -> Message {
    let arrival = Arrival { now, event_id: EventId::new(id).expect("valid"), event_bytes_max: 1 << 20, source: None };
    let event = Event::parse(&r#"{"type":"note","userId":"u1","body":{}}"#.into(), arrival).expect("an event");
    Message { event: Arc::new(event), target: Target::Subscribers }
}

async fn reply(world: &mut World) -> EventId {
    world.publish(r#"{"type":"reply","userId":"u1","body":{"note":{"text":"hi"}}}"#).await
}

/// Lets time pass until `count` deliveries are done.
async fn pass_until_done(world: &World, count: usize) {
    for _ in 0..30 {
        world.pass(MINUTE);
        soon("nothing is due any more", async {
            while world.queue().depths().await.expect("counted").oldest.is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    assert_eq!(world.told().iter().filter(|told| told.step == Step::Done).count(), count);
}

#[tokio::test]
async fn what_comes_for_a_webhook_that_is_left_alone_is_put_off_where_it_is_published_and_delivered_when_it_is_well() {
    let mut world = bad_one().await;
    forbid_work(&world);

    let mut events = Vec::new();
    for _ in 0..20 {
        events.push(world.note().await);
    }

    for event in &events {
        assert!(is_put_off(&world.step(event, "bad", 1).await));
    }
    let counted = world.telemetry.render();
    assert!(counted.contains("hikyaku_parked_total{reason=\"breaker_open\"} 21\n"), "{counted}");
    let reader = world.history_reader();
    soon("the history has each", async {
        for event in &events {
            let id = DeliveryId::of(event, &webhook("bad"));
            while !matches!(reader.show(&id).await, Ok(Some((kept, _))) if kept.state == DeliveryState::Waiting) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    pass_until_done(&world, 23).await;
    allow_work(&world);
    let well = world.note().await;
    assert_eq!(world.step(&well, "bad", 1).await, Step::Done, "it is tried at once again");
    world.finish().await;
}

#[tokio::test]
async fn an_event_that_somebody_else_can_have_goes_to_a_worker() {
    let mut world = bad_one().await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    world.hook_with("well", &receiver.url(), HookSetup { on: &["reply"], ..HookSetup::default() }).await;

    let event = reply(&mut world).await;

    assert_eq!(world.step(&event, "well", 1).await, Step::Done);
    assert!(is_put_off(&world.step(&event, "bad", 1).await));
    world.finish().await;
}

#[tokio::test]
async fn what_a_filter_keeps_out_is_not_put_off_but_filtered() {
    let not_hi = json!([{"path": "/note/text", "notEquals": "hi", "types": ["reply"]}]);
    let filters = Condition::read_all("filters", &not_hi).expect("filters");
    let mut world = left_alone(&[("picky", Options { filters, ..Options::default() })]).await;

    let event = reply(&mut world).await;

    world.unwanted(&event, "picky");
    world.all_taken().await;
    let counted = world.telemetry.render();
    assert!(counted.contains("hikyaku_deliveries_filtered_total 1\n"), "{counted}");
    world.finish().await;
}

#[tokio::test]
async fn what_comes_for_a_webhook_that_is_switched_off_meanwhile_is_skipped() {
    let mut world = bad_one().await;
    world.registry.deactivate(&webhook("bad"), DeactivationReason::Failing).await.expect("deactivated");

    let event = world.note().await;

    assert_eq!(world.step(&event, "bad", 1).await, Step::Skip(SkipReason::Deactivated));
    world.finish().await;
}

#[tokio::test]
async fn without_foresight_everything_goes_to_a_worker() {
    let world = left_alone_in(
        Setup { breaker_failures: 2, foresight: false, ..Setup::default() },
        &[("bad", Options::default())],
    )
    .await;
    forbid_work(&world);
    let refused = world.queue().publish(vec![note("late", world.clock.now())]).await.expect_err("it is work");
    assert!(refused.to_string().contains("no work, says the test"), "{refused}");
    world.finish().await;
}

#[tokio::test]
async fn once_the_worker_stops_what_comes_is_for_the_next_which_knows_nothing_of_it() {
    let mut world = bad_one().await;
    let queue = world.queue().clone();
    world.stop_process().await;
    let message = note("late", world.clock.now());
    let late = message.event.id.clone();
    world.expects(&late, "bad");
    queue.publish(vec![message]).await.expect("published");
    assert_eq!(queue.depths().await.expect("counted").work, 1);
    drop(queue);

    world.start_process().await;

    assert_eq!(world.step(&late, "bad", 1).await, Step::Done);
    world.finish().await;
}
