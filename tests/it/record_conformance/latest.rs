//! What the latest attempts promise.

use std::collections::HashMap;
use std::time::Duration;

use hikyaku::decide::Course;
use hikyaku::model::{Streak, Timestamp, WebhookId};
use hikyaku::record::{Latest, LatestAttempt, WEBHOOKS_MAX};

use super::backend::{Backend, Part};
use crate::support::patience::soon;

struct World<B: Backend> {
    store: B,
    latest: Latest,
}

impl<B: Backend> World<B> {
    async fn new() -> Self {
        let store = B::new().await;
        let latest = store.latest().await;
        Self { store, latest }
    }

    async fn execute(&self, sql: &str) {
        self.store.execute(Part::Store, sql).await;
    }

    async fn reopened(&self) -> Latest {
        self.store.latest().await
    }
}

fn id(text: &str) -> WebhookId {
    WebhookId::new(text).expect("id")
}

fn attempt(ms: i64, status: u16) -> LatestAttempt {
    LatestAttempt { sent_at: Timestamp::from_millis(ms), status, failing: None }
}

fn note(latest: &Latest, webhook: &str, ms: i64, status: u16) {
    latest.note(&id(webhook), Timestamp::from_millis(ms), status);
}

pub(super) async fn what_was_noted_is_known_at_once_and_after_a_flush_and_a_restart<B: Backend>() {
    let world = World::<B>::new().await;
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

pub(super) async fn the_later_attempt_counts_in_whatever_order_they_are_noted<B: Backend>() {
    let world = World::<B>::new().await;
    note(&world.latest, "wh1", 20, 503);
    note(&world.latest, "wh1", 10, 200);
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh1", 15, 200);
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(20, 503)));
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(20, 503)));
}

pub(super) async fn what_was_noted_is_written_without_being_asked_for<B: Backend>() {
    let world = World::<B>::new().await;
    let other = world.reopened().await;
    note(&world.latest, "wh1", 10, 200);
    let written = async {
        while other.of(&id("wh1")).await.expect("reads").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the task writes what was noted", written).await;
}

pub(super) async fn what_a_store_that_is_away_cannot_take_is_kept_and_written_later<B: Backend>() {
    let world = World::<B>::new().await;
    world.execute("ALTER TABLE webhook_latest RENAME TO away").await;
    note(&world.latest, "wh1", 10, 200);
    let tried = async {
        while world.latest.health().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the task tries to write what was noted", tried).await;
    world.latest.flush().await.expect_err("the table is away");
    let words = world.latest.health().expect("trouble");
    assert!(words.contains(B::NAME) && words.contains("1 webhooks"), "{words}");
    world.execute("ALTER TABLE away RENAME TO webhook_latest").await;
    let other = world.reopened().await;
    let written = async {
        while other.of(&id("wh1")).await.expect("reads").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the task tries again by itself", written).await;
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.health(), None);
}

pub(super) async fn beyond_the_limit_webhooks_are_dropped_and_counted_and_those_known_still_noted<B: Backend>() {
    let world = World::<B>::new().await;
    world.execute("ALTER TABLE webhook_latest RENAME TO away").await;
    for number in 0..WEBHOOKS_MAX + 3 {
        note(&world.latest, &format!("wh{number}"), 10, 200);
    }
    note(&world.latest, "wh0", 20, 500);
    assert_eq!(world.latest.dropped(), 3);
    world.execute("ALTER TABLE away RENAME TO webhook_latest").await;
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.all().await.expect("reads").len(), WEBHOOKS_MAX);
    assert_eq!(world.latest.of(&id("wh0")).await.expect("reads"), Some(attempt(20, 500)));
}

pub(super) async fn a_webhook_that_is_forgotten_is_gone_from_memory_and_store<B: Backend>() {
    let world = World::<B>::new().await;
    note(&world.latest, "wh1", 10, 200);
    // Twice, so that the task that writes by itself has had its turn too, and rests.
    world.latest.flush().await.expect("flushes");
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh1", 20, 200);
    world.latest.forget(&id("wh1")).await.expect("forgets");
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), None);
}

fn streak(since_ms: i64, lasted_ms: u64) -> Streak {
    Streak { since: Timestamp::from_millis(since_ms), lasted: Duration::from_millis(lasted_ms) }
}

fn fails(latest: &Latest, ms: i64, streak: Streak, anew: bool) {
    latest.note_course(&id("wh1"), Timestamp::from_millis(ms), 503, Course::Failing { streak, anew, stop: None });
}

async fn failing(latest: &Latest) -> Option<Streak> {
    latest.of(&id("wh1")).await.expect("reads").and_then(|attempt| attempt.failing)
}

pub(super) async fn since_when_a_webhook_fails_is_known_at_once_and_after_a_restart_until_it_succeeds<B: Backend>() {
    let world = World::<B>::new().await;
    fails(&world.latest, 10, streak(10, 0), true);
    assert_eq!(failing(&world.latest).await, Some(streak(10, 0)));
    world.latest.flush().await.expect("flushes");
    fails(&world.latest, 30, streak(10, 20), false);
    assert_eq!(failing(&world.latest).await, Some(streak(10, 20)), "what waits is put over what is stored");
    world.latest.flush().await.expect("flushes");
    let reopened = world.reopened().await;
    assert_eq!(failing(&reopened).await, Some(streak(10, 20)));
    assert_eq!(reopened.all().await.expect("reads")[&id("wh1")].failing, Some(streak(10, 20)));
    world.latest.note_course(&id("wh1"), Timestamp::from_millis(40), 200, Course::Well);
    assert_eq!(failing(&world.latest).await, None);
    world.latest.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, None);
}

pub(super) async fn a_test_is_the_latest_attempt_and_says_nothing_of_failing<B: Backend>() {
    let world = World::<B>::new().await;
    fails(&world.latest, 10, streak(10, 0), true);
    world.latest.flush().await.expect("flushes");
    note(&world.latest, "wh1", 20, 200);
    let with_test = LatestAttempt { failing: Some(streak(10, 0)), ..attempt(20, 200) };
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(with_test));
    world.latest.flush().await.expect("flushes");
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(with_test));
}

pub(super) async fn what_fails_anew_forgets_what_was_before_even_when_both_wait_to_be_written<B: Backend>() {
    let world = World::<B>::new().await;
    fails(&world.latest, 10, streak(10, 0), true);
    world.latest.flush().await.expect("flushes");
    fails(&world.latest, 90, streak(10, 80), false);
    world.latest.note_course(&id("wh1"), Timestamp::from_millis(95), 200, Course::Well);
    fails(&world.latest, 100, streak(100, 0), true);
    fails(&world.latest, 110, streak(100, 10), false);
    assert_eq!(failing(&world.latest).await, Some(streak(100, 10)));
    world.latest.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, Some(streak(100, 10)));
}

pub(super) async fn a_long_failing_that_is_stored_counts_nothing_for_one_that_begins_anew<B: Backend>() {
    let world = World::<B>::new().await;
    fails(&world.latest, 90, streak(10, 80), true);
    world.latest.flush().await.expect("flushes");
    fails(&world.latest, 100, streak(100, 0), true);
    assert_eq!(failing(&world.latest).await, Some(streak(100, 0)));
    world.latest.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, Some(streak(100, 0)));
}

pub(super) async fn of_two_attempts_at_one_moment_the_one_noted_last_counts<B: Backend>() {
    let world = World::<B>::new().await;
    for status in [200, 503] {
        note(&world.latest, "wh1", 10, status);
        world.latest.flush().await.expect("flushes");
    }
    assert_eq!(world.latest.of(&id("wh1")).await.expect("reads"), Some(attempt(10, 503)));
}

pub(super) async fn of_two_workers_that_find_a_webhook_failing_the_first_beginning_and_the_longer_time_count<
    B: Backend,
>() {
    let world = World::<B>::new().await;
    let other = world.reopened().await;
    fails(&world.latest, 10, streak(10, 0), true);
    world.latest.flush().await.expect("flushes");
    fails(&other, 500, streak(400, 100), false);
    fails(&other, 600, streak(550, 50), false);
    assert_eq!(failing(&other).await, Some(streak(10, 100)), "what waits, and what the other has stored");
    other.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, Some(streak(10, 100)));
    fails(&world.latest, 50, streak(10, 40), false);
    world.latest.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, Some(streak(10, 100)));
}

pub(super) async fn a_clock_that_was_set_back_keeps_neither_a_success_nor_a_failure_from_counting<B: Backend>() {
    let world = World::<B>::new().await;
    fails(&world.latest, 1000, streak(1000, 0), true);
    world.latest.flush().await.expect("flushes");
    world.latest.note_course(&id("wh1"), Timestamp::from_millis(10), 200, Course::Well);
    world.latest.flush().await.expect("flushes");
    assert_eq!(failing(&world.reopened().await).await, None);
}
