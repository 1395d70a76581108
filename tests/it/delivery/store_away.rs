//! The store is away: deliveries go on, and what has to get there waits (promises 2 and 9).

use std::time::{Duration, Instant};

use hikyaku::decide::Step;
use hikyaku::model::{DeathReason, Status};

use crate::support::patience::soon;
use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, Setup, World, webhook};

/// Deliveries in a row, one at a time. Did each wait for SQLite, the last would come minutes too late.
const IN_A_ROW: usize = 300;

/// Takes a table away, or brings it back.
fn rename(world: &World, from: &str, to: &str) {
    world.store().execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).expect("renamed");
}

/// A world that makes one delivery at a time, so that whatever they wait for adds up.
async fn one_at_a_time() -> World {
    let mut world = World::start(Setup { concurrency: 1, patience: Duration::from_secs(60), ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    world
}

/// Publishes [`IN_A_ROW`] events and waits until each is delivered.
async fn in_a_row(world: &mut World) {
    for _ in 0..IN_A_ROW {
        world.note().await;
    }
    world.steps(IN_A_ROW, |told| told.step == Step::Done).await;
}

/// A world with a webhook that refuses everything and one that takes everything, of two users.
async fn refusing_and_healthy() -> World {
    let mut world = World::plain().await;
    let refusing = world.answering(&[Answer::Status(404)]).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("refusing", &refusing.url()).await;
    world.hook_with("healthy", &healthy.url(), HookSetup { user: Some("u2"), ..HookSetup::default() }).await;
    world
}

/// Publishes five events for each and waits until the worker is done with them.
async fn five_each(world: &mut World) {
    for _ in 0..5 {
        world.note().await;
        world.publish(r#"{"type":"note","userId":"u2","body":{}}"#).await;
    }
    world.steps(5, |told| matches!(told.step, Step::Dead { reason: DeathReason::Refused, .. })).await;
    world.steps(5, |told| told.step == Step::Done).await;
}

#[tokio::test]
async fn dead_letters_wait_in_the_queue_while_the_store_refuses_them_and_get_there_afterwards() {
    let mut world = refusing_and_healthy().await;
    rename(&world, "dead_letters", "away");

    five_each(&mut world).await;

    assert_eq!(world.queue().depths().await.expect("counted").dead, 5);
    assert_eq!(world.letters.total(), 0);
    rename(&world, "away", "dead_letters");
    assert_eq!(world.letters(5).await.len(), 5);
    world.finish().await;
}

#[tokio::test]
async fn dead_letters_that_wait_for_the_store_outlast_a_restart() {
    let mut world = refusing_and_healthy().await;
    rename(&world, "dead_letters", "away");
    five_each(&mut world).await;

    world.stop_process().await;
    world.start_process().await;

    assert_eq!(world.queue().depths().await.expect("counted").dead, 5);
    rename(&world, "away", "dead_letters");
    assert_eq!(world.letters(5).await.len(), 5);
    world.finish().await;
}

#[tokio::test]
async fn deliveries_go_on_while_another_holds_the_stores_lock() {
    let mut world = refusing_and_healthy().await;
    let stranger = world.store();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");

    five_each(&mut world).await;

    assert_eq!(world.queue().depths().await.expect("counted").dead, 5);
    stranger.execute_batch("ROLLBACK").expect("free");
    assert_eq!(world.letters(5).await.len(), 5);
    world.finish().await;
}

#[tokio::test]
async fn deliveries_go_on_while_the_latest_status_cannot_be_written_and_it_is_written_afterwards() {
    let mut world = refusing_and_healthy().await;
    rename(&world, "webhook_latest", "away");

    five_each(&mut world).await;

    let wait_for = async |well: bool| {
        soon("the record tells how it is", async {
            while world.latest.health().is_none() != well {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    wait_for(false).await;
    rename(&world, "away", "webhook_latest");
    wait_for(true).await;
    let latest = world.latest.of(&webhook("healthy")).await.expect("read").expect("noted");
    assert_eq!(latest.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn no_delivery_waits_for_its_latest_status_while_another_holds_the_store() {
    let mut world = one_at_a_time().await;
    let stranger = world.store();
    stranger.execute_batch("BEGIN EXCLUSIVE").expect("locked");

    in_a_row(&mut world).await;

    let told = async {
        while world.latest.health().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("SQLite gives up waiting for the lock", told).await;
    let words = world.latest.health().expect("just seen");
    assert!(
        words.contains("the latest attempts of 1 webhooks wait"),
        "one for each webhook, not for each attempt: {words}"
    );
    stranger.execute_batch("ROLLBACK").expect("free");
    let status = "SELECT status FROM webhook_latest WHERE webhook = 'wh1'";
    soon("the status is in the store", async {
        while stranger.query_row(status, [], |row| row.get(0)) != Ok(200) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn the_latest_status_is_written_for_many_deliveries_at_a_time() {
    let mut world = one_at_a_time().await;
    let stranger = world.store();
    let count = "CREATE TABLE writes (number INTEGER PRIMARY KEY) STRICT;
        CREATE TRIGGER first AFTER INSERT ON webhook_latest BEGIN INSERT INTO writes VALUES (NULL); END;
        CREATE TRIGGER later AFTER UPDATE ON webhook_latest BEGIN INSERT INTO writes VALUES (NULL); END";
    stranger.execute_batch(count).expect("counted");
    let began = Instant::now();

    in_a_row(&mut world).await;
    world.stop_process().await;

    let writes: u32 = stranger.query_row("SELECT count(*) FROM writes", [], |row| row.get(0)).expect("read");
    // One each half second, one at the beginning, and one at the end.
    let most = 2 + began.elapsed().as_millis() / 500;
    assert!((1..=most).contains(&writes.into()), "{writes} writes for {IN_A_ROW} deliveries; at most {most}");
    world.finish().await;
}

#[tokio::test]
async fn a_410_that_cannot_be_noted_kills_its_delivery_all_the_same() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(410)]).await;
    world.hook("wh1", &receiver.url()).await;
    rename(&world, "webhook_state", "away");

    let event = world.note().await;

    let step = world.step(&event, "wh1", 1).await;
    assert!(matches!(step, Step::Dead { reason: DeathReason::Gone, .. }), "{step:?}");
    assert_eq!(world.registry.show(&webhook("wh1")).expect("known").status, Status::Active);
    rename(&world, "away", "webhook_state");
    let next = world.note().await;
    world.step(&next, "wh1", 1).await;
    let status = &world.registry.show(&webhook("wh1")).expect("known").status;
    assert!(matches!(status, Status::Deactivated(_)), "the next 410 tries again: {status:?}");
    world.letters(2).await;
    world.finish().await;
}
