//! What the registry promises, in every store: each test is written once, over a [`World`], and run for each by
//! `on_every_store!`. What only a file can suffer is marked so.

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::clock::ManualClock;
use crate::model::{
    Body, Condition, Event, EventId, Signing, SigningChange, SigningKey, UserId, check_signing_key,
    check_signing_secret,
};
use crate::model::{Deactivation, DeactivationReason, Timestamp};
use crate::model::{EventType, Format, Options, Origin, Owner, RateLimit, Secret, Source};
use crate::postgres::{Postgres, PostgresUrl, server};
use crate::telemetry::Telemetry;

const START: Timestamp = Timestamp::from_millis(1_774_960_496_789);

/// Each of these tests, for a file and for a database of PostgreSQL's.
macro_rules! on_every_store {
    ($($test:ident,)+) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::World::in_a_file()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::World::in_postgresql()).await;
            })+
        }
    };
}

mod announced;
mod damaged;
mod declared;
mod followed;
mod locked;
mod sealed;
mod signing;

on_every_store! {
    a_webhook_comes_back_as_it_was_made,
    a_long_url_of_other_letters_is_read_back_though_encoding_lengthened_it,
    a_webhook_without_an_id_gets_a_short_one_of_its_own,
    what_a_call_changed_is_in_the_snapshot_when_it_returns,
    an_event_finds_its_owners_webhooks_of_any_status_and_no_others,
    a_list_has_what_the_filter_lets_through_the_oldest_first,
    a_deleted_id_is_known_as_deleted_and_free_again_after_90_days,
    what_is_not_there_or_taken_is_named,
    the_first_deactivation_stands_until_the_owner_activates_again,
    no_secret_is_printed,
}

struct World {
    place: Place,
    clock: Arc<ManualClock>,
    seals: Seals,
}

enum Place {
    File(TempDir),
    Database(String),
}

impl World {
    fn in_a_file() -> Self {
        Self::at(Place::File(tempfile::tempdir().expect("a folder")))
    }

    fn in_postgresql() -> Self {
        Self::at(Place::Database(server::database()))
    }

    fn at(place: Place) -> Self {
        Self { place, clock: Arc::new(ManualClock::new(START, 0.5)), seals: Seals::default() }
    }

    fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// The store, as another process would open it.
    fn store(&self) -> Store {
        match &self.place {
            Place::File(folder) => Store::Sqlite(folder.path().join("store.db")),
            Place::Database(url) => {
                let url = PostgresUrl::parse(url).expect("a URL");
                Store::Postgres(Postgres::new(url, Telemetry::shared().expect("metrics")))
            }
        }
    }

    async fn open(&self) -> Registry {
        self.declaring(Vec::new()).await.expect("opens")
    }

    async fn declaring(&self, declared: Vec<Webhook>) -> Result<Registry, RegistryError> {
        Registry::open(&self.store(), self.seals.clone(), declared, self.clock.clone()).await
    }

    fn execute(&self, sql: &str) {
        match &self.place {
            Place::File(folder) => {
                let file = crate::sqlite::open(&folder.path().join("store.db")).expect("opens");
                file.execute_batch(sql).expect(sql);
            }
            Place::Database(url) => {
                server::sql(url, sql);
            }
        }
    }

    /// The text that `sql` gives.
    fn text(&self, sql: &str) -> String {
        match &self.place {
            Place::File(folder) => {
                let file = crate::sqlite::open(&folder.path().join("store.db")).expect("opens");
                file.query_row(sql, [], |row| row.get(0)).expect(sql)
            }
            Place::Database(url) => server::sql(url, sql),
        }
    }
}

fn id(text: &str) -> WebhookId {
    WebhookId::new(text).expect("id")
}

fn kinds(names: &[&str]) -> Vec<EventType> {
    names.iter().map(|name| EventType::new(name).expect("type")).collect()
}

fn user(name: &str) -> Owner {
    Owner::User(UserId::new(name).expect("user"))
}

fn new(name: &str) -> NewWebhook {
    NewWebhook {
        id: Some(id(name)),
        owner: user("alice"),
        source: Source::default(),
        name: "a bot".to_owned(),
        url: Url::parse("https://bot.example/hook").expect("url"),
        secret: Secret::new("hunter2"),
        on: kinds(&["note", "mention"]),
        active: true,
        options: Options::default(),
    }
}

fn declared(name: &str, status: Status) -> Webhook {
    Webhook { origin: Origin::Settings, status, ..new(name).into_webhook(START) }
}

fn event(kind: &str, owner: &Owner) -> Event {
    Event {
        id: EventId::new("event1").expect("id"),
        kind: EventType::new(kind).expect("type"),
        user: owner.user().cloned(),
        source: Source::default(),
        server: None,
        created_at: START,
        accepted_at: START,
        trace: None,
        body: Body::from_checked(Bytes::from_static(b"{}")),
    }
}

fn active(active: bool) -> Change {
    Change { active: Some(active), ..Change::default() }
}

fn stopped(reason: DeactivationReason, at: Timestamp) -> Status {
    Status::Deactivated(Deactivation { reason, at, failing_since: None })
}

/// Waits until a snapshot fits. A second is promised; the rest is for a machine that has other things to do.
async fn followed(registry: &Registry, what: &str, fits: impl FnMut(&Arc<Snapshot>) -> bool) {
    let mut changes = registry.changes();
    let wait = changes.wait_for(fits);
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect(what).expect("the registry is open");
}

async fn a_webhook_comes_back_as_it_was_made(world: World) {
    let filters = json!([
        {"path": "/note/text", "contains": ["a", "B"], "types": ["note"]},
        {"path": "/x", "in": [1.5, -3, "1", null, true]},
        {"path": "/note/replyId", "exists": false},
    ]);
    let mut signing = Signing::default();
    for byte in 1..=3 {
        let secret = check_signing_secret(&format!("whsec_{}", data_encoding::BASE64.encode(&[byte; 24])));
        signing.change(
            &SigningChange {
                secret: Some(Some(secret.expect("a secret"))),
                key: Some(Some(SigningKey::of_seed(&[byte; 32]))),
                ..SigningChange::default()
            },
            START,
        );
    }
    let certificate = crate::model::ClientCertificate::new(
        include_str!("../../tests/fixtures/tls/client.pem"),
        include_str!("../../tests/fixtures/tls/client-key.pem"),
    );
    let options = Options {
        retry_schedule: Some(vec![Duration::from_secs(5), Duration::from_millis(30_500)]),
        max_age: Some(Duration::from_secs(86_400)),
        timeout: Some(Duration::from_millis(2500)),
        format: Format::CloudEvents,
        send_secret: false,
        signing,
        client_certificate: Some(certificate.expect("a certificate")),
        rate_limit: Some(RateLimit::new(0.2, Some(7)).expect("allowed")),
        filters: Condition::read_all("", &filters).expect("conditions"),
    };
    let system = NewWebhook { owner: Owner::System, options, active: false, on: Vec::new(), ..new("wh2") };
    let registry = world.open().await;
    for new in [new("wh1"), system] {
        let made = registry.create(new).await.expect("creates");
        let read = world.open().await.show(&made.id).expect("shows");
        assert_eq!(format!("{made:?}"), format!("{read:?}"));
        assert_eq!(made.secret, read.secret);
        assert_eq!(made.options.signing, read.options.signing);
        assert_eq!(made.options.filters, read.options.filters);
        let identity = |webhook: &Webhook| webhook.options.client_certificate.as_ref().map(|known| known.identity());
        assert_eq!(identity(&made), identity(&read));
    }
}

async fn a_long_url_of_other_letters_is_read_back_though_encoding_lengthened_it(world: World) {
    let url = crate::model::check_url(&format!("https://bot.example/{}", "配".repeat(1000))).expect("allowed");
    assert!(url.as_str().len() > crate::model::URL_CHARS_MAX);
    world.open().await.create(NewWebhook { url: url.clone(), ..new("wh1") }).await.expect("creates");
    assert_eq!(world.open().await.show(&id("wh1")).expect("shows").url, url);
}

async fn a_webhook_without_an_id_gets_a_short_one_of_its_own(world: World) {
    let registry = world.open().await;
    let first = registry.create(NewWebhook { id: None, ..new("x") }).await.expect("creates");
    let second = registry.create(NewWebhook { id: None, ..new("x") }).await.expect("creates");
    assert_ne!(first.id, second.id);
    let text = first.id.as_str();
    assert!(text.len() == 16 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{text}");
}

async fn what_a_call_changed_is_in_the_snapshot_when_it_returns(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    let note = event("note", &user("alice"));
    assert_eq!(registry.snapshot().subscribers(&note).count(), 1);
    let change = Change { on: Some(kinds(&["follow"])), name: Some("other".to_owned()), ..Change::default() };
    world.clock.advance(Duration::from_secs(1));
    let changed = registry.update(&id("wh1"), change).await.expect("updates");
    assert_eq!((changed.name.as_str(), changed.secret.expose()), ("other", "hunter2"));
    assert_eq!((changed.created_at, changed.updated_at), (START, START.plus(Duration::from_secs(1))));
    assert_eq!(registry.snapshot().subscribers(&note).count(), 0);
    assert_eq!(registry.snapshot().subscribers(&event("follow", &user("alice"))).count(), 1);
    registry.delete(&id("wh1")).await.expect("deletes");
    assert_eq!(registry.snapshot().subscribers(&event("follow", &user("alice"))).count(), 0);
    assert_eq!(registry.snapshot().count(), 0);
}

async fn an_event_finds_its_owners_webhooks_of_any_status_and_no_others(world: World) {
    let registry = world.declaring(vec![declared("settings", Status::Active)]).await.expect("opens");
    registry.create(new("active")).await.expect("creates");
    registry.create(NewWebhook { active: false, ..new("paused") }).await.expect("creates");
    registry.create(NewWebhook { owner: user("bob"), ..new("bobs") }).await.expect("creates");
    registry.create(NewWebhook { owner: Owner::System, ..new("system") }).await.expect("creates");
    registry
        .create(NewWebhook { source: Source::new("other").expect("source"), ..new("other") })
        .await
        .expect("creates");
    registry.deactivate(&id("active"), DeactivationReason::Gone).await.expect("deactivates");
    let found = |owner: &Owner| {
        let event = event("note", owner);
        let mut ids: Vec<String> = registry.snapshot().subscribers(&event).map(|found| found.id.to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(found(&user("alice")), ["active", "paused", "settings"]);
    assert_eq!(found(&user("bob")), ["bobs"]);
    assert_eq!(found(&Owner::System), ["system"]);
    assert_eq!(found(&user("carol")), Vec::<String>::new());
}

async fn a_list_has_what_the_filter_lets_through_the_oldest_first(world: World) {
    let registry = world.open().await;
    for (name, owner) in [("c", user("alice")), ("a", user("bob")), ("b", user("alice"))] {
        registry.create(NewWebhook { owner, ..new(name) }).await.expect("creates");
        world.clock.advance(Duration::from_secs(1));
    }
    let listed = |owner: Option<Owner>, source: Option<Source>| {
        let found = registry.list(&Filter { owner, source });
        found.iter().map(|webhook| webhook.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None), ["c", "a", "b"]);
    assert_eq!(listed(Some(user("alice")), None), ["c", "b"]);
    assert_eq!(listed(Some(user("alice")), Some(Source::default())), ["c", "b"]);
    assert_eq!(listed(None, Source::new("other").ok()), Vec::<String>::new());
}

async fn a_deleted_id_is_known_as_deleted_and_free_again_after_90_days(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    registry.delete(&id("wh1")).await.expect("deletes");
    assert!(matches!(registry.snapshot().find(&id("wh1")), Known::Deleted));
    assert!(matches!(registry.snapshot().find(&id("wh2")), Known::Unknown));
    let error = registry.create(new("wh1")).await.expect_err("taken");
    assert!(matches!(error, RegistryError::Deleted { .. }) && error.to_string().contains("wh1"), "{error}");
    assert!(matches!(registry.show(&id("wh1")), Err(RegistryError::NotFound { .. })));

    world.clock.advance(TOMBSTONE_AGE_MAX);
    let registry = world.open().await;
    assert!(matches!(registry.snapshot().find(&id("wh1")), Known::Deleted));
    world.clock.advance(Duration::from_secs(1));
    let registry = world.open().await;
    assert!(matches!(registry.snapshot().find(&id("wh1")), Known::Unknown));
    registry.create(new("wh1")).await.expect("free again");
}

async fn what_is_not_there_or_taken_is_named(world: World) {
    let registry = world.declaring(vec![declared("settings", Status::Active)]).await.expect("opens");
    registry.create(new("wh1")).await.expect("creates");
    for taken in ["wh1", "settings"] {
        let error = registry.create(new(taken)).await.expect_err("taken");
        assert!(matches!(error, RegistryError::Taken { .. }) && error.to_string().contains(taken), "{error}");
    }
    let errors = [
        registry.show(&id("wh9")).expect_err("absent"),
        registry.update(&id("wh9"), active(true)).await.expect_err("absent"),
        registry.delete(&id("wh9")).await.expect_err("absent"),
    ];
    for error in errors {
        assert!(matches!(error, RegistryError::NotFound { .. }) && error.to_string().contains("wh9"), "{error}");
    }
    assert!(!registry.deactivate(&id("wh9"), DeactivationReason::Gone).await.expect("answers"));
}

async fn the_first_deactivation_stands_until_the_owner_activates_again(world: World) {
    let registry = world.open().await;
    registry.create(new("wh1")).await.expect("creates");
    assert!(registry.deactivate(&id("wh1"), DeactivationReason::Gone).await.expect("deactivates"));
    world.clock.advance(Duration::from_secs(1));
    assert!(!registry.deactivate(&id("wh1"), DeactivationReason::Failing).await.expect("answers"));
    for registry in [&registry, &world.open().await] {
        assert_eq!(registry.show(&id("wh1")).expect("shows").status, stopped(DeactivationReason::Gone, START));
    }
    let renamed = Change { name: Some("new".to_owned()), ..Change::default() };
    let renamed = registry.update(&id("wh1"), renamed).await.expect("updates");
    assert_eq!(renamed.status, stopped(DeactivationReason::Gone, START));
    assert_eq!(registry.update(&id("wh1"), active(false)).await.expect("pauses").status, Status::Paused);
    assert_eq!(registry.update(&id("wh1"), active(true)).await.expect("activates").status, Status::Active);
    assert_eq!(world.open().await.show(&id("wh1")).expect("shows").status, Status::Active);
}

async fn no_secret_is_printed(world: World) {
    let registry = world.open().await;
    let made = registry.create(new("wh1")).await.expect("creates");
    let printed = format!("{made:?} {registry:?} {:?} {:?}", registry.snapshot(), new("wh2"));
    assert!(!printed.contains("hunter2"), "{printed}");
}
