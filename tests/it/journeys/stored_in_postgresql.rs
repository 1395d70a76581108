//! The record in PostgreSQL, through the front door: what became of deliveries is there, dead letters are listed and replayed, and
//! while PostgreSQL is away deliveries go on.

use serde_json::Value;

use super::recorded::{Three, until_states};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::{Server, database};
use crate::support::program::{Home, declared, event, events, until};

fn home(url: &str, settings: &str) -> Home {
    Home::new(&format!("store.url = \"{url}\"\n{settings}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_has_every_attempt_that_came_with_its_number_and_shows_it_by_filter_and_page() {
    let three = Three::start().await;
    let home = home(&database(), &three.settings());
    let program = home.serve().await;
    three.check(&home, &program).await;
    program.stop().await;
    assert!(!home.path("store.db").exists() && !home.path("history.db").exists(), "nothing is in files beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_replayed_and_delivered() {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let home = home(&database(), &declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", 30)).await.0, 200);
    let listed = async || {
        let printed = home.cli(&["dead", "list", "--json"]).await.ok();
        let letters: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
        (letters.len() == 30).then_some(letters)
    };
    let letters = until("all are dead letters", listed).await;
    let id = letters[0]["id"].as_str().expect("an id");
    let shown = home.cli(&["dead", "show", id]).await.ok();
    assert!(shown.contains("refused") && shown.contains("body"), "{shown}");

    receiver.behave(Behaviour::Answer(200));
    let replayed = home.cli(&["dead", "replay", "--reason", "refused"]).await.ok();
    assert!(replayed.contains("30 dead letters put back to work"), "{replayed}");

    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 30.0).await;
    assert_eq!(home.cli(&["dead", "list", "--json"]).await.ok().trim(), "[]");
    until_states(&program, 30, 0).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_away_deliveries_go_on_and_letters_and_history_get_there_afterwards() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let server = Server::start();
    let home = home(&server.database(), &declared("hook", &receiver.url("/"), "note"));
    let mut program = home.serve().await;
    assert_eq!(program.post(event("note", "before")).await.0, 200);
    until_states(&program, 1, 0).await;
    server.kill();

    assert_eq!(program.post(events("note", "e", 300)).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 301.0).await;
    receiver.behave(Behaviour::Answer(404));
    assert_eq!(program.post(event("note", "dies")).await.0, 200);
    program.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 1.0).await;
    let line = program.line("falls behind").await;
    assert!(line.contains("the history in PostgreSQL at") && !line.contains("letters-by-night"), "{line}");

    server.restart();
    program.line("is written again; 0 entries are missing").await;
    until_states(&program, 301, 1).await;
    program.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 0.0).await;
    let letters = home.cli(&["dead", "list"]).await.ok();
    assert!(letters.contains("refused"), "{letters}");
    assert_eq!(program.said().matches("falls behind").count(), 1, "{}", program.said());
    assert_eq!(receiver.book().repeats(), 0);
    program.stop().await;
}
