//! A lane: from rows of one table to leases, as many at a time as the prefetch allows.
//!
//! A task per lane reads when there is both something to read and room for it, and otherwise waits to be told: by the writer
//! (something came), by a settled lease (room), by the clock (something is due), or by the bell (another process wrote).
//! `work` and `dead` are read in the order of their numbers, which only grow; `delay` in the order of due times, where a row
//! can be put in behind the place reached, so the next read begins at the earliest that was put in since the last one began.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};

use super::rows::{self, DuePlace, Found, Room};
use super::writer::Writer;
use crate::clock::SharedClock;
use crate::model::{Event, Timestamp};
use crate::queue::lease::{Holder, Lease, Ticket};
use crate::queue::{Consumer, FollowUp, Lane, Prefetch, QueueError};
use crate::sqlite::SqliteThread;
use crate::telemetry::SharedTelemetry;

/// How often an idle lane asks whether the file was written by a process whose bell did not ring.
pub(super) const SAFETY_NET: Duration = Duration::from_secs(5);
/// How long a lane waits after a failed read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The lanes that are being consumed.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Vec<Arc<LaneState>>>);

impl Lanes {
    pub(super) fn add(&self, lane: Arc<LaneState>) {
        self.lock().push(lane);
    }

    /// The writer stored something.
    pub(super) fn tell(&self, work_came: bool, first_due: Option<Timestamp>, dead_came: bool) {
        for lane in self.lock().iter() {
            match lane.lane {
                Lane::Work if work_came => lane.came.notify_one(),
                Lane::Dead if dead_came => lane.came.notify_one(),
                Lane::Retry if first_due.is_some() => {
                    lane.put_in(first_due.unwrap_or_default());
                    lane.came.notify_one();
                }
                Lane::Work | Lane::Dead | Lane::Retry => {}
            }
        }
    }

    /// Another process may have written anything.
    pub(super) fn changed_elsewhere(&self) {
        for lane in self.lock().iter() {
            lane.put_in(Timestamp::default());
            lane.came.notify_one();
        }
    }

    /// Ends every consumer.
    pub(super) fn close(&self) {
        for lane in self.lock().drain(..) {
            lane.inner().closed = true;
            lane.came.notify_one();
            lane.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<LaneState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane's state, shared by its task, its leases and the writer.
#[derive(Debug)]
pub(super) struct LaneState {
    lane: Lane,
    prefetch: Prefetch,
    writer: Writer,
    inner: Mutex<Inner>,
    /// There may be something to read.
    came: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Debug)]
struct Inner {
    /// What may still be taken; negative in bytes after a large message.
    free_messages: usize,
    free_bytes: i64,
    /// Rows in someone's hands.
    held: HashSet<i64>,
    /// Rows given back, to be read again.
    given_back: Vec<i64>,
    /// Up to where the table has been read: by number, or for `delay` by due time and number.
    place: DuePlace,
    /// The earliest due time put in since the last read began; that read may have passed it without seeing it.
    put_in: Option<Timestamp>,
    closed: bool,
}

impl LaneState {
    pub(super) fn new(lane: Lane, prefetch: Prefetch, writer: Writer) -> Self {
        let inner = Inner {
            free_messages: prefetch.messages,
            free_bytes: i64::try_from(prefetch.bytes).unwrap_or(i64::MAX),
            held: HashSet::new(),
            given_back: Vec::new(),
            place: (i64::MIN, 0),
            put_in: None,
            closed: false,
        };
        Self { lane, prefetch, writer, inner: Mutex::new(inner), came: Notify::new(), room: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row due at `due` was put in; it may lie behind the place reached, or that a read under way will reach.
    fn put_in(&self, due: Timestamp) {
        let mut inner = self.inner();
        inner.put_in = Some(inner.put_in.map_or(due, |earlier| earlier.min(due)));
    }

    /// Where a read begins: the place reached, set back to what was put in behind it.
    fn begin_read(&self) -> DuePlace {
        let mut inner = self.inner();
        if let Some(due) = inner.put_in.take()
            && self.lane == Lane::Retry
            && due.as_millis() <= inner.place.0
        {
            inner.place = (due.as_millis().saturating_sub(1), i64::MAX);
        }
        inner.place
    }

    /// The messages that must be free before it is worth reading: an eighth of the prefetch, so that reads come in batches.
    fn worth_reading(&self) -> usize {
        (self.prefetch.messages / 8).clamp(1, 256)
    }

    /// The room there is, if it is worth reading.
    fn room(&self) -> Option<Room> {
        let inner = self.inner();
        let bytes = usize::try_from(inner.free_bytes).unwrap_or(0);
        (inner.free_messages >= self.worth_reading() && bytes > 0)
            .then_some(Room { messages: inner.free_messages, bytes })
    }

    /// Notes that `found` is now in someone's hands.
    fn hold(&self, found: &Found) {
        let mut inner = self.inner();
        inner.held.insert(found.id);
        inner.free_messages = inner.free_messages.saturating_sub(1);
        inner.free_bytes = inner.free_bytes.saturating_sub(i64::try_from(found.bytes).unwrap_or(i64::MAX));
    }

    /// Makes the room that `ticket` took, and with the same hold on the state does `what`.
    fn make_room(&self, ticket: Ticket, what: impl FnOnce(&mut Inner)) {
        let worth_reading = {
            let mut inner = self.inner();
            inner.free_messages += 1;
            inner.free_bytes = inner.free_bytes.saturating_add(i64::try_from(ticket.bytes).unwrap_or(i64::MAX));
            what(&mut inner);
            inner.free_messages >= self.worth_reading()
        };
        if worth_reading {
            self.room.notify_one();
        }
    }

    fn closed(&self) -> bool {
        self.inner().closed
    }
}

impl Holder for LaneState {
    fn settle(
        &self,
        ticket: Ticket,
        event: Arc<Event>,
        follow_ups: Vec<FollowUp>,
    ) -> BoxFuture<'_, Result<(), QueueError>> {
        self.writer.settle(self.lane, ticket.number, event, follow_ups).boxed()
    }

    fn release(&self, ticket: Ticket, settled: bool) {
        self.make_room(ticket, |inner| {
            if settled {
                inner.held.remove(&ticket.number);
            } else {
                // It stays held, so that only `given_back` leads to it.
                inner.given_back.push(ticket.number);
            }
        });
        if !settled {
            self.came.notify_one();
        }
    }
}

/// Starts the lane's task.
pub(super) fn feed(
    lane: Arc<LaneState>,
    reader: SqliteThread,
    clock: SharedClock,
    telemetry: SharedTelemetry,
) -> Consumer {
    let (sender, leases) = mpsc::channel(lane.prefetch.messages.max(1));
    tokio::spawn(Feeder { lane, reader, clock, telemetry, sender, seen_version: None }.run());
    Consumer { leases }
}

struct Feeder {
    lane: Arc<LaneState>,
    reader: SqliteThread,
    clock: SharedClock,
    telemetry: SharedTelemetry,
    sender: mpsc::Sender<Lease>,
    seen_version: Option<i64>,
}

/// What a read brought.
struct Batch {
    found: Vec<Found>,
    /// When the next row is due.
    next_due: Option<Timestamp>,
}

impl Feeder {
    async fn run(mut self) {
        while !self.lane.closed() && !self.sender.is_closed() {
            let Some(room) = self.lane.room() else {
                tokio::select! {
                    () = self.lane.room.notified() => {}
                    () = self.sender.closed() => {}
                }
                continue;
            };
            match self.read(room).await {
                Ok(batch) if batch.found.is_empty() => self.wait_for_more(batch.next_due).await,
                Ok(batch) => self.hand_out(batch.found).await,
                Err(error) => {
                    self.telemetry.trouble("the queue cannot be read", &error);
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    async fn read(&self, room: Room) -> Result<Batch, crate::sqlite::SqliteError> {
        let lane = Arc::clone(&self.lane);
        let now = self.clock.now();
        self.reader.call(move |connection| read_batch(connection, &lane, room, now)).await
    }

    async fn hand_out(&self, found: Vec<Found>) {
        for row in found {
            let ticket = Ticket { number: row.id, bytes: row.bytes };
            match row.message {
                Ok((message, death)) => {
                    let lease = Lease::new(message, death, Arc::clone(&self.lane) as Arc<dyn Holder>, ticket);
                    let _dropped_and_so_given_back = self.sender.send(lease).await;
                }
                Err(error) => {
                    self.telemetry.message_unreadable(self.lane.lane.as_str(), row.id, &error);
                    // It stays held, so that it is told once and not at every read.
                    self.lane.make_room(ticket, |_| {});
                }
            }
        }
    }

    async fn wait_for_more(&mut self, next_due: Option<Timestamp>) {
        let due = async {
            match next_due {
                Some(due) => self.clock.sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.lane.came.notified() => {}
            () = due => {}
            () = self.sender.closed() => {}
            () = tokio::time::sleep(SAFETY_NET) => self.look_whether_the_file_changed().await,
        }
    }

    async fn look_whether_the_file_changed(&mut self) {
        let Ok(version) = self.reader.call(|connection| rows::data_version(connection)).await else { return };
        if self.seen_version.replace(version).is_some_and(|seen| seen != version) {
            self.lane.put_in(Timestamp::default());
        }
    }
}

/// Reads what there is room for and notes it as held, so that no row is read twice.
fn read_batch(
    connection: &rusqlite::Connection,
    lane: &LaneState,
    room: Room,
    now: Timestamp,
) -> rusqlite::Result<Batch> {
    let mut found = Vec::new();
    let read = read_into(&mut found, connection, lane, room, now);
    if read.is_err() {
        for row in &found {
            lane.release(Ticket { number: row.id, bytes: row.bytes }, false);
        }
    }
    let next_due = read?;
    Ok(Batch { found, next_due })
}

fn read_into(
    found: &mut Vec<Found>,
    connection: &rusqlite::Connection,
    lane: &LaneState,
    mut room: Room,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    read_given_back(found, connection, lane, &mut room)?;
    let place = lane.begin_read();
    let (reached, next_due) = match lane.lane {
        Lane::Work | Lane::Dead => (read_in_order(found, connection, lane, place, room)?, None),
        Lane::Retry => read_due(found, connection, lane, place, room, now)?,
    };
    lane.inner().place = reached;
    Ok(next_due)
}

fn read_given_back(
    found: &mut Vec<Found>,
    connection: &rusqlite::Connection,
    lane: &LaneState,
    room: &mut Room,
) -> rusqlite::Result<()> {
    while room.is_left() {
        let Some(id) = lane.inner().given_back.pop() else { break };
        match rows::read_one(connection, lane.lane, id) {
            Ok(Some(row)) => {
                room.take(row.bytes);
                lane.hold(&row);
                found.push(row);
            }
            Ok(None) => {
                lane.inner().held.remove(&id);
            }
            Err(error) => {
                lane.inner().given_back.push(id);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn read_in_order(
    found: &mut Vec<Found>,
    connection: &rusqlite::Connection,
    lane: &LaneState,
    place: DuePlace,
    room: Room,
) -> rusqlite::Result<DuePlace> {
    let rows = rows::read_after(connection, lane.lane, place.0, room)?;
    rows.iter().for_each(|row| lane.hold(row));
    let reached = rows.last().map_or(place, |last| (last.id, 0));
    found.extend(rows);
    Ok(reached)
}

fn read_due(
    found: &mut Vec<Found>,
    connection: &rusqlite::Connection,
    lane: &LaneState,
    place: DuePlace,
    mut room: Room,
    now: Timestamp,
) -> rusqlite::Result<(DuePlace, Option<Timestamp>)> {
    let is_free = |id| !lane.inner().held.contains(&id);
    let places = rows::due_places(connection, place, now, is_free, room.messages)?;
    let mut reached = place;
    for due in places {
        if !room.is_left() {
            break;
        }
        reached = due;
        if let Some(row) = rows::read_one(connection, Lane::Retry, due.1)? {
            room.take(row.bytes);
            lane.hold(&row);
            found.push(row);
        }
    }
    let next_due = if found.is_empty() { rows::next_due(connection, now)? } else { None };
    Ok((reached, next_due))
}
