//! Walks over what lies in `rejected`: looks at each message, oldest first, and puts it back or deletes it as chosen.
//!
//! Messages are taken in windows, each by a consumer of its own with that prefetch, and are not acknowledged; so memory
//! holds one window, however many messages there are. What stays is given back at the end, oldest first, a few windows at a
//! time, and so everything lies in its order again. (`basic.get` would be simpler, but each message is then a consumer without
//! a name, which is slow, 300/s against 3,000/s, and leaves no order at all.)
//!
//! Requeueing is publish, confirm, then acknowledge: interrupted at any moment, nothing is lost, and at worst what was
//! under way is there twice. A walk takes at most what was there when it began, so what comes back meanwhile is not met
//! again. Workers only add to `rejected` and do not mind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery as Arrived;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::Instant;

use super::declare;
use super::error::BrokerError;
use super::frame_max::Use;
use super::lane::Shared;
use super::link::{Link, within};
use super::publisher::Patience;
use super::refused::Refused;
use super::session::Session;
use super::url::BrokerUrl;
use crate::queue::QueueError;
use crate::queue::rejected::{Choice, Visit, Walked};

/// How long messages are held without an answer: RabbitMQ takes them back after 30 minutes.
const WALK_MAX: Duration = Duration::from_secs(20 * 60);
/// Messages of a window. What a consumer held is put back in its order only up to 32: RabbitMQ 3.10 keeps it in a map, and
/// Erlang sorts those no further.
const WINDOW: u16 = 32;
/// Windows that are given back before it is waited until they are there. Of more than 32 commands (`rabbit_fifo_client`'s
/// soft limit) RabbitMQ sets some aside, which then pass each other.
const GIVEN_BACK_AT_ONCE: usize = 8;
/// How long all that may take, before the rest is given back at once; and how often to look.
const ORDER_WAIT_MAX: Duration = Duration::from_secs(30);
const BACK_LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a message may take to come before it is asked whether there are any more.
const NEXT_WAIT: Duration = Duration::from_secs(1);
/// How often in a row the queue must be found empty.
const EMPTY_TIMES: u32 = 3;
/// How long none may come while there are some.
const NONE_MAX: Duration = Duration::from_secs(30);
/// How long RabbitMQ may take to put back all that was looked at.
const GIVE_BACK_WAIT_MAX: Duration = Duration::from_secs(120);
/// Requeued messages that may wait for their confirm, and their bytes.
const UNDER_WAY_MAX: usize = 256;
const UNDER_WAY_BYTES_MAX: usize = 16 << 20;

/// One walk.
pub(super) struct Walk {
    shared: Shared,
    link: Link,
    source: Source,
    walked: Walked,
    /// What stays of each window.
    left: Vec<Left>,
    under_way: FuturesUnordered<BoxFuture<'static, UnderWay>>,
    under_way_bytes: usize,
    /// Deleted, or confirmed elsewhere. Acknowledged between two windows: within one, RabbitMQ would send another message
    /// for each.
    done: Vec<u64>,
}

/// What stays of a window.
#[derive(Clone, Copy, Default)]
struct Left {
    /// The last tag of it.
    tag: u64,
    /// Messages.
    count: u64,
}

/// A message on its way back, and what publishing it came to.
struct UnderWay {
    tag: u64,
    bytes: usize,
    result: Result<(), QueueError>,
}

impl Walk {
    /// Connects anew: holding messages must not hold up anything else.
    pub(super) async fn open(shared: Shared, url: &BrokerUrl) -> Result<Self, QueueError> {
        let link = Link::open_any(url, Use::Consume, "hikyaku rejected").await?;
        let source = Source { channel: link.channel().await?, queue: shared.topology.rejected() };
        let (walked, under_way) = (Walked::default(), FuturesUnordered::new());
        let (left, done) = (Vec::new(), Vec::new());
        Ok(Self { shared, link, source, walked, left, under_way, under_way_bytes: 0, done })
    }

    /// Walks, and gives back what stays.
    pub(super) async fn run(mut self, visit: &mut Visit<'_>) -> Result<Walked, QueueError> {
        let result = self.visit_all(visit).await;
        // Also after an error: what was confirmed is acknowledged before the rest is given back.
        let answered = self.answer(true).await;
        let acknowledged = self.acknowledge_done().await;
        let given_back = tokio::time::timeout(GIVE_BACK_WAIT_MAX, self.source.give_back(&self.left)).await;
        self.link.close().await;
        result?;
        answered?;
        acknowledged?;
        given_back.map_err(|_| BrokerError::too_slow("giving messages back", GIVE_BACK_WAIT_MAX))??;
        Ok(self.walked)
    }

    async fn visit_all(&mut self, visit: &mut Visit<'_>) -> Result<(), QueueError> {
        let (began, total) = (Instant::now(), self.source.ready().await?);
        let mut number = 0_u32;
        let (mut goes_on, mut is_empty) = (true, false);
        while goes_on && self.walked.seen < total && began.elapsed() < WALK_MAX {
            let size = u16::try_from(total - self.walked.seen).unwrap_or(WINDOW).min(WINDOW);
            let mut arrivals = self.source.consume(size, number).await?;
            self.left.push(Left::default());
            for _ in 0..size {
                let Some(arrived) = self.source.next(&mut arrivals).await? else {
                    // Someone else has taken the others.
                    (is_empty, goes_on) = (true, false);
                    break;
                };
                goes_on = self.visit(arrived, visit).await?;
                if !goes_on {
                    break;
                }
            }
            self.source.cancel(&arrivals).await?;
            self.acknowledge_done().await?;
            number += 1;
        }
        self.walked.left = if is_empty { 0 } else { total.saturating_sub(self.walked.seen) };
        Ok(())
    }

    /// Does with a message what `visit` chooses; `false` when that is to stop.
    async fn visit(&mut self, arrived: Arrived, visit: &mut Visit<'_>) -> Result<bool, QueueError> {
        let tag = arrived.delivery_tag;
        let refused = Refused {
            body: Bytes::from(arrived.data),
            properties: arrived.properties,
            exchange: arrived.exchange.as_str().to_owned(),
            routing_key: arrived.routing_key.as_str().to_owned(),
        };
        match visit(&refused.describe(&self.shared.topology)) {
            Choice::Leave => self.leave(tag),
            Choice::Purge => {
                self.done.push(tag);
                self.walked.purged += 1;
            }
            Choice::Requeue => self.requeue(tag, &refused).await?,
            Choice::Stop => return Ok(false),
        }
        self.walked.seen += 1;
        Ok(true)
    }

    /// Notes that the message stays.
    fn leave(&mut self, tag: u64) {
        if let Some(left) = self.left.last_mut() {
            *left = Left { tag, count: left.count + 1 };
        }
    }

    async fn requeue(&mut self, tag: u64, refused: &Refused) -> Result<(), QueueError> {
        let Shared { topology, reader, clock, publisher, .. } = &self.shared;
        let outgoing = match refused.way_back(topology, reader, clock.now()) {
            Ok(outgoing) => outgoing,
            Err(why) => {
                self.walked.unreadable += 1;
                self.walked.why.get_or_insert(why);
                self.leave(tag);
                return Ok(());
            }
        };
        let (bytes, publisher) = (outgoing.body.len(), publisher.clone());
        self.under_way_bytes += bytes;
        self.under_way.push(Box::pin(async move {
            let result = publisher.publish(vec![outgoing], Patience::None).await;
            UnderWay { tag, bytes, result }
        }));
        self.answer(false).await
    }

    async fn acknowledge_done(&mut self) -> Result<(), BrokerError> {
        for tag in self.done.drain(..) {
            self.source.acknowledge(tag).await?;
        }
        Ok(())
    }

    /// Waits for confirms: with `all`, of everything that is under way; else until there is room for more.
    async fn answer(&mut self, all: bool) -> Result<(), QueueError> {
        let mut first_error = None;
        while all || self.under_way.len() >= UNDER_WAY_MAX || self.under_way_bytes > UNDER_WAY_BYTES_MAX {
            let Some(UnderWay { tag, bytes, result }) = self.under_way.next().await else { break };
            self.under_way_bytes -= bytes;
            match result {
                Ok(()) => {
                    self.done.push(tag);
                    self.walked.requeued += 1;
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// `rejected`, on a channel of its own.
struct Source {
    channel: Channel,
    queue: String,
}

impl Source {
    /// A consumer that gets `size` messages and no more.
    async fn consume(&self, size: u16, number: u32) -> Result<Consumer, BrokerError> {
        within("setting the prefetch", self.channel.basic_qos(size, BasicQosOptions::default())).await?;
        let tag = format!("hikyaku-rejected-{number:08}");
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = self.channel.basic_consume(self.queue.as_str().into(), tag.into(), options, arguments);
        within("consuming", consuming).await
    }

    async fn ready(&self) -> Result<u64, BrokerError> {
        declare::ready(&self.channel, &self.queue).await
    }

    async fn cancel(&self, arrivals: &Consumer) -> Result<(), BrokerError> {
        let cancelled = self.channel.basic_cancel(arrivals.tag(), BasicCancelOptions::default());
        within("ending a consumer", cancelled).await
    }

    /// The next message; nothing when there are no more.
    async fn next(&self, arrivals: &mut Consumer) -> Result<Option<Arrived>, BrokerError> {
        let (began, mut found_empty) = (Instant::now(), 0);
        loop {
            match tokio::time::timeout(NEXT_WAIT, arrivals.next()).await {
                Ok(Some(arrived)) => return Ok(Some(arrived?)),
                Ok(None) => return Err(BrokerError::other(format!("RabbitMQ ended the consumer of `{}`", self.queue))),
                Err(_) if began.elapsed() > NONE_MAX => return Err(BrokerError::too_slow("consuming", NONE_MAX)),
                Err(_) => {}
            }
            // What is not ready may be on its way to us, and large: it comes before the answer, or soon after it.
            found_empty = if self.ready().await? == 0 { found_empty + 1 } else { 0 };
            if found_empty == EMPTY_TIMES {
                return Ok(None);
            }
        }
    }

    /// Gives back everything that was not acknowledged, what is in `left` in its order, and waits until that is done.
    async fn give_back(&self, left: &[Left]) -> Result<(), BrokerError> {
        const ALL: u64 = 0;
        // When somebody else takes them, or RabbitMQ is slow, the order is not worth more.
        if let Ok(given_back) = tokio::time::timeout(ORDER_WAIT_MAX, self.give_back_in_order(left)).await {
            given_back?;
        }
        self.give_back_to(ALL).await?;
        Ok(self.channel.close(200, "done".into()).await?)
    }

    async fn give_back_in_order(&self, left: &[Left]) -> Result<(), BrokerError> {
        let left: Vec<&Left> = left.iter().filter(|left| left.count > 0).collect();
        let mut back = self.ready().await?;
        for some in left.chunks(GIVEN_BACK_AT_ONCE) {
            for window in some {
                self.give_back_to(window.tag).await?;
                back += window.count;
            }
            while self.ready().await? < back {
                tokio::time::sleep(BACK_LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn give_back_to(&self, tag: u64) -> Result<(), BrokerError> {
        Ok(self.channel.basic_nack(tag, BasicNackOptions { multiple: true, requeue: true }).await?)
    }

    async fn acknowledge(&self, tag: u64) -> Result<(), BrokerError> {
        within("acknowledging", self.channel.basic_ack(tag, BasicAckOptions { multiple: false })).await
    }
}

/// Deletes everything that lies in `queue`, and tells how many messages that were.
pub(super) async fn purge_all(session: &Arc<Session>, queue: &str) -> Result<u64, BrokerError> {
    let channel = session.publish.channel().await?;
    let purged = within("deleting messages", channel.queue_purge(queue.into(), QueuePurgeOptions::default())).await?;
    let _closed_with_the_connection = within("closing a channel", channel.close(200, "done".into())).await;
    Ok(u64::from(purged))
}
