//! What Misskey sends again is taken in once, on the queue's file.

use std::collections::HashMap;
use std::path::Path;

use super::{SECRET, USER, ingest, server, small};
use crate::support::journey_receiver::Behaviour;
use crate::support::misskey_wire::{Agent, post, request, sample};
use crate::support::program::{Program, until};

const DUPLICATES: &str = "hikyaku_ingest_duplicates_total";

async fn sent(program: &Program, event: &str) {
    let answer = post(&program.address, "/ingest/misskey", SECRET, event).await;
    assert_eq!(answer.status, 204, "{event}: {answer:?}");
}

/// How often each event lies in the queue's file.
fn copies(file: &Path) -> HashMap<String, u64> {
    let queue = rusqlite::Connection::open(file).expect("the file");
    let sql =
        "SELECT event_id, count(*) FROM (SELECT event_id FROM work UNION ALL SELECT event_id FROM delay) GROUP BY 1";
    let mut statement = queue.prepare(sql).expect("a statement");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_answered_204_and_delivered_once_whatever_was_restarted_between() {
    let (receiver, home, program) = server(&ingest("default", SECRET, "any")).await;
    let event = sample("user/note.json");
    sent(&program, &event).await;
    sent(&program, &event).await;
    program.metric_is(DUPLICATES, 1.0).await;
    receiver.until_distinct(1).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    program.stop().await;
    let program = home.serve().await;
    sent(&program, &event).await;
    program.kill().await;
    let program = home.serve().await;
    sent(&program, &event).await;
    sent(&program, &small("note", USER, "another")).await;
    receiver.until_distinct(2).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    program.metric_is(DUPLICATES, 1.0).await;
    assert_eq!(receiver.book().arrived.len(), 2, "each was delivered once");
    program.stop().await;
}

#[tokio::test]
async fn the_same_event_for_another_webhook_or_from_another_misskey_or_without_ids_is_another_one() {
    let settings = format!("{}{}", ingest("default", SECRET, "any"), ingest("other", SECRET, "any"));
    let (receiver, _home, program) = server(&settings).await;
    let event = small("note", USER, "e1");
    sent(&program, &event).await;
    sent(&program, &event.replace("mk1", "mk2")).await;
    assert_eq!(post(&program.address, "/ingest/misskey/other", SECRET, &event).await.status, 204);
    for _ in 0..2 {
        sent(&program, &event.replace("\"hookId\":\"mk1\",", "")).await;
        sent(&program, &event.replace("\"eventId\":\"e1\",", "")).await;
    }
    program.metric_is("hikyaku_events_accepted_total{source=\"default\"}", 6.0).await;
    program.metric_is("hikyaku_events_accepted_total{source=\"other\"}", 1.0).await;
    program.metric_is(DUPLICATES, 0.0).await;
    receiver.until("six requests arrive", |book| book.arrived.len() == 6).await;
    program.stop().await;
}

#[tokio::test]
async fn an_event_whose_answer_was_cut_off_by_a_kill_is_sent_again_and_taken_in_once() {
    let (receiver, home, mut program) = server(&ingest("default", SECRET, "any")).await;
    // So that what was taken in stays where it can be counted.
    receiver.behave(Behaviour::Answer(503));
    let file = home.path("queue.db");
    let mut ids = Vec::new();
    for turn in 0..3 {
        let events: Vec<String> = (0..8).map(|n| small("note", USER, &format!("t{turn}-{n}"))).collect();
        // Their answers are not read: the kill is sooner. Closed at once, a connection would take its request along.
        let mut agents = Vec::new();
        for event in &events {
            let mut agent = Agent::connect(&program.address).await;
            agent.send(&request("/ingest/misskey", SECRET, event.as_bytes())).await;
            agents.push(agent);
        }
        until("the last of them is stored", async || copies(&file).contains_key(&format!("t{turn}-7")).then_some(()))
            .await;
        program.kill().await;
        drop(agents);
        program = home.serve().await;
        for event in &events {
            sent(&program, event).await;
        }
        ids.extend((0..8).map(|n| format!("t{turn}-{n}")));
    }
    program.kill().await;
    let copies = copies(&file);
    for id in &ids {
        assert_eq!(copies.get(id), Some(&1), "{id}");
    }
    assert_eq!(copies.len(), ids.len());
}

#[tokio::test]
async fn two_requests_at_once_for_one_event_get_one_outcome() {
    let (receiver, home, program) = server(&ingest("default", SECRET, "any")).await;
    let stranger = hikyaku::sqlite::open(&home.path("queue.db")).expect("beside the program");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let event = small("note", USER, "e1");
    let mut agents = [Agent::connect(&program.address).await, Agent::connect(&program.address).await];
    for agent in &mut agents {
        agent.send(&request("/ingest/misskey", SECRET, event.as_bytes())).await;
    }
    stranger.execute_batch("ROLLBACK").expect("free");
    for agent in &mut agents {
        let answer = agent.answer().await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    receiver.until_distinct(1).await;
    program.metric_is(DUPLICATES, 1.0).await;
    program.metric_is("hikyaku_events_accepted_total{source=\"default\"}", 1.0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_queue_that_does_not_answer_is_503_in_time_and_nothing_is_lost() {
    let (receiver, home, program) = server(&ingest("default", SECRET, "any")).await;
    let stranger = hikyaku::sqlite::open(&home.path("queue.db")).expect("beside the program");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let event = small("note", USER, "e1");
    let began = std::time::Instant::now();
    let answer = post(&program.address, "/ingest/misskey", SECRET, &event).await;
    answer.refused(503, &["not known to be stored, send it again"]);
    assert_eq!(answer.header("retry-after"), "30");
    assert!(began.elapsed().as_secs_f64() < 5.0, "Misskey has given up by now: {:?}", began.elapsed());
    stranger.execute_batch("ROLLBACK").expect("free");
    until("it is taken in", async || {
        (post(&program.address, "/ingest/misskey", SECRET, &event).await.status == 204).then_some(())
    })
    .await;
    receiver.until_distinct(1).await;
    program.metric_is("hikyaku_events_accepted_total{source=\"default\"}", 1.0).await;
    assert_eq!(receiver.book().arrived.len(), 1);
    program.stop().await;
}
