//! Webhooks of the settings file.

use super::*;

on_every_store! {
    a_declared_webhooks_deactivation_outlives_a_restart_until_it_is_activated,
    a_declared_webhook_can_neither_be_changed_nor_deleted,
    an_id_both_declared_and_stored_or_declared_twice_is_refused_with_a_way_out,
    declared_webhooks_take_none_of_a_persons_room,
}

async fn a_declared_webhooks_deactivation_outlives_a_restart_until_it_is_activated(world: World) {
    let webhooks = || vec![declared("wh1", Status::Active)];
    let registry = world.declaring(webhooks()).await.expect("opens");
    assert!(registry.deactivate(&id("wh1"), DeactivationReason::Failing).await.expect("deactivates"));
    assert!(!registry.deactivate(&id("wh1"), DeactivationReason::Gone).await.expect("answers"));
    for registry in [registry, world.declaring(webhooks()).await.expect("opens")] {
        assert_eq!(registry.show(&id("wh1")).expect("shows").status, stopped(DeactivationReason::Failing, START));
    }
    let paused = world.declaring(vec![declared("wh1", Status::Paused)]).await.expect("opens");
    assert_eq!(paused.show(&id("wh1")).expect("shows").status, Status::Paused);
    let registry = world.declaring(webhooks()).await.expect("opens");
    assert_eq!(registry.update(&id("wh1"), active(true)).await.expect("activates").status, Status::Active);
    assert_eq!(registry.show(&id("wh1")).expect("shows").status, Status::Active);
    let registry = world.declaring(webhooks()).await.expect("opens");
    assert_eq!(registry.show(&id("wh1")).expect("shows").status, Status::Active);
}

async fn a_declared_webhook_can_neither_be_changed_nor_deleted(world: World) {
    let webhooks = vec![declared("wh1", Status::Active), declared("wh2", Status::Paused)];
    let registry = world.declaring(webhooks).await.expect("opens");
    let renamed = Change { name: Some("new".to_owned()), ..active(true) };
    let errors = [
        registry.update(&id("wh1"), renamed).await.expect_err("refused"),
        registry.update(&id("wh1"), active(false)).await.expect_err("refused"),
        registry.update(&id("wh1"), Change::default()).await.expect_err("refused"),
        registry.update(&id("wh2"), active(true)).await.expect_err("refused"),
        registry.delete(&id("wh1")).await.expect_err("refused"),
    ];
    for error in errors {
        assert!(error.to_string().contains("declared in the settings file: change it there"), "{error}");
    }
    assert_eq!(registry.snapshot().count(), 2);
}

async fn an_id_both_declared_and_stored_or_declared_twice_is_refused_with_a_way_out(world: World) {
    world.open().await.create(new("wh1")).await.expect("creates");
    let both = vec![declared("wh1", Status::Active), declared("wh2", Status::Active)];
    let error = world.declaring(both).await.expect_err("both").to_string();
    assert!(error.contains("wh1") && !error.contains("wh2"), "{error}");
    assert!(error.contains("another id") && error.contains("hikyaku webhooks delete"), "{error}");
    let twice = vec![declared("wh3", Status::Active), declared("wh3", Status::Active)];
    assert!(matches!(world.declaring(twice).await, Err(RegistryError::DeclaredTwice { .. })));
}

async fn declared_webhooks_take_none_of_a_persons_room(world: World) {
    let declared = vec![declared("d1", Status::Active), declared("d2", Status::Active)];
    let registry = world.declaring(declared).await.expect("opens");
    assert!(registry.create_within(new("wh1"), 1).await.is_ok());
    let refused = registry.create_within(new("wh2"), 1).await.expect_err("full");
    assert!(matches!(refused, RegistryError::Full { max: 1 }), "{refused}");
}
