//! What one worker is told, the other knows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{LONG, home};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::database;
use crate::support::program::{Program, until};

/// Times that a webhook is paused and activated. A busy machine may take its time now and then, not half of the time.
const TIMES: usize = 9;

/// Whose webhook it is.
const USER: &str = "u1";

/// Events of the user's, as NDJSON.
fn events(prefix: &str, count: usize) -> String {
    let event = |n| format!("{{\"type\":\"note\",\"userId\":\"{USER}\",\"eventId\":\"{prefix}{n}\",\"body\":{{}}}}\n");
    (0..count).map(event).collect()
}

/// Has `program` set whether the webhook is active.
async fn set_active(program: &Program, id: &str, active: bool) {
    let (status, body) =
        program.call("i/webhooks/update", json!({"userId": USER, "webhookId": id, "active": active})).await;
    assert_eq!(status, 204, "{body}");
}

/// Waits until `program` knows whether the webhook is active.
async fn knows_active(program: &Program, id: &str, active: bool) {
    until("the other worker knows it", async || {
        let (status, webhook) = program.call("i/webhooks/show", json!({"userId": USER, "webhookId": id})).await;
        assert_eq!(status, 200, "{webhook}");
        (webhook["active"] == Value::Bool(active)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_paused_through_one_worker_is_paused_at_the_other_within_a_second() {
    let (queue, prefix, store) = (shared_url().await, own_prefix(), database());
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let homes = [(); 2].map(|()| home(&queue, &prefix, &store, ""));
    let create = ["webhooks", "create", "--id", "hook", "--user", USER, "--on", "note", "--url", &receiver.url("/")];
    homes[0].cli(&create).await.ok();
    let (one, other) = (homes[0].serve().await, homes[1].serve().await);
    assert_eq!(one.post(events("before", 20)).await.0, 200);
    receiver.until_within(LONG, "what came before arrives", |book| book.distinct() == 20).await;

    let mut took = Vec::new();
    for time in 0..TIMES {
        let (asked, asking) = if time % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let active = time % 2 == 1;
        let began = Instant::now();
        set_active(asked, "hook", active).await;
        knows_active(asking, "hook", active).await;
        took.push(began.elapsed());
    }
    took.sort();
    assert!(took[TIMES / 2] < Duration::from_secs(1), "{took:?}");

    // It is paused now, at both.
    let skipped = async |program: &Program| program.metric("hikyaku_deliveries_skipped_total").await;
    assert_eq!(one.post(events("paused", 40)).await.0, 200);
    until("every event is skipped, by either", async || {
        (skipped(&one).await + skipped(&other).await >= 40.0).then_some(())
    })
    .await;
    assert_eq!(receiver.book().distinct(), 20);
    one.stop().await;
    other.stop().await;
}
