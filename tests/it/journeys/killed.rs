//! `kill -9`: what was accepted is delivered, and little of it twice (promises 1 and 2).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, answer, declared, event, events, until};

const EVENTS: usize = 10_000;
/// The least that the settings allow, so that few repeats are the most that is allowed.
const PREFETCH: usize = 64;

fn tight(receiver: &Receiver) -> Home {
    let webhook = declared("hook", &receiver.url("/"), "note");
    Home::new(&format!("queue.prefetch = {PREFETCH}\ndelivery.concurrency = {PREFETCH}\n{webhook}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twice_amid_ten_thousand_deliveries_all_arrive_and_only_what_was_in_hand_arrives_again() {
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(5))).await;
    let home = tight(&receiver);
    let file = home.write("events.ndjson", &events("note", "e", EVENTS));
    home.cli(&["publish", file]).await.ok();

    for kill_at in [3000, 6000] {
        let program = home.serve().await;
        receiver.until_distinct(kill_at).await;
        program.kill().await;
        assert!(receiver.book().distinct() < EVENTS, "it was killed too late to matter");
    }
    let program = home.serve().await;
    receiver.until_distinct(EVENTS).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    program.stop().await;

    let book = receiver.book();
    assert_eq!(book.event_ids.len(), EVENTS);
    assert!(book.repeats() <= 2 * PREFETCH, "{} repeats over two kills", book.repeats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_answered_200_before_a_kill_is_delivered_after_the_restart() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let home = tight(&receiver);
    let program = home.serve().await;

    // Producers that publish until the server is gone, and note what they were told.
    let answered = Arc::new(Mutex::new(HashSet::new()));
    let mut producers = JoinSet::new();
    for producer in 0..4 {
        let (request, answered) = (program.producer(), Arc::clone(&answered));
        producers.spawn(async move {
            for n in 0.. {
                let ids: Vec<String> = (0..3).map(|item| format!("p{producer}-{n}-{item}")).collect();
                let body: String = ids.iter().map(|id| event("note", id) + "\n").collect();
                let request = request.try_clone().expect("it has no stream").body(body);
                let Ok((status, _)) = answer(request).await else { return };
                assert_eq!(status, 200);
                answered.lock().await.extend(ids);
            }
        });
    }
    let enough = async || (answered.lock().await.len() >= 600).then_some(());
    until("600 events are accepted", enough).await;
    program.kill().await;
    while let Some(ended) = producers.join_next().await {
        ended.expect("the producer saw no answer but 200");
    }

    receiver.behave(Behaviour::Answer(200));
    let program = home.serve().await;
    let answered = answered.lock().await;
    receiver.until("all accepted events arrive", |book| answered.is_subset(&book.event_ids)).await;
    program.stop().await;
}
