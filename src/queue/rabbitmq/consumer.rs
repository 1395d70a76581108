//! The task of one lane: consumes on each session in turn, and hands out what it reads.
//!
//! What cannot be read is put away in `rejected`, confirmed, and only then acknowledged; meanwhile the lane goes on. While
//! RabbitMQ takes no messages, fresh and returning deliveries are not handed out: a failure could not be put anywhere.
//!
//! A channel on which a message has been unacknowledged for too long is closed before RabbitMQ closes it. What was not
//! handed out goes back; what is in someone's hands stays there, and its copy joins it. The session goes on: the lane opens
//! the next channel when there is a point in it ([`LaneTask::until_worthwhile`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Arrived;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::acker::Acker;
use super::error::BrokerError;
use super::hold::Pause;
use super::intake::Intake;
use super::lane::{LaneState, Refused, Taken};
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

/// Why consuming on a channel ended.
enum End {
    /// The session did.
    Session,
    /// Nobody wants any more.
    Stopped,
    /// A message was unacknowledged for too long.
    OverAge(LetGo),
}

/// How it stood when a lane let go of its messages.
struct LetGo {
    /// Messages in someone's hands.
    out: usize,
    /// Whether they waited for the end of an alarm.
    in_alarm: bool,
}

impl LaneTask {
    /// Starts the task.
    pub(super) fn start(self) -> Consumer {
        let (sender, leases) = mpsc::channel(self.lane.prefetch.messages.max(1));
        tokio::spawn(self.run(sender));
        Consumer { leases }
    }

    async fn run(mut self, sender: mpsc::Sender<Lease>) {
        let mut pause = Pause::new(self.lane.unacknowledged_max);
        loop {
            let session = tokio::select! {
                session = next_session(&mut self.sessions) => session,
                _ = self.stop.wait_for(|stop| *stop) => return,
                () = sender.closed() => return,
            };
            let Some(session) = session else { return };
            if let End::Stopped = self.stay(&session, &mut pause, &sender).await {
                return;
            }
            // The supervisor takes it away, and brings the next one.
            let over = |now: &Option<Arc<Session>>| !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &session));
            if self.sessions.wait_for(over).await.is_err() {
                return;
            }
        }
    }

    /// Consumes on one channel of `session` after the other, until it ends or nobody wants any more.
    async fn stay(&self, session: &Arc<Session>, pause: &mut Pause, sender: &mpsc::Sender<Lease>) -> End {
        loop {
            let fed = match Intake::open(&self.lane, session).await {
                Ok(intake) => self.feed(session, intake, sender).await,
                Err(error) => Err(error),
            };
            let let_go = match fed {
                Ok(End::OverAge(let_go)) => let_go,
                Ok(end) => return end,
                Err(error) => {
                    session.fail(error);
                    return End::Session;
                }
            };
            let worthwhile = self.until_worthwhile(session, let_go, pause);
            let mut stop = self.stop.clone();
            tokio::select! {
                () = worthwhile => {}
                _ = session.ended() => return End::Session,
                _ = stop.wait_for(|stop| *stop) => return End::Stopped,
                () = sender.closed() => return End::Stopped,
            }
        }
    }

    /// Hands out what arrives until the session ends, nobody wants any more, or a message gets too old.
    async fn feed(
        &self,
        session: &Arc<Session>,
        mut intake: Intake,
        sender: &mpsc::Sender<Lease>,
    ) -> Result<End, BrokerError> {
        let mut pending: VecDeque<Lease> = VecDeque::new();
        let mut refusals: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut blocked = session.blocked.subscribe();
        let mut stop = self.stop.clone();
        let mut looks = tokio::time::interval(intake.ages.look_every());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = async {
            tokio::select! {
                _ = session.ended() => End::Session,
                _ = stop.wait_for(|stop| *stop) => End::Stopped,
                () = sender.closed() => End::Stopped,
            }
        };
        tokio::pin!(over);
        loop {
            let is_blocked = blocked.borrow_and_update().is_some();
            if self.lane.lane == Lane::Dead || !is_blocked {
                self.lane.hand_out_from(&mut pending, sender);
            }
            intake.adapt().await?;
            tokio::select! {
                arrived = intake.next() => {
                    let acker = Arc::clone(&intake.acker);
                    // What is here already goes together: a turn of this loop costs more than a message.
                    let more = std::iter::from_fn(|| intake.next().now_or_never());
                    for arrived in std::iter::once(arrived).chain(more).take(ARRIVALS_MAX) {
                        match self.receive(arrived, &acker)? {
                            Taken::Lease(lease) => pending.push_back(lease),
                            Taken::Nothing => {}
                            Taken::Refused(refused) => {
                                refusals.push(Box::pin(put_away(Arc::clone(&self.lane), refused)));
                            }
                        }
                    }
                }
                () = self.lane.room.notified(), if !pending.is_empty() || intake.is_stopped() => {}
                _ = blocked.changed() => {}
                Some(()) = refusals.next(), if !refusals.is_empty() => {}
                _ = looks.tick() => if intake.is_over_age() {
                    let in_alarm = is_blocked && (self.lane.lane != Lane::Dead || !refusals.is_empty());
                    return self.let_go(intake, in_alarm).await;
                },
                end = &mut over => match end {
                    End::Stopped => break,
                    end => return Ok(end),
                },
            }
        }
        // Other workers get what comes now; what was not handed out goes back with its leases, and what is in lapin's
        // hands with the channel.
        if intake.stop().await.is_ok() {
            while let Some(Some(Ok(arrived))) = intake.next().now_or_never() {
                drop(self.lane.take(arrived, &intake.acker));
            }
        }
        Ok(End::Stopped)
    }

    /// Closes the channel, so that RabbitMQ has back whatever is not acknowledged.
    async fn let_go(&self, intake: Intake, in_alarm: bool) -> Result<End, BrokerError> {
        intake.close().await?;
        let out = self.lane.out();
        self.lane.telemetry.messages_let_go(&self.lane.queue, self.lane.unacknowledged_max, out);
        Ok(End::OverAge(LetGo { out, in_alarm }))
    }

    /// Waits until there is a point in taking messages again: each time that one is taken counts, and who is stuck would
    /// only make poison of them. In an alarm that is its end; else work must go on, which is when half of what was in hand
    /// is done. What is stuck for long is waited for less and less often.
    async fn until_worthwhile(&self, session: &Session, let_go: LetGo, pause: &mut Pause) {
        let mut blocked = session.blocked.subscribe();
        let until = Instant::now() + if let_go.in_alarm { Duration::ZERO } else { pause.begin() };
        loop {
            let works = self.lane.out() <= let_go.out / 2;
            let waits_for_alarm =
                blocked.borrow_and_update().is_some() && (let_go.in_alarm || self.lane.lane != Lane::Dead);
            if works && !let_go.in_alarm {
                pause.work_goes_on();
            }
            if !waits_for_alarm && (works || Instant::now() >= until) {
                return;
            }
            tokio::select! {
                _ = blocked.changed() => {}
                () = self.lane.room.notified() => {}
                () = tokio::time::sleep_until(until), if !waits_for_alarm => {}
            }
        }
    }

    /// Reads what lapin handed over; an error or the end of the consumer is the end of the session.
    fn receive(&self, arrived: Option<lapin::Result<Arrived>>, acker: &Arc<Acker>) -> Result<Taken, BrokerError> {
        match arrived {
            Some(arrived) => Ok(self.lane.take(arrived?, acker)),
            None => Err(BrokerError::other(format!("RabbitMQ ended the consumer of `{}`", self.lane.queue))),
        }
    }
}

async fn next_session(sessions: &mut Sessions) -> Option<Arc<Session>> {
    sessions.wait_for(Option::is_some).await.ok()?.clone()
}

/// Puts what is no event into `rejected`, for as long as it takes, then acknowledges it.
async fn put_away(lane: Arc<LaneState>, refused: Box<Refused>) {
    let Refused { outgoing, reason, tag, weight } = *refused;
    let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
    while let Err(error) = lane.publisher.publish(vec![outgoing.clone()], Patience::Endless).await {
        lane.telemetry.trouble("what is no event cannot be put away; it is tried again", &error);
        tokio::time::sleep(waits.next_wait()).await;
    }
    lane.telemetry.message_rejected(&lane.queue, &reason);
    tag.settle();
    drop(weight);
}
