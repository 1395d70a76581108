//! PostgreSQL killed under load: no delivery is lost, and none is late because of it.
//!
//! `HIKYAKU_TEST_OUTAGE_S=60` has it away for a minute; without it, for 8 s, more than any wait of ours between two tries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{LONG, home};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Arrived, Behaviour, Receiver};
use crate::support::postgres::{Server, sql};
use crate::support::program::{Program, TOKEN, until};

/// How long a delivery may take from the answer to its producer. It takes milliseconds; a machine that has other things to do
/// takes longer, and one that waited for PostgreSQL would take ten seconds and more.
const LATE: Duration = Duration::from_secs(5);
/// Events in one request, and how often one is made.
const BATCH: usize = 4;
const EVERY: Duration = Duration::from_millis(50);

fn outage() -> Duration {
    let seconds = std::env::var("HIKYAKU_TEST_OUTAGE_S").ok().map(|text| text.parse().expect("seconds"));
    Duration::from_secs(seconds.unwrap_or(8))
}

/// Publishes on and on; when each event's producer had its answer.
type Accepted = Arc<Mutex<HashMap<String, Instant>>>;

/// Publishes a batch for each user, until it is aborted.
async fn publish(program: &Program, accepted: &Accepted, until: impl Fn() -> bool) {
    let mut number = 0;
    let mut ticks = tokio::time::interval(EVERY);
    while !until() {
        ticks.tick().await;
        let ids: Vec<String> = (number..number + BATCH).map(|n| format!("e{n}")).collect();
        number += BATCH;
        let lines: String = ids
            .iter()
            .flat_map(|id| {
                ["healthy", "refusing"].map(|user| {
                    format!("{{\"type\":\"note\",\"userId\":\"{user}\",\"eventId\":\"{user}-{id}\",\"body\":{{}}}}\n")
                })
            })
            .collect();
        assert_eq!(program.post(lines).await.0, 200, "the queue takes it, whatever the store does");
        let now = Instant::now();
        accepted.lock().expect("nobody panicked").extend(ids.into_iter().map(|id| (format!("healthy-{id}"), now)));
    }
}

/// Checks that each of `accepted` arrived once, and soon after its producer had its answer.
#[track_caller]
fn assert_none_is_late(receiver: &Receiver, accepted: &HashMap<String, Instant>) {
    let book = receiver.book();
    assert_eq!((book.distinct(), book.repeats()), (accepted.len(), 0), "each arrives, and once");
    let late = |arrived: &Arrived| arrived.at.saturating_duration_since(accepted[&arrived.event_id()]);
    let latest = book.arrived.iter().map(late).max().expect("some");
    assert!(latest < LATE, "the latest of {} came {latest:?} after it was accepted", accepted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_killed_under_load_no_delivery_is_lost_or_late() {
    let server = Server::start();
    let (queue, prefix, store) = (shared_url().await, own_prefix(), server.database());
    let healthy = Receiver::start(Behaviour::Answer(200)).await;
    let refusing = Receiver::start(Behaviour::Answer(404)).await;
    let home = home(&queue, &prefix, &store, "");
    for (user, receiver) in [("healthy", &healthy), ("refusing", &refusing)] {
        let url = receiver.url("/");
        home.cli(&["webhooks", "create", "--id", user, "--user", user, "--on", "note", "--url", &url]).await.ok();
    }
    let (one, other) = (home.serve().await, home.serve().await);
    let accepted = Accepted::default();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let over = || is_over.load(std::sync::atomic::Ordering::SeqCst);

    let disturbing = async {
        healthy.until_within(LONG, "it is under way", |book| book.distinct() >= 40).await;
        server.kill();
        until("readiness says so", async || {
            let (status, reasons) = one.get("/readyz").await;
            (status == 503 && reasons.contains("last known are in use") && reasons.contains("PostgreSQL")).then_some(())
        })
        .await;
        let refused = one.call("i/webhooks/update", serde_json::json!({"webhookId": "healthy", "name": "new"})).await;
        assert_eq!(refused.0, 500, "webhooks cannot be changed meanwhile: {refused:?}");
        let status = one.asking(reqwest::Method::GET, &format!("{}/v1/status", one.address)).bearer_auth(TOKEN);
        let told = status.send().await.expect("an answer");
        assert_eq!(told.status(), 200, "how it is, is told all the same");
        let told: serde_json::Value = serde_json::from_slice(&told.bytes().await.expect("bytes")).expect("JSON");
        assert_eq!((&told["ready"], &told["deadLetters"]), (&false.into(), &serde_json::Value::Null), "{told}");
        assert!(told["problems"].to_string().contains("workers and dead letters cannot be read"), "{told}");
        assert_eq!((&told["queues"]["connected"], &told["webhooks"]["total"]), (&true.into(), &2.into()), "{told}");
        // Time itself is what is tested here.
        tokio::time::sleep(outage()).await;
        server.restart();
        for program in [&one, &other] {
            until("all is well again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    tokio::join!(publish(&one, &accepted, over), disturbing);

    let accepted = accepted.lock().expect("nobody panicked").clone();
    healthy.until_within(LONG, "every one arrives", |book| book.distinct() >= accepted.len()).await;
    assert_none_is_late(&healthy, &accepted);
    // What was given up meanwhile waited in the queue, and is all there.
    until("every dead letter is in the store", async || {
        (sql(&store, "SELECT count(*) FROM dead_letters") == accepted.len().to_string()).then_some(())
    })
    .await;
    one.stop().await;
    other.stop().await;
}
