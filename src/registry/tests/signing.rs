//! What signs is changed where it lies, and goes when it signs no more.

use super::*;
use crate::model::{SIGNING_GRACE, Signers};

on_every_store! {
    two_processes_that_set_a_secret_leave_both_signing,
    an_earlier_secret_goes_out_of_the_store_with_the_first_change_after_its_grace,
    a_row_of_before_there_were_keys_is_read,
}

/// Sets the secret and the key of that byte.
fn signing(byte: u8) -> Change {
    let secret = check_signing_secret(&format!("whsec_{}", data_encoding::BASE64.encode(&[byte; 24])));
    let (secret, key) = (secret.expect("a secret"), SigningKey::of_seed(&[byte; 32]));
    let signing = SigningChange { secret: Some(Some(secret)), key: Some(Some(key)), ..SigningChange::default() };
    Change { signing, ..Change::default() }
}

/// How many secrets the store has for the webhook, the current one among them.
fn stored_secrets(world: &World) -> usize {
    world.text("SELECT options FROM webhooks").matches("whsec_").count()
}

async fn two_processes_that_set_a_secret_leave_both_signing(world: World) {
    let (one, other) = (world.open().await, world.open().await);
    one.create(new("wh1")).await.expect("creates");
    one.update(&id("wh1"), signing(1)).await.expect("changes");
    let webhook = other.update(&id("wh1"), signing(2)).await.expect("changes");
    assert_eq!(webhook.options.signing.secret.at(START).count(), 2);
    assert_eq!(webhook.options.signing.key.at(START).count(), 2);
    // This one does not know of the second yet, and gives all its options anew.
    let options = Some(one.show(&id("wh1")).expect("shows").options.clone());
    let webhook = one.update(&id("wh1"), Change { options, ..Change::default() }).await.expect("changes");
    assert_eq!(webhook.options.signing.secret.at(START).count(), 2, "what signs stays");
}

async fn an_earlier_secret_goes_out_of_the_store_with_the_first_change_after_its_grace(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    for byte in [1, 2] {
        registry.update(&id("wh1"), signing(byte)).await.expect("changes");
    }
    world.clock.advance(SIGNING_GRACE);
    assert_eq!(stored_secrets(&world), 2);
    let renamed = Change { name: Some("new".to_owned()), ..Change::default() };
    registry.update(&id("wh1"), renamed).await.expect("changes");
    assert_eq!(stored_secrets(&world), 1);
}

async fn a_row_of_before_there_were_keys_is_read(world: World) {
    world.open().await.create(new("wh1")).await.expect("creates");
    world.execute(r#"UPDATE webhooks SET options = '{"sendSecret":false,"signingSecret":"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}'"#);
    let webhook = world.open().await.show(&id("wh1")).expect("shows");
    let secrets: Vec<&str> = webhook.options.signing.secret.at(START).map(Secret::expose).collect();
    assert_eq!(secrets, ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]);
    assert_eq!(webhook.options.signing.key, Signers::default());
}
