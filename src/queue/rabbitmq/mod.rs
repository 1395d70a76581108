//! The queue for several machines: RabbitMQ 3.10 to 4.x, quorum queues, no plugin.
//!
//! ```text
//!  publish, settle --> publisher (one task, confirms) --> RabbitMQ --> consumer (a task per lane) --> leases
//!                              ^                                           ^        acker (a task per channel) <-- settled
//!                              +-------------- session --------------------+
//!                                                 ^
//!                                    supervisor: connects, declares, and again
//! ```
//!
//! `topology` says what is declared, `wire` and `reading` what messages look like, `refused` what was none and how it goes
//! back, `joining` what is a copy of what, `acks` which acknowledgements go together, `hold` how much is taken and for how long; those
//! seven are plain functions of their arguments. `walk` is for a person: it goes over what lies in `rejected`.
//!
//! Where the seam's contract meets what RabbitMQ can do:
//!
//! - Several messages cannot be stored all or none. `publish` and `settle` succeed when every message is confirmed; after
//!   an error some may be stored, so whoever tries again uses the same ids. Follow-ups carry names that stay the same when
//!   settling is tried again, and a worker that meets a second copy of one joins it to the first.
//! - `settle` is confirm, then acknowledge. A crash between the two is a repeat, never a loss.
//! - RabbitMQ counts only what is not being worked on; `depths` adds what this process holds, not what others do.
//! - Opening fails only for what waiting does not mend: a URL, a clash of arguments, a refused user. When RabbitMQ is away,
//!   a worker starts and says so in `health`; a producer, who has nothing else to do, fails after [`PRODUCER_WAIT_MAX`].

mod acker;
mod acks;
mod consumer;
mod declare;
mod error;
mod frame_max;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hold;
mod intake;
mod joining;
mod lane;
mod link;
mod look;
mod publisher;
mod reading;
mod refused;
mod session;
mod stream;
mod supervisor;
mod tls;
mod topology;
mod url;
mod walk;
mod wire;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod wire_tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::rejected::{Visit, Walked};
use super::{Access, Backend, Consumer, Depths, Lane, Prefetch, QueueError, Unsettled};
use crate::clock::SharedClock;
use crate::model::Message;
use crate::telemetry::SharedTelemetry;

pub use error::BrokerError;
pub use look::BrokerLook;
pub use url::BrokerUrl;

use consumer::LaneTask;
use frame_max::Use;
use lane::{LaneState, Shared};
use link::Link;
use publisher::{Patience, Publisher};
use reading::Reader;
use session::Session;
use supervisor::{State, Supervisor};
use topology::{BUCKETS, Topology};
use walk::Walk;

/// How long a worker's start waits for RabbitMQ's first answer; when nobody listens there, that is at once.
const WORKER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a producer waits for RabbitMQ.
const PRODUCER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a message may be unacknowledged before it goes back: RabbitMQ closes the channel of who keeps one for 30
/// minutes (`consumer_timeout`), and looks once a minute.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20 * 60);
/// How long a farewell may take.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How to use RabbitMQ.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Where it is.
    pub url: BrokerUrl,
    /// What the name of every exchange and queue begins with.
    pub prefix: String,
    /// Bytes that a producer's event may have.
    pub event_bytes_max: usize,
    /// The `server` of producers' events of the source `default` that do not say theirs.
    pub server: Option<String>,
    /// How long a message may be unacknowledged before it goes back, surely less than RabbitMQ's `consumer_timeout`:
    /// [`UNACKNOWLEDGED_MAX`], but in tests.
    pub unacknowledged_max: Duration,
}

/// Deletes everything that [`RabbitQueue::open`] declares with `options`, and all that lies in it.
pub(super) async fn remove(options: &BrokerOptions) -> Result<(), BrokerError> {
    let link = Link::open_any(&options.url, Use::Publish, "hikyaku remove").await?;
    let removed = declare::remove(&link, &Topology::new(&options.prefix)).await;
    link.close().await;
    removed
}

/// A queue in RabbitMQ.
#[derive(Debug)]
pub(super) struct RabbitQueue {
    access: Access,
    url: BrokerUrl,
    shared: Shared,
    state: State,
    lanes: Arc<Mutex<Vec<Arc<LaneState>>>>,
    stop: watch::Sender<bool>,
    close: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitQueue {
    pub(super) async fn open(
        options: BrokerOptions,
        access: Access,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, QueueError> {
        let topology = Arc::new(Topology::new(&options.prefix));
        let state = State { session: watch::Sender::new(None), trouble: watch::Sender::new(None) };
        let (close, closed) = watch::channel(false);
        let lanes = Arc::new(Mutex::new(Vec::new()));
        let publisher = Publisher::start(state.session.subscribe(), state.trouble.subscribe(), closed.clone());
        let supervisor = Supervisor {
            url: options.url.clone(),
            topology: Arc::clone(&topology),
            access,
            state: state.clone(),
            telemetry: telemetry.clone(),
            lanes: Arc::clone(&lanes),
            close: closed,
        };
        let reader = Arc::new(Reader { event_bytes_max: options.event_bytes_max, server: options.server });
        let queue = Self {
            access,
            url: options.url,
            shared: Shared {
                unacknowledged_max: options.unacknowledged_max,
                topology,
                publisher,
                reader,
                clock,
                telemetry,
            },
            state,
            lanes,
            stop: watch::Sender::new(false),
            close,
            supervisor: Mutex::new(Some(tokio::spawn(supervisor.run()))),
        };
        queue.wait_for_first_session().await?;
        Ok(queue)
    }

    /// Waits until RabbitMQ can be used, or it is known that it cannot.
    async fn wait_for_first_session(&self) -> Result<(), QueueError> {
        let (mut session, mut trouble) = (self.state.session.subscribe(), self.state.trouble.subscribe());
        let (limit, is_worker) = match self.access {
            Access::Worker | Access::Ingest => (WORKER_WAIT_MAX, true),
            Access::Producer => (PRODUCER_WAIT_MAX, false),
        };
        let is_final = |trouble: &Option<BrokerError>| {
            trouble.as_ref().is_some_and(|trouble| is_worker || trouble.is_for_a_person())
        };
        let known = async {
            tokio::select! {
                _ = session.wait_for(Option::is_some) => None,
                trouble = trouble.wait_for(is_final) => trouble.ok().and_then(|trouble| trouble.clone()),
            }
        };
        match tokio::time::timeout(limit, known).await {
            Ok(Some(error)) if error.is_for_a_person() => Err(error.into()),
            Ok(_) => Ok(()),
            Err(_) if is_worker => Ok(()),
            Err(_) => {
                let why = format!("no answer within {} s", limit.as_secs());
                Err(self.state.trouble.borrow().clone().unwrap_or(BrokerError::Away { why }).into())
            }
        }
    }

    async fn publish_with(&self, messages: Vec<Message>, patience: Patience) -> Result<(), QueueError> {
        let asked = std::time::Instant::now();
        let now = self.shared.clock.now();
        let name = uuid::Uuid::new_v4().simple().to_string();
        let copies = messages.iter().enumerate();
        let topology = &self.shared.topology;
        let outgoing =
            copies.map(|(place, message)| wire::of_message(topology, message, &format!("{name}-{place}"), now));
        self.shared.publisher.publish(outgoing.collect(), patience).await?;
        self.shared.telemetry.published(asked.elapsed());
        Ok(())
    }

    fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let session = self.state.session.borrow().clone();
        session.ok_or_else(|| {
            let why = self.state.trouble.borrow().clone();
            why.unwrap_or_else(|| BrokerError::Away { why: "not connected yet".to_owned() })
        })
    }

    fn lanes(&self) -> Vec<Arc<LaneState>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn count(&self) -> Result<Depths, QueueError> {
        let topology = &self.shared.topology;
        let mut queues = vec![topology.work(), topology.dead(), topology.rejected(), topology.retry()];
        queues.extend((0..BUCKETS).map(|bucket| topology.bucket(bucket)));
        let ready = self.session()?.ready(&queues, topology.exchanges()).await?;
        let [work, dead, rejected, due] = [ready[0], ready[1], ready[2], ready[3]];
        let mut depths = Depths { work, dead, rejected, delay: ready[3..].iter().sum(), oldest: None };
        for lane in self.lanes() {
            let taken = lane.taken();
            let (count, is_waiting) = match lane.lane {
                Lane::Work => (&mut depths.work, work + taken > 0),
                Lane::Retry => (&mut depths.delay, due + taken > 0),
                Lane::Dead => (&mut depths.dead, false),
            };
            *count += taken;
            let since = lane.waiting_since().filter(|_| is_waiting);
            depths.oldest = depths.oldest.into_iter().chain(since).min();
        }
        Ok(depths)
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // The supervisor says goodbye by itself.
        self.close.send_replace(true);
    }
}

impl Backend for RabbitQueue {
    fn publish(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.publish_with(messages, Patience::None).boxed()
    }

    fn publish_patiently(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.publish_with(messages, Patience::Endless).boxed()
    }

    fn consume(&self, lane: Lane, prefetch: Prefetch) -> BoxFuture<'_, Result<Consumer, QueueError>> {
        async move {
            if self.access != Access::Worker {
                return Err(QueueError::ProducerOnly);
            }
            if *self.stop.borrow() {
                return Err(QueueError::Closed);
            }
            let lane = Arc::new(LaneState::new(lane, prefetch, self.shared.clone()));
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&lane));
            let (sessions, stop) = (self.state.session.subscribe(), self.stop.subscribe());
            Ok(LaneTask { lane, sessions, stop }.start())
        }
        .boxed()
    }

    fn unsettled(&self) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for lane in self.lanes() {
            let count = match lane.lane {
                Lane::Work => &mut unsettled.work,
                Lane::Retry => &mut unsettled.delay,
                Lane::Dead => &mut unsettled.dead,
            };
            *count += lane.taken();
        }
        unsettled
    }

    fn depths(&self) -> BoxFuture<'_, Result<Depths, QueueError>> {
        self.count().boxed()
    }

    fn walk_rejected<'a>(&'a self, visit: &'a mut Visit<'_>) -> BoxFuture<'a, Result<Walked, QueueError>> {
        async move { Walk::open(self.shared.clone(), &self.url).await?.run(visit).await }.boxed()
    }

    fn purge_rejected(&self) -> BoxFuture<'_, Result<u64, QueueError>> {
        async move { Ok(walk::purge_all(&self.session()?, &self.shared.topology.rejected()).await?) }.boxed()
    }

    fn health(&self) -> Vec<String> {
        match self.session() {
            Ok(session) => session
                .blocked
                .borrow()
                .iter()
                .map(|why| BrokerError::Blocked { why: why.clone() }.to_string())
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// What is in hand goes on while RabbitMQ is away, since what was sent is known when it is back; in an alarm it waits.
    fn takes(&self) -> bool {
        !self.state.session.borrow().as_ref().is_some_and(|session| session.blocked.borrow().is_some())
    }

    fn until_it_takes(&self) -> BoxFuture<'_, ()> {
        async move {
            let mut sessions = self.state.session.subscribe();
            loop {
                let session = sessions.borrow_and_update().clone();
                let Some(session) = session else { return };
                let mut blocked = session.blocked.subscribe();
                if blocked.borrow_and_update().is_none() {
                    return;
                }
                tokio::select! {
                    _ = blocked.changed() => {}
                    _ = sessions.changed() => {}
                }
            }
        }
        .boxed()
    }

    fn stop_consuming(&self) {
        self.stop.send_replace(true);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.stop.send_replace(true);
            self.close.send_replace(true);
            let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(supervisor) = supervisor {
                let _gone_or_not = tokio::time::timeout(CLOSE_WAIT_MAX, supervisor).await;
            }
        }
        .boxed()
    }
}
