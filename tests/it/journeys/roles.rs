//! One process takes events in, another delivers them.

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, TOKEN, declared, event};

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
    let refused = worker.api("i/webhooks/list").send().await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 404);
    let words = "this process serves no management API (`serve --role worker`); use the URL of one";
    home.write("token", TOKEN);
    for args in [
        &["delete", "hook"][..],
        &["update", "hook", "--name", "new"],
        &["create", "--name", "new", "--on", "note", "--url", "https://bot.example/"],
        &["test", "hook", "--type", "note"],
    ] {
        let remote = ["webhooks", "--url", &worker.address, "--token-file", "token"];
        let told = home.cli(&[&remote[..], args].concat()).await.failed(1, &[words]);
        assert!(told.contains(&worker.address) && !told.contains("older"), "{args:?}: {told}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_role_that_is_none_is_told_with_those_that_there_are() {
    let home = Home::new("");
    home.cli(&["serve", "--role", "console"]).await.failed(2, &["console", "ingest", "worker"]);
}
