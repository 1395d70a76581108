//! Rows that cannot be read.

use super::*;

on_every_store! {
    a_damaged_row_is_told_and_costs_no_other,
    a_damaged_row_is_mended_by_setting_the_field_anew_or_deleted,
    a_webhook_stopped_for_a_reason_of_a_newer_version_is_still_stopped,
}

async fn a_damaged_row_is_told_and_costs_no_other(world: World) {
    let registry = world.open().await;
    registry.create(new("good")).await.expect("creates");
    registry.create(new("bad")).await.expect("creates");
    let damages = [
        ("url = 'nonsense'", "url: "),
        ("url = 'ftp://bot.example/'", "ftp"),
        ("url = 'https://a:b@bot.example/'", "password"),
        (r#""on" = 'note'"#, "on: "),
        (r#""on" = '[""]'"#, "on: it is empty"),
        (r#"options = '{"signingSecret":"hunter3"}'"#, "options: "),
        (r#"options = '{"signingKey":"whsk_hunter3"}'"#, "options: signing_key: "),
        (r#"options = '{"previousSigningKeys":[{"text":"hunter3"}]}'"#, "options: signing_key: "),
        (r#"options = '{"previousSigningSecrets":[{"text":"hunter3"}]}'"#, "options: signing_secret: "),
        (r#"options = '{"maxAgeMs":"hunter3"}'"#, "options: "),
        (r#"options = '{"format":"teams"}'"#, "options: format: \"teams\" is none"),
        (r#"options = '{"rateLimit":{"perSecond":0,"burst":1}}'"#, "options: rateLimit: it is 0, and 0.001 to"),
        ("user_id = ''", "user_id: "),
        ("name = CAST(x'ff' AS TEXT)", "name: "),
    ];
    for (damage, words) in damages {
        if damage.contains("CAST") && !world.is_file() {
            // PostgreSQL has no text that is none.
            continue;
        }
        world.execute(&format!(
            "CREATE TABLE kept AS SELECT * FROM webhooks WHERE id = 'bad'; \
            UPDATE webhooks SET {damage} WHERE id = 'bad'"
        ));
        let registry = world.open().await;
        assert_eq!(registry.snapshot().count(), 1, "{damage}");
        let problems = registry.snapshot().problems().join("\n");
        assert!(problems.contains("the webhook bad") && problems.contains(words), "{damage}: {problems}");
        assert!(!problems.contains("hunter"), "{problems}");
        assert_eq!(registry.health(), None);
        let error = registry.update(&id("bad"), active(true)).await.expect_err("still damaged");
        assert!(matches!(error, RegistryError::Damaged { .. }) && error.to_string().contains(words), "{error}");
        world
            .execute("DELETE FROM webhooks WHERE id = 'bad'; INSERT INTO webhooks SELECT * FROM kept; DROP TABLE kept");
    }
}

async fn a_damaged_row_is_mended_by_setting_the_field_anew_or_deleted(world: World) {
    world.open().await.create(new("wh1")).await.expect("creates");
    world.execute("UPDATE webhooks SET url = 'nonsense'");
    let registry = world.open().await;
    let url = Url::parse("https://bot.example/new").expect("url");
    let change = Change { url: Some(url.clone()), ..Change::default() };
    assert_eq!(registry.update(&id("wh1"), change).await.expect("mends").url, url);
    world.execute("UPDATE webhooks SET url = 'nonsense'");
    let registry = world.open().await;
    registry.delete(&id("wh1")).await.expect("deletes");
    assert_eq!(world.open().await.snapshot().problems(), &[] as &[String]);
}

async fn a_webhook_stopped_for_a_reason_of_a_newer_version_is_still_stopped(world: World) {
    world.open().await.create(new("wh1")).await.expect("creates");
    world.execute("INSERT INTO webhook_state VALUES ('wh1', 'bored', 5, NULL)");
    let registry = world.open().await;
    let failing = stopped(DeactivationReason::Failing, Timestamp::from_millis(5));
    assert_eq!(registry.show(&id("wh1")).expect("shows").status, failing);
    assert!(registry.snapshot().problems()[0].contains("bored"));
}
