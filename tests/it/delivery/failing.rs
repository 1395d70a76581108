//! Webhooks that fail for days are switched off, and their owners are told.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::decide::{SkipReason, Step};
use hikyaku::model::{Deactivation, DeactivationReason, DeathReason, EventId, Status, Timestamp, WEBHOOK_DEACTIVATED};
use hikyaku::registry::Change;
use serde_json::{Value, json};

use crate::support::patience::soon;
use crate::support::receiver::{Answer, Got, Receiver};
use crate::support::world::{BEGIN, HookSetup, Setup, World, webhook};

const DAY: Duration = Duration::from_secs(86400);

/// A world that tries each delivery once, with a webhook that answers so.
async fn world_answering(script: impl Fn(usize, &Got) -> Answer + Send + Sync + 'static) -> World {
    let mut world = World::start(Setup { schedule: Vec::new(), ..Setup::default() }).await;
    let receiver = world.receiver(script).await;
    world.hook("wh1", &receiver.url()).await;
    world
}

/// Publishes a note on this day and on those after, `days` in all, and waits until each was attempted.
async fn a_note_a_day(world: &mut World, days: u32) {
    for day in 0..days {
        if day > 0 {
            world.pass(DAY);
        }
        let event = world.note().await;
        world.step(&event, "wh1", 1).await;
    }
}

fn status(world: &World) -> Status {
    world.registry.show(&webhook("wh1")).expect("known").status.clone()
}

fn switched_off(reason: DeactivationReason, at: Timestamp, since: Timestamp) -> Status {
    Status::Deactivated(Deactivation { reason, at, failing_since: Some(since) })
}

async fn failing_since(world: &World) -> Option<Timestamp> {
    world.latest.of(&webhook("wh1")).await.expect("read").and_then(|latest| latest.failing).map(|streak| streak.since)
}

/// A webhook of that owner's that is told of those that were switched off.
async fn told_one(world: &mut World, id: &str, user: Option<&str>) -> Arc<Receiver> {
    let receiver = world.answering(&[Answer::Status(200)]).await;
    let setup = HookSetup { user, on: &[WEBHOOK_DEACTIVATED], ..HookSetup::default() };
    world.hook_with(id, &receiver.url(), setup).await;
    receiver
}

/// What the webhook `id` was told, once it was, which the book has from then on.
async fn told(world: &mut World, id: &str, receiver: &Receiver) -> Value {
    let got = receiver.wait_for(1).await;
    let event: Value = serde_json::from_slice(&got[0].body).expect("JSON");
    let event_id = EventId::new(event["eventId"].as_str().expect("an id")).expect("valid");
    world.expects(&event_id, id);
    assert_eq!(world.step(&event_id, id, 1).await, Step::Done);
    event
}

#[tokio::test]
async fn who_fails_for_five_days_is_switched_off_and_what_was_under_way_dies_and_the_owner_is_told() {
    let mut world = World::start(Setup { schedule: vec![DAY; 9], max_age: 30 * DAY, ..Setup::default() }).await;
    let failing = world.answering(&[Answer::Status(500)]).await;
    world.hook("wh1", &failing.url()).await;
    let other = told_one(&mut world, "told", Some("u1")).await;
    let under_way = world.note().await;
    for attempt in 1..=5 {
        world.step(&under_way, "wh1", attempt).await;
        assert_eq!(status(&world), Status::Active, "after attempt {attempt}");
        world.pass(DAY);
    }
    world.step(&under_way, "wh1", 6).await;
    let now = BEGIN.plus(5 * DAY);
    assert_eq!(status(&world), switched_off(DeactivationReason::Failing, now, BEGIN));

    let event = told(&mut world, "told", &other).await;

    let body = json!({
        "webhook": {"id": "wh1", "name": "", "host": "127.0.0.1"}, "reason": "failing",
        "failingSince": BEGIN.to_rfc3339(), "deactivatedAt": now.to_rfc3339(),
    });
    assert_eq!(event["body"], body);
    assert_eq!((&event["type"], &event["userId"]), (&json!(WEBHOOK_DEACTIVATED), &json!("u1")));
    assert_eq!((&event["createdAt"], &event["server"]), (&json!(now.as_millis()), &json!("https://misskey.example")));
    let fresh = world.note().await;
    assert_eq!(world.step(&fresh, "wh1", 1).await, Step::Skip(SkipReason::Deactivated));
    world.pass(DAY);
    let step = world.step(&under_way, "wh1", 7).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Deactivated, .. }), "{step:?}");
    world.finish().await;
}

#[tokio::test]
async fn refusals_count_as_failures_too() {
    let mut world = world_answering(|_, _| Answer::Status(404)).await;

    a_note_a_day(&mut world, 6).await;

    assert!(matches!(status(&world), Status::Deactivated(_)), "{:?}", status(&world));
    world.finish().await;
}

#[tokio::test]
async fn one_success_begins_the_count_anew() {
    let mut world = world_answering(|before, _| Answer::Status(if before == 4 { 200 } else { 500 })).await;

    a_note_a_day(&mut world, 10).await;
    assert_eq!((status(&world), failing_since(&world).await), (Status::Active, Some(BEGIN.plus(5 * DAY))));
    world.pass(DAY);
    a_note_a_day(&mut world, 1).await;

    let expected = switched_off(DeactivationReason::Failing, BEGIN.plus(10 * DAY), BEGIN.plus(5 * DAY));
    assert_eq!(status(&world), expected);
    world.finish().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_counts_on() {
    let mut world = world_answering(|_, _| Answer::Status(500)).await;
    a_note_a_day(&mut world, 3).await;

    world.stop_process().await;
    world.pass(DAY);
    world.start_process().await;

    a_note_a_day(&mut world, 2).await;
    assert_eq!(status(&world), Status::Active);
    world.pass(DAY);
    a_note_a_day(&mut world, 1).await;
    assert_eq!(status(&world), switched_off(DeactivationReason::Failing, BEGIN.plus(5 * DAY), BEGIN));
    world.finish().await;
}

#[tokio::test]
async fn who_is_activated_again_starts_afresh_also_after_a_restart() {
    let mut world = world_answering(|_, _| Answer::Status(500)).await;
    a_note_a_day(&mut world, 6).await;
    assert!(matches!(status(&world), Status::Deactivated(_)), "{:?}", status(&world));

    let change = Change { active: Some(true), ..Change::default() };
    world.registry.update(&webhook("wh1"), change).await.expect("activated");
    world.stop_process().await;
    world.start_process().await;
    world.pass(DAY);
    let again = world.clock.now();

    a_note_a_day(&mut world, 5).await;
    assert_eq!((status(&world), failing_since(&world).await), (Status::Active, Some(again)));
    world.pass(DAY);
    a_note_a_day(&mut world, 1).await;
    assert_eq!(status(&world), switched_off(DeactivationReason::Failing, again.plus(5 * DAY), again));
    world.finish().await;
}

#[tokio::test]
async fn what_its_owner_changes_is_counted_anew() {
    let mut world = world_answering(|_, _| Answer::Status(500)).await;
    a_note_a_day(&mut world, 5).await;

    world.pass(DAY);
    let other = world.answering(&[Answer::Status(500)]).await;
    let change = Change { url: Some(other.url().parse().expect("a URL")), ..Change::default() };
    world.registry.update(&webhook("wh1"), change).await.expect("changed");
    a_note_a_day(&mut world, 1).await;

    assert_eq!((status(&world), failing_since(&world).await), (Status::Active, Some(BEGIN.plus(5 * DAY))));
    world.finish().await;
}

#[tokio::test]
async fn with_the_setting_at_zero_nobody_is_switched_off_but_by_a_410() {
    // The last one comes soon after the thirtieth failure, and is to be attempted all the same.
    let setup = Setup { schedule: Vec::new(), deactivate_after: None, breaker_failures: 0, ..Setup::default() };
    let mut world = World::start(setup).await;
    let receiver = world.receiver(|before, _| Answer::Status(if before < 30 { 500 } else { 410 })).await;
    world.hook("wh1", &receiver.url()).await;

    a_note_a_day(&mut world, 30).await;
    assert_eq!((status(&world), failing_since(&world).await), (Status::Active, Some(BEGIN)));
    a_note_a_day(&mut world, 1).await;

    assert_eq!(status(&world), switched_off(DeactivationReason::Gone, BEGIN.plus(29 * DAY), BEGIN));
    world.finish().await;
}

#[tokio::test]
async fn a_system_webhook_that_is_gone_is_told_to_system_webhooks_and_to_no_users() {
    let mut world = World::plain().await;
    let gone = world.answering(&[Answer::Status(410)]).await;
    world.hook_with("wh1", &gone.url(), HookSetup { user: None, on: &["userCreated"], ..HookSetup::default() }).await;
    let system = told_one(&mut world, "system", None).await;
    let user = told_one(&mut world, "user", Some("u1")).await;

    let event = world.publish(r#"{"type":"userCreated","body":{}}"#).await;

    world.step(&event, "wh1", 1).await;
    let event = told(&mut world, "system", &system).await;
    assert_eq!((&event["body"]["reason"], &event["userId"]), (&json!("gone"), &Value::Null));
    assert_eq!(user.count(), 0);
    world.finish().await;
}

/// Waits until nothing is to be told any more.
async fn all_counts_as_told(world: &World) {
    soon("it counts as told", async {
        while !world.registry.announcements(1).await.expect("read").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    world.all_taken().await;
}

/// Waits until telling was in vain so often.
async fn told_in_vain(world: &World, times: u32) {
    soon("it is tried in vain", async {
        let is_less = |text: String| (0..times).any(|less| text.contains(&format!("hikyaku_troubles_total {less}\n")));
        while is_less(world.telemetry.render()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Keeps deactivations from being published.
fn refuse_publishing(world: &World) {
    let refusing = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON work WHEN new.type = '{WEBHOOK_DEACTIVATED}' \
         BEGIN SELECT raise(ABORT, 'not now'); END"
    );
    world.queue_file().execute_batch(&refusing).expect("a trigger");
}

#[tokio::test]
async fn an_owner_on_another_misskey_is_told_there_and_not_as_ours() {
    let mut world = World::start(Setup { schedule: Vec::new(), ..Setup::default() }).await;
    let (gone, other) = (world.answering(&[Answer::Status(410)]).await, world.answering(&[Answer::Status(200)]).await);
    world.hook_with("wh1", &gone.url(), HookSetup { source: "other", ..HookSetup::default() }).await;
    let setup = HookSetup { source: "other", on: &[WEBHOOK_DEACTIVATED], ..HookSetup::default() };
    world.hook_with("told", &other.url(), setup).await;

    world.publish(r#"{"type":"note","userId":"u1","source":"other","body":{}}"#).await;

    let event = told(&mut world, "told", &other).await;
    assert_eq!(event.get("server").filter(|server| !server.is_null()), None, "{event}");
    world.finish().await;
}

#[tokio::test]
async fn when_only_one_that_is_paused_subscribes_to_it_nothing_is_published() {
    let mut world = world_answering(|_, _| Answer::Status(410)).await;
    let paused = told_one(&mut world, "told", Some("u1")).await;
    let change = Change { active: Some(false), ..Change::default() };
    world.registry.update(&webhook("told"), change).await.expect("paused");

    a_note_a_day(&mut world, 1).await;

    all_counts_as_told(&world).await;
    assert_eq!(world.told().len(), 1, "the note alone: {:?}", world.told());
    assert_eq!(paused.count(), 0);
    world.finish().await;
}

#[tokio::test]
async fn who_has_deleted_the_webhook_meanwhile_is_not_told() {
    let mut world = world_answering(|_, _| Answer::Status(410)).await;
    let other = told_one(&mut world, "told", Some("u1")).await;
    refuse_publishing(&world);
    a_note_a_day(&mut world, 1).await;
    told_in_vain(&world, 1).await;

    world.registry.delete(&webhook("wh1")).await.expect("deleted");

    all_counts_as_told(&world).await;
    assert_eq!(other.count(), 0);
    world.finish().await;
}

#[tokio::test]
async fn what_was_published_and_cannot_be_noted_as_told_is_not_published_again() {
    let mut world = world_answering(|_, _| Answer::Status(410)).await;
    let other = told_one(&mut world, "told", Some("u1")).await;
    let refusing = "CREATE TRIGGER refuse BEFORE DELETE ON webhook_announcements BEGIN SELECT raise(ABORT, 'no'); END";
    world.store().execute_batch(refusing).expect("a trigger");
    a_note_a_day(&mut world, 1).await;
    told_in_vain(&world, 2).await;

    world.store().execute_batch("DROP TRIGGER refuse").expect("dropped");

    all_counts_as_told(&world).await;
    told(&mut world, "told", &other).await;
    assert_eq!(other.count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn when_nobody_subscribes_to_it_nothing_is_published() {
    let mut world = world_answering(|_, _| Answer::Status(410)).await;

    a_note_a_day(&mut world, 1).await;

    all_counts_as_told(&world).await;
    let unwanted = "hikyaku_events_without_subscriber_total 0";
    assert!(world.telemetry.render().contains(unwanted), "an event that nobody wants was published");
    world.finish().await;
}

#[tokio::test]
async fn what_cannot_be_published_at_once_is_told_later_and_once_also_after_a_restart() {
    let mut world = world_answering(|_, _| Answer::Status(410)).await;
    let other = told_one(&mut world, "told", Some("u1")).await;
    refuse_publishing(&world);
    a_note_a_day(&mut world, 1).await;
    told_in_vain(&world, 1).await;
    assert_eq!(world.registry.announcements(9).await.expect("read").len(), 1);

    world.stop_process().await;
    world.queue_file().execute_batch("DROP TRIGGER refuse").expect("dropped");
    world.pass(DAY);
    world.start_process().await;

    let event = told(&mut world, "told", &other).await;
    assert_eq!(event["createdAt"], json!(BEGIN.as_millis()), "when it happened, not when it is told");
    world.stop_process().await;
    world.start_process().await;
    assert_eq!(world.registry.announcements(9).await.expect("read"), []);
    world.all_taken().await;
    assert_eq!(other.count(), 1);
    world.finish().await;
}
