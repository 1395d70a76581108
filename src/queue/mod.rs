//! The queue seam: where accepted events and deliveries under way are kept until they are done.
//!
//! One [`Message`] is one event with its targets. Producers [`publish`](Queue::publish) messages; a worker
//! [`consume`](Queue::consume)s them as [`Lease`]s and ends each with [`settle`](Lease::settle).
//!
//! # Contract, held by every backend (as tests: `tests/it/queue_conformance/`)
//!
//! - `publish` is all or none, and `Ok` means durable: neither a killed process nor a restart loses it.
//! - A leased message stays in the queue until it is settled. `settle(follow_ups)` is one step: after `Ok` the message is gone
//!   and every follow-up is durable; after an error the message is as it was and no follow-up counts.
//! - A lease that is dropped unsettled gives its message back; so does a process that dies. Nothing is leased twice at once.
//! - Follow-ups that wait come back on [`Lane::Retry`], never before they are due. Dead letters come back on [`Lane::Dead`],
//!   and stay until the store has them.
//! - A consumer holds at most its [`Prefetch`], in messages and in bytes; the backlog costs no memory.
//! - Waiting costs nothing: consumers are woken by publishes (of other processes too) and by due times.
//! - What a queue may hold is bounded. At the bound `publish` fails and what is there goes on; `settle` never fails for it.
//! - A queue may remember what it took in ([`Queue::remembers`]): then `publish_once` stores a message and its key in one step,
//!   or neither, and of several with one key it stores one.
//! - Trouble (disk, broker) is an error to the caller and words in [`Queue::health`]; it ends by itself when the cause does.

mod backend;
mod depths;
mod foresight;
mod lease;
mod publishing;
mod rabbitmq;
mod rejected;
mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::SharedClock;
use crate::model::{Delivery, ReceiptKey, Timestamp};
use crate::sqlite::SqliteError;
use crate::telemetry::SharedTelemetry;

pub use depths::{Depths, Unsettled};
pub use foresight::{Foreseeing, Foreseen, Foresight, Tell};
pub use lease::{Death, Lease};
#[cfg(any(test, fuzzing))]
pub use rabbitmq::fuzzed;
pub use rabbitmq::{BrokerError, BrokerLook, BrokerOptions, BrokerUrl, UNACKNOWLEDGED_MAX};
pub use rejected::{Choice, RejectedMessage, Walked};

use backend::Backend;
use foresight::Adviser;

/// What a queue file has been through, by the name of its part and the steps that this version knows.
pub const FILE_SCHEMA: (&str, usize) = ("queue", sqlite::SCHEMA_STEPS);

/// The streams that a worker takes from, each with a prefetch of its own, so that a returning wave cannot delay fresh events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Fresh events.
    Work,
    /// Deliveries that are due again, and replays.
    Retry,
    /// Dead letters on their way to the store.
    Dead,
}

impl Lane {
    /// The name that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Retry => "delay",
            Self::Dead => "dead",
        }
    }
}

/// What a consumer may hold at a time.
#[derive(Clone, Copy, Debug)]
pub struct Prefetch {
    /// Messages.
    pub messages: usize,
    /// Bytes of their bodies; one message may go over.
    pub bytes: usize,
}

/// What a message leaves behind when it is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// The delivery waits until `due`.
    Later {
        /// The delivery.
        delivery: Delivery,
        /// When it comes back.
        due: Timestamp,
    },
    /// The delivery is given up.
    Dead {
        /// The delivery.
        delivery: Delivery,
        /// Why and when.
        death: Death,
    },
}

/// What became of a message that is to be taken in once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// It is stored.
    Stored,
    /// It was taken in before, and is not stored again.
    Known,
}

/// Which SQLite file is the queue, and how large it may grow.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The file, made if it is absent.
    pub path: PathBuf,
    /// Bytes of its pages in use from which on nothing more is published; none: as many as the disk has. What is settled
    /// may go over.
    pub bytes_max: Option<u64>,
}

/// Who opens a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The worker: publishes and consumes. A SQLite queue has one at a time.
    Worker,
    /// Publishes only, beside the worker.
    Producer,
    /// The same, and goes on for long: it need not find RabbitMQ there.
    Ingest,
}

/// Why a queue did not do what was asked. The queue is as it was before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue's file.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// RabbitMQ.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Another process is this file's worker.
    #[error(
        "another hikyaku process works on the queue file {path}; only one can. Stop it first, or use a queue file of its own"
    )]
    WorkerPresent {
        /// The queue file.
        path: String,
    },
    /// The lock file cannot be used.
    #[error("the lock file {path} cannot be used: {why}")]
    Lock {
        /// The lock file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// The queue holds as much as it may.
    #[error(
        "the queue file {path} is full: {bytes} bytes are in use, and queue.bytes_max is {bytes_max}. It takes events again \
         once deliveries have made room; see what does not go out, or raise the limit"
    )]
    Full {
        /// The queue file.
        path: String,
        /// Bytes in use.
        bytes: u64,
        /// Bytes allowed.
        bytes_max: u64,
    },
    /// The queue was closed, as at shutdown.
    #[error("the queue has been closed")]
    Closed,
    /// This queue takes nothing that is no event, so there is nothing that was rejected.
    #[error(
        "there is no queue of rejected messages: the queue is the file {path}, which takes nothing that is no event, and \
         whoever published it was told. With RabbitMQ (queue.url = \"amqp://...\") there is one"
    )]
    RejectsNothing {
        /// The queue file.
        path: String,
    },
    /// A queue that does not remember what it took in was asked to.
    #[error("this queue does not remember what it took in")]
    RemembersNothing,
    /// A producer asked to consume.
    #[error("this process opened the queue to publish only")]
    ProducerOnly,
}

impl QueueError {
    /// Whether some of what was to be published may be stored all the same: several messages are one transaction in a
    /// file, but not in RabbitMQ, whose answer for some of them can be lost.
    pub fn may_be_stored(&self) -> bool {
        match self {
            Self::Broker(error) => !matches!(error, BrokerError::Away { .. } | BrokerError::Refused { .. }),
            _ => false,
        }
    }
}

/// A durable queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Queue {
    backend: Arc<dyn Backend>,
    /// Who knows what need not be tried yet.
    adviser: Adviser,
}

impl Queue {
    /// Opens the SQLite queue file, making it if it is absent.
    ///
    /// # Errors
    /// When the file cannot be used, or `access` is [`Access::Worker`] and another process is its worker already.
    pub async fn open_sqlite(
        options: FileOptions,
        access: Access,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, QueueError> {
        let backend = sqlite::SqliteQueue::open(options, access, clock, telemetry).await?;
        Ok(Self { backend: Arc::new(backend), adviser: Adviser::default() })
    }

    /// Opens the queue in RabbitMQ, declaring there what is missing.
    ///
    /// RabbitMQ need not be there: a worker starts without it and [`health`](Self::health) says so until it comes; a producer
    /// waits ten seconds for it.
    ///
    /// # Errors
    /// When an exchange or a queue is there and is not as it must be, when RabbitMQ refuses the user, or when a producer waited
    /// in vain.
    pub async fn open_rabbitmq(
        options: BrokerOptions,
        access: Access,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, QueueError> {
        let backend = rabbitmq::RabbitQueue::open(options, access, clock, telemetry).await?;
        Ok(Self { backend: Arc::new(backend), adviser: Adviser::default() })
    }

    /// Deletes what [`open_rabbitmq`](Self::open_rabbitmq) declares with `options`, **and everything that lies in it**: for
    /// queues that were made to be thrown away. Nobody may be using them, or they are declared anew.
    ///
    /// # Errors
    /// When RabbitMQ does not do it; some of it may be gone.
    pub async fn remove_rabbitmq(options: &BrokerOptions) -> Result<(), QueueError> {
        Ok(rabbitmq::remove(options).await?)
    }

    /// Whether it can [`publish_once`](Self::publish_once).
    pub fn remembers(&self) -> bool {
        self.backend.remembers()
    }

    /// Whether a message was stored under `key` within the last 8 days.
    ///
    /// # Errors
    /// What its file says; [`QueueError::RemembersNothing`] where that cannot be had.
    pub async fn knows(&self, key: ReceiptKey) -> Result<bool, QueueError> {
        self.backend.knows(key).await
    }

    /// Starts to take messages from `lane`. Call it once per lane.
    ///
    /// # Errors
    /// When this process opened the queue to publish only, or the queue is closed.
    pub async fn consume(&self, lane: Lane, prefetch: Prefetch) -> Result<Consumer, QueueError> {
        self.backend.consume(lane, prefetch).await
    }

    /// Counts what is there, exactly.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn depths(&self) -> Result<Depths, QueueError> {
        self.backend.depths().await
    }

    /// What this process has in hand, from memory.
    pub fn unsettled(&self) -> Unsettled {
        self.backend.unsettled()
    }

    /// Looks at each message that was no event, oldest first, and does with it what `visit` chooses. What is requeued is
    /// durable in its queue before it is removed here; what cannot be read there yet stays. Takes 20 minutes at most.
    ///
    /// # Errors
    /// When the queue is a file, or cannot be read or written. What was done before stays done, and nothing is lost.
    pub async fn walk_rejected(
        &self,
        mut visit: impl FnMut(&RejectedMessage) -> Choice + Send,
    ) -> Result<Walked, QueueError> {
        self.backend.walk_rejected(&mut visit).await
    }

    /// Deletes every message that was no event, and tells how many they were.
    ///
    /// # Errors
    /// When the queue is a file, or does not do it.
    pub async fn purge_rejected(&self) -> Result<u64, QueueError> {
        self.backend.purge_rejected().await
    }

    /// What does not work now, in words; empty when all is well.
    pub fn health(&self) -> Vec<String> {
        self.backend.health()
    }

    /// Whether what becomes of an attempt could be stored now; not while RabbitMQ has an alarm and takes nothing.
    pub fn takes(&self) -> bool {
        self.backend.takes()
    }

    /// Waits until [`takes`](Self::takes).
    pub async fn until_it_takes(&self) {
        self.backend.until_it_takes().await;
    }

    /// Stops taking. Leases that are out can still be settled.
    pub fn stop_consuming(&self) {
        self.backend.stop_consuming();
    }

    /// Ends: waits until what was settled is told to the broker, where there is one. Leases that are out cannot be settled
    /// any more; their messages stay in the queue.
    pub async fn close(&self) {
        self.backend.close().await;
    }
}

/// A stream of leases from one lane.
#[derive(Debug)]
pub struct Consumer {
    leases: mpsc::Receiver<Lease>,
}

impl Consumer {
    /// The next message; nothing once the queue stopped consuming.
    pub async fn next(&mut self) -> Option<Lease> {
        self.leases.recv().await
    }

    /// The next message if one is here already.
    pub fn next_now(&mut self) -> Option<Lease> {
        self.leases.try_recv().ok()
    }
}
