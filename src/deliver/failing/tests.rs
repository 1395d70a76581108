//! What of the clocks counts; a real registry and real latest attempts, and clocks that can be set.

use std::sync::Mutex;

use tempfile::TempDir;
use url::Url;

use super::*;
use crate::clock::{Clock, Wait};
use crate::model::{EventType, Options, Owner, Secret, Source};
use crate::registry::{Change, NewWebhook, Seals};
use crate::store::Store;
use crate::telemetry::Telemetry;

const BEGIN: Timestamp = Timestamp::from_millis(1_774_960_496_789);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86400);

/// A wall clock and one that only moves on, each set by hand.
#[derive(Debug)]
struct SetClock(Mutex<(Timestamp, Duration)>);

impl SetClock {
    fn pass(&self, time: Duration) {
        let mut both = self.0.lock().expect("whole");
        *both = (both.0.plus(time), both.1 + time);
    }

    fn set_wall(&self, change: impl Fn(Timestamp) -> Timestamp) {
        let mut both = self.0.lock().expect("whole");
        both.0 = change(both.0);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.0.lock().expect("whole").0
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().expect("whole").1
    }

    fn sleep_until(&self, _at: Timestamp) -> Wait {
        Box::pin(std::future::pending())
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

struct World {
    folder: TempDir,
    clock: Arc<SetClock>,
    registry: Arc<Registry>,
    latest: Arc<Latest>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(SetClock(Mutex::new((BEGIN, Duration::ZERO))));
        let store = folder.path().join("store.db");
        let shared = Arc::clone(&clock) as SharedClock;
        let registry = Registry::open(&Store::Sqlite(store.clone()), Seals::default(), Vec::new(), shared)
            .await
            .expect("a registry");
        let latest = Latest::open(&store).await.expect("latest attempts");
        let new = NewWebhook {
            id: Some(WebhookId::new("wh1").expect("an id")),
            owner: Owner::System,
            source: Source::default(),
            name: String::new(),
            url: Url::parse("https://bot.example/hook").expect("a URL"),
            secret: Secret::new(""),
            on: vec![EventType::new("userCreated").expect("a type")],
            active: true,
            options: Options::default(),
        };
        registry.create(new).await.expect("created");
        Self { folder, clock, registry: Arc::new(registry), latest: Arc::new(latest) }
    }

    async fn started(&self) -> Failing {
        let latest = Arc::new(Latest::open(&self.folder.path().join("store.db")).await.expect("latest attempts"));
        self.latest.flush().await.expect("written");
        let known = latest.all().await.expect("read");
        let telemetry = Telemetry::shared().expect("metrics");
        let clock = Arc::clone(&self.clock) as SharedClock;
        let (registry, latest) = (Arc::clone(&self.registry), Arc::clone(&self.latest));
        Failing::new(known, registry, latest, clock, telemetry, Some(5 * DAY), Arc::default())
    }

    fn webhook(&self) -> Arc<Webhook> {
        self.registry.show(&WebhookId::new("wh1").expect("an id")).expect("known")
    }

    async fn fails(&self, failing: &Failing) {
        self.comes_to(failing, &self.webhook(), Outcome::ServerError, Some(500)).await;
    }

    /// An attempt for `webhook`, as it was then, comes to that.
    async fn comes_to(&self, failing: &Failing, webhook: &Webhook, outcome: Outcome, status: Option<u16>) {
        failing.follow(webhook, &Verdict { outcome, status, retry_after: None, words: String::new() }).await;
    }

    async fn change(&self) {
        let change = Change { name: Some("new".to_owned()), ..Change::default() };
        self.registry.update(&self.webhook().id, change).await.expect("changed");
    }

    async fn streak(&self) -> Option<Streak> {
        self.latest.of(&self.webhook().id).await.expect("read").and_then(|latest| latest.failing)
    }
}

#[tokio::test]
async fn a_wall_clock_that_jumps_counts_for_nothing() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    for _ in 0..10 {
        world.clock.set_wall(|now| now.plus(4 * DAY));
        world.clock.pass(MINUTE);
        world.fails(&failing).await;
        world.clock.set_wall(|now| now.minus(4 * DAY));
        world.clock.pass(MINUTE);
        world.fails(&failing).await;
    }
    assert_eq!(world.webhook().status, Status::Active);
    assert_eq!(world.streak().await, Some(Streak { since: BEGIN, lasted: 20 * MINUTE }));
}

#[tokio::test]
async fn after_a_restart_the_wall_clock_counts_and_no_jump_of_it_is_enough() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    world.clock.pass(DAY);
    world.fails(&failing).await;
    world.clock.set_wall(|now| now.plus(9 * DAY));
    let failing = world.started().await;
    world.fails(&failing).await;
    assert_eq!(world.webhook().status, Status::Active);
    assert_eq!(world.streak().await, Some(Streak { since: BEGIN, lasted: DAY + 5 * DAY / 2 }));
    world.clock.set_wall(|now| now.minus(20 * DAY));
    let failing = world.started().await;
    world.fails(&failing).await;
    assert_eq!(world.streak().await.map(|streak| streak.lasted), Some(DAY + 5 * DAY / 2));
}

#[tokio::test]
async fn a_success_ends_the_streak_and_the_next_failure_begins_another() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    world.clock.pass(DAY);
    world.comes_to(&failing, &world.webhook(), Outcome::Delivered, Some(200)).await;
    assert_eq!(world.streak().await, None);
    world.clock.pass(DAY);
    world.fails(&failing).await;
    let since = BEGIN.plus(2 * DAY);
    assert_eq!(world.streak().await, Some(Streak { since, lasted: Duration::ZERO }));
}

#[tokio::test]
async fn what_was_under_way_when_its_webhook_was_deleted_leaves_nothing_behind() {
    let world = World::new().await;
    let failing = world.started().await;
    let webhook = world.webhook();
    world.registry.delete(&webhook.id).await.expect("deleted");
    world.comes_to(&failing, &webhook, Outcome::ServerError, Some(500)).await;
    assert_eq!(world.latest.of(&webhook.id).await.expect("read"), None);
}

#[tokio::test]
async fn a_fault_of_ours_is_no_attempt_of_the_webhooks() {
    let world = World::new().await;
    let failing = world.started().await;
    world.comes_to(&failing, &world.webhook(), Outcome::OurFault, None).await;
    assert_eq!(world.latest.of(&world.webhook().id).await.expect("read"), None);
}

#[tokio::test]
async fn a_webhook_that_is_changed_begins_anew_here_and_after_a_restart() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    world.clock.pass(DAY);
    world.change().await;
    world.clock.pass(DAY);
    let again = world.started().await;
    for failing in [&failing, &again] {
        world.fails(failing).await;
        let expected = Some(Streak { since: BEGIN.plus(2 * DAY), lasted: Duration::ZERO });
        assert_eq!(world.streak().await, expected);
    }
}

#[tokio::test]
async fn one_that_is_gone_is_switched_off_with_since_when_it_failed_and_told_and_nothing_more_is_remembered_of_it() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    world.clock.pass(MINUTE);
    let before = world.webhook();
    world.comes_to(&failing, &before, Outcome::Gone, Some(410)).await;
    let Status::Deactivated(deactivation) = world.webhook().status.clone() else { panic!("{:?}", world.webhook()) };
    assert_eq!((deactivation.reason, deactivation.failing_since), (DeactivationReason::Gone, Some(BEGIN)));
    let told = tokio::time::timeout(MINUTE, failing.deactivated.notified()).await;
    assert!(told.is_ok(), "who announces it is told");
    assert!(failing.runs.borrow().is_empty());
    assert_eq!(world.streak().await, None);

    world.comes_to(&failing, &before, Outcome::ServerError, Some(500)).await;
    assert_eq!(world.streak().await, None, "a late answer says nothing of what is switched off");
}

#[tokio::test]
async fn one_that_another_process_has_changed_meanwhile_is_not_switched_off() {
    let world = World::new().await;
    let failing = world.started().await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let store = world.folder.path().join("store.db");
    let other =
        Registry::open(&Store::Sqlite(store.clone()), Seals::default(), Vec::new(), clock).await.expect("a registry");
    world.clock.pass(MINUTE);
    let seen = world.webhook();
    let change = Change { name: Some("new".to_owned()), ..Change::default() };
    other.update(&seen.id, change).await.expect("changed");
    world.comes_to(&failing, &seen, Outcome::Gone, Some(410)).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let now =
        Registry::open(&Store::Sqlite(store.clone()), Seals::default(), Vec::new(), clock).await.expect("a registry");
    assert_eq!(now.show(&seen.id).expect("known").status, Status::Active);
    assert!(failing.runs.borrow().is_empty());
    assert_eq!(world.streak().await, None);
}

#[tokio::test]
async fn webhooks_that_were_deleted_are_forgotten_when_many_are_failing() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    let gone = WebhookId::new("gone").expect("an id");
    let run = *failing.runs.borrow().values().next().expect("one that fails");
    failing.runs.borrow_mut().insert(gone.clone(), run);
    *failing.unchecked_max.borrow_mut() = 1;
    world.fails(&failing).await;
    assert_eq!(failing.runs.borrow().keys().cloned().collect::<Vec<_>>(), [world.webhook().id.clone()]);
    assert_eq!(*failing.unchecked_max.borrow(), UNCHECKED_MAX, "not looked for at each failure");
}

#[tokio::test]
async fn an_answer_of_what_was_changed_meanwhile_says_nothing() {
    let world = World::new().await;
    let failing = world.started().await;
    let before = world.webhook();
    let change = Change { name: Some("new".to_owned()), ..Change::default() };
    world.registry.update(&before.id, change).await.expect("changed");
    for (outcome, status) in [(Outcome::ServerError, 500), (Outcome::Gone, 410)] {
        let verdict = Verdict { outcome, status: Some(status), retry_after: None, words: String::new() };
        failing.follow(&before, &verdict).await;
        assert_eq!((world.webhook().status.clone(), world.streak().await), (Status::Active, None), "{outcome}");
        let latest = world.latest.of(&before.id).await.expect("read");
        assert_eq!(latest.map(|latest| latest.status), Some(status));
    }
}

#[tokio::test]
async fn what_was_switched_off_leaves_no_streak_though_the_process_died_before_that_was_written() {
    let world = World::new().await;
    let failing = world.started().await;
    world.fails(&failing).await;
    let id = world.webhook().id.clone();
    world.registry.deactivate(&id, DeactivationReason::Failing).await.expect("deactivated");
    let _failing = world.started().await;
    assert_eq!(world.streak().await, None);
}
