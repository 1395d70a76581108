//! Publishes, and answers each batch when all of it is confirmed.
//!
//! One task owns the confirm channel of the session that is on: lapin mixes up the confirms of a channel that several
//! tasks publish on. It keeps at most [`WINDOW`] messages unconfirmed and takes no further batch meanwhile. Every confirm
//! is awaited for its own message; nothing is published with `mandatory`, since every exchange has an alternate.
//!
//! A channel that was told no is replaced. RabbitMQ 3.10 has a channel find a queue's leader once, at its first publish
//! there: when the leader's node has just died and no other leads yet, that publish is nacked, and so is every later one of
//! the same channel until that node is back, however long the queue has had another leader.
//!
//! An error means that the batch as a whole is not promised: some of it may be stored. Whoever asked keeps all of it and
//! tries again with the same ids. While RabbitMQ is away or takes nothing, a batch is refused at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::error::{BrokerError, words};
use super::session::{Session, Sessions};
use super::wire::Outgoing;
use crate::queue::QueueError;

/// Messages that may be unconfirmed: from 500 on it makes no difference (RABBITMQ measurements: 100 -> 11,300/s,
/// 500-1000 -> 24,000/s).
const WINDOW: usize = 1000;
/// Batches that may wait for the window; who sends more waits to send.
const BATCHES_WAITING_MAX: usize = 1024;
/// How long a confirm may take before the connection is given up: a queue without its majority does not answer.
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at which batches have not been confirmed, and whether the channel was told no.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far apart those are published that are published together.
const TOGETHER: Duration = Duration::from_millis(5);

/// How long someone waits for the answer when RabbitMQ begins to take nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all: a producer must be told.
    None,
    /// As long as it takes: to ask again would store it twice.
    Endless,
}

struct Batch {
    messages: Vec<Outgoing>,
    patience: Patience,
    answer: oneshot::Sender<Result<(), BrokerError>>,
}

/// A handle to the publishing task; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    batches: mpsc::Sender<Batch>,
    began: Instant,
    close: watch::Receiver<bool>,
}

impl Publisher {
    /// Starts the task; `trouble` says why there is no session, and `close` that there will be none any more.
    pub(super) fn start(
        sessions: Sessions,
        trouble: watch::Receiver<Option<BrokerError>>,
        close: watch::Receiver<bool>,
    ) -> Self {
        let (batches, waiting) = mpsc::channel(BATCHES_WAITING_MAX);
        tokio::spawn(Task { batches: waiting, sessions, trouble }.run());
        Self { batches, began: Instant::now(), close }
    }

    /// An error once the queue was closed.
    pub(super) fn check_open(&self) -> Result<(), QueueError> {
        if *self.close.borrow() { Err(QueueError::Closed) } else { Ok(()) }
    }

    /// Publishes `messages`; `Ok` when RabbitMQ has confirmed every one.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>, patience: Patience) -> Result<(), QueueError> {
        self.check_open()?;
        if messages.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        self.batches.send(Batch { messages, patience, answer }).await.map_err(|_| QueueError::Closed)?;
        Ok(answered.await.map_err(|_| QueueError::Closed)??)
    }

    /// The same for what nobody waits for, together with whatever else is to be published so in these milliseconds: each message that comes
    /// alone has RabbitMQ write and sync its log for itself, which makes those wait that are urgent.
    pub(super) async fn publish_together(&self, messages: Vec<Outgoing>, patience: Patience) -> Result<(), QueueError> {
        tokio::time::sleep_until(next_turn(self.began, Instant::now())).await;
        self.publish(messages, patience).await
    }
}

/// When what comes at `now` is published together with others.
fn next_turn(began: Instant, now: Instant) -> Instant {
    let past = now.saturating_duration_since(began).as_nanos() % TOGETHER.as_nanos();
    now + TOGETHER - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
}

struct Task {
    batches: mpsc::Receiver<Batch>,
    sessions: Sessions,
    trouble: watch::Receiver<Option<BrokerError>>,
}

impl Task {
    async fn run(mut self) {
        // A batch for whatever session is on now, or to be refused.
        let mut batch = None;
        loop {
            let session = self.sessions.borrow_and_update().clone();
            match (session, batch.take()) {
                (Some(session), first) => {
                    match OnSession::new(&session).run(first, &mut self.batches, &mut self.sessions).await {
                        Over::Session(after) => batch = after,
                        Over::Asking => return,
                    }
                }
                (None, Some(batch)) => self.refuse(batch),
                (None, None) => tokio::select! {
                    changed = self.sessions.changed() => if changed.is_err() { return },
                    // Whoever asks may have seen the session before this task did.
                    asked = self.batches.recv() => match asked {
                        Some(asked) => batch = Some(asked),
                        None => return,
                    }
                },
            }
        }
    }

    fn refuse(&self, batch: Batch) {
        let why = self.trouble.borrow().clone();
        let error = why.unwrap_or_else(|| BrokerError::Away { why: "not connected yet".to_owned() });
        let _asker_may_be_gone = batch.answer.send(Err(error));
    }
}

/// Why the publishing of one session ended.
enum Over {
    /// The session did, and this batch came after that.
    Session(Option<Batch>),
    /// Nobody will ask any more.
    Asking,
}

/// The publishing of one session.
struct OnSession<'a> {
    session: &'a Arc<Session>,
    channel: Channel,
    /// How many channels were before it.
    channels_before: u64,
    /// Whether it was told no.
    is_refused: bool,
    /// At most one: the channel that is to take its place.
    opening: FuturesUnordered<BoxFuture<'static, Result<Channel, BrokerError>>>,
    in_flight: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Batches not yet answered, and messages of them not yet published.
    open: HashMap<u64, Open>,
    to_send: VecDeque<(u64, Outgoing)>,
    next: u64,
}

/// What became of one message.
struct Answer {
    batch: u64,
    /// How many channels were before the one it was published on.
    channels_before: u64,
    result: Result<(), BrokerError>,
}

struct Open {
    left: usize,
    /// When its last confirm came, or else its last message was sent.
    progress: Instant,
    failed: Option<BrokerError>,
    patience: Patience,
    answer: oneshot::Sender<Result<(), BrokerError>>,
}

impl<'a> OnSession<'a> {
    fn new(session: &'a Arc<Session>) -> Self {
        Self {
            session,
            channel: session.confirm.clone(),
            channels_before: 0,
            is_refused: false,
            opening: FuturesUnordered::new(),
            in_flight: FuturesUnordered::new(),
            open: HashMap::new(),
            to_send: VecDeque::new(),
            next: 0,
        }
    }

    /// Publishes, `first` first, until the session is over or nobody will ask any more.
    async fn run(mut self, first: Option<Batch>, batches: &mut mpsc::Receiver<Batch>, sessions: &mut Sessions) -> Over {
        first.into_iter().for_each(|batch| self.take(batch));
        let mut blocked = self.session.blocked.subscribe();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            self.fill_window();
            tokio::select! {
                Some(answer) = self.in_flight.next(), if !self.in_flight.is_empty() => self.confirmed(answer),
                Some(opened) = self.opening.next(), if !self.opening.is_empty() => self.replace_channel(opened),
                batch = batches.recv(), if self.may_take() => {
                    match batch {
                        // It is not for this session any more, so it is not unknown what became of it.
                        Some(batch) if sessions.has_changed().unwrap_or(true) => {
                            self.fail_all();
                            return Over::Session(Some(batch));
                        }
                        Some(batch) => self.take(batch),
                        None => {
                            self.finish().await;
                            return Over::Asking;
                        }
                    }
                }
                Ok(()) = blocked.changed() => self.tell_who_cannot_wait(),
                _ = looks.tick() => self.look(),
                _ = sessions.changed() => {
                    self.fail_all();
                    return Over::Session(None);
                }
            }
        }
    }

    /// Whether a batch can be dealt with: there is room, or it is to be refused, for which there need be none.
    fn may_take(&self) -> bool {
        (self.to_send.is_empty() && self.in_flight.len() < WINDOW) || self.is_blocked()
    }

    fn is_blocked(&self) -> bool {
        // The flag is set before the event is told.
        self.session.publish.connection.status().blocked()
    }

    fn take(&mut self, batch: Batch) {
        if self.is_blocked() {
            let _asker_may_be_gone = batch.answer.send(Err(self.blocked_error()));
            return;
        }
        let number = self.next;
        self.next += 1;
        let Batch { messages, patience, answer } = batch;
        let progress = Instant::now();
        self.open.insert(number, Open { left: messages.len(), progress, failed: None, patience, answer });
        self.to_send.extend(messages.into_iter().map(|message| (number, message)));
    }

    fn fill_window(&mut self) {
        while self.in_flight.len() < WINDOW
            && let Some((batch, message)) = self.to_send.pop_front()
        {
            if let Some(batch) = self.open.get_mut(&batch) {
                batch.progress = Instant::now();
            }
            let (channel, channels_before) = (self.channel.clone(), self.channels_before);
            self.in_flight.push(Box::pin(async move {
                Answer { batch, channels_before, result: publish(&channel, message).await }
            }));
        }
    }

    fn confirmed(&mut self, answer: Answer) {
        let Answer { batch: number, channels_before, result } = answer;
        self.is_refused |= channels_before == self.channels_before && result == Err(BrokerError::Nacked);
        let Some(batch) = self.open.get_mut(&number) else { return };
        batch.progress = Instant::now();
        batch.left -= 1;
        if let Err(error) = result {
            if !matches!(error, BrokerError::Nacked) {
                self.session.fail(&error);
            }
            batch.failed.get_or_insert(error);
        }
        if batch.left == 0
            && let Some(batch) = self.open.remove(&number)
        {
            let _asker_may_be_gone = batch.answer.send(batch.failed.map_or(Ok(()), Err));
        }
    }

    /// RabbitMQ takes nothing for now: what was sent will be taken later, but a producer is not kept waiting for that.
    fn tell_who_cannot_wait(&mut self) {
        if self.session.blocked.borrow().is_none() {
            self.begin_waiting_anew();
            return;
        }
        let told: Vec<u64> =
            self.open.iter().filter(|(_, batch)| batch.patience == Patience::None).map(|(number, _)| *number).collect();
        for number in told {
            if let Some(batch) = self.open.remove(&number) {
                let _asker_may_be_gone = batch.answer.send(Err(self.blocked_error()));
            }
        }
        // What lapin does not have yet need not go out.
        self.to_send.retain(|(number, _)| self.open.contains_key(number));
    }

    fn blocked_error(&self) -> BrokerError {
        let why = self.session.blocked.borrow().clone();
        BrokerError::Blocked { why: why.unwrap_or_else(|| "a memory or disk alarm".to_owned()) }
    }

    /// The time of an alarm does not count.
    fn begin_waiting_anew(&mut self) {
        let now = Instant::now();
        self.open.values_mut().for_each(|batch| batch.progress = now);
    }

    /// Each batch is looked at by itself: one queue may be without its majority while others answer.
    fn look(&mut self) {
        if self.is_blocked() {
            self.begin_waiting_anew();
        }
        if self.open.values().any(|batch| batch.progress.elapsed() > CONFIRM_WAIT_MAX) {
            self.session.fail(BrokerError::too_slow("a publish", CONFIRM_WAIT_MAX));
        }
        if self.is_refused && self.opening.is_empty() && !self.is_blocked() {
            let session = Arc::clone(self.session);
            self.opening.push(Box::pin(async move { session.confirm_channel().await }));
        }
    }

    /// What is published from now on goes by the channel that was opened. The old one ends with its last confirm.
    fn replace_channel(&mut self, opened: Result<Channel, BrokerError>) {
        match opened {
            Ok(channel) => {
                self.channel = channel;
                self.channels_before += 1;
                self.is_refused = false;
            }
            // An alarm that began meanwhile: nothing is written until it is over.
            Err(_) if self.is_blocked() => {}
            Err(error) => self.session.fail(&error),
        }
    }

    /// Nobody will ask any more, but some still wait for their answer.
    async fn finish(&mut self) {
        while !self.open.is_empty() {
            self.fill_window();
            let next = tokio::time::timeout(CONFIRM_WAIT_MAX, self.in_flight.next()).await;
            let Ok(Some(answer)) = next else { return };
            self.confirmed(answer);
        }
    }

    /// The session is over, and with it every confirm that has not come.
    fn fail_all(&mut self) {
        for (_, batch) in self.open.drain() {
            let why = "the connection was lost before the answer came".to_owned();
            let _asker_may_be_gone = batch.answer.send(Err(batch.failed.unwrap_or(BrokerError::Unknown { why })));
        }
    }
}

/// Publishes one message and waits for its confirm. The first poll hands it to lapin, in one go.
async fn publish(channel: &Channel, message: Outgoing) -> Result<(), BrokerError> {
    let Outgoing { exchange, routing_key, body, properties } = message;
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), routing_key.into(), options, &body, properties).await;
    let unknown = |error: lapin::Error| BrokerError::Unknown { why: words(&error) };
    match sent.map_err(unknown)?.await.map_err(unknown)? {
        Confirmation::Ack(_) => Ok(()),
        Confirmation::Nack(_) => Err(BrokerError::Nacked),
        Confirmation::NotRequested => Err(BrokerError::other("confirms were not asked for on this channel")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_within_the_same_milliseconds_is_published_at_one_moment_soon() {
        let began = Instant::now();
        let at = |micros| next_turn(began, began + Duration::from_micros(micros)).duration_since(began);
        let millis = Duration::from_millis;
        assert_eq!([0, 1, 4_999].map(at), [millis(5); 3]);
        assert_eq!([5_000, 8_333].map(at), [millis(10); 2], "what just missed one waits for the next");
        assert_eq!(
            at(u64::from(u32::MAX) * 1_000_000),
            Duration::from_secs(u64::from(u32::MAX)) + millis(5),
            "for ever"
        );
    }
}
