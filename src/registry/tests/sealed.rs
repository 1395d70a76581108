//! What is secret lies in the store sealed, and keys can change.

use super::*;

on_every_store! {
    with_a_key_nothing_secret_stands_in_the_store,
    a_key_is_replaced_by_another_or_by_none,
    a_store_that_another_key_has_sealed_is_not_opened_and_stays_as_it_is,
    while_another_process_seals_with_a_key_that_is_not_here_the_last_snapshot_stays,
    a_sealed_text_that_was_altered_is_told_and_costs_that_webhook_only,
}

const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const EARLIER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const EARLIER_KEY: &str = "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
const TOKEN: &str = "a-token-in-a-path";
const SECRETS: [&str; 6] = ["hunter2", SIGNING, EARLIER, KEY, EARLIER_KEY, TOKEN];

fn key(byte: u8) -> SealKey {
    let mut bytes = [byte; 32];
    bytes[0] = 0xff;
    SealKey::parse(&data_encoding::BASE64.encode(&bytes)).expect("a key")
}

/// Sets `secret`, and the key that goes with it.
fn signing(secret: &str) -> SigningChange {
    let key = check_signing_key(if secret == SIGNING { KEY } else { EARLIER_KEY }).expect("a key");
    SigningChange { secret: Some(Some(Secret::new(secret))), key: Some(Some(key)), ..SigningChange::default() }
}

fn secretive(name: &str) -> NewWebhook {
    let mut options = Options::default();
    for secret in [EARLIER, SIGNING] {
        options.signing.change(&signing(secret), START);
    }
    NewWebhook { url: Url::parse(&format!("https://bot.example/{TOKEN}")).expect("url"), options, ..new(name) }
}

impl World {
    fn sealing(mut self, current: Option<u8>, previous: &[u8]) -> Self {
        self.seals = Seals { current: current.map(key), previous: previous.iter().copied().map(key).collect() };
        self
    }

    /// Which of [`SECRETS`] stand in the store: in its files, or in PostgreSQL's table.
    fn in_clear_text(&self) -> Vec<&'static str> {
        let bytes: Vec<u8> = match &self.place {
            Place::File(folder) => {
                let files = std::fs::read_dir(folder.path()).expect("the folder");
                files.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("read")).collect()
            }
            Place::Database(url) => server::sql(url, "SELECT * FROM webhooks").into_bytes(),
        };
        let found = |secret: &&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        SECRETS.into_iter().filter(found).collect()
    }
}

#[track_caller]
fn is_whole(registry: &Registry, name: &str) {
    let webhook = registry.show(&id(name)).expect("shows");
    assert_eq!(webhook.secret.expose(), "hunter2");
    let Signing { secret, key } = &webhook.options.signing;
    assert_eq!(secret.at(START).map(Secret::expose).collect::<Vec<_>>(), [SIGNING, EARLIER]);
    assert_eq!(key.at(START).map(SigningKey::expose).collect::<Vec<_>>(), [KEY, EARLIER_KEY]);
    assert!(webhook.url.path().ends_with(TOKEN));
}

async fn with_a_key_nothing_secret_stands_in_the_store(world: World) {
    let world = world.sealing(Some(1), &[]);
    let registry = world.open().await;
    registry.create(secretive("wh1")).await.expect("creates");
    registry.create(new("wh2")).await.expect("creates");
    let NewWebhook { url, secret, .. } = secretive("wh2");
    let earlier = Change { url: Some(url), secret: Some(secret), signing: signing(EARLIER), ..Change::default() };
    for change in [earlier, Change { signing: signing(SIGNING), ..Change::default() }] {
        registry.update(&id("wh2"), change).await.expect("changes");
    }
    drop(registry);
    assert_eq!(world.in_clear_text(), [""; 0]);
    let registry = world.open().await;
    is_whole(&registry, "wh1");
    is_whole(&registry, "wh2");
}

#[tokio::test]
async fn a_store_in_clear_text_is_sealed_once_there_is_a_key_and_nothing_of_it_is_left() {
    let mut world = World::in_a_file();
    let registry = world.open().await;
    for n in 0..100 {
        registry.create(secretive(&format!("wh{n}"))).await.expect("creates");
    }
    drop(registry);
    // As a version did that did not overwrite what it deleted.
    world.execute("PRAGMA secure_delete = OFF; DELETE FROM webhooks WHERE id != 'wh99'");
    assert_eq!(world.in_clear_text(), SECRETS, "this test can fail");
    world = world.sealing(Some(1), &[]);
    is_whole(&world.open().await, "wh99");
    assert_eq!(world.in_clear_text(), [""; 0]);
}

async fn a_key_is_replaced_by_another_or_by_none(world: World) {
    let world = world.sealing(Some(1), &[]);
    world.open().await.create(secretive("wh1")).await.expect("creates");
    let world = world.sealing(Some(2), &[1]);
    is_whole(&world.open().await, "wh1");
    let world = world.sealing(Some(2), &[]);
    is_whole(&world.open().await, "wh1");
    let world = world.sealing(None, &[2]);
    is_whole(&world.open().await, "wh1");
    let world = world.sealing(None, &[]);
    is_whole(&world.open().await, "wh1");
}

async fn a_store_that_another_key_has_sealed_is_not_opened_and_stays_as_it_is(world: World) {
    let world = world.sealing(Some(1), &[]);
    world.open().await.create(secretive("wh1")).await.expect("creates");
    let mut world = world;
    for (current, previous) in [(Some(2), &[3][..]), (None, &[])] {
        world = world.sealing(current, previous);
        let error = world.declaring(Vec::new()).await.expect_err("no key").to_string();
        assert!(error.contains(key(1).name()) && error.contains("store.encryption_key"), "{error}");
        world = world.sealing(Some(1), &[]);
        is_whole(&world.open().await, "wh1");
    }
}

async fn while_another_process_seals_with_a_key_that_is_not_here_the_last_snapshot_stays(world: World) {
    let world = world.sealing(Some(1), &[]);
    let registry = world.open().await.watch_every(UNHEARD_LOOK_EVERY);
    registry.create(secretive("wh1")).await.expect("creates");
    let seals = Seals { current: Some(key(2)), previous: vec![key(1)] };
    let store = world.store();
    let other = Registry::open(&store, seals, Vec::new(), world.clock.clone());
    let _other = other.await.expect("opens");
    let told = async {
        while registry.health().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), told).await.expect("told");
    let words = registry.health().expect("told");
    assert!(words.contains(key(2).name()) && words.contains("last known"), "{words}");
    is_whole(&registry, "wh1");
    // However often it is looked.
    let well_again = async {
        while registry.health().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(3 * UNHEARD_LOOK_EVERY, well_again)
        .await
        .expect_err("said no more, though nothing has changed");
}

async fn a_sealed_text_that_was_altered_is_told_and_costs_that_webhook_only(world: World) {
    let world = world.sealing(Some(1), &[]);
    let registry = world.open().await;
    registry.create(secretive("wh1")).await.expect("creates");
    registry.create(secretive("wh2")).await.expect("creates");
    drop(registry);
    world.execute("UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = 'wh2') WHERE id = 'wh1'");
    let registry = world.open().await;
    is_whole(&registry, "wh2");
    let snapshot = registry.snapshot();
    let problems: Vec<_> = snapshot.problems().iter().filter(|problem| problem.contains("wh1")).collect();
    assert!(problems.len() == 1 && problems[0].contains("altered"), "{problems:?}");
    let change = Change { secret: Some(Secret::new("hunter2")), ..Change::default() };
    registry.update(&id("wh1"), change).await.expect("mended");
    is_whole(&registry, "wh1");
}

#[tokio::test]
async fn a_table_in_clear_text_is_sealed_once_there_is_a_key_and_written_anew() {
    let world = World::in_postgresql();
    world.open().await.create(secretive("wh1")).await.expect("creates");
    assert_eq!(world.in_clear_text(), SECRETS, "this test can fail");
    let on_disk = "SELECT pg_relation_filenode('webhooks')";
    let before = world.text(on_disk);
    let world = world.sealing(Some(1), &[]);
    is_whole(&world.open().await, "wh1");
    assert_eq!(world.in_clear_text(), [""; 0]);
    assert_ne!(world.text(on_disk), before, "the old rows went with the old file");
}
