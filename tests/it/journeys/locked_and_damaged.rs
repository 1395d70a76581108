//! Files that another process holds, or that are damaged: words that name the file and a way out.

use rusqlite::Connection;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, events, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_process_holds_the_queue_file_nothing_is_accepted_and_afterwards_all_is_well() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    let holder = Connection::open(home.path("queue.db")).expect("opened");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("held");

    let (status, answer) = program.post(event("note", "while-held")).await;
    assert_eq!(status, 503, "{answer}");
    let words = answer["error"].as_str().expect("words");
    for part in ["not stored", "queue.db", "locked by another process", "fuser"] {
        assert!(words.contains(part), "{part:?} is missing in {words:?}");
    }
    let (status, words) = program.get("/readyz").await;
    assert_eq!(status, 503, "{words}");
    assert!(words.contains("queue.db") && words.contains("locked"), "{words}");

    holder.execute_batch("ROLLBACK").expect("let go");
    let ready = async || (program.get("/readyz").await.0 == 200).then_some(());
    until("it is ready again by itself", ready).await;
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    receiver.until_distinct(1).await;
    assert_eq!(receiver.book().event_ids, ["after".to_owned()].into(), "what was refused was not stored");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_queue_file_is_not_in_its_place_nothing_is_accepted_and_what_was_goes_on() {
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    let settings = format!(
        "delivery.retry_schedule_s = [1, 1, 1, 1, 1, 1, 1, 1, 1]\n{}",
        declared("hook", &receiver.url("/"), "note")
    );
    let home = Home::new(&settings);
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "before")).await.0, 200);
    receiver.until_distinct(1).await;
    std::fs::rename(home.path("queue.db"), home.path("elsewhere.db")).expect("moved");

    let (status, answer) = program.post(event("note", "meanwhile")).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().is_some_and(|words| words.contains("removed or replaced")), "{answer}");
    let (status, words) = program.get("/readyz").await;
    assert!(status == 503 && words.contains("removed or replaced"), "{status}: {words}");
    receiver.behave(Behaviour::Answer(200));
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;

    std::fs::rename(home.path("elsewhere.db"), home.path("queue.db")).expect("moved back");
    let ready = async || (program.get("/readyz").await.0 == 200).then_some(());
    until("it is ready again by itself", ready).await;
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 2.0).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_process_holds_the_store_deliveries_go_on_and_letters_wait_in_the_queue() {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    let holder = Connection::open(home.path("store.db")).expect("opened");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("held");

    assert_eq!(program.post(event("note", "dies")).await.0, 200);
    program.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 1.0).await;
    receiver.behave(Behaviour::Answer(200));
    assert_eq!(program.post(event("note", "lives")).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 1.0).await;

    holder.execute_batch("ROLLBACK").expect("let go");
    program.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 0.0).await;
    let table = home.cli(&["dead", "list"]).await.ok();
    assert!(table.contains("refused"), "{table}");
    program.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_with_a_way_out_and_left_as_it_is() {
    for name in ["queue.db", "store.db"] {
        let home = Home::new("");
        let text = "this was a shopping list once. ".repeat(300);
        home.write(name, &text);
        home.cli(&["serve"]).await.failed(1, &[name, "damaged", "docs/RUNBOOK.md"]);
        home.cli(&["dead", "list"]).await.failed(1, &[name, "damaged", "docs/RUNBOOK.md"]);
        assert_eq!(std::fs::read_to_string(home.path(name)).expect("read"), text);
    }
}

#[tokio::test]
async fn a_database_with_damaged_pages_is_named_with_a_way_out() {
    for name in ["queue.db", "store.db"] {
        let home = Home::new("");
        home.serve().await.stop().await;
        // The header stays, so that it looks like a database.
        damage(&home, name, 100);
        home.cli(&["serve"]).await.failed(1, &[name, "damaged", "docs/RUNBOOK.md"]);
    }
}

#[tokio::test]
async fn a_queue_whose_messages_cannot_be_read_is_not_ready_and_says_why() {
    let home = Home::new("");
    home.cli_with(&["publish"], &events("note", "e", 1000)).await.ok();
    // Pages of messages; what must be read at start comes before them.
    damage(&home, "queue.db", 20 * 4096);
    let program = home.serve().await;
    let told = async || {
        let (status, words) = program.get("/readyz").await;
        let all = ["cannot be read", "queue.db", "damaged", "docs/RUNBOOK.md"].iter().all(|part| words.contains(part));
        (status == 503 && all).then_some(())
    };
    until("/readyz says that queue.db cannot be read", told).await;
    program.stop().await;
}

/// Overwrites everything from byte `from` on, in a file that no process has open.
fn damage(home: &Home, name: &str, from: usize) {
    let file = Connection::open(home.path(name)).expect("opened");
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all of it is in the one file");
    drop(file);
    let mut bytes = std::fs::read(home.path(name)).expect("read");
    assert!(bytes.len() > from + 4096, "{name} has {} bytes", bytes.len());
    bytes[from..].fill(0xa5);
    std::fs::write(home.path(name), bytes).expect("written");
}
