//! The writer thread: all that waits to be written goes into one transaction and one fsync (group commit).
//!
//! While a commit is on its way to the disk, further commands gather; the next transaction takes them together, up to
//! [`GROUP_MAX`]. If a group fails for a reason that may be one command's own, it is rolled back and each is tried alone; when
//! the file itself is the reason (full, locked, damaged), all fail at once. Every command is answered after its commit,
//! never before. While the file holds all that it may, publishes are refused, and what settles goes on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::bound::{Bound, Change};
use super::health::Health;
use super::lane::Lanes;
use super::rows;
use crate::clock::Backoff;
use crate::model::{Event, Message, ReceiptKey, Target, Timestamp};
use crate::queue::{Access, FollowUp, Lane, Once, QueueError};
use crate::sqlite::receipts::{has_receipt, note_receipt, prune_receipts};
use crate::sqlite::{FileIdentity, JoinedThread, SqliteError, gather};
use crate::telemetry::SharedTelemetry;

/// Commands that one transaction may hold.
const GROUP_MAX: usize = 2048;
/// Commands that may wait for the writer; who sends more waits to send.
const COMMANDS_WAITING_MAX: usize = 4096;
/// Waits between probes of a file that could not be written.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LONGEST: Duration = Duration::from_secs(2);

type Answer = oneshot::Sender<Result<Once, QueueError>>;

/// What can be asked of the writer.
enum Work {
    Publish { messages: Vec<Message>, now: Timestamp },
    PublishOnce { message: Message, key: ReceiptKey, now: Timestamp },
    Settle { lane: Lane, id: i64, event: Arc<Event>, follow_ups: Vec<FollowUp> },
    Probe,
}

impl Work {
    /// Whether it brings something new into the file.
    fn publishes(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::PublishOnce { .. })
    }

    /// Whether it is to be stored once, and was stored before; one that cannot be looked up was not.
    fn is_known_to(&self, connection: &Connection) -> bool {
        matches!(self, Self::PublishOnce { key, now, .. } if has_receipt(connection, key, *now) == Ok(true))
    }
}

struct Command {
    work: Work,
    answer: Answer,
}

/// A handle to the writer thread; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    thread: Arc<JoinedThread<Command>>,
    telemetry: SharedTelemetry,
}

impl Writer {
    /// Starts the thread that owns `connection` to the file `path`.
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        bound: Bound,
        lanes: Arc<Lanes>,
        health: Arc<Health>,
        access: Access,
        telemetry: &SharedTelemetry,
    ) -> Result<Self, SqliteError> {
        let writing = WriterThread {
            connection,
            path: path.to_owned(),
            file: FileIdentity::of(path),
            bound,
            lanes,
            health: Arc::clone(&health),
            telemetry: telemetry.clone(),
        };
        let thread =
            JoinedThread::start("hikyaku-queue-write", COMMANDS_WAITING_MAX, move |waiting| writing.run(waiting));
        let thread =
            thread.map_err(|error| SqliteError::Other { path: path.to_owned(), why: format!("no thread: {error}") })?;
        let thread = Arc::new(thread);
        if access == Access::Worker {
            tokio::spawn(probe(Arc::downgrade(&thread), health));
        }
        Ok(Self { thread, telemetry: telemetry.clone() })
    }

    /// Stores `messages`, all or none.
    pub(super) async fn publish(&self, messages: Vec<Message>, now: Timestamp) -> Result<(), QueueError> {
        let asked = Instant::now();
        ask(&self.thread, Work::Publish { messages, now }).await?;
        self.telemetry.published(asked.elapsed());
        Ok(())
    }

    /// Stores `message` and `key`, unless the key is there.
    pub(super) async fn publish_once(
        &self,
        message: Message,
        key: ReceiptKey,
        now: Timestamp,
    ) -> Result<Once, QueueError> {
        let asked = Instant::now();
        let once = ask(&self.thread, Work::PublishOnce { message, key, now }).await?;
        self.telemetry.published(asked.elapsed());
        Ok(once)
    }

    /// Stores the follow-ups of `event` and removes message `id` of `lane`, in one transaction.
    pub(super) async fn settle(
        &self,
        lane: Lane,
        id: i64,
        event: Arc<Event>,
        follow_ups: Vec<FollowUp>,
    ) -> Result<(), QueueError> {
        ask(&self.thread, Work::Settle { lane, id, event, follow_ups }).await?;
        Ok(())
    }
}

async fn ask(thread: &JoinedThread<Command>, work: Work) -> Result<Once, QueueError> {
    let (answer, answered) = oneshot::channel();
    thread.send(Command { work, answer }).await.map_err(|_| QueueError::Closed)?;
    answered.await.map_err(|_| QueueError::Closed)?
}

/// Tries a write of some size, again and again, from when a write failed until such a one succeeds: so readiness comes back
/// by itself. That some other write succeeds means little: a disk that is nearly full takes small ones.
async fn probe(thread: Weak<JoinedThread<Command>>, health: Arc<Health>) {
    loop {
        health.writing_failed.notified().await;
        let mut waits = Backoff::new(PROBE_FIRST, PROBE_LONGEST);
        while health.is_unwritable() {
            tokio::time::sleep(waits.next_wait()).await;
            let Some(thread) = thread.upgrade() else { return };
            if matches!(ask(&thread, Work::Probe).await, Err(QueueError::Closed)) {
                return;
            }
        }
    }
}

struct WriterThread {
    connection: Connection,
    path: PathBuf,
    file: FileIdentity,
    bound: Bound,
    lanes: Arc<Lanes>,
    health: Arc<Health>,
    telemetry: SharedTelemetry,
}

/// What a transaction changed, for whoever waits for messages.
#[derive(Default)]
struct Effects {
    work: i64,
    delay: i64,
    dead: i64,
    first_due: Option<Timestamp>,
    work_came: bool,
    dead_came: bool,
    probed: bool,
    bytes: Option<u64>,
    /// Receipts noted, and when.
    noted: u64,
    noted_at: Option<Timestamp>,
    /// Places of what was taken in before.
    known: Vec<usize>,
}

/// What became of the work at `place`, of which those at `known` were taken in before.
fn outcome(known: &[usize], place: usize) -> Once {
    if known.contains(&place) { Once::Known } else { Once::Stored }
}

impl WriterThread {
    fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        self.measure();
        let mut group = Vec::with_capacity(GROUP_MAX);
        while gather(&mut waiting, &mut group, GROUP_MAX) {
            self.write(&mut group);
        }
    }

    fn write(&mut self, group: &mut Vec<Command>) {
        self.refuse_publishes_when_gone(group);
        self.refuse_publishes_when_full(group);
        if group.is_empty() {
            return;
        }
        let together = self.commit(group.iter().map(|command| &command.work));
        let may_be_one_commands_own = matches!(together, Err(QueueError::Sqlite(SqliteError::Other { .. })));
        for (place, command) in group.drain(..).enumerate() {
            let result = match &together {
                Ok(known) => Ok(outcome(known, place)),
                Err(_) if may_be_one_commands_own => {
                    self.commit(std::iter::once(&command.work)).map(|known| outcome(&known, 0))
                }
                Err(error) => Err(error.clone()),
            };
            let _asker_may_be_gone = command.answer.send(result);
        }
    }

    /// Answers the publishes and probes of `group` with an error, and takes them out, while the path leads to another file:
    /// what is stored now would end with this process. What it holds already goes on, and is settled in it.
    fn refuse_publishes_when_gone(&self, group: &mut Vec<Command>) {
        let asks_to_keep = |command: &Command| command.work.publishes() || matches!(command.work, Work::Probe);
        if !group.iter().any(asks_to_keep) {
            return;
        }
        let Err(error) = self.file.check() else { return };
        self.health.cannot_write(&error, &self.telemetry);
        for command in group.extract_if(.., |command| asks_to_keep(command)) {
            let _asker_may_be_gone = command.answer.send(Err(error.clone().into()));
        }
    }

    /// Answers the publishes of `group` with a refusal, and takes them out, while the file holds all that it may.
    fn refuse_publishes_when_full(&mut self, group: &mut Vec<Command>) {
        if self.bound.refusal().is_none() {
            return;
        }
        // Somebody else may have made room, and nothing else of ours may be written that would show it.
        self.measure();
        let Some(refusal) = self.bound.refusal() else { return };
        for publish in group.extract_if(.., |command| command.work.publishes()) {
            // What is there already needs no room, and whoever sends it again wants to hear so.
            let is_there = publish.work.is_known_to(&self.connection);
            let _asker_may_be_gone = publish.answer.send(if is_there { Ok(Once::Known) } else { Err(refusal.clone()) });
        }
    }

    /// Looks how much the file holds. A file that cannot be read is told where it is read or written.
    fn measure(&mut self) {
        if let Ok(Some(bytes)) = self.bound.measure(&self.connection) {
            self.measured(bytes);
        }
    }

    fn measured(&mut self, bytes: u64) {
        let change = self.bound.note(bytes);
        self.telemetry.queue_file_measured(bytes, self.bound.bytes_max());
        match (change, self.bound.refusal()) {
            (Some(Change::Filled), Some(refusal)) => self.health.is_full(&refusal, &self.telemetry),
            (Some(Change::Freed), _) => self.health.has_room(&self.telemetry),
            _ => {}
        }
    }

    /// Does `works` in one transaction; afterwards all of it is durable, or none of it happened. Tells the places of those
    /// that were known.
    fn commit<'a>(&mut self, works: impl Iterator<Item = &'a Work>) -> Result<Vec<usize>, QueueError> {
        match self.try_commit(works) {
            Ok(effects) => {
                if let Some(bytes) = effects.bytes {
                    self.measured(bytes);
                }
                if effects.probed {
                    self.health.can_write(&self.telemetry);
                }
                self.lanes.tell(effects.work_came, effects.first_due, effects.dead_came);
                Ok(effects.known)
            }
            Err(error) => {
                let error = SqliteError::new(&self.path, error);
                self.health.cannot_write(&error, &self.telemetry);
                Err(error.into())
            }
        }
    }

    fn try_commit<'a>(&mut self, works: impl Iterator<Item = &'a Work>) -> rusqlite::Result<Effects> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut effects = Effects::default();
        for (place, work) in works.enumerate() {
            apply(&transaction, place, work, &mut effects)?;
        }
        if let Some(now) = effects.noted_at {
            prune_receipts(&transaction, effects.noted, now, self.bound.receipts_max())?;
        }
        for (lane, change) in [(Lane::Work, effects.work), (Lane::Retry, effects.delay), (Lane::Dead, effects.dead)] {
            if change != 0 {
                rows::add_depth(&transaction, lane, change)?;
            }
        }
        effects.bytes = self.bound.measure(&transaction)?;
        transaction.commit()?;
        Ok(effects)
    }
}

fn apply(connection: &Connection, place: usize, work: &Work, effects: &mut Effects) -> rusqlite::Result<()> {
    match work {
        Work::Publish { messages, now } => {
            messages.iter().try_for_each(|message| publish(connection, message, *now, effects))
        }
        Work::PublishOnce { message, key, now } => {
            if !note_receipt(connection, key, *now)? {
                effects.known.push(place);
                return Ok(());
            }
            effects.noted += 1;
            effects.noted_at = Some(*now);
            publish(connection, message, *now, effects)
        }
        Work::Settle { lane, id, event, follow_ups } => {
            // Gone: it was settled before, by a commit that took effect and yet was answered with an error.
            if !rows::delete(connection, *lane, *id)? {
                return Ok(());
            }
            effects.removed(*lane);
            follow_ups.iter().try_for_each(|follow_up| match follow_up {
                FollowUp::Later { delivery, due } => {
                    rows::insert_delay(connection, event, delivery, *due)?;
                    effects.delayed(*due);
                    Ok(())
                }
                FollowUp::Dead { delivery, death } => {
                    rows::insert_dead(connection, event, delivery, *death)?;
                    effects.dead += 1;
                    effects.dead_came = true;
                    Ok(())
                }
            })
        }
        Work::Probe => {
            effects.probed = true;
            rows::probe(connection)
        }
    }
}

fn publish(connection: &Connection, message: &Message, now: Timestamp, effects: &mut Effects) -> rusqlite::Result<()> {
    match &message.target {
        Target::Subscribers => {
            rows::insert_work(connection, &message.event)?;
            effects.work += 1;
            effects.work_came = true;
        }
        Target::One(delivery) => {
            rows::insert_delay(connection, &message.event, delivery, now)?;
            effects.delayed(now);
        }
        Target::Later { delivery, due } => {
            rows::insert_delay(connection, &message.event, delivery, *due)?;
            effects.delayed(*due);
        }
    }
    Ok(())
}

impl Effects {
    fn delayed(&mut self, due: Timestamp) {
        self.delay += 1;
        self.first_due = Some(self.first_due.map_or(due, |first| first.min(due)));
    }

    fn removed(&mut self, lane: Lane) {
        match lane {
            Lane::Work => self.work -= 1,
            Lane::Retry => self.delay -= 1,
            Lane::Dead => self.dead -= 1,
        }
    }
}
