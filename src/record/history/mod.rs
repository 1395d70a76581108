//! The history: every delivery that was begun, with its state, and every attempt that was made for it, for a while.
//!
//! The worker notes what a delivery has come to once that is durable ([`History::note`]): that puts an [`Entry`] into memory and
//! does nothing else. A thread of ours writes what waits, many entries in a transaction, into a file of its own, and removes
//! what is past retention in small steps. People read it through [`HistoryReader`], in this process or another.
//!
//! Contract:
//! - No delivery waits for the history or fails because of it (promise 9). What waits to be written has at most
//!   [`WAITING_BYTES_MAX`]; what comes when that is full is missing, and counted. The log says when that begins and when it ends.
//! - An entry that comes again changes nothing: an attempt is one of delivery, generation and number. Should one number have been
//!   tried twice, which only a crash can bring about, the try that delivered is kept, else the first.
//! - A delivery's state follows how far it has come, not when that was written: workers may write in any order.
//! - Bodies of events are kept if the policy says so, for as long and in as many bytes as it says, one for each event, and go with
//!   its last delivery. They are what is left out first when much waits. Of an answer is kept what outbound lets through. Secrets are not kept.
//! - A crash of the machine may lose the latest seconds, a crash of the process what it had not written, at most
//!   [`WRITE_EVERY`] while the file can be written.

mod entry;
mod kept;
mod names;
mod pack;
mod page;
mod postgres;
mod read;
mod shape;
mod sink;
mod sqlite;
mod waiting;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entry::KeptBody;
pub use entry::{Attempted, Entry};
pub use kept::{KeptAttempt, KeptDelivery};
pub use page::{HistoryCursor, HistoryCursorError, HistoryFilter, HistoryPage};
pub use read::{ATTEMPTS_MAX, Erased, HISTORY_PAGE_MAX, HistoryReader, WithEvent};
pub use shape::{AttemptShape, DeliveryLineShape, DeliveryShape};
pub use sink::WAITING_BYTES_MAX;
pub use writer::WRITE_EVERY;

use self::postgres::PostgresSink;
use self::sink::Sink;
use self::sqlite::SqliteSink;
use self::waiting::{Put, Waiting};
use self::writer::Writer;
use super::RecordError;
use crate::clock::SharedClock;
use crate::postgres::Postgres;
use crate::sqlite::JoinedThread;
use crate::store::SchemaPart;
use crate::telemetry::SharedTelemetry;

/// Its tables, as they are migrated.
pub(super) const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "history", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// How long the end of the process waits for what is still to be written.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(3);

/// What the history keeps, and for how long.
#[derive(Clone, Debug)]
pub struct HistoryPolicy {
    /// Deliveries that have not changed for longer go, with their attempts.
    pub age: Duration,
    /// Deliveries, and attempts, that are kept at most; of more, those that changed longest ago go.
    pub count_max: u64,
    /// Bytes of an answer that are kept.
    pub response_bytes_max: usize,
    /// What is kept of events' bodies; none: nothing.
    pub bodies: Option<BodiesPolicy>,
    /// How this worker is called in what it writes.
    pub worker: String,
}

/// What is kept of events' bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodiesPolicy {
    /// Those that were written longer ago go.
    pub age: Duration,
    /// Bytes that all take; of more, those that were written first go.
    pub bytes_max: u64,
    /// Bytes that are taken in a second on the average, twice as many at once after a rest. A body is written as a whole, where what
    /// happened is some hundred bytes, and deliveries need the disk and the processor more.
    pub bytes_per_second: usize,
}

/// How much of the history is kept; it can change while it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRetention {
    /// As [`HistoryPolicy::age`].
    pub age: Duration,
    /// As [`HistoryPolicy::count_max`].
    pub count_max: u64,
    /// As [`BodiesPolicy::age`]; of no matter where no bodies are kept.
    pub bodies_age: Duration,
    /// As [`BodiesPolicy::bytes_max`].
    pub bodies_bytes_max: u64,
}

/// The history that this process writes. See the module's head for what it promises.
#[derive(Debug)]
pub struct History {
    waiting: Arc<Waiting>,
    retention: Arc<Mutex<HistoryRetention>>,
    /// Where it is written, as log lines call it.
    place: String,
    telemetry: SharedTelemetry,
    response_bytes_max: usize,
    keeps_bodies: bool,
    /// Nothing is noted, and what is there goes by its age.
    only_prunes: bool,
    /// Ends with this.
    _writer: JoinedThread<()>,
}

impl History {
    /// Starts to write into the file at `path`, made if absent, nothing of who is forgotten, by the store's file. A file that cannot be
    /// used now is tried again for as long as it takes.
    ///
    /// # Errors
    /// When the file is of a newer version, or no thread is left. The file is as it was.
    pub fn open(
        path: &Path,
        store: &Path,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, RecordError> {
        let mut sink = SqliteSink::of(path, store);
        let trouble = match sink.ready() {
            Err(error) if error.is_newer() => return Err(error),
            opened => opened.err(),
        };
        let to = Writer::new(Box::new(sink), path.display().to_string(), policy, clock, telemetry);
        Self::start(to, trouble)
    }

    /// Starts to write into PostgreSQL. While that is away, it is tried again for as long as it takes.
    ///
    /// # Errors
    /// When what is there is of a newer version, or no thread is left. It is as it was.
    pub async fn open_postgres(
        postgres: &Postgres,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<Self, RecordError> {
        let trouble = match postgres::open(postgres).await.map_err(RecordError::from) {
            Err(error) if error.is_newer() => return Err(error),
            opened => opened.err(),
        };
        let sink = PostgresSink::of(postgres).map_err(|error| RecordError::NoThread(Arc::new(error)))?;
        let place = format!("PostgreSQL at {}", postgres.url());
        Self::start(Writer::new(Box::new(sink), place, policy, clock, telemetry), trouble)
    }

    /// Starts `writer`, which has met with `trouble` already.
    fn start(writer: Writer, trouble: Option<RecordError>) -> Result<Self, RecordError> {
        if let Some(trouble) = trouble {
            writer.failed(&trouble);
        }
        let Writer { waiting, retention, place, telemetry, policy, .. } = &writer;
        let (waiting, place, telemetry) = (Arc::clone(waiting), place.clone(), telemetry.clone());
        let retention = Arc::clone(retention);
        let (response_bytes_max, keeps_bodies) = (policy.response_bytes_max, policy.bodies.is_some());
        // Nothing is sent to it: what it works on lies in `waiting`, by its bytes and not by its number.
        let thread = JoinedThread::start("history-write", 1, move |_| writer.run())
            .map_err(|error| RecordError::NoThread(Arc::new(error)))?;
        let only_prunes = false;
        Ok(Self {
            waiting,
            retention,
            place,
            telemetry,
            response_bytes_max,
            keeps_bodies,
            only_prunes,
            _writer: thread,
        })
    }

    /// The same where nothing is to be noted any more: what is there goes as its age has it.
    #[must_use]
    pub fn only_pruning(mut self) -> Self {
        (self.only_prunes, self.keeps_bodies) = (true, false);
        self
    }

    /// Notes what a delivery has come to. Does no I/O and never waits.
    pub fn note(&self, mut entry: Entry) {
        if self.only_prunes {
            return;
        }
        if let Some(attempt) = &mut entry.attempt {
            attempt.response.truncate(attempt.response.floor_char_boundary(self.response_bytes_max));
        }
        let is_first = match self.waiting.put(entry) {
            Ok(Put::Whole) => return,
            Ok(Put::WithoutBody) => return self.left_out(),
            Err(is_first) => is_first,
        };
        self.telemetry.record_dropped(1);
        if is_first {
            self.telemetry.history_behind(&self.place, "deliveries are made faster than they can be written");
        }
    }

    /// Keeps so much from the next pruning on, which is within a minute.
    pub fn keep(&self, retention: HistoryRetention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Whether an entry is to have its event's body of so many bytes, so that none is copied in vain. One that is left out is counted.
    pub fn wants_body(&self, bytes: usize) -> bool {
        let has_room = self.has_room(bytes);
        if self.keeps_bodies && !has_room {
            self.left_out();
        }
        has_room
    }

    /// A body was.
    fn left_out(&self) {
        self.waiting.left_out();
        self.telemetry.history_body_left_out();
    }

    /// The same of a body that is probably there, which is not counted when it is left out.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.keeps_bodies && self.waiting.has_room_for_body(bytes)
    }

    /// What is wrong with it now, if anything is: deliveries go on.
    pub fn health(&self) -> Option<String> {
        let (why, missing) = self.waiting.trouble();
        let missing = missing?;
        Some(match why {
            Some(why) => {
                format!("the history is not written: {why}. Deliveries go on, and {} in it so far", missing.words())
            }
            None if missing.entries == 0 && missing.bodies == 0 => return None,
            None if missing.has_failed => format!("the history is written again; {}", missing.words()),
            None => {
                format!("deliveries are made faster than the history can be written; {} in it so far", missing.words())
            }
        })
    }

    /// Writes what was noted so far. `Ok` promises that it is in the store.
    ///
    /// # Errors
    /// Why it cannot be written; it is kept in memory and tried again.
    pub async fn flush(&self) -> Result<(), RecordError> {
        self.waiting.flush().await.map_err(|_| RecordError::HistoryClosed)?
    }

    /// Writes what was noted so far, if that is soon done, and tells what is missing if not.
    pub async fn close(&self) {
        let flushed = tokio::time::timeout(CLOSE_WAIT_MAX, self.flush()).await;
        let left = self.waiting.close();
        if left > 0 && !matches!(flushed, Ok(Ok(()))) {
            self.telemetry.record_dropped(left);
            self.telemetry.history_left(&self.place, left);
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.waiting.close();
    }
}
