//! One process takes events in, another delivers them.

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event};

/// A home with a webhook at `receiver`.
fn home(receiver: &Receiver) -> Home {
    Home::new(&declared("hook", &receiver.url("/"), "note"))
}

#[tokio::test]
async fn what_an_ingest_takes_in_a_worker_beside_it_delivers() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home(&receiver);
    let (ingest, worker) = (home.serve_as("ingest").await, home.serve_as("worker").await);

    assert_eq!(ingest.post(event("note", "e1")).await.0, 200);

    receiver.until_distinct(1).await;
    worker.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;
    assert_eq!(ingest.metric("hikyaku_deliveries_total{result=\"delivered\"}").await, 0.0);
    for program in [ingest, worker] {
        assert_eq!(program.get("/readyz").await, (200, "ready\n".to_owned()));
        program.stop().await;
    }
}

#[tokio::test]
async fn an_ingest_alone_keeps_what_it_took_in_and_a_worker_takes_nothing_in() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home(&receiver);
    let ingest = home.serve_as("ingest").await;
    assert_eq!(ingest.post(event("note", "e1")).await.0, 200);
    assert_eq!(ingest.call("i/webhooks/list", serde_json::json!({})).await.0, 200);
    ingest.stop().await;
    assert_eq!(receiver.book().distinct(), 0, "nobody delivers");

    let worker = home.serve_as("worker").await;
    receiver.until_distinct(1).await;
    let refused = worker.request().body(event("note", "e2")).send().await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 404);
    assert_eq!(worker.api("i/webhooks/list").send().await.expect("an answer").status().as_u16(), 404);
    worker.stop().await;
}

#[tokio::test]
async fn a_role_that_is_none_is_told_with_those_that_there_are() {
    let home = Home::new("");
    home.cli(&["serve", "--role", "console"]).await.failed(2, &["console", "ingest", "worker"]);
}
