//! What a worker keeps unacknowledged: not for as long as RabbitMQ would close its channel for, and no more bytes than fit.
//!
//! RabbitMQ's time runs in seconds here, and a stranger who keeps a message shows that it has run out: these tests last for
//! as long as that takes, and for many calls of `rabbitmqctl`, 20 s or more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hikyaku::clock::{Clock, SystemClock};
use hikyaku::deliver::Drainer;
use hikyaku::model::{Arrival, DeathReason, Event, EventId, Message, Target};
use hikyaku::queue::{Access, BrokerOptions, Death, FollowUp, Lane, Lease, Prefetch, Queue};
use hikyaku::record::{DeadLetters, Filter, Retention};
use hikyaku::telemetry::{SharedTelemetry, Telemetry};
use hikyaku::traces::Tracer;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::{PREFETCH, WAIT_MAX, delivery, fresh, next, options, until};
use crate::support::amqp::{Queues, Stranger};
use crate::support::broker::Broker;

/// How long a message may be unacknowledged here, before RabbitMQ minds ([`impatient`]).
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);
const MIB: usize = 1 << 20;

/// A broker that has enough of who keeps a message for six seconds; since 4.3 it looks once a minute.
async fn impatient() -> Broker {
    let node = Broker::start().await;
    let timeout = "application:set_env(rabbit, consumer_timeout, 6000), \
                   application:set_env(rabbit, channel_tick_interval, 500).";
    node.control(&["eval", timeout]).await;
    node
}

/// A worker's queue, and where it tells what happens.
async fn open(url: &str, prefix: &str, unacknowledged_max: Duration) -> (Queue, SharedTelemetry) {
    let telemetry = Telemetry::shared().expect("metrics");
    let options = BrokerOptions { unacknowledged_max, ..options(url, prefix) };
    let opening = Queue::open_rabbitmq(options, Access::Worker, SystemClock::shared(), telemetry.clone());
    let queue = opening.await.expect("open");
    until("it is connected", async || queue.health().is_empty()).await;
    (queue, telemetry)
}

/// Someone who takes a copy of whatever is published from now on, and keeps it. From a quorum queue: since 4.3 others do not mind.
struct Keeper(Stranger, lapin::Consumer);

impl Keeper {
    async fn of(url: &str) -> Self {
        let stranger = Stranger::connect(url).await;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let Stranger { channel, .. } = &stranger;
        channel.queue_declare("kept".into(), durable, quorum).await.expect("declared");
        let (all, none) = ("#".into(), FieldTable::default());
        let bound = channel.queue_bind("kept".into(), "hikyaku.events".into(), all, QueueBindOptions::default(), none);
        bound.await.expect("bound");
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let taken = channel.basic_consume("kept".into(), "".into(), options, none).await;
        Self(stranger, taken.expect("consumed"))
    }

    /// Waits until RabbitMQ has closed its channel, or, since 4.3, cancelled its consumer, because it kept a message for too long.
    async fn until_it_is_over(self) {
        let Self(_connection, mut consumer) = self;
        let over = async { while let Some(Ok(_kept)) = consumer.next().await {} };
        tokio::time::timeout(WAIT_MAX, over).await.expect("RabbitMQ has enough of who keeps a message");
    }
}

/// What RabbitMQ says of `queue`: messages unacknowledged, and consumers.
async fn seen(node: &Broker, queue: &str) -> (u64, u64) {
    let columns = ["-q", "list_queues", "name", "messages_unacknowledged", "consumers", "--no-table-headers"];
    let said = node.control(&columns).await;
    let line = said.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'));
    let line = line.unwrap_or_else(|| panic!("`{queue}` is not there: {said}"));
    let (unacknowledged, consumers) = line.split_once('\t').expect("two columns");
    (unacknowledged.parse().expect("a number"), consumers.trim().parse().expect("a number"))
}

fn assert_no_session_was_lost(telemetry: &SharedTelemetry) {
    let metrics = telemetry.render();
    assert!(metrics.contains("hikyaku_broker_reconnects_total 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_longer_than_the_consumer_timeout_costs_no_session_and_nothing_is_lost_or_repeated() {
    let node = impatient().await;
    let (queue, telemetry) = open(&node.url(), "hikyaku.", UNACKNOWLEDGED_MAX).await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut retry = queue.consume(Lane::Retry, PREFETCH).await.expect("consumed");
    queue.publish((0..300).map(|n| fresh(&format!("e{n}"))).collect()).await.expect("published");
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut count = |lease: &Lease| *counts.entry(lease.message.event.id.as_str().to_owned()).or_default() += 1;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(next(&mut work, "an event").await);
        count(held.last().expect("one"));
    }
    let keeper = Keeper::of(&node.url()).await;
    queue.publish(vec![fresh("e300")]).await.expect("published");

    node.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    let mut accepted = 301;
    let refused = async {
        // RabbitMQ says so at the first publish; it may take a moment to find out.
        while queue.publish(vec![fresh(&format!("e{accepted}"))]).await.is_ok() {
            accepted += 1;
        }
    };
    tokio::time::timeout(WAIT_MAX, refused).await.expect("refused in bounded time");
    keeper.until_it_is_over().await;
    until("all has gone back", async || seen(&node, "hikyaku.work").await == (0, 0)).await;
    assert!(queue.health().iter().all(|words| words.contains("takes no messages")), "{:?}", queue.health());
    assert_no_session_was_lost(&telemetry);

    node.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("the alarm is over", async || queue.health().is_empty()).await;
    for (n, lease) in held.iter_mut().enumerate() {
        let later = FollowUp::Later { delivery: delivery(&lease.message, "w"), due: SystemClock.now() };
        let follow_ups = if n < 50 { vec![later] } else { Vec::new() };
        lease.settle(&follow_ups).await.expect("settled, to be acknowledged when its copy comes");
    }
    // What was refused may have been sent before RabbitMQ said so: that is for the producer to know.
    for _ in 100..accepted {
        let mut lease = next(&mut work, "the rest").await;
        count(&lease);
        lease.settle(&[]).await.expect("settled");
    }
    for _ in 0..50 {
        next(&mut retry, "a follow-up").await.settle(&[]).await.expect("settled");
    }
    assert!((0..accepted).all(|n| counts.get(&format!("e{n}")).is_some_and(|count| *count == 1)), "{counts:?}");
    assert_no_session_was_lost(&telemetry);
    assert_eq!(queue.depths().await.expect("counted").rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_locked_for_longer_than_the_consumer_timeout_costs_no_session_and_gets_every_letter() {
    let node = impatient().await;
    let (queue, telemetry) = open(&node.url(), "hikyaku.", UNACKNOWLEDGED_MAX).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store.db");
    let retention = Retention { age: Duration::from_secs(3600), count_max: 1000 };
    let letters = Arc::new(DeadLetters::open(&store, retention, SystemClock::shared()).await.expect("a store"));
    let another = rusqlite::Connection::open(&store).expect("opened by another");
    another.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let drainer =
        Drainer::start(&queue, Arc::clone(&letters), telemetry.clone(), Tracer::default()).await.expect("drained");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    queue.publish(vec![fresh("e")]).await.expect("published");
    let mut lease = next(&mut work, "the event").await;
    let death = Death { reason: DeathReason::Gone, at: SystemClock.now() };
    let dead = (0..20).map(|n| FollowUp::Dead { delivery: delivery(&lease.message, &format!("w{n}")), death });
    lease.settle(&dead.collect::<Vec<_>>()).await.expect("settled");
    let trouble = drainer.trouble();
    until("the drainer has letters that it cannot store", async || trouble.words().is_some()).await;
    let keeper = Keeper::of(&node.url()).await;
    queue.publish(vec![fresh("kept")]).await.expect("published");

    keeper.until_it_is_over().await;
    until("they have gone back", async || seen(&node, "hikyaku.dead").await == (0, 0)).await;
    assert_no_session_was_lost(&telemetry);

    another.execute_batch("ROLLBACK").expect("free");
    until("the store has every letter", async || letters.count(&Filter::default()).await.expect("counted") == 20).await;
    until("none is left", async || queue.depths().await.is_ok_and(|depths| depths.dead == 0)).await;
    assert_no_session_was_lost(&telemetry);
    drainer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_for_too_long_goes_back_once_and_the_lane_goes_on_when_half_of_it_is_done() {
    let queues = Queues::own().await;
    let stranger = Stranger::connect(&queues.url).await;
    let (queue, telemetry) = open(&queues.url, &queues.prefix, UNACKNOWLEDGED_MAX).await;
    let prefetch = Prefetch { messages: 10, bytes: 16 * MIB };
    let mut work = queue.consume(Lane::Work, prefetch).await.expect("consumed");
    queue.publish((0..30).map(|n| fresh(&format!("e{n}"))).collect()).await.expect("published");
    let mut seen = Vec::new();
    let mut held = Vec::new();
    for _ in 0..10 {
        let lease = next(&mut work, "one of the first").await;
        seen.push(lease.message.event.id.as_str().to_owned());
        held.push(lease);
    }
    until("all has gone back", async || stranger.depth(&queues.name("work")).await == Some(30)).await;
    assert_eq!(queue.depths().await.expect("counted").work, 30, "what RabbitMQ has back counts once");
    for mut lease in held {
        lease.settle(&[]).await.expect("settled, to be acknowledged when its copy comes");
    }
    for _ in 10..30 {
        let mut lease = next(&mut work, "the rest").await;
        seen.push(lease.message.event.id.as_str().to_owned());
        lease.settle(&[]).await.expect("settled");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 30, "each came once");
    until("none is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
    assert_no_session_was_lost(&telemetry);
}

/// An event that is nearly as large as one may be.
fn large(id: &str) -> Message {
    let json = format!(r#"{{"type":"note","userId":"u","body":{{"text":"{}"}}}}"#, "x".repeat(MIB - 100));
    let (now, event_id) = (SystemClock.now(), EventId::new(id).expect("valid"));
    let arrival = Arrival { now, event_id, event_bytes_max: MIB, source: None };
    let event = Event::parse(&Bytes::from(json), arrival).expect("an event");
    Message { event: Arc::new(event), target: Target::Subscribers }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_large_messages_few_are_taken_ahead_and_of_small_ones_after_them_all_that_may_be() {
    const LARGE: u32 = 300;
    let queues = Queues::own().await;
    let stranger = Stranger::connect(&queues.url).await;
    let (queue, telemetry) = open(&queues.url, &queues.prefix, WAIT_MAX * 10).await;
    for n in 0..LARGE / 10 {
        queue.publish((0..10).map(|m| large(&format!("l{}", 10 * n + m))).collect()).await.expect("published");
    }
    let prefetch = Prefetch { messages: 500, bytes: 4 * MIB };
    let mut work = queue.consume(Lane::Work, prefetch).await.expect("consumed");
    // RabbitMQ itself counts how many the worker has, or has under way to it.
    let mut taken_max = 0;
    for done in 0..LARGE {
        let mut lease = next(&mut work, "a large one").await;
        let ready = stranger.depth(&queues.name("work")).await.expect("the queue");
        taken_max = taken_max.max(LARGE - done - ready);
        lease.settle(&[]).await.expect("settled");
    }
    assert!(taken_max <= 4 + 4, "{taken_max} MiB were taken ahead, and 4 MiB may be in hand");

    queue.publish((0..1000).map(|n| fresh(&format!("s{n}"))).collect()).await.expect("published");
    let mut held = Vec::new();
    for _ in 0..500 {
        held.push(next(&mut work, "a small one").await);
    }
    for mut lease in held {
        lease.settle(&[]).await.expect("settled");
    }
    for _ in 500..1000 {
        next(&mut work, "the rest").await.settle(&[]).await.expect("settled");
    }

    // 500 may come now at once, and they are large: only until that is noticed. One of each ten is taken, so that the lane
    // comes to look at them also on a busy machine.
    for n in 0..LARGE / 10 {
        queue.publish((0..10).map(|m| large(&format!("b{}", 10 * n + m))).collect()).await.expect("published");
        next(&mut work, "a large one").await.settle(&[]).await.expect("settled");
    }
    let ready = stranger.depth(&queues.name("work")).await.expect("the queue");
    assert!(ready > 0, "all of {LARGE} MiB were taken ahead, and 4 MiB may be in hand");
    for _ in LARGE / 10..LARGE {
        next(&mut work, "a large one").await.settle(&[]).await.expect("settled");
    }
    until("none is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
    assert_no_session_was_lost(&telemetry);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_asked_for_by_more_consumers_and_by_one_again_once_little_is_in_hand() {
    const MESSAGES: usize = 300;
    let queues = Queues::own().await;
    let stranger = Stranger::connect(&queues.url).await;
    let (queue, telemetry) = open(&queues.url, &queues.prefix, WAIT_MAX * 10).await;
    queue.publish((0..MESSAGES).map(|n| fresh(&format!("h{n}"))).collect()).await.expect("published");
    let prefetch = Prefetch { messages: 500, bytes: 4 * MIB };
    let mut work = queue.consume(Lane::Work, prefetch).await.expect("consumed");
    let mut held = Vec::new();
    for _ in 0..MESSAGES {
        held.push(next(&mut work, "one to hold").await);
    }
    let consumers = stranger.consumers(&queues.name("work")).await.expect("the queue");
    assert!(consumers > 1, "what is in hand stays where it is, and more is asked for beside it");
    let mut ids: Vec<String> = held.iter().map(|lease| lease.message.event.id.as_str().to_owned()).collect();
    for mut lease in held {
        lease.settle(&[]).await.expect("settled");
    }
    until("one asks for all", async || stranger.consumers(&queues.name("work")).await == Some(1)).await;

    queue.publish((0..MESSAGES).map(|n| fresh(&format!("a{n}"))).collect()).await.expect("published");
    for _ in 0..MESSAGES {
        let mut lease = next(&mut work, "one of the rest").await;
        ids.push(lease.message.event.id.as_str().to_owned());
        lease.settle(&[]).await.expect("settled");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2 * MESSAGES, "each came once");
    until("none is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
    assert_no_session_was_lost(&telemetry);
}
