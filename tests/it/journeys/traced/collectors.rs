//! Collectors that are away, slow, or do not want what they get: deliveries go on, it is counted, and told once.

use std::time::{Duration, Instant};

use crate::support::collector::Collector;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, event, events};

const DROPPED: &str = "hikyaku_trace_spans_total{result=\"dropped\"}";
const REFUSED: &str = "hikyaku_trace_spans_total{result=\"refused\"}";
const SENT: &str = "hikyaku_trace_spans_total{result=\"sent\"}";
/// Six spans each and more than may wait.
const MANY: usize = 3000;

async fn program_at(collector: &str, receiver: &Receiver) -> (Home, Program) {
    let hook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("traces.otlp_url = \"{collector}\"\ntraces.timeout_ms = 500\n{hook}"));
    let program = home.serve().await;
    (home, program)
}

/// How often the program has said that traces cannot be sent.
fn complaints(said: &str) -> usize {
    said.lines().filter(|line| line.contains("traces cannot be sent") && !line.contains("over: ")).count()
}

/// Has `MANY` events delivered while the collector is as it is, and looks that spans are dropped, and it is told once.
async fn deliveries_go_on(collector: &str) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let (_home, program) = program_at(collector, &receiver).await;
    assert_eq!(program.post(events("note", "e", MANY)).await.0, 200);
    receiver.until_distinct(MANY).await;
    assert_eq!(receiver.book().repeats(), 0);
    // What waits is 8192 and what is in the exporter's hand; of the rest each is counted.
    let ended = 2 + 4 * MANY;
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", MANY as f64).await;
    let dropped = program.metric(DROPPED).await;
    assert!(dropped >= (ended - 8192 - 512 - 4 * 4096 / MANY) as f64 / 2.0, "{dropped} of {ended} were dropped");
    assert_eq!(program.get("/readyz").await.0, 200, "it is no reason not to be ready");
    assert_eq!(program.metric("hikyaku_troubles_total").await, 0.0, "nor to call a person");
    assert_eq!(complaints(&program.said()), 1, "{}", program.said());
    let began = Instant::now();
    program.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_up_nothing_and_what_does_not_arrive_is_counted() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    deliveries_go_on(&format!("http://{nobody}")).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let collector = Receiver::start(Behaviour::Hang).await;
    deliveries_go_on(&collector.url("")).await;
}

#[tokio::test]
async fn a_collector_that_has_too_much_to_do_is_asked_again_and_gets_everything_in_the_end() {
    for status in [429, 503] {
        let (collector, receiver) =
            (Receiver::start(Behaviour::Answer(status)).await, Receiver::start(Behaviour::Answer(200)).await);
        let (_home, program) = program_at(&collector.url(""), &receiver).await;
        assert_eq!(program.post(event("note", "e1")).await.0, 200);
        receiver.until_distinct(1).await;
        collector.until("a try", |book| !book.arrived.is_empty()).await;
        collector.behave(Behaviour::Answer(200));
        program.metric_is(SENT, 6.0).await;
        assert_eq!((program.metric(DROPPED).await, program.metric(REFUSED).await), (0.0, 0.0));
        let said = program.said();
        assert!(complaints(&said) == 1 && said.contains(&format!("it answered {status}")), "{said}");
        assert!(said.contains("over: traces cannot be sent"), "{said}");
        program.stop().await;
    }
}

#[tokio::test]
async fn what_a_collector_does_not_want_is_not_sent_again_and_is_counted() {
    let (collector, receiver) =
        (Receiver::start(Behaviour::Answer(400)).await, Receiver::start(Behaviour::Answer(200)).await);
    let (home, program) = program_at(&collector.url(""), &receiver).await;
    assert_eq!(program.post(event("note", "e1")).await.0, 200);
    program.metric_is(REFUSED, 6.0).await;
    assert!(collector.book().arrived.len() <= 6, "each was sent once");
    assert_eq!(collector.book().arrived[0].path, "/v1/traces");
    let said = program.said();
    assert!(complaints(&said) == 1 && said.contains("it answered 400"), "{said}");
    program.stop().await;
    let found = home.cli(&["check"]).await.stdout;
    assert!(found.contains("takes no traces: it answered 400"), "{found}");
}

#[tokio::test]
async fn what_has_ended_at_the_end_is_sent_before_it_and_check_finds_a_collector_that_is_there() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(200)).await);
    let hook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("{}{hook}", collector.settings()));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 50)).await.0, 200);
    receiver.until_distinct(50).await;
    program.stop().await;
    assert_eq!(collector.until("settle", 50).await.len(), 50);
    assert_eq!(collector.named("POST").len(), 50);
    let found = home.cli(&["check"]).await.stdout;
    assert!(found.contains("takes traces"), "{found}");
}
