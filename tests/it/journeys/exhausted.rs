//! The machine has no more to give: no room on the disk, no file descriptors. Really, by the process's own limits.

use std::collections::HashSet;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, event, events, until};

/// Bytes that a file may have, in dash's and bash's own units (512 and 1024 bytes): room to start and little more.
const ROOM: &str = "trap '' XFSZ; ulimit -S -f 600";

/// Publishes events of 20 KB until one is refused; tells those that were accepted, and the refusal.
async fn fill(program: &Program) -> (HashSet<String>, String) {
    let mut accepted = HashSet::new();
    for n in 0..1000 {
        let id = format!("fill{n}");
        let text = format!("{{\"type\":\"note\",\"eventId\":\"{id}\",\"body\":{{\"x\":\"{}\"}}}}", "x".repeat(20_000));
        let (status, answer) = program.post(text).await;
        if status != 200 {
            assert_eq!(status, 503, "{answer}");
            return (accepted, answer["error"].as_str().expect("words").to_owned());
        }
        accepted.insert(id);
    }
    panic!("20 MB went into files of at most 600 KiB");
}

#[tokio::test]
async fn a_full_disk_is_told_in_words_and_once_there_is_room_everything_accepted_is_delivered() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let mut program = home.serve_after(ROOM).await;
    assert_eq!(program.get("/readyz").await.0, 200, "there is room yet");

    let (mut accepted, words) = fill(&program).await;
    for part in ["not stored", "queue.db", "cannot be written", "Free space"] {
        assert!(words.contains(part), "{part:?} is missing in {words:?}");
    }
    assert!(!accepted.is_empty(), "there was room for some");
    let told = async || {
        let (status, words) = program.get("/readyz").await;
        (status == 503 && words.contains("queue.db") && words.contains("cannot be written")).then_some(())
    };
    until("/readyz says that queue.db cannot be written", told).await;
    assert!(program.runs());
    assert_eq!(program.get("/healthz").await.0, 200, "it lives");

    program.limit("--fsize=unlimited").await;
    let ready = async || (program.get("/readyz").await.0 == 200).then_some(());
    until("it is ready again by itself", ready).await;
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    accepted.insert("after".to_owned());
    receiver.until("all accepted events arrive", |book| accepted.is_subset(&book.event_ids)).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    assert_eq!(receiver.book().event_ids, accepted, "what was refused with 503 was not stored");
    assert_eq!(receiver.book().repeats(), 0, "what was sent is not sent again because our disk was full");
    program.stop().await;
}

#[tokio::test]
async fn a_command_that_finds_the_disk_full_says_from_which_line_to_go_on() {
    let home = Home::new("");
    home.cli(&["publish"]).await.ok();
    let file = home.write("events.ndjson", &events("note", "e", 5000));
    let ran = home.shell(&format!("trap '' XFSZ; ulimit -S -f 600; exec \"$HIKYAKU\" publish {file}")).await;
    let said = ran.failed(1, &["publish it again from there", "queue.db", "cannot be written"]);
    let (_, rest) = said.split_once("nothing from line ").expect("a line is named");
    let line: usize = rest.split(' ').next().expect("a word").parse().expect("a number");
    assert!(said.contains(&format!("{} events stored", line - 1)), "{said}");

    // What it said is so: from there on, none is missing and none there twice.
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    home.cli(&["webhooks", "create", "--url", &receiver.url("/"), "--on", "note"]).await.ok();
    let rest: String = events("note", "e", 5000).lines().skip(line - 1).map(|line| format!("{line}\n")).collect();
    home.cli_with(&["publish"], &rest).await.ok();
    let program = home.serve().await;
    receiver.until_distinct(5000).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 5000.0).await;
    assert_eq!(receiver.book().repeats(), 0);
    program.stop().await;
}

#[tokio::test]
async fn without_file_descriptors_deliveries_are_parked_and_no_attempt_is_spent() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let webhook = declared("hook", &receiver.url("/"), "note");
    // The parks are told on the lines of `debug`; one failure would be the end.
    let home = Home::new(&format!("log.level = \"debug\"\ndelivery.retry_schedule_s = []\n{webhook}"));
    let mut program = home.serve().await;
    // A few more than it has now, and a receiver that hangs does not give them back.
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).expect("Linux").count();
    program.limit(&format!("--nofile={}:", open + 4)).await;

    home.cli_with(&["publish"], &events("note", "e", 20)).await.ok();
    let line = program.line("parked").await;
    assert!(line.contains("our_fault"), "{line}");
    let hanging = async || {
        let parked = program.said().lines().filter(|line| line.contains("our_fault")).count();
        (parked + receiver.book().distinct() >= 20).then_some(())
    };
    until("each delivery hangs at the receiver or is parked", hanging).await;
    let hang: HashSet<String> = receiver.book().event_ids.clone();
    assert!((1..10).contains(&hang.len()), "{} connections with a few descriptors", hang.len());

    receiver.behave(Behaviour::Answer(200));
    program.limit("--nofile=1024:").await;
    receiver.until_distinct(20).await;
    {
        let book = receiver.book();
        assert!(book.arrived.iter().all(|arrived| arrived.header("x-hikyaku-attempt") == "1"));
    }
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", (20 - hang.len()) as f64).await;
    assert!(program.metric("hikyaku_parked_total{reason=\"our_fault\"}").await > 0.0);
    program.kill().await;
}

#[tokio::test]
async fn a_queue_that_holds_all_it_may_refuses_events_in_words_until_deliveries_have_made_room() {
    let receiver = Receiver::start(Behaviour::Hang).await;
    let webhook = declared("hook", &receiver.url("/"), "note");
    let limits = "queue.bytes_max = 16777216\ndelivery.timeout_ms = 1000\nserver.shutdown_grace_s = 1\n";
    let home = Home::new(&format!("{limits}delivery.retry_schedule_s = [{}]\n{webhook}", ["1"; 60].join(",")));
    let large =
        |n| format!("{{\"type\":\"note\",\"eventId\":\"e{n}\",\"body\":{{\"x\":\"{}\"}}}}\n", "x".repeat(1_000_000));
    let file = home.write("events.ndjson", &(1..=25).map(large).collect::<String>());
    let words = ["queue.db is full", "queue.bytes_max is 16777216", "publish it again from there"];
    let said = home.cli(&["publish", file]).await.failed(1, &words);
    let (_, rest) = said.split_once("nothing from line ").expect("a line is named");
    let stored: usize = rest.split(' ').next().expect("a word").parse::<usize>().expect("a number") - 1;

    let program = home.serve().await;
    let full = async || {
        let (status, words) = program.get("/readyz").await;
        (status == 503 && words.contains("no event is accepted") && words.contains("queue.bytes_max")).then_some(())
    };
    until("/readyz says that the queue is full", full).await;
    let (status, answer) = program.post(event("note", "refused")).await;
    let words = answer["error"].as_str().expect("words");
    assert!(status == 503 && words.contains("not stored") && words.contains("queue.bytes_max"), "{status}: {answer}");
    assert_eq!(program.metric("hikyaku_events_not_stored_total").await, 1.0);

    receiver.behave(Behaviour::Answer(200));
    let ready = async || (program.get("/readyz").await.0 == 200).then_some(());
    until("it is ready again by itself", ready).await;
    assert_eq!(program.post(event("note", "after")).await.0, 200);
    let mut accepted: HashSet<String> = (1..=stored).map(|n| format!("e{n}")).collect();
    accepted.insert("after".to_owned());
    let until_delivered = accepted.len() as f64;
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", until_delivered).await;
    assert_eq!(receiver.book().event_ids, accepted, "what was refused was not stored");
    program.stop().await;
}
