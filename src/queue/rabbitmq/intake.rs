//! What RabbitMQ sends to a lane on one channel: asked for, stopped, and let go of.
//!
//! More is asked for by one consumer more, since the prefetch of a consumer is set once, and nothing that is under way has
//! to be touched; while little is under way, by one in place of them all. Cancelling them all stops it; what was sent stays
//! unacknowledged on the channel and can be settled, so nothing is handed out again and no count of deliveries grows. Only
//! closing the channel gives messages back.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::StreamExt;
use lapin::message::Delivery as Arrived;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer as Arrivals};

use super::acker::Acker;
use super::error::BrokerError;
use super::hold::{Ages, Held, Sizes, Step, step};
use super::lane::LaneState;
use super::link::within;
use super::session::Session;

/// One channel, and what is asked for on it.
pub(super) struct Intake {
    pub(super) acker: Arc<Acker>,
    lane: Arc<LaneState>,
    channel: Channel,
    consumers: Vec<Asked>,
    /// Messages that RabbitMQ may have unacknowledged, by the consumers that are on.
    asked: usize,
    sizes: Sizes,
    pub(super) ages: Ages,
}

struct Asked {
    arrivals: Arrivals,
    is_cancelled: bool,
}

impl Intake {
    /// A channel of `session` on which nothing is asked for yet.
    pub(super) async fn open(lane: &Arc<LaneState>, session: &Arc<Session>) -> Result<Self, BrokerError> {
        let link = session.consume.as_ref().ok_or_else(|| BrokerError::other("no connection to consume on"))?;
        let channel = link.channel().await?;
        let acker = Acker::start(channel.clone(), Arc::clone(session));
        lane.consumes_on(Some(&acker));
        let (sizes, ages) = (lane.sizes(), Ages::new(lane.unacknowledged_max));
        Ok(Self { acker, lane: Arc::clone(lane), channel, consumers: Vec::new(), asked: 0, sizes, ages })
    }

    /// Whether nothing is asked for.
    pub(super) fn is_stopped(&self) -> bool {
        self.asked == 0
    }

    /// Asks for more or for none, as the sizes of messages tell and what is held.
    pub(super) async fn adapt(&mut self) -> Result<(), BrokerError> {
        loop {
            let (messages, bytes) = (self.lane.held_messages(), self.lane.held_bytes());
            let held = Held { asked: self.asked, consumers: self.consuming(), messages, bytes };
            match step(&mut self.sizes, held) {
                Step::GoOn => return Ok(()),
                Step::Ask(more) => self.ask(more).await?,
                Step::AskByOne(messages) => self.ask_by_one(messages).await?,
                Step::Stop => self.stop().await?,
            }
        }
    }

    fn consuming(&self) -> usize {
        self.consumers.iter().filter(|asked| !asked.is_cancelled).count()
    }

    /// Asks for `messages` in all, by one consumer in place of those there are.
    async fn ask_by_one(&mut self, messages: usize) -> Result<(), BrokerError> {
        let before = self.consumers.len();
        self.asked = 0;
        self.ask(messages).await?;
        self.cancel(before).await
    }

    async fn ask(&mut self, more: usize) -> Result<(), BrokerError> {
        let count = u16::try_from(more).unwrap_or(u16::MAX);
        within("setting the prefetch", self.channel.basic_qos(count, BasicQosOptions::default())).await?;
        let (queue, options) = (self.lane.queue.as_str().into(), BasicConsumeOptions::default());
        let consuming = self.channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let arrivals = within("consuming", consuming).await?;
        self.consumers.push(Asked { arrivals, is_cancelled: false });
        self.asked += more;
        self.acker.expects(self.asked);
        Ok(())
    }

    /// Asks for nothing; what was sent still arrives.
    pub(super) async fn stop(&mut self) -> Result<(), BrokerError> {
        self.asked = 0;
        self.cancel(self.consumers.len()).await
    }

    /// Cancels the first `count` consumers.
    async fn cancel(&mut self, count: usize) -> Result<(), BrokerError> {
        for asked in self.consumers.iter_mut().take(count).filter(|asked| !asked.is_cancelled) {
            asked.is_cancelled = true;
            let cancelled = self.channel.basic_cancel(asked.arrivals.tag(), BasicCancelOptions::default());
            within("ending a consumer", cancelled).await?;
        }
        Ok(())
    }

    /// The next message; nothing when RabbitMQ ended a consumer.
    pub(super) async fn next(&mut self) -> Option<lapin::Result<Arrived>> {
        let arrived = std::future::poll_fn(|cx| self.poll_next(cx)).await;
        if let Some(Ok(arrived)) = &arrived {
            self.ages.arrived(arrived.delivery_tag, Instant::now());
            self.sizes.see(LaneState::weight(arrived.data.len()));
        }
        arrived
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<lapin::Result<Arrived>>> {
        let mut at = 0;
        while let Some(asked) = self.consumers.get_mut(at) {
            match asked.arrivals.poll_next_unpin(cx) {
                Poll::Ready(None) if asked.is_cancelled => drop(self.consumers.swap_remove(at)),
                Poll::Ready(arrived) => return Poll::Ready(arrived),
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    }

    /// Whether a message has been unacknowledged for as long as it may be.
    pub(super) fn is_over_age(&mut self) -> bool {
        self.ages.is_over(self.acker.answered(), Instant::now())
    }

    /// Sends the acknowledgements that wait and closes the channel; what is unacknowledged goes back to RabbitMQ.
    pub(super) async fn close(self) -> Result<(), BrokerError> {
        self.lane.consumes_on(None);
        self.acker.close().await
    }
}
