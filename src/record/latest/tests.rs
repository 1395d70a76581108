//! What the latest attempts promise, on real files.

use tempfile::TempDir;

use super::*;

struct World {
    folder: TempDir,
    latest: Latest,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let latest = Latest::open(&folder.path().join("store.db")).await.expect("opens");
        Self { folder, latest }
    }

    fn execute(&self, sql: &str) {
        let connection = crate::sqlite::open(&self.folder.path().join("store.db")).expect("opens");
        connection.execute_batch(sql).expect(sql);
    }

    async fn reopened(&self) -> Latest {
        Latest::open(&self.folder.path().join("store.db")).await.expect("opens")
    }
}

fn id(text: &str) -> WebhookId {
    WebhookId::new(text).expect("id")
}

fn attempt(ms: i64, status: u16) -> LatestAttempt {
    LatestAttempt { sent_at: Timestamp::from_millis(ms), status }
}

fn note(latest: &Latest, webhook: &str, ms: i64, status: u16) {
    latest.note(&id(webhook), Timestamp::from_millis(ms), status);
}

#[tokio::test]
async fn what_was_noted_is_known_at_once_and_after_a_flush_and_a_restart() {
    let world = World::new().await;
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), None);
    note(&world.latest, "wh1", 10, 200);
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(10, 200)));
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh2", 20, 1);
    let all = world.latest.all().await.expect("reads");
    assert_eq!(all, HashMap::from([(id("wh1"), attempt(10, 200)), (id("wh2"), attempt(20, 1))]));
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.reopened().await.all().await.expect("reads"), all);
}

#[tokio::test]
async fn the_later_attempt_counts_in_whatever_order_they_are_noted() {
    let world = World::new().await;
    note(&world.latest, "wh1", 20, 503);
    note(&world.latest, "wh1", 10, 200);
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh1", 15, 200);
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(20, 503)));
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(20, 503)));
}

#[tokio::test]
async fn what_was_noted_is_written_without_being_asked_for() {
    let world = World::new().await;
    let other = world.reopened().await;
    note(&world.latest, "wh1", 10, 200);
    let written = async {
        while other.of(&id("wh1")).await.expect("reads").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("the task writes what was noted");
}

#[tokio::test]
async fn what_a_store_that_is_away_cannot_take_is_kept_and_written_later() {
    let world = World::new().await;
    world.execute("ALTER TABLE webhook_latest RENAME TO away");
    note(&world.latest, "wh1", 10, 200);
    let tried = async {
        while world.latest.health().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), tried).await.expect("the task tries to write what was noted");
    world.latest.flush().await.expect_err("the table is away");
    let words = world.latest.health().expect("trouble");
    assert!(words.contains("store.db") && words.contains("1 webhooks"), "{words}");
    world.execute("ALTER TABLE away RENAME TO webhook_latest");
    let other = world.reopened().await;
    let written = async {
        while other.of(&id("wh1")).await.expect("reads").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("the task tries again by itself");
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.health(), None);
    assert!(locked(&world.latest.shared.waiting).is_empty(), "what is written is not kept in memory");
}

#[tokio::test]
async fn beyond_the_limit_webhooks_are_dropped_and_counted_and_those_known_still_noted() {
    let world = World::new().await;
    world.execute("ALTER TABLE webhook_latest RENAME TO away");
    for number in 0..WEBHOOKS_MAX + 3 {
        note(&world.latest, &format!("wh{number}"), 10, 200);
    }
    note(&world.latest, "wh0", 20, 500);
    assert_eq!(world.latest.dropped(), 3);
    world.execute("ALTER TABLE away RENAME TO webhook_latest");
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.all().await.expect("reads").len(), WEBHOOKS_MAX);
    assert_eq!(world.latest.of(&id("wh0")).await.expect("reads"), Some(attempt(20, 500)));
}

#[tokio::test]
async fn a_webhook_that_is_forgotten_is_gone_from_memory_and_store() {
    let world = World::new().await;
    note(&world.latest, "wh1", 10, 200);
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh1", 20, 200);
    world.latest.forget(&id("wh1")).await.expect("forgets");
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), None);
}
