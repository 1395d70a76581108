//! Webhooks that are paused, deactivated, deleted or unknown.

use std::time::Duration;

use hikyaku::decide::{SkipReason, Step, Wait};
use hikyaku::model::{DeactivationReason, DeathReason, DropReason, EventId, ParkReason};
use hikyaku::registry::Change;

use crate::support::receiver::{Answer, Receiver};
use crate::support::world::{World, webhook};

/// A world with a delivery to `wh1` under way: its first attempt failed, and the next will succeed.
async fn under_way() -> (World, std::sync::Arc<Receiver>, EventId) {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(500), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;
    assert!(matches!(step, Step::Later { wait: Wait::Retry, .. }), "{step:?}");
    (world, receiver, event)
}

async fn set_active(world: &World, active: bool) {
    let change = Change { active: Some(active), ..Change::default() };
    world.registry.update(&webhook("wh1"), change).await.expect("changed");
}

#[tokio::test]
async fn a_fresh_event_is_not_queued_for_a_paused_webhook() {
    let (mut world, receiver, _) = under_way().await;
    set_active(&world, false).await;

    let event = world.note().await;

    assert_eq!(world.step(&event, "wh1", 1).await, Step::Skip(SkipReason::Paused));
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_under_way_to_a_paused_webhook_is_parked_and_delivered_once_it_is_active() {
    let (world, receiver, event) = under_way().await;
    set_active(&world, false).await;

    world.pass(Duration::from_secs(5));
    let parked = world.step(&event, "wh1", 2).await;
    let Step::Later { delivery, due, wait: Wait::Park(ParkReason::Paused) } = parked else { panic!("{parked:?}") };
    assert_eq!((delivery.attempts, delivery.parks), (1, 1), "a park costs no attempt");
    set_active(&world, true).await;
    world.pass(due.since(world.clock.now()));

    assert_eq!(world.step(&event, "wh1", 3).await, Step::Done);
    let got = receiver.wait_for(2).await;
    assert_eq!(got[1].header("x-hikyaku-attempt"), "2");
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_to_a_webhook_that_stays_paused_is_given_up_at_its_age() {
    let (world, receiver, event) = under_way().await;
    set_active(&world, false).await;

    world.pass(world.setup.max_age);

    let step = world.step(&event, "wh1", 2).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Expired, .. }), "{step:?}");
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_deactivated_webhook_gets_no_fresh_event_and_what_was_under_way_is_a_dead_letter() {
    let (mut world, receiver, under_way) = under_way().await;
    world.registry.deactivate(&webhook("wh1"), DeactivationReason::Gone).await.expect("deactivated");

    let fresh = world.note().await;
    assert_eq!(world.step(&fresh, "wh1", 1).await, Step::Skip(SkipReason::Deactivated));
    world.pass(Duration::from_secs(5));

    let step = world.step(&under_way, "wh1", 2).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Deactivated, .. }), "{step:?}");
    assert_eq!(world.letters(1).await[0].reason, DeathReason::Deactivated);
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn after_a_410_others_under_way_die_and_activation_lets_a_replay_through() {
    let mut world = World::plain().await;
    let answers = [Answer::Status(500), Answer::Status(410), Answer::Status(200)];
    let receiver = world.answering(&answers).await;
    world.hook("wh1", &receiver.url()).await;
    let waiting = world.note().await;
    world.step(&waiting, "wh1", 1).await;
    let gone = world.note().await;
    world.step(&gone, "wh1", 1).await;
    let skipped = world.note().await;
    assert_eq!(world.step(&skipped, "wh1", 1).await, Step::Skip(SkipReason::Deactivated));
    world.pass(Duration::from_secs(5));
    let step = world.step(&waiting, "wh1", 2).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Deactivated, .. }), "{step:?}");

    set_active(&world, true).await;
    let letters = world.letters(2).await;
    let letter = letters.iter().find(|letter| letter.event.id == gone).expect("the one that was told 410");
    world.replay(letter).await;

    assert_eq!(world.step(&gone, "wh1", 3).await, Step::Done);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_under_way_to_a_deleted_webhook_is_dropped() {
    let (world, receiver, event) = under_way().await;
    world.registry.delete(&webhook("wh1")).await.expect("deleted");

    world.pass(Duration::from_secs(5));

    assert_eq!(world.step(&event, "wh1", 2).await, Step::Drop(DropReason::WebhookDeleted));
    assert_eq!(receiver.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_to_a_webhook_that_nobody_knows_is_a_dead_letter() {
    let mut world = World::plain().await;

    let event = world.publish_delivery("nobody", |_| {}).await;

    let step = world.step(&event, "nobody", 2).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::UnknownWebhook, .. }), "{step:?}");
    assert_eq!(world.letters(1).await[0].reason, DeathReason::UnknownWebhook);
    world.finish().await;
}

#[tokio::test]
async fn a_change_of_url_counts_for_what_is_under_way() {
    let (mut world, before, event) = under_way().await;
    let after = world.answering(&[Answer::Status(200)]).await;
    let change = Change { url: Some(after.url().parse().expect("a URL")), ..Change::default() };
    world.registry.update(&webhook("wh1"), change).await.expect("changed");

    world.pass(Duration::from_secs(5));

    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);
    assert_eq!((before.count(), after.count()), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn a_410_of_an_address_that_was_changed_meanwhile_stops_only_that_delivery() {
    let mut world = World::plain().await;
    let before = world.answering(&[Answer::Held(410)]).await;
    let after = world.answering(&[Answer::Status(200)]).await;
    world.hook("wh1", &before.url()).await;
    let asked_before = world.note().await;
    before.wait_for(1).await;
    // In the same millisecond as it was made, as held time has it.
    let change = Change { url: Some(after.url().parse().expect("a URL")), ..Change::default() };
    world.registry.update(&webhook("wh1"), change).await.expect("changed");
    before.release();

    let step = world.step(&asked_before, "wh1", 1).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Gone, .. }), "{step:?}");
    let asked_after = world.note().await;
    assert_eq!(world.step(&asked_after, "wh1", 1).await, Step::Done, "the new address is not gone");
    world.finish().await;
}
