//! Producers that publish all they have, whatever happens: over HTTP to the worker that is there now, or straight to
//! RabbitMQ. What they are not told to be stored they publish again with the same id, and remember that they did.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::program::{TOKEN, answer, event};

/// Events in one request, and unconfirmed on one channel.
const BATCH: usize = 20;
/// How long a producer waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a producer waits for an answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(45);

/// An event to publish.
pub(super) struct Item {
    pub(super) kind: &'static str,
    pub(super) id: String,
}

/// Producers at work.
pub(super) struct Producers {
    tasks: JoinSet<()>,
    address: watch::Sender<String>,
    again: Again,
}

/// The ids of what was published more than once.
#[derive(Clone, Default)]
struct Again(Arc<Mutex<HashSet<String>>>);

impl Again {
    fn note<'a>(&self, items: impl IntoIterator<Item = &'a Item>) {
        self.0.lock().unwrap().extend(items.into_iter().map(|item| item.id.clone()));
    }
}

impl Producers {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), address: watch::Sender::new(String::new()), again: Again::default() }
    }

    /// The worker now listens at `address`.
    pub(super) fn worker_is_at(&self, address: &str) {
        self.address.send_replace(address.to_owned());
    }

    /// Publishes `items` over HTTP.
    pub(super) fn over_http(&mut self, items: Vec<Item>) {
        self.tasks.spawn(over_http(items, self.address.subscribe(), self.again.clone()));
    }

    /// Publishes `items` to the exchange `exchange` of the RabbitMQ whose nodes are at `urls`.
    pub(super) fn over_amqp(&mut self, items: Vec<Item>, urls: &[String], exchange: &str) {
        self.tasks.spawn(over_amqp(items, urls.to_vec(), exchange.to_owned(), self.again.clone()));
    }

    /// The ids of what was published more than once by now, because nobody said that it is stored.
    pub(super) fn published_again(&self) -> HashSet<String> {
        self.again.0.lock().unwrap().clone()
    }

    /// Waits until all is published.
    pub(super) async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a producer never gives up");
        }
    }
}

async fn over_http(items: Vec<Item>, address: watch::Receiver<String>, again: Again) {
    let http = client();
    for batch in items.chunks(BATCH) {
        let body: String = batch.iter().map(|item| event(item.kind, &item.id) + "\n").collect();
        loop {
            let url = format!("{}/v1/events", *address.borrow());
            let answered = answer(http.post(url).bearer_auth(TOKEN).body(body.clone())).await;
            match answered {
                Ok((200, _)) => break,
                Ok((503, _)) | Err(_) => {}
                Ok((status, words)) => panic!("{status}: {words}"),
            }
            again.note(batch);
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

async fn over_amqp(items: Vec<Item>, urls: Vec<String>, exchange: String, again: Again) {
    let mut left: VecDeque<Item> = items.into();
    for url in urls.iter().cycle() {
        let connecting = tokio::time::timeout(ANSWER_WAIT_MAX, connect(url));
        if let Ok(Ok((_connection, channel))) = connecting.await {
            publish(&channel, &exchange, &mut left, &again).await;
        }
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Publishes from `left` until it is empty or something fails; only what is confirmed leaves it.
async fn publish(channel: &Channel, exchange: &str, left: &mut VecDeque<Item>, again: &Again) {
    while !left.is_empty() {
        let count = left.len().min(BATCH);
        let one_by_one = async {
            let mut confirms = Vec::new();
            for item in left.iter().take(count) {
                let body = event(item.kind, &item.id);
                let (properties, options) =
                    (BasicProperties::default().with_delivery_mode(2), BasicPublishOptions::default());
                let key = item.kind.into();
                confirms.push(channel.basic_publish(exchange.into(), key, options, body.as_bytes(), properties).await?);
            }
            // A queue whose leader was killed can say no: it is published again, as after no answer.
            let mut are_stored = true;
            for confirm in confirms {
                are_stored &= confirm.await?.is_ack();
            }
            lapin::Result::Ok(are_stored)
        };
        match tokio::time::timeout(ANSWER_WAIT_MAX, one_by_one).await {
            Ok(Ok(true)) => drop(left.drain(..count)),
            _ => {
                again.note(left.iter().take(count));
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a producer is not the production client")]
fn client() -> reqwest::Client {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(ANSWER_WAIT_MAX).build().expect("a client")
}
