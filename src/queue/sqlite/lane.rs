//! A lane: which rows of one table are in someone's hands, what may still be taken, and who is told when that changes.
//!
//! Rows are read by `batch`, handed out by `feeder`, and come back through the [`Holder`] side of their leases.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::rows::{DuePlace, Found, Room};
use super::writer::Writer;
use crate::model::{Event, Timestamp};
use crate::queue::lease::{Holder, Ticket};
use crate::queue::{FollowUp, Lane, Prefetch, QueueError, Unsettled};

/// The lanes that are being consumed.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Consumed>);

#[derive(Debug, Default)]
struct Consumed {
    lanes: Vec<Arc<LaneState>>,
    closed: bool,
}

impl Lanes {
    /// Adds a lane, unless consuming has been stopped for good.
    pub(super) fn add(&self, lane: Arc<LaneState>) -> Result<(), QueueError> {
        let mut consumed = self.lock();
        if consumed.closed {
            return Err(QueueError::Closed);
        }
        consumed.lanes.push(lane);
        Ok(())
    }

    /// The writer stored something.
    pub(super) fn tell(&self, work_came: bool, first_due: Option<Timestamp>, dead_came: bool) {
        for lane in &self.lock().lanes {
            match lane.lane {
                Lane::Work if work_came => lane.came.notify_one(),
                Lane::Dead if dead_came => lane.came.notify_one(),
                Lane::Retry => {
                    if let Some(due) = first_due {
                        lane.put_in(due);
                        lane.came.notify_one();
                    }
                }
                Lane::Work | Lane::Dead => {}
            }
        }
    }

    /// Another process may have written anything.
    pub(super) fn changed_elsewhere(&self) {
        for lane in &self.lock().lanes {
            lane.put_in(Timestamp::default());
            lane.came.notify_one();
        }
    }

    /// The rows in someone's hands.
    pub(super) fn unsettled(&self) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for lane in &self.lock().lanes {
            let count = match lane.lane {
                Lane::Work => &mut unsettled.work,
                Lane::Retry => &mut unsettled.delay,
                Lane::Dead => &mut unsettled.dead,
            };
            *count += lane.inner().held.len() as u64;
        }
        unsettled
    }

    /// Ends every consumer.
    pub(super) fn close(&self) {
        let mut consumed = self.lock();
        consumed.closed = true;
        for lane in consumed.lanes.drain(..) {
            lane.inner().closed = true;
            lane.came.notify_one();
            lane.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Consumed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane's state, shared by its task, its leases and the writer.
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) prefetch: Prefetch,
    writer: Writer,
    inner: Mutex<Inner>,
    /// There may be something to read.
    pub(super) came: Notify,
    /// There is room again.
    pub(super) room: Notify,
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
    /// The earliest due time of what was put into `delay` since the last reading began.
    put_in: Option<Timestamp>,
    closed: bool,
}

impl std::fmt::Debug for LaneState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LaneState({})", self.lane.as_str())
    }
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

    /// A delayed row due at `due` was put in, maybe behind the place reached.
    pub(super) fn put_in(&self, due: Timestamp) {
        let mut inner = self.inner();
        inner.put_in = Some(inner.put_in.map_or(due, |earliest| earliest.min(due)));
    }

    /// From where to read on. What is put in from now on sets the next reading back, not this one. Only in `delay` can
    /// something be put in behind the place; numbers only grow.
    pub(super) fn begin_reading(&self) -> DuePlace {
        let mut inner = self.inner();
        if let Some(due) = inner.put_in.take().map(Timestamp::as_millis)
            && self.lane == Lane::Retry
            && due <= inner.place.0
        {
            inner.place = (due.saturating_sub(1), i64::MAX);
        }
        inner.place
    }

    /// The table has been read up to `place`.
    pub(super) fn end_reading(&self, place: DuePlace) {
        self.inner().place = place;
    }

    /// A row that was given back, to be read again; it stays held.
    pub(super) fn take_given_back(&self) -> Option<i64> {
        self.inner().given_back.pop()
    }

    /// A row that could not be read this time.
    pub(super) fn give_back_again(&self, id: i64) {
        self.inner().given_back.push(id);
    }

    /// A row that is gone.
    pub(super) fn forget(&self, id: i64) {
        self.inner().held.remove(&id);
    }

    /// Whether nobody has the row.
    pub(super) fn is_free(&self, id: i64) -> bool {
        !self.inner().held.contains(&id)
    }

    /// The messages that must be free before it is worth reading: an eighth of the prefetch, so that reads come in batches.
    fn worth_reading(&self) -> usize {
        (self.prefetch.messages / 8).clamp(1, 256)
    }

    /// The room there is, if it is worth reading.
    pub(super) fn room(&self) -> Option<Room> {
        let inner = self.inner();
        let bytes = usize::try_from(inner.free_bytes).unwrap_or(0);
        (inner.free_messages >= self.worth_reading() && bytes > 0)
            .then_some(Room { messages: inner.free_messages, bytes })
    }

    /// Notes that `found` is now in someone's hands.
    pub(super) fn hold(&self, found: &Found) {
        let mut inner = self.inner();
        inner.held.insert(found.id);
        inner.free_messages = inner.free_messages.saturating_sub(1);
        inner.free_bytes = inner.free_bytes.saturating_sub(i64::try_from(found.bytes).unwrap_or(i64::MAX));
    }

    /// Leaves an unreadable row where it is: it stays held, so that it is not read again, and takes no room.
    pub(super) fn set_aside(&self, ticket: Ticket) {
        self.give_room_back(ticket, |_| {});
    }

    /// Gives back what a row took of the prefetch, notes with `note` where the row is now, and wakes whoever waits for room.
    fn give_room_back(&self, ticket: Ticket, note: impl FnOnce(&mut Inner)) {
        let worth_reading = {
            let mut inner = self.inner();
            inner.free_messages += 1;
            inner.free_bytes = inner.free_bytes.saturating_add(i64::try_from(ticket.bytes).unwrap_or(i64::MAX));
            note(&mut inner);
            inner.free_messages >= self.worth_reading()
        };
        if worth_reading {
            self.room.notify_one();
        }
    }

    pub(super) fn closed(&self) -> bool {
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
        if settled {
            self.give_room_back(ticket, |inner| {
                inner.held.remove(&ticket.number);
            });
        } else {
            // It stays held, so that only `given_back` leads to it.
            self.give_room_back(ticket, |inner| inner.given_back.push(ticket.number));
            self.came.notify_one();
        }
    }
}
