//! What is still to be told of deactivations.

use super::*;

on_every_store! {
    a_deactivation_is_to_be_told_until_it_was_whatever_becomes_of_the_webhook,
    what_does_not_deactivate_is_not_to_be_told,
    of_two_deactivations_the_older_is_told_first_and_each_by_itself,
}

/// The ids and reasons of what is still to be told.
async fn to_be_told(registry: &Registry) -> Vec<(String, Deactivation)> {
    let all = registry.announcements(10).await.expect("reads");
    all.into_iter().map(|announcement| (announcement.webhook.to_string(), announcement.deactivation)).collect()
}

async fn a_deactivation_is_to_be_told_until_it_was_whatever_becomes_of_the_webhook(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    let since = START.minus(Duration::from_secs(60));
    let done = registry.deactivate_unless_changed(&id("wh1"), DeactivationReason::Failing, Some(since), START).await;
    assert!(done.expect("deactivates"));
    let expected = Deactivation { reason: DeactivationReason::Failing, at: START, failing_since: Some(since) };
    let reopened = world.open().await;
    assert_eq!(reopened.show(&id("wh1")).expect("shows").status, Status::Deactivated(expected.clone()));
    registry.update(&id("wh1"), active(true)).await.expect("activates");
    registry.delete(&id("wh1")).await.expect("deletes");
    assert_eq!(to_be_told(&reopened).await, [("wh1".to_owned(), expected)]);
    let all = reopened.announcements(10).await.expect("reads");
    reopened.announced(&all[0]).await.expect("notes");
    assert_eq!(to_be_told(&registry).await, []);
}

async fn what_does_not_deactivate_is_not_to_be_told(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    let before = START.minus(Duration::from_secs(1));
    for (name, seen) in [("wh1", before), ("wh9", START)] {
        let done = registry.deactivate_unless_changed(&id(name), DeactivationReason::Gone, None, seen).await;
        assert!(!done.expect("answers"), "{name}");
    }
    assert_eq!(to_be_told(&registry).await, []);
    registry.deactivate(&id("wh1"), DeactivationReason::Gone).await.expect("deactivates");
    registry.deactivate(&id("wh1"), DeactivationReason::Failing).await.expect("answers");
    assert_eq!(to_be_told(&registry).await.len(), 1);
}

async fn of_two_deactivations_the_older_is_told_first_and_each_by_itself(world: World) {
    let registry = world.declaring(vec![declared("settings", Status::Active)]).await.expect("opens");
    registry.deactivate(&id("settings"), DeactivationReason::Gone).await.expect("deactivates");
    world.clock.advance(Duration::from_secs(1));
    registry.update(&id("settings"), active(true)).await.expect("activates");
    registry.deactivate(&id("settings"), DeactivationReason::Failing).await.expect("deactivates");
    let first = registry.announcements(1).await.expect("reads");
    assert_eq!(first[0].deactivation.reason, DeactivationReason::Gone);
    registry.announced(&first[0]).await.expect("notes");
    let left = to_be_told(&registry).await;
    assert_eq!(left.iter().map(|(_, told)| told.reason).collect::<Vec<_>>(), [DeactivationReason::Failing]);
}

#[tokio::test]
async fn what_an_older_hikyaku_deactivated_stays_so_and_is_not_told_again() {
    let world = World::in_a_file();
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    registry.deactivate(&id("wh1"), DeactivationReason::Gone).await.expect("deactivates");
    drop(registry);
    world.execute(
        "ALTER TABLE webhook_state DROP COLUMN failing_since; DROP TABLE webhook_announcements; \
         UPDATE hikyaku_schema SET version = 2 WHERE part = 'registry'",
    );
    let registry = world.open().await;
    assert_eq!(registry.show(&id("wh1")).expect("shows").status, stopped(DeactivationReason::Gone, START));
    assert_eq!(to_be_told(&registry).await, []);
}
