//! SIGTERM and SIGINT: what is in flight is finished, the rest stays queued, and nothing is sent twice.

use std::time::{Duration, Instant};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, events};

const EVENTS: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_twice_amid_two_thousand_deliveries_each_arrives_exactly_once() {
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(20))).await;
    // A small prefetch, so that what is in hand and finished is little of the whole.
    let webhook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("queue.prefetch = 64\ndelivery.concurrency = 64\n{webhook}"));
    let file = home.write("events.ndjson", &events("note", "e", EVENTS));
    home.cli(&["publish", file]).await.ok();

    for (signal, stop_at) in [("TERM", 300), ("INT", 900)] {
        let program = home.serve().await;
        receiver.until_distinct(stop_at).await;
        let began = Instant::now();
        program.signal(signal).await;
        let (code, said) = program.ended().await;
        assert_eq!(code, Some(0), "SIG{signal}; it said:\n{said}");
        assert!(began.elapsed() < Duration::from_secs(15), "SIG{signal}: the grace is 15 s");
        assert!(said.contains("stopped"), "{said}");

        let book = receiver.book();
        assert_eq!(book.arrived.len(), book.answered, "SIG{signal}: a request was broken off");
        assert!(book.distinct() < EVENTS, "SIG{signal} came too late to matter");
    }
    let program = home.serve().await;
    receiver.until_distinct(EVENTS).await;
    program.stop().await;

    let book = receiver.book();
    assert_eq!(book.event_ids.len(), EVENTS);
    assert_eq!(book.repeats(), 0);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_what_was_in_flight_is_delivered_after_the_restart() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    receiver.until_distinct(1).await;

    let mut program = program;
    program.signal("TERM").await;
    program.line("finishing what is in flight").await;
    let began = Instant::now();
    program.signal("INT").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5), "the receiver would have had 10 s");
    assert!(said.contains("SIGINT again"), "{said}");

    receiver.behave(Behaviour::Answer(200));
    let program = home.serve().await;
    receiver.until("the delivery arrives again", |book| book.answered == 1).await;
    assert_eq!(receiver.book().distinct(), 1);
    program.stop().await;
}
