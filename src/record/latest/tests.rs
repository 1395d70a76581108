//! What the latest attempts do that is seen from inside alone, or was otherwise once. What they promise is in
//! `tests/it/record_conformance/`.

use super::*;
use crate::model::{Deactivation, DeactivationReason, Options, Origin, Owner, Secret, Source};

fn id(text: &str) -> WebhookId {
    WebhookId::new(text).expect("id")
}

fn attempt(ms: i64, status: u16) -> LatestAttempt {
    LatestAttempt { sent_at: Timestamp::from_millis(ms), status, failing: None }
}

fn streak(since_ms: i64, lasted_ms: u64) -> Streak {
    Streak { since: Timestamp::from_millis(since_ms), lasted: Duration::from_millis(lasted_ms) }
}

#[tokio::test]
async fn what_is_written_is_not_kept_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let latest = Latest::open(&folder.path().join("store.db")).await.expect("opens");
    latest.note(&id("wh1"), Timestamp::from_millis(10), 200);
    assert_eq!(locked(&latest.shared.waiting).len(), 1);
    latest.flush().await.expect("flushes");
    assert!(locked(&latest.shared.waiting).is_empty());
}

#[test]
fn since_when_a_deactivated_webhook_was_failing_is_told_though_its_streak_has_ended() {
    let since = Some(Timestamp::from_millis(5));
    let stopped =
        Deactivation { reason: DeactivationReason::Failing, at: Timestamp::from_millis(9), failing_since: since };
    let active = webhook(Status::Active);
    let failing = LatestAttempt { failing: Some(streak(7, 0)), ..attempt(9, 503) };
    assert_eq!(failing_since(&active, Some(failing)), Some(Timestamp::from_millis(7)));
    assert_eq!(failing_since(&active, Some(attempt(9, 200))), None);
    assert_eq!(failing_since(&webhook(Status::Deactivated(stopped)), Some(attempt(9, 503))), since);
}

fn webhook(status: Status) -> Webhook {
    Webhook {
        id: id("wh1"),
        owner: Owner::System,
        source: Source::default(),
        name: String::new(),
        url: "https://bot.example/".parse().expect("a URL"),
        secret: Secret::new(""),
        on: Vec::new(),
        status,
        options: Options::default(),
        origin: Origin::Store,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

#[tokio::test]
async fn what_an_older_hikyaku_has_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let latest = Latest::open(&path).await.expect("opens");
    latest.note(&id("wh1"), Timestamp::from_millis(10), 500);
    latest.flush().await.expect("flushes");
    let sql = "ALTER TABLE webhook_latest DROP COLUMN failing_since; ALTER TABLE webhook_latest DROP COLUMN failing_ms; \
         UPDATE hikyaku_schema SET version = 1 WHERE part = 'latest'";
    crate::sqlite::open(&path).expect("opens").execute_batch(sql).expect(sql);
    let reopened = Latest::open(&path).await.expect("opens");
    assert_eq!(reopened.of(&id("wh1")).await.expect("reads"), Some(attempt(10, 500)));
    let course = Course::Failing { streak: streak(20, 0), anew: true, stop: None };
    reopened.note_course(&id("wh1"), Timestamp::from_millis(20), 503, course);
    reopened.flush().await.expect("flushes");
    let failing = reopened.of(&id("wh1")).await.expect("reads").and_then(|attempt| attempt.failing);
    assert_eq!(failing, Some(streak(20, 0)));
}
