//! On its way out: not ready from the first moment, still taking events, and ended at once by a second signal.

use std::time::{Duration, Instant};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, until};

#[tokio::test]
async fn while_it_finishes_it_is_not_ready_and_stores_events_and_a_second_sigterm_ends_it_at_once() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let settings = format!(
        "server.shutdown_grace_s = 60\ndelivery.timeout_ms = 60000\n{}",
        declared("hook", &receiver.url("/"), "note")
    );
    let home = Home::new(&settings);
    let mut program = home.serve().await;
    assert_eq!(program.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(program.post(event("note", "under-way")).await.0, 200);
    receiver.until_distinct(1).await;

    program.signal("TERM").await;
    program.line("SIGTERM: finishing what is in flight").await;
    let not_ready = async || (program.get("/readyz").await == (503, "shutting down\n".to_owned())).then_some(());
    until("it is not ready", not_ready).await;
    assert_eq!(program.get("/healthz").await.0, 200);
    assert_eq!(program.post(event("note", "late")).await.0, 200);

    let began = Instant::now();
    program.signal("TERM").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "the receiver would have had 60 s");
    assert!(said.contains("SIGTERM again: stopped at once, with exit code 1"), "{said}");

    receiver.behave(Behaviour::Answer(200));
    let program = home.serve().await;
    receiver.until("what came late arrives too", |book| book.answered == 2).await;
    program.stop().await;
}
