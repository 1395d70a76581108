//! Sends the acknowledgements of one channel, as [`AckBook`] says which.
//!
//! Whoever settles a message only notes its tag here. One task per channel sends what has gathered: after [`FLUSH_AFTER`],
//! or at once when it is an eighth of what may be unacknowledged. What waits behind a slow message goes at the second flush, which is
//! within 20 ms.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{Notify, watch};

use super::acks::{AckBook, Frame};
use super::error::BrokerError;
use super::joining::Place;
use super::link::within;
use super::session::Session;

/// How long acknowledgements gather.
const FLUSH_AFTER: Duration = Duration::from_millis(10);

static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// The acknowledgements of one channel.
#[derive(Debug)]
pub(super) struct Acker {
    channel: Channel,
    epoch: u64,
    /// Settled messages at which it does not wait for more.
    flush_at: AtomicUsize,
    /// Set once its session has ended: from then on nothing can be answered here, and RabbitMQ hands it out again.
    ended: watch::Receiver<Option<String>>,
    /// The same, when only the channel has.
    is_closed: AtomicBool,
    book: Mutex<AckBook>,
    /// Held from the book to the socket: an acknowledgement that another has passed and includes closes the channel (406).
    sending: tokio::sync::Mutex<()>,
    something: Notify,
    enough: Notify,
}

/// A message's place on a channel.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) acker: Arc<Acker>,
    pub(super) tag: u64,
}

impl Place for Tag {
    fn epoch(&self) -> u64 {
        self.acker.epoch
    }

    fn is_live(&self) -> bool {
        !self.acker.is_closed() && self.acker.ended.borrow().is_none()
    }
}

impl Tag {
    /// The message is settled.
    pub(super) fn settle(&self) {
        let waiting = self.acker.book().settle(self.tag);
        self.acker.something.notify_one();
        if waiting >= self.acker.flush_at.load(Ordering::Relaxed) {
            self.acker.enough.notify_one();
        }
    }

    /// The message is given back.
    pub(super) fn give_back(&self) {
        self.acker.book().give_back(self.tag);
        self.acker.something.notify_one();
    }
}

impl Acker {
    /// Starts to acknowledge on `channel` until it is closed, or `session` ends.
    pub(super) fn start(channel: Channel, session: Arc<Session>) -> Arc<Self> {
        let acker = Arc::new(Self {
            channel,
            epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
            flush_at: AtomicUsize::new(1),
            ended: session.failure(),
            is_closed: AtomicBool::new(false),
            book: Mutex::new(AckBook::default()),
            sending: tokio::sync::Mutex::new(()),
            something: Notify::new(),
            enough: Notify::new(),
        });
        tokio::spawn(Arc::clone(&acker).run(session));
        acker
    }

    async fn run(self: Arc<Self>, session: Arc<Session>) {
        let acknowledge = async {
            loop {
                self.something.notified().await;
                if self.is_closed() {
                    return;
                }
                let _early_or_not = tokio::time::timeout(FLUSH_AFTER, self.enough.notified()).await;
                if let Err(error) = self.flush(false).await {
                    // Closing may overtake it: then it is unacknowledged, and its copy is known.
                    if !self.is_closed() {
                        session.fail(error);
                    }
                    return;
                }
                if !self.book().is_empty() {
                    self.something.notify_one();
                }
            }
        };
        tokio::select! {
            () = acknowledge => {}
            _ = session.ended() => {}
        }
    }

    /// RabbitMQ may have so many messages unacknowledged here.
    pub(super) fn expects(&self, messages: usize) {
        self.flush_at.store((messages / 8).max(1), Ordering::Relaxed);
    }

    /// The highest tag up to which each is answered.
    pub(super) fn answered(&self) -> u64 {
        self.book().floor()
    }

    /// Sends what waits and closes the channel: RabbitMQ hands out again whatever was not answered on it.
    pub(super) async fn close(&self) -> Result<(), BrokerError> {
        self.flush(true).await?;
        {
            let _none_on_its_way = self.sending.lock().await;
            self.is_closed.store(true, Ordering::Release);
        }
        self.something.notify_one();
        within("closing a channel", self.channel.close(200, "what was not acknowledged goes back".into())).await
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Sends what waits; with `all`, also what would wait for another flush.
    pub(super) async fn flush(&self, all: bool) -> Result<(), BrokerError> {
        within("acknowledging", async {
            let _one_at_a_time = self.sending.lock().await;
            if self.is_closed() {
                return Ok(Vec::new());
            }
            let frames = self.book().flush(all);
            try_join_all(frames.into_iter().map(|frame| self.send(frame))).await
        })
        .await
        .map(|_| ())
    }

    async fn send(&self, frame: Frame) -> Result<(), lapin::Error> {
        match frame {
            Frame::Ack { tag, multiple } => self.channel.basic_ack(tag, BasicAckOptions { multiple }).await,
            Frame::Nack { tag } => {
                self.channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, AckBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
