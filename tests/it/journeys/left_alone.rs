//! A webhook that fails is left alone, as operators and metrics see it, holds up no other, and gets everything afterwards.

use std::time::Duration;

use serde_json::Value;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events, until};

const EVENTS: usize = 40;
/// A breaker that opened a few times is seen to be closed within a minute or so, and the longest parked comes after as long.
const RECOVERY_MAX: Duration = Duration::from_secs(300);
/// Short waits: one that failed as a probe again and again would wait for longer than the recovery by the default ones.
pub(crate) const SCHEDULE: &str = "delivery.retry_schedule_s = [2, 2, 2, 2, 2, 2, 2, 2]\n";

/// Receivers of a webhook that fails and of one that is well, which get the same events.
pub(crate) struct Pair {
    pub(crate) failing: Receiver,
    pub(crate) well: Receiver,
}

impl Pair {
    /// Starts them.
    pub(crate) async fn start() -> Self {
        Self {
            failing: Receiver::start(Behaviour::Answer(503)).await,
            well: Receiver::start(Behaviour::Answer(200)).await,
        }
    }

    /// The settings that declare a webhook for each.
    pub(crate) fn settings(&self) -> String {
        SCHEDULE.to_owned()
            + &declared("failing", &self.failing.url("/"), "note")
            + &declared("well", &self.well.url("/"), "note")
    }

    /// Publishes, looks at the failure, and waits for the recovery.
    pub(crate) async fn check(&self, program: &Program) {
        assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
        self.well.until_distinct(EVENTS).await;
        program.metric_is("hikyaku_breakers_open", 1.0).await;
        let failing = until("the operators see it", async || {
            let (_, body) = program.operate("/v1/endpoints?sort=failuresInARow").await;
            let worst = body["endpoints"][0].clone();
            (worst["breaker"] == "open" && worst["parked"].as_u64() > Some(0)).then_some(worst)
        })
        .await;
        assert_eq!(failing["webhookId"], "failing");
        assert!(failing["failuresInARow"].as_u64() >= Some(10) && failing["openForMs"].as_u64().is_some(), "{failing}");
        // What was parked before may have found no slot, since failures leave few.
        let parked = "hikyaku_parked_total{reason=\"breaker_open\"}";
        until(parked, async || (program.metric(parked).await > 0.0).then_some(())).await;
        let attempts = self.failing.book().arrived.len();
        assert!(attempts < 2 * EVENTS, "{attempts} attempts while it was down");

        self.failing.behave(Behaviour::Answer(200));

        self.failing.until_within(RECOVERY_MAX, "every event arrives", |book| book.distinct() >= EVENTS).await;
        for queue in ["work", "delay", "dead"] {
            let name = format!("hikyaku_queue_depth{{queue=\"{queue}\"}}");
            let limit = tokio::time::timeout(RECOVERY_MAX, async {
                while program.metric(&name).await > 0.0 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            limit.await.unwrap_or_else(|_| panic!("{name} is not 0 within {RECOVERY_MAX:?}"));
        }
        program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 2.0 * EVENTS as f64).await;
        program.metric_is("hikyaku_breakers_open", 0.0).await;
        let well = self.well.book();
        assert_eq!((well.arrived.len(), well.repeats()), (EVENTS, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_is_left_alone_seen_by_operators_and_gets_everything_afterwards() {
    let pair = Pair::start().await;
    let home = Home::new(&pair.settings());
    let program = home.serve().await;
    pair.check(&program).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_need_the_token_and_are_told_what_is_wrong_with_what_they_ask() {
    let well = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("well", &well.url("/"), "note"));
    let program = home.serve().await;
    let (status, body) = program.operate("/v1/endpoints").await;
    assert_eq!((status, &body["total"], &body["endpoints"]), (200, &Value::from(0), &Value::Array(Vec::new())));
    assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
    well.until_distinct(3).await;

    let (status, body) = program.operate("/v1/endpoints?sort=attempts&limit=5").await;
    assert_eq!(status, 200, "{body}");
    let endpoint = &body["endpoints"][0];
    assert_eq!((&endpoint["webhookId"], &endpoint["breaker"]), (&"well".into(), &"closed".into()), "{body}");
    assert_eq!(format!("{}/", endpoint["host"].as_str().expect("a host")), well.url("/"));

    let (status, body) = program.operate("/v1/endpoints?sort=worst").await;
    assert!(status == 400 && body["detail"].as_str().is_some_and(|words| words.contains("failuresInARow")), "{body}");
    let (status, body) = program.operate_without_token("/v1/endpoints").await;
    assert!(status == 401 && body["detail"].as_str().is_some_and(|words| words.contains("Bearer")), "{body}");
    program.stop().await;
}
