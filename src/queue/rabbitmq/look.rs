//! Looks at RabbitMQ and changes nothing there: what of the topology is there and as it must be, what our user may do,
//! and whether messages are taken.
//!
//! AMQP has no question for either, so each is a command that can only fail:
//!
//! - What is there is asked for passively. Only then is it declared as a session does, which changes nothing of what is
//!   there, and is refused when it differs.
//! - Whether what is absent might be made is asked by a declaration with an argument that RabbitMQ refuses, after it has
//!   looked whether the user may *configure* that name.
//! - An unbinding, of a key that nobody binds, from an exchange of the queue's own name, which there is none of, is refused
//!   when the user may not *write* to the one name and *read* the other. RabbitMQ's permissions are of names alone.
//!
//! A refusal closes the channel, so each question is asked on whichever channel is open. What a message that goes nowhere
//! tells of an alarm is as in `session`.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ErrorKind, Event};

use super::error::{self, BrokerError};
use super::frame_max::Use;
use super::link::{Link, within};
use super::topology::{Exchange, Queue, Topology};
use super::{BrokerOptions, declare};

/// A routing key that nobody binds anything by.
const NOBODYS_KEY: &str = "hikyaku.check.nobody-binds-this";
/// How long all nodes together may take to answer: a person waits.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(4);
/// How long a message that goes nowhere is waited for.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
/// In RabbitMQ's words when the user may not.
const ACCESS_REFUSED: &str = "ACCESS_REFUSED";

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct BrokerLook {
    /// RabbitMQ's version.
    pub version: Option<String>,
    /// Exchanges and queues of the topology that are there, and that are not.
    pub present: Vec<String>,
    /// Those that are not.
    pub absent: Vec<String>,
    /// Those that are there and not as they must be.
    pub clashes: Vec<BrokerError>,
    /// Names that the user may not make or declare.
    pub not_configurable: Vec<String>,
    /// Names that the user may not publish or bind to.
    pub not_writable: Vec<String>,
    /// Names that the user may not consume or bind from.
    pub not_readable: Vec<String>,
    /// Why nothing is taken for now, in RabbitMQ's words.
    pub blocked: Option<String>,
    /// Messages that were rejected.
    pub rejected: u64,
}

impl crate::queue::Queue {
    /// Looks at RabbitMQ with an eye to [`open_rabbitmq`](Self::open_rabbitmq) with `options`, and changes nothing there.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub async fn look_at_rabbitmq(options: &BrokerOptions) -> Result<BrokerLook, BrokerError> {
        let link = Link::open_quickest(&options.url, Use::Publish, "hikyaku check", CONNECT_WAIT_MAX).await?;
        let seen = see(&link, &Topology::new(&options.prefix)).await;
        link.close().await;
        seen
    }
}

async fn see(link: &Link, topology: &Topology) -> Result<BrokerLook, BrokerError> {
    let mut look = BrokerLook { version: link.version().map(str::to_owned), ..BrokerLook::default() };
    let mut asking = Asking { link, channel: None };
    for exchange in topology.exchanges() {
        asking.exchange(&exchange, &mut look).await?;
        // Nothing is bound to the probe's, nor read from it.
        let is_read = exchange.name != topology.probe();
        asking.use_of(&exchange.name, is_read, &mut look).await?;
    }
    for queue in topology.queues() {
        asking.queue(&queue, &mut look).await?;
        asking.use_of(&queue.name, true, &mut look).await?;
    }
    if look.present.contains(&topology.rejected()) {
        // Of that name there is an exchange too, and the queue may be gone.
        let name = topology.rejected();
        let counted = asking.ask(async |channel| declare::counted(channel, &name).await).await?;
        look.rejected = counted.unwrap_or(0);
    }
    if look.present.contains(&topology.probe()) {
        look.blocked = blocked(link, topology).await?;
    }
    for names in [&mut look.not_configurable, &mut look.not_writable, &mut look.not_readable] {
        names.sort();
        names.dedup();
    }
    Ok(look)
}

/// Asks on one channel, and on the next when RabbitMQ has closed that.
struct Asking<'a> {
    link: &'a Link,
    channel: Option<Channel>,
}

impl Asking<'_> {
    /// What `question` gives, or RabbitMQ's words when it refuses.
    async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Channel) -> Result<T, lapin::Error>,
    ) -> Result<Result<T, String>, BrokerError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => self.link.channel().await?,
        };
        let asked = within("a question", async { Ok(question(&channel).await) }).await?;
        match asked {
            Ok(answer) => {
                self.channel = Some(channel);
                Ok(Ok(answer))
            }
            Err(refusal) if matches!(refusal.kind(), ErrorKind::ProtocolError(_)) => Ok(Err(error::words(&refusal))),
            Err(lost) => Err(lost.into()),
        }
    }

    async fn exchange(&mut self, exchange: &Exchange, look: &mut BrokerLook) -> Result<(), BrokerError> {
        let name = exchange.name.as_str();
        let declared = async |channel: &Channel, passive, arguments| {
            let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(name.into(), exchange.kind.clone(), options, arguments).await
        };
        let is_there = self.ask(async |channel| declared(channel, true, FieldTable::default()).await).await?.is_ok();
        let mut arguments = exchange.arguments.clone();
        if !is_there {
            // No name: refused, once it is known that the user may.
            arguments.insert("alternate-exchange".into(), AMQPValue::LongInt(1));
        }
        let said = self.ask(async |channel| declared(channel, false, arguments).await).await?;
        look.note("exchange", name, is_there, said.err());
        Ok(())
    }

    async fn queue(&mut self, queue: &Queue, look: &mut BrokerLook) -> Result<(), BrokerError> {
        let name = queue.name.as_str();
        let declared = async |channel: &Channel, passive, arguments| {
            let options = QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.into(), options, arguments).await
        };
        let is_there = self.ask(async |channel| declared(channel, true, FieldTable::default()).await).await?.is_ok();
        let mut arguments = queue.arguments.clone();
        if !is_there {
            // No number: refused, once it is known that the user may. And no word of dead-lettering, which has rights of its
            // own, in the same words.
            arguments = FieldTable::default();
            arguments.insert("x-message-ttl".into(), AMQPValue::LongString("none".into()));
        }
        let said = self.ask(async |channel| declared(channel, false, arguments).await).await?;
        look.note("queue", name, is_there, said.err());
        Ok(())
    }

    /// Whether the user may write to what is called `name`, and read from it.
    async fn use_of(&mut self, name: &str, is_read: bool, look: &mut BrokerLook) -> Result<(), BrokerError> {
        let unbound = async |channel: &Channel| {
            channel.queue_unbind(name.into(), name.into(), NOBODYS_KEY.into(), FieldTable::default()).await
        };
        match self.ask(unbound).await? {
            Err(words) if words.starts_with(ACCESS_REFUSED) && words.contains("to exchange '") => {
                if is_read {
                    look.not_readable.push(name.to_owned());
                }
            }
            Err(words) if words.starts_with(ACCESS_REFUSED) => look.not_writable.push(name.to_owned()),
            // There is no such exchange, or no such queue: it may.
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}

impl BrokerLook {
    /// Takes note of what RabbitMQ said, if anything, to the declaration of `name`.
    fn note(&mut self, kind: &'static str, name: &str, is_there: bool, said: Option<String>) {
        let list = if is_there { &mut self.present } else { &mut self.absent };
        list.push(name.to_owned());
        let Some(words) = said else { return };
        if words.starts_with(ACCESS_REFUSED) {
            self.not_configurable.push(name.to_owned());
        } else if is_there {
            let other = || BrokerError::Other { why: format!("{kind} `{name}`: {words}") };
            self.clashes.push(error::clash(kind, name, &words).unwrap_or_else(other));
        }
    }
}

/// Why RabbitMQ takes no messages, if it does not.
async fn blocked(link: &Link, topology: &Topology) -> Result<Option<String>, BrokerError> {
    let mut events = Box::pin(link.connection.events_listener());
    let channel = link.channel().await?;
    within("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let confirmed = async {
        let (exchange, options) = (topology.probe(), BasicPublishOptions::default());
        channel.basic_publish(exchange.into(), "".into(), options, &[], BasicProperties::default()).await?.await
    };
    let told = async {
        loop {
            match events.next().await {
                Some(Event::ConnectionBlocked(why)) => return why,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        biased;
        why = told => Ok(Some(why)),
        // That the user may not publish is another finding.
        _ = confirmed => Ok(None),
        () = tokio::time::sleep(PROBE_WAIT_MAX) => {
            Ok(Some(format!("it did not confirm a message within {} s", PROBE_WAIT_MAX.as_secs())))
        }
    }
}
