//! PostgreSQL that holds its connections and answers nothing.

use std::time::{Duration, Instant};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::Server;
use crate::support::program::{Home, declared, event, until};

/// How soon readiness tells of it. Documented are 5 s; a machine that has other things to do gets two more, and one that waited
/// for a statement's deadline would take more than ten.
const SOON: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_frozen_is_told_within_seconds_and_deliveries_go_on() {
    let server = Server::start();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let settings = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("store.url = \"{}\"\n{settings}", server.database()));
    let program = home.serve().await;
    until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;

    server.freeze();
    let began = Instant::now();
    until("readiness says so", async || {
        let (status, reasons) = program.get("/readyz").await;
        (status == 503 && reasons.contains("last known are in use") && reasons.contains("does not answer"))
            .then_some(())
    })
    .await;
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    assert_eq!(program.post(event("note", "e1")).await.0, 200);
    receiver.until_distinct(1).await;

    server.thaw();
    until("all is well again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    program.stop().await;
}
