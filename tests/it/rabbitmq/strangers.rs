//! Strangers on the same broker: messages that are no events, forged headers, queues that are not as they must be.

use std::collections::HashMap;
use std::time::Duration;

use hikyaku::clock::{Clock, SystemClock};
use hikyaku::model::Target;
use hikyaku::queue::{Access, BrokerError, FollowUp, Lane, QueueError};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::{PREFETCH, delivery, next, open, try_open, until};
use crate::support::amqp::Stranger;
use crate::support::broker;

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
async fn what_someone_puts_into_a_bucket_without_a_time_of_its_own_holds_up_nothing_for_ever() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let (mut work, mut retry) = (
        queue.consume(Lane::Work, PREFETCH).await.expect("consumed"),
        queue.consume(Lane::Retry, PREFETCH).await.expect("consumed"),
    );
    let (_connection, channel) = stranger(&url).await;
    // Only the head of a queue expires.
    publish_raw(&channel, &format!("{prefix}delay"), "1s", b"nonsense", BasicProperties::default()).await;
    let event = br#"{"type":"note","body":{},"eventId":"behind"}"#;
    publish_raw(&channel, &format!("{prefix}events"), "note", event, BasicProperties::default()).await;
    let mut lease = next(&mut work, "the event").await;
    let due = SystemClock.now().plus(Duration::from_secs(1));
    let follow_up = FollowUp::Later { delivery: delivery(&lease.message, "hook"), due };
    lease.settle(&[follow_up]).await.expect("settled");
    let mut lease = next(&mut retry, "the delivery behind the nonsense").await;
    assert_eq!(lease.message.event.id.as_str(), "behind");
    assert!(SystemClock.now() >= due, "it is early");
    lease.settle(&[]).await.expect("settled");
    until("the nonsense is put away", async || queue.depths().await.expect("counted").rejected == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_someone_deletes_is_declared_anew_though_only_rabbitmq_publishes_to_it() {
    let (url, prefix) = (broker::shared_url().await, broker::own_prefix());
    let queue = open(&url, &prefix).await;
    let stranger = Stranger::connect(&url).await;
    let due = format!("{prefix}due");
    let deleted = stranger.channel.exchange_delete(due.as_str().into(), ExchangeDeleteOptions::default());
    deleted.await.expect("deleted");
    until("it is there again", async || {
        // As a worker's sampler does all the time.
        let _an_error_when_it_is_missed = queue.depths().await;
        stranger.has_exchange(&due).await
    })
    .await;
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
