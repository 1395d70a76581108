//! What of the clocks counts; a real registry and real latest attempts, and clocks that can be set.

use std::sync::Mutex;

use tempfile::TempDir;
use url::Url;

use super::*;
use crate::clock::{Clock, Wait};
use crate::model::{EventType, Options, Owner, Secret, Source};
use crate::registry::{Change, NewWebhook, Seals};
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
        let registry = Registry::open(&store, Seals::default(), Vec::new(), shared).await.expect("a registry");
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
        let (outcome, words) = (Outcome::ServerError, "the receiver answered 500".to_owned());
        failing.follow(&self.webhook(), &Verdict { outcome, status: Some(500), retry_after: None, words }).await;
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
