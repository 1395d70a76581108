//! One time of being connected: both connections, from when the topology stands until anything about them fails.
//!
//! Publishing and consuming have a connection each: during an alarm RabbitMQ stops reading from who has published, and
//! acknowledgements on that connection would be stuck. RabbitMQ tells only those of an alarm who have published, so a
//! session publishes a probe before anyone works on it. A session never recovers; the supervisor makes the next one, and
//! everyone who works on a session (publisher, lanes) takes it from there.

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use tokio::sync::{Mutex, watch};

use super::declare;
use super::error::BrokerError;
use super::frame_max::Use;
use super::link::{CALL_WAIT_MAX, Link, within};
use super::topology::{Exchange, Topology};
use super::url::BrokerUrl;
use crate::queue::Access;

/// Both connections and what became of them.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) publish: Link,
    /// Workers only.
    pub(super) consume: Option<Link>,
    /// The first channel on which every publish is confirmed; after the probe the publisher's own.
    pub(super) confirm: Channel,
    /// Why nothing is taken for now, if so.
    pub(super) blocked: watch::Sender<Option<String>>,
    failed: watch::Sender<Option<String>>,
    counting: Mutex<Option<Channel>>,
}

/// The session that is on now, if one is.
pub(super) type Sessions = watch::Receiver<Option<Arc<Session>>>;

impl Session {
    /// Connects to the node at `index`, declares what must be there, and is ready.
    pub(super) async fn open(
        url: &BrokerUrl,
        index: usize,
        topology: &Topology,
        access: Access,
    ) -> Result<Self, BrokerError> {
        let name = match access {
            Access::Worker => "hikyaku publish",
            Access::Producer => "hikyaku produce",
            Access::Ingest => "hikyaku ingest",
        };
        let publish = Link::open(url, index, Use::Publish, name).await?;
        declare::declare(&publish, topology).await?;
        let confirm = confirm_channel(&publish).await?;
        let consume = match access {
            Access::Worker => Some(publish.another(url, index, Use::Consume, "hikyaku consume").await?),
            Access::Producer | Access::Ingest => None,
        };
        Ok(Self {
            publish,
            consume,
            confirm,
            blocked: watch::Sender::new(None),
            failed: watch::Sender::new(None),
            counting: Mutex::new(None),
        })
    }

    /// Finds out whether RabbitMQ takes messages: waits until it has confirmed one that goes nowhere, or has said that there
    /// is an alarm, for which someone must be listening to its connection. That one is then confirmed after the alarm.
    pub(super) async fn probe(&self, topology: &Topology) -> Result<(), BrokerError> {
        let mut blocked = self.blocked.subscribe();
        let confirmed = async {
            let (exchange, options) = (topology.probe(), BasicPublishOptions::default());
            let properties = BasicProperties::default();
            self.confirm.basic_publish(exchange.into(), "".into(), options, &[], properties).await?.await
        };
        let told = tokio::time::timeout(CALL_WAIT_MAX, async {
            tokio::select! {
                confirmed = confirmed => confirmed.map(drop),
                _ = blocked.wait_for(Option::is_some) => Ok(()),
            }
        });
        Ok(told.await.map_err(|_| BrokerError::too_slow("a publish that goes nowhere", CALL_WAIT_MAX))??)
    }

    /// One more channel on which every publish is confirmed.
    pub(super) async fn confirm_channel(&self) -> Result<Channel, BrokerError> {
        confirm_channel(&self.publish).await
    }

    /// Something about it does not work: it ends. The first reason stays.
    pub(super) fn fail(&self, why: impl std::fmt::Display) {
        self.failed.send_if_modified(|failed| {
            let is_first = failed.is_none();
            failed.get_or_insert_with(|| why.to_string());
            is_first
        });
    }

    /// Where it says why it has failed, once it has.
    pub(super) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    /// Waits until it fails, and tells why.
    pub(super) async fn ended(&self) -> String {
        let mut failed = self.failure();
        match failed.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Whether both connections are still there, as far as lapin knows.
    pub(super) fn is_connected(&self) -> bool {
        let consume = self.consume.as_ref().is_none_or(|link| link.connection.status().connected());
        consume && self.publish.connection.status().connected()
    }

    /// How many messages lie in each of `queues`; an error when one of them, or of `exchanges`, is not there any more: then
    /// RabbitMQ closes the channel, which ends the session, and the next one declares it anew.
    pub(super) async fn ready(&self, queues: &[String], exchanges: Vec<Exchange>) -> Result<Vec<u64>, BrokerError> {
        let mut counting = self.counting.lock().await;
        let channel = match counting.take() {
            Some(channel) => channel,
            None => self.consume.as_ref().unwrap_or(&self.publish).channel().await?,
        };
        for exchange in exchanges {
            declare::look_for(&channel, exchange).await?;
        }
        let mut counts = Vec::with_capacity(queues.len());
        for queue in queues {
            counts.push(declare::ready(&channel, queue).await?);
        }
        *counting = Some(channel);
        Ok(counts)
    }

    /// Says goodbye on both.
    pub(super) async fn close(&self) {
        let consume = async {
            if let Some(consume) = &self.consume {
                consume.close().await;
            }
        };
        tokio::join!(self.publish.close(), consume);
    }

    /// Cuts both off.
    pub(super) fn cut(&self) {
        self.publish.cut();
        self.consume.iter().for_each(Link::cut);
    }
}

async fn confirm_channel(publish: &Link) -> Result<Channel, BrokerError> {
    let channel = publish.channel().await?;
    within("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}
