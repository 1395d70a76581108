//! `hikyaku publish --queue amqp://...` and `POST /v1/events` on RabbitMQ: what is answered with yes is confirmed.

use std::collections::HashSet;

use tokio::io::AsyncWriteExt;

use crate::support::amqp::{Queues, Stranger};
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, events, until};

/// Bytes that an event may have by default.
const EVENT_BYTES_MAX: usize = 1_048_576;

fn home_on(queues: &Queues, receiver: &Receiver) -> Home {
    Home::new(&format!("{}{}", queues.settings(), declared("hook", &receiver.url("/"), "note")))
}

/// An event of `bytes` bytes.
fn large(id: &str, bytes: usize) -> String {
    let around = format!("{{\"type\":\"note\",\"eventId\":\"{id}\",\"body\":{{\"x\":\"\"}}}}").len();
    format!("{{\"type\":\"note\",\"eventId\":\"{id}\",\"body\":{{\"x\":\"{}\"}}}}", "x".repeat(bytes - around))
}

#[tokio::test]
async fn the_largest_events_and_many_lines_are_stored_by_flag_and_over_http_and_delivered() {
    let queues = Queues::own().await;
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let mut ids: HashSet<String> = (0..5000).map(|n| format!("many{n}")).collect();
    ids.extend(["large1", "large2", "large3"].map(str::to_owned));
    // A producer's settings name a file; the flag says otherwise.
    let producer = Home::new(&format!("queue.prefix = \"{}\"\n", queues.prefix));
    let lines = format!(
        "{}\n{}{}\nnonsense\n{}\n",
        large("large1", EVENT_BYTES_MAX),
        events("note", "many", 5000),
        large("large2", EVENT_BYTES_MAX),
        large("toolarge", EVENT_BYTES_MAX + 1),
    );
    let ran = producer.cli_with(&["publish", "--queue", &queues.url], &lines).await;
    let said =
        ran.failed(1, &["5002 events stored in amqp://", "; 2 lines were refused", "line 5003: the event is not JSON"]);
    assert!(said.contains("line 5004: ") && !said.contains("guest:"), "{said}");
    assert!(!producer.path("queue.db").exists());
    let stranger = Stranger::connect(&queues.url).await;
    assert_eq!(stranger.depth(&queues.name("work")).await, Some(5002), "every one is in RabbitMQ when it has ended");

    let home = home_on(&queues, &receiver);
    let program = home.serve().await;
    assert_eq!(program.post(large("large3", EVENT_BYTES_MAX)).await.0, 200);
    receiver.until_distinct(ids.len()).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    assert_eq!(receiver.book().event_ids, ids);
    assert_eq!(receiver.book().repeats(), 0);
    program.stop().await;
}

#[tokio::test]
async fn a_broker_that_dies_amid_publishing_is_told_with_the_line_to_go_on_from_and_nothing_is_lost() {
    let broker = Broker::start().await;
    let queues = Queues { url: broker.url(), prefix: "hikyaku.".to_owned() };
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = home_on(&queues, &receiver);
    let stranger = Stranger::connect(&queues.url).await;
    let lines: Vec<String> = events("note", "e", 4000).lines().map(|line| format!("{line}\n")).collect();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let input = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (mut feed, _) = listener.accept().await.expect("accepted");
    let publish = home.cli_reading(&["publish"], input);
    let fed = async {
        feed.write_all(lines[..2500].concat().as_bytes()).await.expect("fed");
        let work = queues.name("work");
        let two_batches = async || (stranger.depth(&work).await >= Some(2000)).then_some(());
        until("two batches are stored", two_batches).await;
        // Frozen, it takes the third batch from the wire and does not answer.
        broker.freeze();
        feed.write_all(lines[2500..].concat().as_bytes()).await.expect("fed");
        until("the third batch is sent", async || (bytes_unread(&broker) > 50_000).then_some(())).await;
        broker.kill().await;
    };
    let (ran, ()) = tokio::join!(publish, fed);
    let said = ran.failed(1, &["2000 events stored", "line 2001 of standard input is stored", "after line 3000"]);
    assert!(said.contains("publish it again from line 2001") && said.contains("RabbitMQ did not confirm"), "{said}");

    let program = home.serve().await;
    let (status, answer) = program.post(event("note", "early")).await;
    let words = answer["error"].as_str().expect("words");
    assert!(status == 503 && words.contains("not stored") && words.contains("RabbitMQ cannot be reached"), "{answer}");
    home.cli_with(&["publish"], &event("note", "early")).await.failed(1, &["RabbitMQ cannot be reached", "127.0.0.1:"]);
    broker.restart().await;
    until("it is ready again", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    let again = home.cli_with(&["publish"], &lines[2000..].concat()).await;
    assert!(again.stderr.contains("2000 events stored"), "{again:#?}");
    again.ok();
    receiver.until_distinct(4000).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    assert_eq!(
        receiver.book().event_ids,
        (0..4000).map(|n| format!("e{n}")).collect(),
        "what was refused was not stored"
    );
    program.stop().await;
}

/// Bytes that were sent to the broker and that it has not read, as Linux tells of its sockets (proc_net_tcp).
fn bytes_unread(broker: &Broker) -> u64 {
    let url = broker.url();
    let (_, port) = url.rsplit_once(':').expect("a port");
    let local = format!("0100007F:{:04X}", port.parse::<u16>().expect("a number"));
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux's table");
    let of_broker = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let unread = of_broker.filter(|fields| fields[1] == local).filter_map(|fields| {
        let (_, unread) = fields[4].split_once(':')?;
        u64::from_str_radix(unread, 16).ok()
    });
    unread.sum()
}
