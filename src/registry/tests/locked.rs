//! In PostgreSQL, where changes of several processes could pass each other: they go one after the other.

use super::*;

/// How many wait for a lock in the database of `url`.
fn waiting(world: &World) -> String {
    world.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
}

#[tokio::test]
async fn who_adds_a_webhook_counts_those_of_a_change_that_is_under_way() {
    let world = World::in_postgresql();
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    let Store::Postgres(stranger) = world.store() else { panic!("a database") };
    let mut session = stranger.session().await.expect("a session");
    let mut change = session.transaction().await.expect("begun");
    change.query("SELECT revision FROM registry_revision FOR UPDATE", &[]).await.expect("locked");
    let copy = "CREATE TEMPORARY TABLE copy AS SELECT * FROM webhooks; UPDATE copy SET id = 'theirs'; \
        INSERT INTO webhooks SELECT * FROM copy";
    change.batch(copy).await.expect("added");

    let adding = registry.create_within(new("ours"), 2);
    let committing = async {
        while waiting(&world) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        change.commit().await.expect("committed");
    };
    let (added, ()) = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(adding, committing) })
        .await
        .expect("it waits for the other's change");

    assert!(matches!(added, Err(RegistryError::Full { max: 2 })), "{added:?}");
}
