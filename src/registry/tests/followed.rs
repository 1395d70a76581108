//! What another process does to the store, and a store that is away.

use super::*;

on_every_store! {
    what_another_process_changes_is_followed_within_a_second,
    a_change_of_ours_on_top_of_anothers_hides_neither,
    changes_of_the_store_that_are_not_of_the_registry_are_not_read,
    while_the_store_cannot_be_read_the_last_snapshot_stays_and_health_says_so,
    a_change_that_cannot_be_stored_is_not_in_the_snapshot,
    a_change_by_another_process_rings_and_is_followed_without_looking,
    two_processes_on_one_store_together_give_a_person_no_more_webhooks_than_allowed,
}

async fn what_another_process_changes_is_followed_within_a_second(world: World) {
    let server = world.declaring(vec![declared("settings", Status::Active)]).await.expect("opens").watch();
    let cli = world.declaring(vec![declared("settings", Status::Active)]).await.expect("opens");
    cli.create(new("wh1")).await.expect("creates");
    followed(&server, "created", |snapshot| matches!(snapshot.find(&id("wh1")), Known::Webhook(_))).await;
    cli.update(&id("wh1"), active(false)).await.expect("updates");
    let status = |snapshot: &Snapshot, name: &str| match snapshot.find(&id(name)) {
        Known::Webhook(webhook) => Some(webhook.status.clone()),
        Known::Deleted | Known::Unknown => None,
    };
    followed(&server, "paused", |snapshot| status(snapshot, "wh1") == Some(Status::Paused)).await;
    cli.deactivate(&id("settings"), DeactivationReason::Gone).await.expect("deactivates");
    let gone = stopped(DeactivationReason::Gone, START);
    followed(&server, "deactivated", |snapshot| status(snapshot, "settings").as_ref() == Some(&gone)).await;
    cli.delete(&id("wh1")).await.expect("deletes");
    followed(&server, "deleted", |snapshot| matches!(snapshot.find(&id("wh1")), Known::Deleted)).await;
}

async fn a_change_of_ours_on_top_of_anothers_hides_neither(world: World) {
    let (ours, theirs) = (world.open().await, world.open().await);
    theirs.create(new("theirs")).await.expect("creates");
    ours.create(new("ours")).await.expect("creates");
    assert_eq!(ours.snapshot().count(), 1, "not followed yet");
    let ours = ours.watch();
    followed(&ours, "theirs", |snapshot| snapshot.count() == 2).await;
}

async fn changes_of_the_store_that_are_not_of_the_registry_are_not_read(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    world.execute("CREATE TABLE other (x INTEGER); INSERT INTO other VALUES (1)");
    let before = registry.snapshot();
    registry.shared.poll().await;
    assert!(Arc::ptr_eq(&before, &registry.snapshot()));
}

async fn while_the_store_cannot_be_read_the_last_snapshot_stays_and_health_says_so(world: World) {
    let registry = world.open().await.watch_every(UNHEARD_LOOK_EVERY);
    registry.create(new("wh1")).await.expect("creates");
    let mut trouble = registry.shared.trouble.subscribe();
    world.execute("ALTER TABLE webhooks RENAME TO away; UPDATE registry_revision SET revision = revision + 1");
    let wait = trouble.wait_for(Option::is_some);
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("trouble is told").expect("open");
    let words = registry.health().expect("trouble");
    let place = if world.is_file() { "store.db" } else { "PostgreSQL at courier@" };
    assert!(words.contains(place) && words.contains("last known"), "{words}");
    assert_eq!(registry.snapshot().count(), 1);
    world.execute("ALTER TABLE away RENAME TO webhooks");
    let wait = trouble.wait_for(Option::is_none);
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("recovery is told").expect("open");
    assert_eq!((registry.health(), registry.snapshot().count()), (None, 1));
}

async fn a_change_that_cannot_be_stored_is_not_in_the_snapshot(world: World) {
    let registry = world.open().await;
    world.execute(match world.is_file() {
        true => "CREATE TRIGGER full BEFORE INSERT ON webhooks BEGIN SELECT raise(ABORT, 'no room'); END",
        false => "ALTER TABLE webhooks ADD CHECK (false)",
    });
    assert!(matches!(registry.create(new("wh1")).await, Err(RegistryError::Store(_))));
    assert_eq!(registry.snapshot().count(), 0);
}

async fn a_change_by_another_process_rings_and_is_followed_without_looking(world: World) {
    // They look once at their start, and not again for an hour. Of several on one store, each hears every change.
    let watching = world.open().await.watch_every(Duration::from_secs(3600));
    let beside = world.open().await.watch_every(Duration::from_secs(3600));
    let other = world.open().await;
    for (count, name) in ["first", "second", "third"].into_iter().enumerate() {
        other.create(new(name)).await.expect("created");
        for watching in [&watching, &beside] {
            followed(watching, "nobody rang", |snapshot| snapshot.count() == count + 1).await;
        }
    }
    other.update(&id("first"), active(false)).await.expect("changed");
    let paused = |snapshot: &Arc<Snapshot>| matches!(snapshot.find(&id("first")), Known::Webhook(webhook) if webhook.status == Status::Paused);
    followed(&watching, "nobody rang for a change", paused).await;
    other.delete(&id("first")).await.expect("deleted");
    followed(&watching, "nobody rang for a deletion", |snapshot| matches!(snapshot.find(&id("first")), Known::Deleted))
        .await;
}

async fn two_processes_on_one_store_together_give_a_person_no_more_webhooks_than_allowed(world: World) {
    // Neither follows the other: each knows in memory only of its own.
    let (one, other) = (world.open().await, world.open().await);
    let names: Vec<String> = (0..12).map(|number| format!("wh{number}")).collect();
    let add = |(number, name): (usize, &String)| {
        let registry = if number % 2 == 0 { &one } else { &other };
        registry.create_within(new(name), 3)
    };
    let made = futures_util::future::join_all(names.iter().enumerate().map(add)).await;
    let full = made.iter().filter(|made| matches!(made, Err(RegistryError::Full { max: 3 }))).count();
    assert_eq!((made.iter().filter(|made| made.is_ok()).count(), full), (3, 9), "{made:?}");
    assert_eq!(world.open().await.snapshot().count(), 3);
    let elsewhere = NewWebhook { source: Source::new("second").expect("a source"), ..new("elsewhere") };
    assert!(one.create_within(elsewhere, 3).await.is_ok(), "another source's count for themselves");
    assert!(one.create_within(NewWebhook { owner: user("bob"), ..new("bobs") }, 3).await.is_ok(), "so do others'");
    assert!(one.create(new("admins")).await.is_ok(), "without a limit there is room");
}
