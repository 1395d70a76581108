//! A memory alarm: nothing is accepted that could not be stored, nothing is begun whose failure could not be put anywhere,
//! and what is in hand is finished.

use std::collections::HashSet;
use std::time::Duration;

use super::{assert_nothing_is_left, home, repeats, until_all_is_done};
use crate::support::amqp::Stranger;
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{PATIENCE, declared, event, events, until};

const EVENTS: usize = 300;
/// Requests in flight; twice as many are in hand.
const CONCURRENCY: usize = 64;
/// Longer than the 10 s within which a session must have an answer to anything that is no publish.
const CALL_AND_MORE: Duration = Duration::from_secs(12);
/// How long nothing may arrive; an attempt that is wrongly begun comes at once.
const QUIET: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_memory_alarm_events_are_refused_and_no_attempt_is_begun_and_what_is_in_hand_is_settled() {
    let broker = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Hold).await;
    let limits = format!(
        "queue.prefetch = {0}\ndelivery.concurrency = {0}\ndelivery.slots_per_webhook = {CONCURRENCY}\n\
         delivery.patience_ms = 10000\ndelivery.timeout_ms = 60000\nserver.shutdown_grace_s = 60\n",
        2 * CONCURRENCY
    );
    let home = home(&broker.url(), "hikyaku.", &format!("{limits}{}", declared("held", &receiver.url("/"), "note")));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
    receiver.until_distinct(CONCURRENCY).await;

    broker.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    // RabbitMQ says so at the first publish; it may take a moment to find out.
    let mut ids: HashSet<String> = (0..EVENTS).map(|n| format!("e{n}")).collect();
    let refused = async {
        for n in 0.. {
            let id = format!("early{n}");
            match program.post(event("note", &id)).await {
                (200, _) => ids.insert(id),
                (503, words) => return words.to_string(),
                other => panic!("{other:?}"),
            };
        }
        unreachable!("there is no last number")
    };
    let words = tokio::time::timeout(PATIENCE, refused).await.expect("an event is refused");
    assert!(words.contains("takes no messages"), "{words}");
    let (status, reasons) = program.get("/readyz").await;
    assert!(status == 503 && reasons.contains("takes no messages"), "{status}: {reasons}");

    // What is in flight is answered, and acknowledged; all that is in hand beside it waits, as does all that follows.
    receiver.behave(Behaviour::Answer(200));
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", CONCURRENCY as f64).await;
    let left = (ids.len() - CONCURRENCY) as f64;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", left).await;
    let more = tokio::time::timeout(QUIET, receiver.when(|book| book.arrived.len() > CONCURRENCY)).await;
    assert!(more.is_err(), "an attempt was begun in the alarm");

    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("it is ready again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    ids.insert("after".to_owned());
    // Of those that were refused, one that RabbitMQ had been sent before it said so can come too: that is for the producer.
    receiver.until("everything arrives", |book| ids.is_subset(&book.event_ids)).await;
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;
    assert_eq!(repeats(&receiver.book(), &HashSet::new()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_started_in_an_alarm_says_so_at_once_and_works_when_it_is_over() {
    let broker = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home(&broker.url(), "hikyaku.", &declared("hook", &receiver.url("/"), "note"));
    let before = home.serve().await;
    assert_eq!(before.post(event("note", "before")).await.0, 200);
    receiver.until_distinct(1).await;
    before.stop().await;
    broker.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    until("the alarm is raised", async || broker.control(&["status"]).await.contains("Memory alarm").then_some(()))
        .await;

    let program = home.serve().await;
    let alarmed = async || {
        let (status, reasons) = program.get("/readyz").await;
        (status == 503 && reasons.contains("takes no messages")).then_some(())
    };
    // Nothing was published yet.
    until("it says that there is an alarm", alarmed).await;
    assert_eq!(program.metric("hikyaku_broker_blocked").await, 1.0);
    let (status, words) = program.post(event("note", "during")).await;
    assert!(status == 503 && words.to_string().contains("takes no messages"), "{status}: {words}");
    // For longer than an answer to anything else may take, it is connected, and waits on work.
    let stranger = Stranger::connect(&broker.url()).await;
    let looked = tokio::time::timeout(CALL_AND_MORE, async {
        loop {
            assert_eq!(program.metric("hikyaku_broker_connected").await, 1.0);
            assert!(alarmed().await.is_some(), "it is ready in the alarm");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    assert!(looked.await.is_err(), "it looks without end");
    assert_eq!(stranger.consumers("hikyaku.work").await, Some(1));
    assert_eq!(program.metric("hikyaku_broker_reconnects_total").await, 0.0);

    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    assert_eq!(program.metric("hikyaku_broker_blocked").await, 0.0);
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    receiver.until("the event arrives", |book| book.event_ids.contains("after")).await;
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;
}
