//! A bare loop over RabbitMQ: lapin consumes, reqwest POSTs, each message is acknowledged by itself, and nothing else.

use std::time::Instant;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::oneshot;
use url::Url;

use super::{Load, bare};

/// Drains `queue` of the broker at `amqp`, which holds as many messages as `load` says, into `receiver`; deliveries a second,
/// from the first message in hand to the last one acknowledged.
pub(super) async fn drain(load: &Load, amqp: &str, queue: &str, receiver: &Url) -> anyhow::Result<f64> {
    let (load, amqp, queue, receiver) = (load.clone(), amqp.to_owned(), queue.to_owned(), receiver.clone());
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("bench-bare-amqp".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let drained = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
            let drained = runtime.block_on(drain_all(&load, &amqp, &queue, &receiver));
            runtime.shutdown_background();
            drained
        });
        let _nobody_may_wait = done.send(drained);
    })?;
    result.await?
}

async fn drain_all(load: &Load, amqp: &str, queue: &str, receiver: &Url) -> anyhow::Result<f64> {
    let client = bare::client()?;
    let connection = Connection::connect(amqp, ConnectionProperties::default())
        .await
        .context("the bare loop cannot connect to RabbitMQ; it needs a URL with one node")?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(u16::try_from(load.prefetch()).unwrap_or(u16::MAX), BasicQosOptions::default()).await?;
    let mut arrivals = channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?
        .take(load.events as usize)
        .peekable();
    std::pin::Pin::new(&mut arrivals).peek().await.context("the queue is empty")?;
    let began = Instant::now();
    arrivals
        .map_err(anyhow::Error::from)
        .try_for_each_concurrent(load.concurrency, async |arrived| {
            let request =
                client.post(receiver.clone()).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body(arrived.data).send().await?.error_for_status()?.bytes().await?;
            channel.basic_ack(arrived.delivery_tag, BasicAckOptions::default()).await?;
            Ok(())
        })
        .await?;
    let rate = f64::from(load.events) / began.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await?;
    Ok(rate)
}
