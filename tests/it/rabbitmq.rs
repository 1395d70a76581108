//! RabbitMQ as a queue, with the real broker: what only it can do wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hikyaku::clock::{Clock, SystemClock};
use hikyaku::model::{Arrival, DeathReason, Delivery, Event, EventId, Message, Target, Timestamp, WebhookId};
use hikyaku::queue::{
    Access, BrokerError, BrokerOptions, BrokerUrl, Consumer, Death, FollowUp, Lane, Lease, Prefetch, Queue, QueueError,
};
use hikyaku::telemetry::Telemetry;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use crate::support::broker::{self, Broker};

const PREFETCH: Prefetch = Prefetch { messages: 500, bytes: 16 << 20 };
const WAIT_MAX: Duration = Duration::from_secs(60);

fn options(url: &str, prefix: &str) -> BrokerOptions {
    BrokerOptions {
        url: BrokerUrl::parse(url).expect("a URL"),
        prefix: prefix.to_owned(),
        event_bytes_max: 1 << 20,
        server: None,
    }
}

async fn try_open(url: &str, prefix: &str, access: Access) -> Result<Queue, QueueError> {
    let telemetry = Telemetry::shared().expect("metrics");
    Queue::open_rabbitmq(options(url, prefix), access, SystemClock::shared(), telemetry).await
}

/// A worker's queue, connected or not.
async fn open_worker(url: &str, prefix: &str) -> Queue {
    try_open(url, prefix, Access::Worker).await.expect("a worker starts whether RabbitMQ is there or not")
}

/// A worker's queue, connected: it opens even when a busy broker has not answered yet.
async fn open(url: &str, prefix: &str) -> Queue {
    let queue = open_worker(url, prefix).await;
    until("it is connected", async || queue.health().is_empty()).await;
    queue
}

fn fresh(id: &str) -> Message {
    let now = SystemClock.now();
    let json = format!(
        r#"{{"type":"note","userId":"u","body":{{"id" : "{id}","big":1e400}},"createdAt":{}}}"#,
        now.as_millis()
    );
    let arrival = Arrival { now, event_id: EventId::new(id).expect("valid"), event_bytes_max: 1 << 20 };
    let event = Event::parse(&Bytes::from(json), arrival).expect("an event");
    Message { event: Arc::new(event), target: Target::Subscribers }
}

fn delivery(message: &Message, webhook: &str) -> Delivery {
    Delivery::fresh(&message.event, WebhookId::new(webhook).expect("valid"))
}

/// The next lease, which must come.
async fn next(consumer: &mut Consumer, what: &str) -> Lease {
    tokio::time::timeout(WAIT_MAX, consumer.next())
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {WAIT_MAX:?}"))
        .unwrap_or_else(|| panic!("the consumer ended while {what} was waited for"))
}

/// Waits until `done`.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {WAIT_MAX:?}"));
}

/// A producer or an operator of RabbitMQ who is not us.
async fn stranger(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

async fn publish_raw(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.expect("sent");
    assert!(sent.await.expect("confirmed").is_ack());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_with_its_bytes_and_gone_once_it_is_settled() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let message = fresh("e1");
    queue.publish(vec![message.clone()]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut lease = next(&mut work, "the event").await;
    assert_eq!(lease.message, message);
    assert_eq!(queue.depths().await.expect("counted").work, 1, "a leased message is still in the queue");
    lease.settle(&[]).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").work, 0);
    drop(lease);
    queue.publish(vec![fresh("e2")]).await.expect("published");
    let mut unsettled = next(&mut work, "the second event").await;
    queue.close().await;
    let error = unsettled.settle(&[]).await.expect_err("too late");
    assert!(matches!(error, QueueError::Closed), "{error:?}");
    let queue = open(&url, &prefix).await;
    let depths = queue.depths().await.expect("counted");
    assert_eq!(
        depths.work, 1,
        "the acknowledgement of the first went out before the farewell, the second is still there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_come_back_whole_on_their_lane_and_never_early() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let message = fresh("e1");
    queue.publish(vec![message.clone()]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut retry = queue.consume(Lane::Retry, PREFETCH).await.expect("consumed");
    let mut dead = queue.consume(Lane::Dead, PREFETCH).await.expect("consumed");
    let now = SystemClock.now();
    let waits: HashMap<String, Timestamp> = [0, 300, 1000, 1700, 2100, 3900, 5000]
        .into_iter()
        .map(|ms: u64| (format!("w{ms}"), now.plus(Duration::from_millis(ms))))
        .collect();
    let mut follow_ups: Vec<FollowUp> = waits
        .iter()
        .map(|(webhook, due)| FollowUp::Later { delivery: delivery(&message, webhook), due: *due })
        .collect();
    let death = Death { reason: DeathReason::Gone, at: now };
    follow_ups.push(FollowUp::Dead { delivery: delivery(&message, "d"), death });
    next(&mut work, "the event").await.settle(&follow_ups).await.expect("settled");
    assert_eq!(queue.depths().await.expect("counted").work, 0);
    for _ in 0..waits.len() {
        let mut lease = next(&mut retry, "a delayed delivery").await;
        let arrived = SystemClock.now();
        let Target::One(delivery) = &lease.message.target else { panic!("a follow-up is for one webhook") };
        let due = waits[delivery.webhook.as_str()];
        assert!(arrived >= due, "{} came {:?} early", delivery.webhook, due.since(arrived));
        let asked = due.since(now).max(Duration::from_secs(1));
        assert!(arrived.since(now) < asked * 2 + Duration::from_secs(2), "{} came too late", delivery.webhook);
        assert_eq!(lease.message.event, message.event);
        lease.settle(&[]).await.expect("settled");
    }
    let mut lease = next(&mut dead, "the dead letter").await;
    assert_eq!((lease.death, &lease.message.target), (Some(death), &Target::One(delivery(&message, "d"))));
    lease.settle(&[]).await.expect("settled");
    assert_eq!(
        queue.depths().await.map(|depths| (depths.work, depths.delay, depths.dead)).expect("counted"),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_dropped_comes_back_and_the_limit_in_bytes_holds() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let ids = ["a", "b", "c"];
    queue.publish(ids.iter().map(|id| fresh(id)).collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, Prefetch { messages: 10, bytes: 1 }).await.expect("consumed");
    let first = next(&mut work, "the first").await;
    let second = tokio::time::timeout(Duration::from_millis(300), work.next()).await;
    assert!(second.is_err(), "one message is over one byte");
    assert_eq!(queue.depths().await.expect("counted").work, 3);
    drop(first);
    let mut seen = Vec::new();
    for _ in ids {
        let mut lease = next(&mut work, "each").await;
        seen.push(lease.message.event.id.as_str().to_owned());
        lease.settle(&[]).await.expect("settled");
    }
    seen.sort();
    assert_eq!(seen, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_put_away_with_the_reason_and_disturbs_nobody() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let (_connection, channel) = stranger(&url).await;
    let events = format!("{prefix}events");
    let nonsense = b"\xff nonsense";
    publish_raw(&channel, &events, "note", nonsense, BasicProperties::default().with_message_id("m".into())).await;
    publish_raw(&channel, &events, "note", br#"{"type":"note","body":{}}"#, BasicProperties::default()).await;
    // A stranger on an exchange that is not his: what no queue is bound for is put away, and blocks nothing.
    publish_raw(&channel, &format!("{prefix}delay"), "nowhere", b"x", BasicProperties::default()).await;
    next(&mut work, "the event behind the nonsense").await.settle(&[]).await.expect("settled");
    let rejected = format!("{prefix}rejected");
    let mut found = HashMap::new();
    until("both are put away", async || {
        while let Some(got) =
            channel.basic_get(rejected.as_str().into(), BasicGetOptions { no_ack: true }).await.expect("got")
        {
            found.insert(got.delivery.data.clone(), got.delivery.properties.headers().clone());
        }
        found.len() == 2
    })
    .await;
    let headers = found[&nonsense.to_vec()].clone().expect("headers");
    let reason = format!(
        "{:?}",
        headers.inner().get("x-hikyaku-rejected-because").map(|reason| match reason {
            AMQPValue::LongString(text) => text.to_string(),
            other => format!("{other:?}"),
        })
    );
    assert!(reason.contains("not JSON"), "{reason}");
    assert_eq!(queue.depths().await.expect("counted").work, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_cannot_aim_at_anothers_webhook() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let (_connection, channel) = stranger(&url).await;
    let mut forged = FieldTable::default();
    forged.insert("x-hikyaku-version".into(), AMQPValue::LongInt(1));
    forged.insert("x-hikyaku-webhook".into(), AMQPValue::LongString("victim".into()));
    forged.insert("x-hikyaku-copy".into(), AMQPValue::LongString("copy".into()));
    let properties = BasicProperties::default().with_headers(forged).with_message_id("m1".into());
    publish_raw(&channel, &format!("{prefix}events"), "note", br#"{"type":"note","body":{}}"#, properties).await;
    let mut lease = next(&mut work, "the event").await;
    assert_eq!(lease.message.target, Target::Subscribers);
    assert_eq!(lease.message.event.id.as_str(), "m1");
    lease.settle(&[]).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_as_it_must_be_is_a_clear_error() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let (_connection, channel) = stranger(&url).await;
    let mut other = FieldTable::default();
    other.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    other.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(20));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(format!("{prefix}work").into(), durable, other).await.expect("declared");
    let error = try_open(&url, &prefix, Access::Worker).await.expect_err("a clash");
    assert!(matches!(error, QueueError::Broker(BrokerError::Clash { .. })), "{error:?}");
    let words = error.to_string();
    assert!(words.contains(&format!("{prefix}work")) && words.contains("set another queue.prefix"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_without_the_broker_and_a_producer_fails_in_bounded_time() {
    // Port 1 of this machine: nobody listens.
    let queue = open_worker("amqp://127.0.0.1:1", "x.").await;
    assert!(queue.health().iter().any(|words| words.contains("cannot be reached")), "{:?}", queue.health());
    assert!(queue.publish(vec![fresh("e")]).await.is_err());
    let error = try_open("amqp://127.0.0.1:1", "x.", Access::Producer).await.expect_err("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_before_the_broker_works_when_it_comes() {
    let node = Broker::start().await;
    node.stop().await;
    let queue = open_worker(&node.url(), "hikyaku.").await;
    assert!(!queue.health().is_empty(), "it says that RabbitMQ is away");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    node.restart().await;
    until("it is connected", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("e")]).await.expect("published");
    next(&mut work, "the event").await.settle(&[]).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_nothing_and_what_is_being_sent_is_not_handed_out_again() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    let ids: Vec<String> = (0..2000).map(|n| format!("e{n}")).collect();
    queue.publish(ids.iter().map(|id| fresh(id)).collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut retry = queue.consume(Lane::Retry, PREFETCH).await.expect("consumed");
    let mut leases = Vec::new();
    for _ in 0..400 {
        leases.push(next(&mut work, "one of the first").await);
    }
    for lease in &mut leases[..100] {
        lease.settle(&[]).await.expect("settled");
    }
    node.kill().await;
    until("the loss is noticed", async || !queue.health().is_empty()).await;
    for lease in &mut leases[100..200] {
        lease.settle(&[]).await.expect("settled, to be acknowledged when its copy comes");
    }
    node.restart().await;
    until("the connection is back", async || queue.health().is_empty()).await;
    let mut counts: HashMap<String, u32> = HashMap::new();
    for lease in &mut leases {
        counts.insert(lease.message.event.id.as_str().to_owned(), 1);
    }
    for lease in &mut leases[200..] {
        let delivery = delivery(&lease.message, "w");
        let due = SystemClock.now();
        lease.settle(&[FollowUp::Later { delivery, due }]).await.expect("settled on the new connection");
    }
    drop(leases);
    for _ in 400..2000 {
        let mut lease = next(&mut work, "the rest").await;
        *counts.entry(lease.message.event.id.as_str().to_owned()).or_default() += 1;
        lease.settle(&[]).await.expect("settled");
    }
    for _ in 0..200 {
        next(&mut retry, "a follow-up").await.settle(&[]).await.expect("settled");
    }
    assert_eq!(counts.len(), ids.len(), "every event came");
    assert!(counts.values().all(|count| *count == 1), "none came twice");
    until("nothing is left", async || {
        queue.depths().await.is_ok_and(|depths| (depths.work, depths.delay, depths.dead) == (0, 0, 0))
    })
    .await;
    let left = tokio::time::timeout(Duration::from_millis(500), work.next()).await;
    assert!(left.is_err(), "no copy of anything is handed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_noticed_and_work_goes_on_when_it_thaws() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    queue.publish(vec![fresh("before")]).await.expect("published");
    let mut held = next(&mut work, "the event").await;
    node.freeze();
    until("two missed heartbeats are a lost connection", async || !queue.health().is_empty()).await;
    node.thaw();
    until("the connection is back", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("after")]).await.expect("published");
    held.settle(&[]).await.expect("settled");
    let mut lease = next(&mut work, "the second event").await;
    assert_eq!(lease.message.event.id.as_str(), "after");
    lease.settle(&[]).await.expect("settled");
    until("nothing is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_memory_alarm_a_publish_is_refused_and_after_it_accepted() {
    let node = Broker::start().await;
    let queue = open(&node.url(), "hikyaku.").await;
    queue.publish(vec![fresh("before")]).await.expect("published");
    node.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    let refused = async {
        // The alarm may take a moment to be raised.
        loop {
            if let Err(error) = queue.publish(vec![fresh("during")]).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(WAIT_MAX, refused).await.expect("refused in bounded time");
    assert!(matches!(error, QueueError::Broker(BrokerError::Blocked { .. })), "{error:?}");
    assert!(queue.health().iter().any(|words| words.contains("takes no messages")), "{:?}", queue.health());
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let handed_out = tokio::time::timeout(Duration::from_secs(1), work.next()).await;
    assert!(handed_out.is_err(), "no attempt is begun whose failure could not be put anywhere");
    node.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("the alarm is over", async || queue.health().is_empty()).await;
    queue.publish(vec![fresh("after")]).await.expect("accepted again");
    next(&mut work, "what waited").await.settle(&[]).await.expect("settled");
}
