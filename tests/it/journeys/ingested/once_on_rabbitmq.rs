//! What Misskey sends again is taken in once, on RabbitMQ: the store remembers what RabbitMQ cannot.

use std::time::{Duration, Instant};

use super::{SECRET, USER, ingest, small, webhook};
use crate::support::broker::{Broker, own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::misskey_wire::{Agent, post, request};
use crate::support::postgres::database;
use crate::support::program::{Home, Program};

const DUPLICATES: &str = "hikyaku_ingest_duplicates_total";
const ACCEPTED: &str = "hikyaku_events_accepted_total{source=\"default\"}";

fn home(url: &str, receiver: &Receiver) -> Home {
    home_with(url, &own_prefix(), "queue.single_host = true", receiver)
}

fn home_with(url: &str, prefix: &str, more: &str, receiver: &Receiver) -> Home {
    Home::new(&format!(
        "queue.url = \"{url}\"\nqueue.prefix = \"{prefix}\"\n{more}\n{}{}",
        ingest("default", SECRET, "any"),
        webhook("user", USER, "default", &receiver.url("/user")),
    ))
}

async fn started(url: &str) -> (Receiver, Home, Program) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home(url, &receiver);
    let program = serve(&home).await;
    (receiver, home, program)
}

async fn serve(home: &Home) -> Program {
    let program = home.serve().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    program
}

async fn sent(program: &Program, event: &str) {
    let answer = post(&program.address, "/ingest/misskey", SECRET, event).await;
    assert_eq!(answer.status, 204, "{event}: {answer:?}");
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_taken_in_once_by_all_workers_of_the_host_and_after_restarts() {
    let (receiver, home, program) = started(&shared_url().await).await;
    let other = serve(&home).await;
    let event = small("note", USER, "e1");
    sent(&program, &event).await;
    sent(&program, &event).await;
    sent(&other, &event).await;
    program.metric_is(DUPLICATES, 1.0).await;
    other.metric_is(DUPLICATES, 1.0).await;
    program.kill().await;
    other.stop().await;
    let program = serve(&home).await;
    sent(&program, &event).await;
    program.metric_is(DUPLICATES, 1.0).await;
    sent(&program, &small("note", USER, "e2")).await;
    receiver.until_distinct(2).await;
    program.metric_is(ACCEPTED, 1.0).await;
    program.stop().await;
}

#[tokio::test]
async fn what_is_confirmed_after_our_503_is_known_when_misskey_sends_it_again() {
    let node = Broker::start().await;
    let (receiver, _home, program) = started(&node.url()).await;
    sent(&program, &small("note", USER, "before")).await;
    receiver.until_distinct(1).await;
    let event = small("note", USER, "e1");
    let mut twin = Agent::connect(&program.address).await;
    node.freeze();
    let began = Instant::now();
    twin.send(&request("/ingest/misskey", SECRET, event.as_bytes())).await;
    let answer = post(&program.address, "/ingest/misskey", SECRET, &event).await;
    answer.refused(503, &["not known to be stored, send it again"]);
    assert!(began.elapsed() < Duration::from_secs(5), "Misskey has given up by now: {:?}", began.elapsed());
    twin.answer().await.refused(503, &["not known to be stored, send it again"]);
    node.thaw();
    // It was published once for both, and its confirm is waited for although nobody else waits any more.
    program.metric_is(ACCEPTED, 2.0).await;
    sent(&program, &event).await;
    program.metric_is(DUPLICATES, 1.0).await;
    receiver.until_distinct(2).await;
    program.metric_is(ACCEPTED, 2.0).await;
    assert_eq!(receiver.book().arrived.len(), 2, "each was delivered once");
    program.stop().await;
}

#[tokio::test]
async fn while_rabbitmq_is_away_misskey_is_told_to_keep_its_event_and_it_is_taken_in_afterwards() {
    let node = Broker::start().await;
    let (receiver, _home, program) = started(&node.url()).await;
    node.kill().await;
    let event = small("note", USER, "e1");
    let began = Instant::now();
    post(&program.address, "/ingest/misskey", SECRET, &event).await.refused(503, &["not"]);
    assert!(began.elapsed() < Duration::from_secs(5), "Misskey has given up by now: {:?}", began.elapsed());
    node.restart().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    sent(&program, &event).await;
    receiver.until_distinct(1).await;
    program.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_keeps_no_event_out_and_is_told_of() {
    let (receiver, home, mut program) = started(&shared_url().await).await;
    let stranger = hikyaku::sqlite::open(&home.path("store.db")).expect("beside the program");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    sent(&program, &small("note", USER, "e1")).await;
    program.metric_is("hikyaku_ingest_unremembered_total", 1.0).await;
    program.line("may be once more").await;
    stranger.execute_batch("ROLLBACK").expect("free");
    receiver.until_distinct(1).await;
    let event = small("note", USER, "e2");
    sent(&program, &event).await;
    sent(&program, &event).await;
    program.metric_is(DUPLICATES, 1.0).await;
    program.metric_is("hikyaku_ingest_unremembered_total", 1.0).await;
    program.stop().await;
}

/// How many events it has accepted; there is no metric of it before the first.
async fn accepted(program: &Program) -> f64 {
    let (_, text) = program.get("/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(ACCEPTED));
    value.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test]
async fn what_two_machines_are_sent_while_the_broker_confirms_nothing_is_taken_in_once() {
    let node = Broker::start().await;
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let (prefix, store) = (own_prefix(), format!("store.url = \"{}\"", database()));
    let homes = [(); 2].map(|()| home_with(&node.url(), &prefix, &store, &receiver));
    let (one, other) = (serve(&homes[0]).await, serve(&homes[1]).await);
    let event = small("note", USER, "e1");
    node.freeze();
    post(&one.address, "/ingest/misskey", SECRET, &event).await.refused(503, &["not known to be stored"]);
    post(&other.address, "/ingest/misskey", SECRET, &event).await.refused(503, &["not known to be stored"]);
    node.thaw();

    // Whoever has it under way waits for that.
    sent(&other, &event).await;
    sent(&one, &event).await;

    receiver.until_distinct(1).await;
    let accepted = accepted(&one).await + accepted(&other).await;
    assert!((accepted - 1.0).abs() < f64::EPSILON, "it was published {accepted} times");
    one.stop().await;
    other.stop().await;
}
