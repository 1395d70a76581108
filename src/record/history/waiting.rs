//! What waits in memory to be written: bounded by its bytes, put there without waiting, taken by one thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::entry::Entry;
use crate::record::RecordError;

/// Entries in a group at most. They are written in one transaction, so that no other process waits for long. Many: the more are written
/// together, the fewer pages are written for each.
pub(super) const GROUP_MAX: usize = 8000;

/// The part of what may wait at which the writer does not pause any more.
const BUSY_PART: usize = 8;

/// When so many quarters of what may wait do, no more bodies are put to it: what happened counts for more.
const BODIES_QUARTERS: usize = 3;

/// Who waits for what was noted to be written.
pub(super) type Flush = oneshot::Sender<Result<(), RecordError>>;

/// The entries that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    held: Mutex<Held>,
    /// Told when there is something for the writer.
    called: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    groups: Groups,
    /// Of `groups` and of what the writer has taken and not yet written.
    bytes: usize,
    bytes_max: usize,
    count: u64,
    flushes: Vec<Flush>,
    gap: Option<Gap>,
    /// Why nothing can be written, while that is so.
    failing: Option<String>,
    closed: bool,
    bodies: Bodies,
}

/// Entries in the order in which they came, in groups: what waits does not move when some of it has been written.
#[derive(Debug, Default)]
pub(super) struct Groups(VecDeque<Group>);

/// Entries that are written together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    /// How many bytes they take, about.
    bytes: usize,
}

/// How many bytes of bodies may be put now.
#[derive(Debug, Default)]
struct Bodies {
    per_second: usize,
    /// Bytes that were put and do not count as written yet, as of the moment.
    owed: usize,
    as_of: Option<Instant>,
}

/// How an entry was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Whole,
    /// There was no room for its body.
    WithoutBody,
}

/// Entries are missing, or may soon be.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    missing: u64,
    /// How many were when all that waited was written last.
    missing_before: u64,
    /// Entries that had to come without their bodies.
    bodies: u64,
    /// Whether writing failed, and there was not only too much.
    has_failed: bool,
}

/// What is missing of late, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Entries.
    pub(super) entries: u64,
    /// Bodies of others.
    pub(super) bodies: u64,
    /// Whether writing failed, and there was not only too much.
    pub(super) has_failed: bool,
}

/// What there is to do.
#[derive(Debug)]
pub(super) struct Call {
    /// Who is to be answered.
    pub(super) flushes: Vec<Flush>,
    /// Nothing will come any more.
    pub(super) closed: bool,
}

impl Waiting {
    /// Nothing yet; of bodies so many bytes a second are taken.
    pub(super) fn new(bytes_max: usize, bodies_per_second: usize) -> Self {
        let bodies = Bodies { per_second: bodies_per_second, ..Bodies::default() };
        let held = Held { bytes_max, bodies, ..Held::default() };
        Self { held: Mutex::new(held), called: Condvar::new() }
    }

    /// Adds an entry. When there is no room it is missing: `Err` tells whether it is the first that is.
    pub(super) fn put(&self, mut entry: Entry) -> Result<Put, bool> {
        let mut held = self.held();
        let body = entry.body.as_ref().map(|body| body.bytes.len());
        let has_room = body.is_none_or(|bytes| held.has_room_for(entry.bytes()) && held.has_room_for_body(bytes));
        if has_room {
            held.bodies.owed += body.unwrap_or(0);
        } else {
            entry.body = None;
        }
        let bytes = entry.bytes();
        if held.closed || !held.has_room_for(bytes) {
            let is_first = held.gap.is_none();
            held.gap.get_or_insert_default().missing += 1;
            return Err(is_first);
        }
        held.bytes += bytes;
        held.count += 1;
        let was_empty = held.groups.is_empty();
        let is_much = held.bytes >= held.busy_bytes() && held.bytes - bytes < held.busy_bytes();
        held.groups.push(entry, bytes);
        drop(held);
        if was_empty || is_much {
            self.called.notify_one();
        }
        Ok(if has_room { Put::Whole } else { Put::WithoutBody })
    }

    /// A body was left out.
    pub(super) fn left_out(&self) {
        if let Some(gap) = &mut self.held().gap {
            gap.bodies += 1;
        }
    }

    /// Whether there is room for a body of so many bytes now.
    pub(super) fn has_room_for_body(&self, bytes: usize) -> bool {
        self.held().has_room_for_body(bytes)
    }

    /// Asks for what was put so far to be written, and told when it is; nothing is told when nobody writes any more.
    pub(super) fn flush(&self) -> oneshot::Receiver<Result<(), RecordError>> {
        let (answer, answered) = oneshot::channel();
        let mut held = self.held();
        if !held.closed {
            held.flushes.push(answer);
        }
        drop(held);
        self.called.notify_one();
        answered
    }

    /// Takes nothing any more, and tells how many entries are not written.
    pub(super) fn close(&self) -> u64 {
        let mut held = self.held();
        held.closed = true;
        let left = held.count;
        drop(held);
        self.called.notify_one();
        left
    }

    /// Waits at most `longest` until there is something to write or to answer, and puts it behind `taken`.
    pub(super) fn take(&self, taken: &mut Groups, longest: Duration) -> Call {
        let held = self.held();
        let is_idle = |held: &mut Held| held.groups.is_empty() && held.flushes.is_empty() && !held.closed;
        let (mut held, _) =
            self.called.wait_timeout_while(held, longest, is_idle).unwrap_or_else(PoisonError::into_inner);
        taken.append(&mut held.groups);
        Call { flushes: std::mem::take(&mut held.flushes), closed: held.closed }
    }

    /// Waits for `pause`, less when somebody wants to be answered or it ends, and, unless writing fails, when much waits.
    pub(super) fn pause(&self, pause: Duration, is_failing: bool) {
        let until = Instant::now() + pause;
        let mut held = self.held();
        // Entries that come meanwhile are what the pause is for.
        while held.flushes.is_empty() && !held.closed && (is_failing || held.bytes < held.busy_bytes()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            held = self.called.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits: for `longest` when nothing waits to be written, the less the more does, and not at all when bodies would be left out
    /// for that. Less when somebody wants to be answered or it ends.
    pub(super) fn rest(&self, longest: Duration) {
        let held = self.held();
        let rest = longest.mul_f64(1.0 - (held.bytes as f64 / held.bodies_bytes_max() as f64).min(1.0));
        let is_unwanted = |held: &mut Held| held.flushes.is_empty() && !held.closed;
        let _wanted_or_not =
            self.called.wait_timeout_while(held, rest, is_unwanted).unwrap_or_else(PoisonError::into_inner);
    }

    /// Those were written: there is room again.
    pub(super) fn written(&self, group: &Group) {
        let mut held = self.held();
        held.bytes = held.bytes.saturating_sub(group.bytes);
        held.count = held.count.saturating_sub(group.entries.len() as u64);
    }

    /// Why nothing can be written, while that is so, and what is missing until all is written again.
    pub(super) fn trouble(&self) -> (Option<String>, Option<Missing>) {
        let held = self.held();
        (held.failing.clone(), held.gap.map(Gap::told))
    }

    /// Whether something is missing, or may soon be.
    pub(super) fn is_behind(&self) -> bool {
        self.held().gap.is_some()
    }

    /// What is there can be written.
    pub(super) fn works(&self) {
        self.held().failing = None;
    }

    /// Writing fails, because of that: tells whether it begins now.
    pub(super) fn failing(&self, why: &str) -> bool {
        let mut held = self.held();
        held.failing = Some(why.to_owned());
        let begins = held.gap.is_none();
        held.gap.get_or_insert_default().has_failed = true;
        begins
    }

    /// All that was taken is written. When entries were missing, or writing had failed, and none has been missing since the
    /// last time, that is over: tells what is missing.
    pub(super) fn caught_up(&self) -> Option<Missing> {
        let mut held = self.held();
        let gap = held.gap.as_mut()?;
        if gap.missing > gap.missing_before {
            gap.missing_before = gap.missing;
            return None;
        }
        held.gap.take().map(Gap::told)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gap {
    fn told(self) -> Missing {
        Missing { entries: self.missing, bodies: self.bodies, has_failed: self.has_failed }
    }
}

impl Missing {
    /// In words: `3 entries are missing`, and bodies too.
    pub(super) fn words(&self) -> String {
        let bodies = match self.bodies {
            0 => String::new(),
            1 => ", and another has no body".to_owned(),
            many => format!(", and {many} others have no bodies"),
        };
        format!("{} entries are missing{bodies}", self.entries)
    }
}

impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The group that came first.
    pub(super) fn first(&self) -> Option<&Group> {
        self.0.front()
    }

    /// Lets go of the group that came first.
    pub(super) fn drop_first(&mut self) {
        self.0.pop_front();
    }

    /// Adds an entry that takes so many bytes.
    fn push(&mut self, entry: Entry, bytes: usize) {
        match self.0.back_mut() {
            Some(last) if last.entries.len() < GROUP_MAX => last.push(entry, bytes),
            last => {
                // Behind a whole group comes another, mostly.
                let count = if last.is_some() { GROUP_MAX } else { 1 };
                let mut group = Group { entries: Vec::with_capacity(count), bytes: 0 };
                group.push(entry, bytes);
                self.0.push_back(group);
            }
        }
    }

    /// Puts those of `other` behind these. Small groups, as they come while nothing can be written, are joined.
    fn append(&mut self, other: &mut Self) {
        if let (Some(last), Some(first)) = (self.0.back_mut(), other.0.front_mut())
            && last.entries.len() + first.entries.len() <= GROUP_MAX
        {
            last.entries.append(&mut first.entries);
            last.bytes += first.bytes;
            other.0.pop_front();
        }
        self.0.append(&mut other.0);
    }
}

impl Group {
    fn push(&mut self, entry: Entry, bytes: usize) {
        self.entries.push(entry);
        self.bytes += bytes;
    }
}

impl Held {
    /// Bytes of what waits at which it is written without a pause.
    fn busy_bytes(&self) -> usize {
        self.bytes_max / BUSY_PART
    }

    /// Bytes of what waits at which no more bodies are put to it.
    fn bodies_bytes_max(&self) -> usize {
        self.bytes_max / 4 * BODIES_QUARTERS
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.bytes_max
    }

    fn has_room_for_body(&mut self, bytes: usize) -> bool {
        self.bytes < self.bodies_bytes_max() && self.bodies.has_room(bytes, Instant::now())
    }
}

impl Bodies {
    /// Whether there is room for a body of so many bytes. One that is larger than all the room has to itself what there is.
    fn has_room(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = self.as_of.map_or(Duration::ZERO, |as_of| now.saturating_duration_since(as_of));
        let written = passed.as_nanos().saturating_mul(self.per_second as u128) / 1_000_000_000;
        self.owed = self.owed.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
        self.as_of = Some(now);
        self.owed == 0 || self.owed + bytes <= 2 * self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{KeptBody, sample};
    use super::*;
    use crate::model::Timestamp;

    const PER_SECOND: usize = 2 << 20;
    const AT_ONCE: usize = 2 * PER_SECOND;

    fn bodies() -> Bodies {
        Bodies { per_second: PER_SECOND, ..Bodies::default() }
    }

    fn take(bodies: &mut Bodies, bytes: usize, now: Instant) -> bool {
        let has_room = bodies.has_room(bytes, now);
        bodies.owed += if has_room { bytes } else { 0 };
        has_room
    }

    fn parks_of(groups: &Groups) -> Vec<Vec<u32>> {
        groups.0.iter().map(|group| group.entries.iter().map(|entry| entry.parks).collect()).collect()
    }

    fn groups_of(parks: std::ops::Range<u32>) -> Groups {
        let mut groups = Groups::default();
        parks.for_each(|parks| groups.push(Entry { parks, ..sample() }, 10));
        groups
    }

    #[test]
    fn what_waits_is_in_groups_that_are_full_and_in_the_order_in_which_it_came() {
        let full = u32::try_from(GROUP_MAX).expect("a count");
        let mut taken = groups_of(0..full + 2);
        assert_eq!(parks_of(&taken), [(0..full).collect::<Vec<_>>(), vec![full, full + 1]]);
        // As while nothing can be written.
        for more in 2..5 {
            let mut others = groups_of(full + more..full + more + 1);
            taken.append(&mut others);
            assert!(others.is_empty());
        }
        assert_eq!(parks_of(&taken)[1..], [(full..full + 5).collect::<Vec<_>>()]);
        taken.append(&mut groups_of(full + 5..2 * full + 1));
        assert_eq!(parks_of(&taken)[1..], [(full..full + 5).collect::<Vec<_>>(), (full + 5..2 * full + 1).collect()]);
        taken.drop_first();
        let first = taken.first().expect("a group");
        assert_eq!((first.entries[0].parks, first.entries.len(), first.bytes), (full, 5, 50));
    }

    #[test]
    fn a_rest_is_the_shorter_the_more_waits_and_ends_when_somebody_wants_to_be_answered() {
        let waiting = Waiting::new(1 << 20, 0);
        let rest = |longest| {
            let began = Instant::now();
            waiting.rest(longest);
            began.elapsed()
        };
        let (short, endless) = (Duration::from_millis(20), Duration::from_secs(600));
        assert!(rest(short) >= short);
        waiting.held().bytes = (3 << 20) / 8;
        assert!((short / 2..endless).contains(&rest(short)));
        waiting.held().bytes = (3 << 20) / 4 - 1;
        assert!(rest(endless) < endless / 2, "hardly any room for bodies is left");
        waiting.held().bytes = 1 << 20;
        assert!(rest(endless) < endless / 2);
        waiting.held().bytes = 0;
        let _asked = waiting.flush();
        assert!(rest(endless) < endless / 2);
    }

    #[test]
    fn a_body_that_does_not_fit_any_more_is_left_out_and_its_delivery_is_not() {
        let with_body = |bytes: usize| {
            let body = KeptBody { server: None, created_at: Timestamp::default(), bytes: vec![0; bytes].into() };
            Entry { body: Some(Box::new(body)), ..sample() }
        };
        let waiting = Waiting::new(1 << 20, 1 << 20);
        waiting.held().bytes = (3 << 20) / 4 - 1;
        assert_eq!(waiting.put(with_body(1 << 19)), Ok(Put::WithoutBody));
        assert_eq!(waiting.put(with_body(1)), Ok(Put::WithoutBody), "three quarters wait");
        waiting.held().bytes = 0;
        assert_eq!(waiting.put(with_body(1 << 19)), Ok(Put::Whole));
        waiting.held().bytes = 1 << 20;
        assert_eq!((waiting.put(sample()), waiting.put(with_body(1))), (Err(true), Err(false)));
    }

    #[test]
    fn of_bodies_so_many_bytes_are_put_at_once_and_then_so_many_a_second() {
        let (mut bodies, start) = (bodies(), Instant::now());
        let mut taken_at = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..10_000).filter(|_| take(&mut bodies, 1024, now)).count() * 1024
        };
        assert_eq!(taken_at(0), AT_ONCE);
        assert_eq!(taken_at(1), PER_SECOND);
        assert_eq!(taken_at(60), AT_ONCE, "after a rest");
    }

    #[test]
    fn bodies_that_come_close_behind_each_other_are_put_as_fast_as_on_the_average() {
        let (mut bodies, start) = (bodies(), Instant::now());
        // 40,000 a second.
        let taken =
            (0..80_000_u64).filter(|turn| take(&mut bodies, 1024, start + Duration::from_micros(25 * turn))).count();
        let expected = (AT_ONCE + 2 * PER_SECOND) / 1024;
        assert!(taken.abs_diff(expected) < expected / 50, "{taken} of {expected}");
    }

    #[test]
    fn a_body_that_is_larger_than_all_the_room_is_put_when_no_other_was_lately() {
        let (mut bodies, start) = (bodies(), Instant::now());
        assert!(take(&mut bodies, 3 * AT_ONCE, start));
        assert!(!take(&mut bodies, 1, start + Duration::from_secs(1)));
        assert!(take(&mut bodies, 3 * AT_ONCE, start + Duration::from_secs(60)));
    }
}
