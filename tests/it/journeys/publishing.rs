//! `hikyaku publish`: from a file, from standard input, beside a running server.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, events};

async fn receiver_and_home() -> (Receiver, Home) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    (receiver, home)
}

/// Serves until `ids` have arrived, and checks that nothing else did.
async fn assert_delivered(home: &Home, receiver: &Receiver, ids: &[&str]) {
    let program = home.serve().await;
    receiver.until_distinct(ids.len()).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    assert_eq!(receiver.book().event_ids, ids.iter().map(|id| (*id).to_owned()).collect());
    program.stop().await;
}

#[tokio::test]
async fn a_file_and_standard_input_are_published_and_delivered() {
    let (receiver, home) = receiver_and_home().await;
    let file = home.write("events.ndjson", &events("note", "file", 2));
    let ran = home.cli(&["publish", file]).await;
    assert!(
        ran.stderr.contains("2 events stored in ") && ran.stderr.contains("queue.db; 0 lines were refused"),
        "{ran:#?}"
    );
    assert_eq!(ran.ok(), "");
    // The last line needs no end; blank lines do not count.
    home.cli_with(&["publish"], &format!("\n\r\n{}", event("note", "stdin"))).await.ok();
    assert_delivered(&home, &receiver, &["file0", "file1", "stdin"]).await;
}

#[tokio::test]
async fn bad_lines_are_told_by_their_numbers_and_the_rest_is_stored() {
    let (receiver, home) = receiver_and_home().await;
    let overlong = event("note", &"x".repeat(1_048_577));
    let text = format!(
        "{}\n\nnonsense\n{{\"type\":\"note\"}}\n{overlong}\n{}\n",
        event("note", "line1"),
        event("note", "line6")
    );
    let file = home.write("events.ndjson", &text);
    let words = home.cli(&["publish", file]).await.failed(
        1,
        &[
            "events.ndjson line 3: the event is not JSON",
            "line 4: `body` is missing",
            "line 5: ",
            "2 events stored in ",
            "; 3 lines",
        ],
    );
    let line_5 = words.lines().find(|line| line.contains("line 5: ")).expect("just found");
    assert!(line_5.contains("1048576 are allowed"), "{line_5}");
    assert!(line_5.len() < 500, "the line is not repeated: {} bytes", line_5.len());
    assert_delivered(&home, &receiver, &["line1", "line6"]).await;
}

#[tokio::test]
async fn json_tells_what_became_of_each_line() {
    let (receiver, home) = receiver_and_home().await;
    let text = format!("{}\n{{\"type\":\"note\"}}\n{{\"type\":\"note\",\"body\":{{}}}}\n", event("note", "first"));
    let ran = home.cli_with(&["publish", "--json"], &text).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], json!({"line": 1, "status": "accepted", "eventId": "first"}));
    assert_eq!(
        (&lines[1]["line"], &lines[1]["status"], &lines[1]["field"]),
        (&json!(2), &json!("refused"), &json!("body"))
    );
    let made = lines[2]["eventId"].as_str().expect("an id was made");
    assert_delivered(&home, &receiver, &["first", made]).await;
}

#[tokio::test]
async fn what_was_begun_is_published_whole_even_when_nobody_reads_the_answers_any_more() {
    let (receiver, home) = receiver_and_home().await;
    // More answers than a pipe holds, so that writing them fails once `head` has gone.
    let file = home.write("events.ndjson", &events("note", "e", 3000));
    let line = format!("(\"$HIKYAKU\" publish --json {file}; echo \"ended with $?\" >&2) | head -n 1");
    let ran = home.shell(&line).await;
    assert!(ran.stderr.contains("3000 events stored") && ran.stderr.contains("ended with 0"), "{ran:#?}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:#?}");
    let program = home.serve().await;
    receiver.until_distinct(3000).await;
    program.stop().await;
}

#[tokio::test]
async fn what_was_read_before_the_input_broke_off_is_stored_and_the_line_named() {
    let (receiver, home) = receiver_and_home().await;
    let (mut producer, mut input) = connected();
    producer.write_all(events("note", "e", 3).as_bytes()).expect("written");
    // Who closes a connection with something unread resets it; what was sent before can still be read.
    input.write_all(b"unread").expect("written");
    drop(producer);
    let ran = home.cli_reading(&["publish"], input).await;
    ran.failed(1, &["3 events stored", "standard input cannot be read after line 3", "reset"]);
    assert_delivered(&home, &receiver, &["e0", "e1", "e2"]).await;
}

/// Both ends of a connection.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (other, _) = listener.accept().expect("accepted");
    (one, other)
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() {
    let home = Home::new("");
    home.cli(&["publish", "absent.ndjson"]).await.failed(1, &["absent.ndjson cannot be opened", "No such file"]);
    home.cli(&["publish", "."]).await.failed(1, &["0 events stored", "cannot be read"]);
}

#[tokio::test]
async fn what_is_published_beside_a_running_server_is_delivered_promptly() {
    let (receiver, home) = receiver_and_home().await;
    let program = home.serve().await;
    // The first wakes an idle lane, the second one that has just been woken.
    for (count, id) in ["first", "second"].into_iter().enumerate() {
        home.cli_with(&["publish"], &event("note", id)).await.ok();
        let stored = Instant::now();
        receiver.until_distinct(count + 1).await;
        let took = stored.elapsed();
        assert!(took < Duration::from_secs(2), "{id} took {took:?}: nobody told the worker, it looked by itself");
    }
    program.stop().await;
}

#[tokio::test]
async fn the_queue_of_the_settings_can_be_replaced_by_a_flag() {
    let (receiver, home) = receiver_and_home().await;
    home.cli_with(&["publish", "--queue", "sqlite:other.db"], &event("note", "elsewhere")).await.ok();
    assert!(home.path("other.db").exists() && !home.path("queue.db").exists());
    home.cli_with(&["publish"], &event("note", "here")).await.ok();
    assert_delivered(&home, &receiver, &["here"]).await;
    home.cli(&["publish", "--queue", "redis:x"]).await.failed(2, &["--queue", "redis:x", "sqlite:PATH"]);
    home.cli(&["publish", "--queue", "sqlite:absent/queue.db"]).await.failed(1, &["absent/queue.db", "folder exists"]);
}
