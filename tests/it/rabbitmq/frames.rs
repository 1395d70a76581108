//! Headers as large as RabbitMQ takes them, to which it adds its own; and a broker without a limit.

use std::time::Duration;

use hikyaku::queue::{Choice, Lane, Queue};
use lapin::BasicProperties;
use lapin::options::BasicGetOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};

use super::{PREFETCH, next, open, open_worker, until};
use crate::support::amqp::{Stranger, headers, text};
use crate::support::broker::{self, Broker};

/// The largest frame of a broker that nobody has set up otherwise, without its head and end.
const FRAME_BYTES_MAX: usize = 131_072;
/// What a frame of headers has beside the value of `pad`: class, weight, size of the body, which properties there are, the
/// table's size, and the name, type and size of `pad`.
const BESIDE_PAD_BYTES: usize = 2 + 2 + 8 + 2 + 4 + (1 + 3) + 1 + 4;

/// How often a good event is given back before it is settled.
const TIMES: u32 = 3;

/// Properties whose frame is as large as RabbitMQ takes it.
fn as_large_as_can_be() -> BasicProperties {
    headers(&[("pad", text(&"x".repeat(FRAME_BYTES_MAX - BESIDE_PAD_BYTES)))])
}

fn event(id: &str) -> Vec<u8> {
    format!(r#"{{"type":"note","eventId":"{id}","body":{{ "is" : "{id}" }}}}"#).into_bytes()
}

/// The bodies of all that was put away.
async fn rejected(queue: &Queue, choice: Choice) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let walked = queue.walk_rejected(|message| {
        bodies.push(message.body.to_vec());
        choice
    });
    let walked = walked.await.expect("walked");
    assert_eq!((walked.unreadable, walked.left), (0, 0), "{walked:?}");
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_headers_that_rabbitmq_takes_hold_up_nobody_though_it_adds_its_own_at_each_redelivery() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let (stranger, events) = (Stranger::connect(&url).await, format!("{prefix}events"));
    let nonsense = b"\xff nonsense";
    stranger.publish(&events, "note", nonsense, as_large_as_can_be()).await;
    stranger.publish(&events, "note", &event("large"), as_large_as_can_be()).await;
    stranger.publish(&events, "note", &event("behind"), BasicProperties::default()).await;
    // Whoever keeps to what was agreed on dies of it, and so the first is handed out a second time.
    let other = Stranger::connect(&url).await;
    let getting = other.channel.basic_get(format!("{prefix}work").into(), BasicGetOptions::default());
    tokio::select! {
        got = getting => assert!(got.is_err(), "more than was agreed on"),
        () = until("its connection ends", async || !other.is_connected()) => {}
    }

    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let (mut times, mut settled) = (0, Vec::new());
    while settled.len() < 2 {
        let mut lease = next(&mut work, "an event").await;
        let id = lease.message.event.id.as_str().to_owned();
        assert_eq!(String::from_utf8_lossy(lease.message.event.body.bytes()), format!(r#"{{ "is" : "{id}" }}"#));
        times += u32::from(id == "large");
        if id == "large" && times <= TIMES {
            drop(lease);
            continue;
        }
        lease.settle(&[]).await.expect("settled");
        settled.push(id);
    }
    settled.sort();
    assert_eq!((times, settled), (TIMES + 1, vec!["behind".to_owned(), "large".to_owned()]));
    until("the nonsense is put away", async || queue.depths().await.is_ok_and(|depths| depths.rejected == 1)).await;
    assert_eq!(rejected(&queue, Choice::Purge).await, [nonsense]);
    assert!(queue.health().is_empty(), "{:?}", queue.health());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rabbitmq_puts_away_itself_with_headers_twice_as_large_can_be_listed_and_requeued() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let stranger = Stranger::connect(&url).await;
    // What expires gets an account of its routing keys: `CC` once more.
    let keys = (0..500).map(|n| text(&format!("{n:0>250}"))).collect::<Vec<_>>();
    let mut table = FieldTable::default();
    table.insert("CC".into(), AMQPValue::FieldArray(FieldArray::from(keys)));
    let properties = BasicProperties::default().with_headers(table).with_expiration("1".into());
    stranger.publish(&format!("{prefix}events"), "note", &event("expired"), properties).await;
    stranger.publish(&format!("{prefix}rejected"), "note", b"behind", BasicProperties::default()).await;
    until("both are put away", async || queue.depths().await.is_ok_and(|depths| depths.rejected == 2)).await;

    // Twice: at the second time RabbitMQ has added its count.
    for _ in 0..2 {
        let mut bodies = rejected(&queue, Choice::Leave).await;
        bodies.sort();
        assert_eq!(bodies, [b"behind".to_vec(), event("expired")]);
    }
    let walked = queue.walk_rejected(|message| match &message.body[..] {
        b"behind" => Choice::Purge,
        _ => Choice::Requeue,
    });
    let walked = walked.await.expect("walked");
    assert_eq!((walked.requeued, walked.purged), (1, 1), "{walked:?}");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut lease = next(&mut work, "the event").await;
    assert_eq!(lease.message.event.id.as_str(), "expired");
    lease.settle(&[]).await.expect("settled");
}

/// A broker of its own: nothing else has no limit. Without ours, lapin would take 256 GiB of memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_a_limit_of_frames_is_worked_with_as_any_other() {
    let node = Broker::start_with("frame_max = 0\n", Vec::new()).await;
    let queue = open(&node.url(), "hikyaku.").await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    queue.publish(vec![super::fresh("e")]).await.expect("published");
    let lease = next(&mut work, "the event").await;
    drop(lease);
    next(&mut work, "the event again").await.settle(&[]).await.expect("settled");
    let listed = node.control(&["list_connections", "frame_max", "--no-table-headers", "-q"]).await;
    let limits: Vec<&str> = listed.split_whitespace().collect();
    assert_eq!(limits, ["131072", "131072"], "what both connections agreed on");
    assert!(tokio::time::timeout(Duration::from_millis(1), work.next()).await.is_err(), "nothing is left");
}

/// lapin cuts bodies into frames of 8 KiB at least, so the first larger event would end every connection, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_frames_are_too_small_is_refused_with_the_way_out() {
    let node = Broker::start_with("frame_max = 4096\n", Vec::new()).await;
    let queue = open_worker(&node.url(), "hikyaku.").await;
    let words = queue.health().join("; ");
    assert!(words.contains("its `frame_max` is 4096, and hikyaku needs 8192 or more"), "{words}");
    assert!(words.contains("rabbitmq.conf"), "{words}");
}
