//! Declares the topology, removes it, and counts what lies in queues. On channels that are thrown away: a refusal closes a channel.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};

use super::error::{self, BrokerError};
use super::link::{CALL_WAIT_MAX, Link, within};
use super::topology::{Exchange, Topology};

/// Declares every exchange, queue and binding; those that are there already stay as they are.
pub(super) async fn declare(link: &Link, topology: &Topology) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    for exchange in topology.exchanges() {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let name = exchange.name.as_str();
        let declared = channel.exchange_declare(name.into(), exchange.kind, options, exchange.arguments);
        tell("exchange", name, tokio::time::timeout(CALL_WAIT_MAX, declared).await)?;
    }
    for queue in topology.queues() {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let name = queue.name.as_str();
        let declared = channel.queue_declare(name.into(), options, queue.arguments);
        tell("queue", name, tokio::time::timeout(CALL_WAIT_MAX, declared).await)?;
    }
    for binding in topology.bindings() {
        let (queue, exchange) = (binding.queue.as_str().into(), binding.exchange.as_str().into());
        let key = binding.routing_key.as_str().into();
        let bound = channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default());
        tell("queue", &binding.queue, tokio::time::timeout(CALL_WAIT_MAX, bound).await)?;
    }
    let _closed_with_the_connection = within("closing a channel", channel.close(200, "done".into())).await;
    Ok(())
}

/// Deletes every queue and exchange, and all that lies in them; those that are not there do not matter.
pub(super) async fn remove(link: &Link, topology: &Topology) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    for queue in topology.queues() {
        let deleted = channel.queue_delete(queue.name.as_str().into(), QueueDeleteOptions::default());
        tell("queue", &queue.name, tokio::time::timeout(CALL_WAIT_MAX, deleted).await)?;
    }
    for exchange in topology.exchanges() {
        let deleted = channel.exchange_delete(exchange.name.as_str().into(), ExchangeDeleteOptions::default());
        tell("exchange", &exchange.name, tokio::time::timeout(CALL_WAIT_MAX, deleted).await)?;
    }
    Ok(())
}

type Told<T> = Result<Result<T, lapin::Error>, tokio::time::error::Elapsed>;

fn tell<T>(kind: &'static str, name: &str, told: Told<T>) -> Result<T, BrokerError> {
    let error = match told {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error,
        Err(_) => return Err(BrokerError::too_slow(&format!("the declaration of {kind} `{name}`"), CALL_WAIT_MAX)),
    };
    let words = error::words(&error);
    if let Some(clash) = error::clash(kind, name, &words) {
        return Err(clash);
    }
    Err(match error.kind() {
        ErrorKind::ProtocolError(_) if words.starts_with("ACCESS_REFUSED") => BrokerError::Refused { why: words },
        _ => BrokerError::Other { why: format!("{kind} `{name}`: {words}") },
    })
}

/// An error when `exchange` is not there any more. Of an exchange that only RabbitMQ publishes to nobody else would notice.
pub(super) async fn look_for(channel: &Channel, exchange: Exchange) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { passive: true, durable: true, ..ExchangeDeclareOptions::default() };
    let asked = channel.exchange_declare(exchange.name.into(), exchange.kind, options, FieldTable::default());
    within("looking for an exchange", asked).await
}

/// How many messages lie in `queue`, those that are being worked on not included.
pub(super) async fn ready(channel: &Channel, queue: &str) -> Result<u64, BrokerError> {
    within("counting messages", counted(channel, queue)).await
}

/// The same in lapin's words.
pub(super) async fn counted(channel: &Channel, queue: &str) -> Result<u64, lapin::Error> {
    let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
    asked.await.map(|queue| u64::from(queue.message_count()))
}
