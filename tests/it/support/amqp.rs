//! A producer of RabbitMQ who is not us, and the settings of a program that works on RabbitMQ.

use std::collections::HashMap;

use hikyaku::clock::{Clock, SystemClock};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

use super::broker;

/// Queues of their own in the broker that tests share.
pub(crate) struct Queues {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl Queues {
    /// Names that no other test has.
    pub(crate) async fn own() -> Self {
        Self { url: broker::shared_url().await, prefix: broker::own_prefix() }
    }

    /// What a settings file needs to work on them.
    pub(crate) fn settings(&self) -> String {
        let Self { url, prefix } = self;
        format!("queue.url = \"{url}\"\nqueue.prefix = \"{prefix}\"\nqueue.single_host = true\n")
    }

    /// The name of one of their exchanges or queues.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Someone else's connection.
pub(crate) struct Stranger {
    connection: Connection,
    pub(crate) channel: Channel,
}

impl Stranger {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("connected");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { connection, channel }
    }

    /// Whether its connection is still there.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Publishes, and waits for the confirm.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        assert!(sent.expect("sent").await.expect("confirmed").is_ack());
    }

    /// A queue of its own, with a copy of whatever is published to `exchange` from now on.
    pub(crate) async fn listen(&self, exchange: &str) -> String {
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare("".into(), options, FieldTable::default()).await.expect("declared");
        let name = queue.name().as_str().to_owned();
        let bound = self.channel.queue_bind(
            name.as_str().into(),
            exchange.into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.expect("bound");
        name
    }

    /// Takes a message from `queue`, if there is one.
    pub(crate) async fn take(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.expect("got");
        got.map(|got| got.delivery)
    }

    /// Takes the message of `queue` so many times, and says each time that it cannot be worked on.
    pub(crate) async fn fail(&self, queue: &str, times: u32) {
        let mut failed = 0;
        while failed < times {
            let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: false }).await.expect("got");
            // After a while it is there again.
            let Some(got) = got else { continue };
            got.delivery.acker.reject(BasicRejectOptions { requeue: true }).await.expect("rejected");
            failed += 1;
        }
    }

    /// Whether there is an exchange of that name.
    pub(crate) async fn has_exchange(&self, name: &str) -> bool {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let channel = self.connection.create_channel().await.expect("a channel");
        channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await.is_ok()
    }

    /// Messages that wait in `queue`; nothing when there is no such queue.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        self.look_at(queue).await.map(|queue| queue.message_count())
    }

    /// Who consumes `queue`.
    pub(crate) async fn consumers(&self, queue: &str) -> Option<u32> {
        self.look_at(queue).await.map(|queue| queue.consumer_count())
    }

    async fn look_at(&self, queue: &str) -> Option<lapin::Queue> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.connection.create_channel().await.expect("a channel");
        let asked = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        asked.ok()
    }
}

/// Properties with these headers.
pub(crate) fn headers(entries: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_headers(table)
}

/// A text as a header's value.
pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// A whole number as a header's value.
pub(crate) fn number(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

/// The headers of a delivery of the webhook `hook`, as hikyaku writes them, with some changed.
pub(crate) fn delivery_headers(changed: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut all: HashMap<&str, AMQPValue> = HashMap::from([
        ("x-hikyaku-version", number(1)),
        ("x-hikyaku-accepted-at", number(now_ms())),
        ("x-hikyaku-webhook", text("hook")),
        ("x-hikyaku-generation", number(0)),
        ("x-hikyaku-attempts", number(1)),
        ("x-hikyaku-parks", number(0)),
        ("x-hikyaku-since", number(now_ms())),
    ]);
    all.extend(changed.iter().map(|(name, value)| (*name, value.clone())));
    let all: Vec<(&str, AMQPValue)> = all.into_iter().collect();
    headers(&all)
}

/// This moment in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now().as_millis()
}
