//! The task of one lane: consumes on each session in turn, and hands out what it reads.
//!
//! What cannot be read is put away in `rejected`, confirmed, and only then acknowledged; meanwhile the lane goes on. While
//! RabbitMQ takes no messages, fresh and returning deliveries are not handed out: a failure could not be put anywhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Arrived;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer as Arrivals};
use tokio::sync::{mpsc, watch};

use super::acker::Acker;
use super::error::BrokerError;
use super::lane::{LaneState, Refused, Taken};
use super::link::within;
use super::publisher::Patience;
use super::session::{Session, Sessions};
use crate::clock::Backoff;
use crate::queue::{Consumer, Lane, Lease};

/// Waits between tries to put away what is no event.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_LONGEST: Duration = Duration::from_secs(5);

/// Messages that are read in one turn before anything else is looked at.
const ARRIVALS_MAX: usize = 64;

/// What consumes one lane.
pub(super) struct LaneTask {
    pub(super) lane: Arc<LaneState>,
    pub(super) sessions: Sessions,
    pub(super) stop: watch::Receiver<bool>,
}

/// Why consuming on a session ended.
enum End {
    /// The session did.
    Session,
    /// Nobody wants any more.
    Stopped,
}

impl LaneTask {
    /// Starts the task.
    pub(super) fn start(self) -> Consumer {
        let (sender, leases) = mpsc::channel(self.lane.prefetch.messages.max(1));
        tokio::spawn(self.run(sender));
        Consumer { leases }
    }

    async fn run(mut self, sender: mpsc::Sender<Lease>) {
        loop {
            let session = tokio::select! {
                session = next_session(&mut self.sessions) => session,
                _ = self.stop.wait_for(|stop| *stop) => return,
                () = sender.closed() => return,
            };
            let Some(session) = session else { return };
            match self.open(&session).await {
                Ok(opened) => {
                    if let End::Stopped = self.feed(&session, opened, &sender).await {
                        return;
                    }
                }
                Err(error) => session.fail(error),
            }
            // The supervisor takes it away, and brings the next one.
            let over = |now: &Option<Arc<Session>>| !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &session));
            if self.sessions.wait_for(over).await.is_err() {
                return;
            }
        }
    }

    async fn open(&self, session: &Arc<Session>) -> Result<Opened, BrokerError> {
        let link = session.consume.as_ref().ok_or_else(|| BrokerError::other("no connection to consume on"))?;
        let channel = link.channel().await?;
        let prefetch = self.lane.prefetch_count();
        within("setting the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let acker = Acker::start(channel.clone(), usize::from(prefetch), Arc::clone(session));
        self.lane.consumes_on(&acker);
        let queue = self.lane.queue.as_str().into();
        let consuming = channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let arrivals = within("consuming", consuming).await?;
        Ok(Opened { channel, acker, arrivals })
    }

    /// Hands out what arrives until the session ends or nobody wants any more.
    async fn feed(&self, session: &Arc<Session>, opened: Opened, sender: &mpsc::Sender<Lease>) -> End {
        let Opened { channel, acker, mut arrivals } = opened;
        let mut pending: VecDeque<Lease> = VecDeque::new();
        let mut refusals: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut blocked = session.blocked.subscribe();
        let mut stop = self.stop.clone();
        let over = async {
            tokio::select! {
                _ = session.ended() => End::Session,
                _ = stop.wait_for(|stop| *stop) => End::Stopped,
                () = sender.closed() => End::Stopped,
            }
        };
        tokio::pin!(over);
        loop {
            let is_shut = self.lane.lane != Lane::Dead && blocked.borrow_and_update().is_some();
            if !is_shut {
                self.lane.hand_out_from(&mut pending, sender);
            }
            tokio::select! {
                arrived = arrivals.next() => {
                    // What is here already goes together: a turn of this loop costs more than a message.
                    let more = std::iter::from_fn(|| arrivals.next().now_or_never());
                    for arrived in std::iter::once(arrived).chain(more).take(ARRIVALS_MAX) {
                        match self.receive(arrived, session, &acker) {
                            Ok(Taken::Lease(lease)) => pending.push_back(lease),
                            Ok(Taken::Nothing) => {}
                            Ok(Taken::Refused(refused)) => {
                                refusals.push(Box::pin(put_away(Arc::clone(&self.lane), refused)));
                            }
                            Err(SessionEnded) => return End::Session,
                        }
                    }
                }
                () = self.lane.room.notified(), if !pending.is_empty() => {}
                _ = blocked.changed() => {}
                Some(()) = refusals.next(), if !refusals.is_empty() => {}
                end = &mut over => match end {
                    End::Session => return End::Session,
                    End::Stopped => break,
                },
            }
        }
        // Other workers get what comes now; what was not handed out goes back with its leases, and what is in lapin's
        // hands with the channel.
        let cancelled = channel.basic_cancel(arrivals.tag(), BasicCancelOptions::default());
        if within("ending the consumer", cancelled).await.is_ok() {
            while let Some(Some(Ok(arrived))) = arrivals.next().now_or_never() {
                drop(self.lane.take(arrived, &acker));
            }
        }
        End::Stopped
    }

    /// Reads what lapin handed over; an error or the end of the consumer is the end of the session.
    fn receive(
        &self,
        arrived: Option<lapin::Result<Arrived>>,
        session: &Session,
        acker: &Arc<Acker>,
    ) -> Result<Taken, SessionEnded> {
        match arrived {
            Some(Ok(arrived)) => Ok(self.lane.take(arrived, acker)),
            Some(Err(error)) => {
                session.fail(BrokerError::from(error));
                Err(SessionEnded)
            }
            None => {
                session.fail(format!("RabbitMQ ended the consumer of `{}`", self.lane.queue));
                Err(SessionEnded)
            }
        }
    }
}

/// The session was told so, and why.
struct SessionEnded;

struct Opened {
    channel: Channel,
    acker: Arc<Acker>,
    arrivals: Arrivals,
}

async fn next_session(sessions: &mut Sessions) -> Option<Arc<Session>> {
    sessions.wait_for(Option::is_some).await.ok()?.clone()
}

/// Puts what is no event into `rejected`, for as long as it takes, then acknowledges it.
async fn put_away(lane: Arc<LaneState>, refused: Box<Refused>) {
    let Refused { outgoing, reason, tag } = *refused;
    let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
    while let Err(error) = lane.publisher.publish(vec![outgoing.clone()], Patience::Endless).await {
        lane.telemetry.trouble("what is no event cannot be put away; it is tried again", &error);
        tokio::time::sleep(waits.next_wait()).await;
    }
    lane.telemetry.message_rejected(&lane.queue, &reason);
    tag.settle();
}
