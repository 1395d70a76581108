//! Keeps a session on: connects, and when anything about a session fails, ends it and makes the next one.
//!
//! Waits between tries grow by chance and never end ([`Backoff`]); the nodes of the URL are tried in turn. Everything is
//! declared anew each time, since a broker may come back empty. This is the one listener to lapin's events: two would
//! each get some of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use lapin::Event;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{BrokerError, words};
use super::lane::LaneState;
use super::session::Session;
use super::topology::Topology;
use super::url::BrokerUrl;
use crate::clock::Backoff;
use crate::queue::Access;
use crate::telemetry::SharedTelemetry;

/// Waits between tries to connect, half of each up or down by chance: work goes on within 5 s of RabbitMQ's return.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_millis(1500);
/// A session that lasted this long was a success.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// The longest wait, half up or down, after sessions that fail sooner (a queue that may not be consumed). RabbitMQ counts
/// each time what it hands out as delivered, and what was delivered 50 times is taken for poison: that takes some 20 min.
const AGAIN_UNSTEADY_LONGEST: Duration = Duration::from_secs(30);
/// How often a connection that said nothing is asked whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Why a session ended of which lapin said no more.
const ENDED: &str = "the connection ended";

/// What everyone can see of it.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The session that is on.
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    /// Why none is, if none is.
    pub(super) trouble: watch::Sender<Option<BrokerError>>,
}

/// The task that keeps a session on.
pub(super) struct Supervisor {
    pub(super) url: BrokerUrl,
    pub(super) topology: Arc<Topology>,
    pub(super) access: Access,
    pub(super) state: State,
    pub(super) telemetry: SharedTelemetry,
    /// The lanes that are consumed, to be flushed before a farewell.
    pub(super) lanes: Arc<std::sync::Mutex<Vec<Arc<LaneState>>>>,
    /// Told, or dropped, when it shall end.
    pub(super) close: watch::Receiver<bool>,
}

impl Supervisor {
    pub(super) async fn run(self) {
        let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
        let mut unsteady_waits = Backoff::new(AGAIN_FIRST, AGAIN_UNSTEADY_LONGEST);
        let mut node = 0;
        let mut close = self.close.clone();
        loop {
            let opened = tokio::select! {
                opened = self.open(node) => opened,
                () = told(&mut close) => break,
            };
            let wait = match opened {
                Ok((session, watching)) => {
                    let began = Instant::now();
                    if !self.stay(session, watching, node).await {
                        break;
                    }
                    waits.reset();
                    if began.elapsed() >= STEADY_AFTER {
                        unsteady_waits.reset();
                    }
                    // Another may be well, and one that is frozen would be waited for.
                    node = (node + 1) % self.url.node_count();
                    unsteady_waits.next_wait()
                }
                Err(error) => {
                    self.telemetry.trouble("RabbitMQ cannot be used; it is tried again", &error);
                    self.state.trouble.send_replace(Some(error));
                    node = (node + 1) % self.url.node_count();
                    waits.next_wait()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = told(&mut close) => break,
            }
        }
        self.state.session.send_replace(None);
        self.state.trouble.send_replace(Some(BrokerError::Away { why: "the queue was closed".to_owned() }));
    }

    /// Connects to the node at `node`: a session of which it is known whether RabbitMQ takes messages, and who watches over it.
    async fn open(&self, node: usize) -> Result<(Arc<Session>, BoxFuture<'static, ()>), BrokerError> {
        let session = Arc::new(Session::open(&self.url, node, &self.topology, self.access).await?);
        let mut watching = watch_over(Arc::clone(&session), self.telemetry.clone()).boxed();
        tokio::select! {
            // It listens before anything is published: lapin drops what happens while nobody does.
            biased;
            () = &mut watching => {
                let why = session.failure().borrow().clone();
                return Err(BrokerError::Away { why: why.unwrap_or_else(|| ENDED.to_owned()) });
            }
            probed = session.probe(&self.topology) => probed?,
        }
        Ok((session, watching))
    }

    /// Stays with `session` until it fails, or until the end, which is false.
    async fn stay(&self, session: Arc<Session>, watching: BoxFuture<'static, ()>, node: usize) -> bool {
        let mut close = self.close.clone();
        self.telemetry.broker_connected(&self.url.node_name(node));
        self.state.trouble.send_replace(None);
        self.state.session.send_replace(Some(Arc::clone(&session)));
        let why = tokio::select! {
            () = watching => ENDED.to_owned(),
            why = session.ended() => why,
            () = told(&mut close) => {
                self.say_goodbye(&session).await;
                return false;
            }
        };
        session.fail(&why);
        self.state.trouble.send_replace(Some(BrokerError::Away { why: why.clone() }));
        self.state.session.send_replace(None);
        session.cut();
        self.telemetry.broker_lost(&why);
        true
    }

    async fn say_goodbye(&self, session: &Session) {
        let lanes = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for lane in lanes {
            // What cannot be acknowledged now is handed out again, as after any loss of connection.
            let _known = lane.flush().await;
        }
        self.state.session.send_replace(None);
        session.close().await;
        session.fail("the queue was closed");
        self.telemetry.broker_left();
    }
}

/// Waits until it shall end.
async fn told(close: &mut watch::Receiver<bool>) {
    let _told_or_dropped = close.wait_for(|close| *close).await;
}

/// Listens from when it is awaited; takes note of what lapin tells, until it tells of the end.
async fn watch_over(session: Arc<Session>, telemetry: SharedTelemetry) {
    let mut publish = Box::pin(session.publish.connection.events_listener());
    let mut consume = session.consume.as_ref().map(|link| Box::pin(link.connection.events_listener()));
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        let of_consume = async {
            match &mut consume {
                Some(consume) => consume.next().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = publish.next() => event,
            event = of_consume => event,
            _ = looks.tick() => {
                if !session.is_connected() {
                    return;
                }
                continue;
            }
        };
        if !heed(event, &session, &telemetry) {
            return;
        }
    }
}

/// Takes note of one event; false when it is the end.
fn heed(event: Option<Event>, session: &Session, telemetry: &SharedTelemetry) -> bool {
    match event {
        Some(Event::ConnectionBlocked(why)) => {
            telemetry.broker_blocked(&why);
            session.blocked.send_replace(Some(why));
        }
        Some(Event::ConnectionUnblocked) => {
            telemetry.broker_unblocked();
            session.blocked.send_replace(None);
        }
        // Of a channel that RabbitMQ closed, too: a queue or an exchange that someone deleted, found by counting, is declared
        // anew so.
        Some(Event::Error(error)) => {
            session.fail(words(&error));
            return false;
        }
        Some(_) => {}
        None => return false,
    }
    true
}
