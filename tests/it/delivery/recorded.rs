//! The history: what is noted of deliveries and attempts, and that no delivery waits for it (promise 9).

use std::time::Duration;

use hikyaku::decide::Step;
use hikyaku::model::{DeliveryId, DeliveryState, EventId, Outcome};
use hikyaku::record::{HistoryFilter, KeptAttempt, KeptDelivery};

use crate::support::patience::soon;
use crate::support::receiver::Answer;
use crate::support::world::{Setup, World, webhook};

/// Deliveries in a row, one at a time. Did each wait for SQLite, the last would come minutes too late.
const IN_A_ROW: usize = 300;

/// Waits until the history says that the delivery stands as `state` after so many attempts.
async fn recorded(
    world: &World,
    event: &EventId,
    state: DeliveryState,
    attempts: usize,
) -> (KeptDelivery, Vec<KeptAttempt>) {
    let reader = world.history_reader();
    let id = DeliveryId::of(event, &webhook("wh1"));
    soon("the history has the delivery", async {
        loop {
            if let Ok(Some((delivery, made))) = reader.show(&id).await
                && delivery.state == state
                && made.len() == attempts
            {
                return (delivery, made);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// How many deliveries the history says to be delivered.
async fn delivered(world: &World) -> usize {
    let filter = HistoryFilter { state: Some(DeliveryState::Delivered), ..HistoryFilter::default() };
    world.history_reader().list(&filter, 1000, None).await.map_or(0, |page| page.deliveries.len())
}

async fn until_delivered(world: &World, count: usize) {
    soon("the history has them all", async {
        while delivered(world).await < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A world that makes one delivery at a time, so that whatever they wait for adds up.
async fn one_at_a_time() -> World {
    let mut world = World::start(Setup { concurrency: 1, patience: Duration::from_secs(60), ..Setup::default() }).await;
    let receiver = world.answering(&[Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    world
}

#[tokio::test]
async fn each_attempt_is_recorded_with_its_number_and_the_state_it_led_to_also_over_a_restart() {
    let mut world = World::plain().await;
    let receiver = world.answering(&[Answer::Status(503), Answer::Status(500), Answer::Status(200)]).await;
    world.hook("wh1", &receiver.url()).await;
    let event = world.note().await;

    let (waiting, _) = recorded(&world, &event, DeliveryState::Waiting, 1).await;
    assert_eq!((waiting.reason.as_deref(), waiting.attempts), (Some("retry"), 1));
    assert_eq!(waiting.due, Some(world.clock.now().plus(Duration::from_secs(5))));
    world.stop_process().await;
    world.start_process().await;
    world.pass(Duration::from_secs(5));
    recorded(&world, &event, DeliveryState::Waiting, 2).await;
    world.pass(Duration::from_secs(30));

    let (ended, attempts) = recorded(&world, &event, DeliveryState::Delivered, 3).await;
    assert_eq!((ended.attempts, ended.due, ended.reason), (3, None, None));
    let told: Vec<_> = attempts.iter().map(|kept| (kept.made.number, kept.made.outcome, kept.made.status)).collect();
    let failed = Outcome::ServerError;
    assert_eq!(told, [(1, failed, Some(503)), (2, failed, Some(500)), (3, Outcome::Delivered, Some(200))]);
    assert!(attempts[0].made.error.contains("answered 503"), "{attempts:?}");
    assert_eq!((attempts[2].made.error.as_str(), attempts[2].worker.as_str()), ("", "a world"));
    assert_eq!(attempts[2].made.started_at, world.clock.now());
    world.finish().await;
}

#[tokio::test]
async fn deliveries_go_on_while_another_holds_the_history_and_it_is_written_afterwards() {
    let mut world = one_at_a_time().await;
    let stranger = world.history_file();
    stranger.execute_batch("BEGIN EXCLUSIVE").expect("locked");

    for _ in 0..IN_A_ROW {
        world.note().await;
    }
    world.steps(IN_A_ROW, |told| told.step == Step::Done).await;

    assert_eq!(delivered(&world).await, 0);
    stranger.execute_batch("ROLLBACK").expect("free");
    until_delivered(&world, IN_A_ROW).await;
    world.finish().await;
}

#[tokio::test]
async fn deliveries_go_on_while_the_history_cannot_be_written_and_what_is_noted_afterwards_is_kept() {
    let mut world = one_at_a_time().await;
    let stranger = world.history_file();
    stranger.execute_batch("ALTER TABLE history_rows RENAME TO away").expect("renamed");
    world.note().await;
    world.steps(1, |told| told.step == Step::Done).await;
    soon("writing has failed", async {
        while !world.telemetry.render().contains("\nhikyaku_troubles_total 1\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    stranger.execute_batch("ALTER TABLE away RENAME TO history_rows").expect("renamed");
    until_delivered(&world, 1).await;
    world.finish().await;
}
