//! RabbitMQ as a queue, with the real broker: what only it can do wrong.

mod cluster;
mod faults;
mod frames;
mod holding;
mod leases;
mod seen;
mod strangers;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hikyaku::clock::{Clock, SystemClock};
use hikyaku::model::{Arrival, Delivery, Event, EventId, Message, Target, WebhookId};
use hikyaku::queue::{
    Access, BrokerOptions, BrokerUrl, Consumer, Lease, Prefetch, Queue, QueueError, UNACKNOWLEDGED_MAX,
};
use hikyaku::telemetry::Telemetry;

const PREFETCH: Prefetch = Prefetch { messages: 500, bytes: 16 << 20 };
const WAIT_MAX: Duration = Duration::from_secs(120);

fn options(url: &str, prefix: &str) -> BrokerOptions {
    BrokerOptions {
        url: BrokerUrl::parse(url).expect("a URL"),
        prefix: prefix.to_owned(),
        event_bytes_max: 1 << 20,
        server: None,
        unacknowledged_max: UNACKNOWLEDGED_MAX,
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
    let arrival = Arrival { now, event_id: EventId::new(id).expect("valid"), event_bytes_max: 1 << 20, source: None };
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
