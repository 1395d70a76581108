//! What has come of each delivery, and what is kept of it: how far it is, and its latest attempt.

use std::collections::BTreeMap;

use super::place::Key;
use crate::model::{DeliveryState, Outcome};
use crate::postgres::Row;
use crate::record::history::{Attempted, Entry};

/// An attempt among those of its delivery: generation, and number.
pub(super) type Which = (u32, u32);

/// How far a delivery has come: by generation, attempts spent, whether it has ended, and how often it was parked since its last
/// attempt. What is as far is written again, since it is the same.
pub(super) type Far = (u32, u32, bool, u32);

/// What has come of one delivery.
pub(super) struct Merged<'a> {
    /// The entry that came furthest.
    pub(super) furthest: &'a Entry,
    /// Whether there is perhaps a row of it.
    pub(super) noted_before: bool,
    /// Each attempt once, in order. Most deliveries have one.
    pub(super) attempts: Vec<(Which, &'a Attempted)>,
}

impl<'a> Merged<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self { furthest: entry, noted_before: entry.noted_before, attempts: Vec::with_capacity(1) }
    }

    pub(super) fn latest(&self) -> Option<(Which, &'a Attempted)> {
        self.attempts.last().copied()
    }

    /// Of a number that was tried twice, the try that delivered is kept, else the first.
    fn add(&mut self, which: Which, attempt: &'a Attempted) {
        match self.attempts.binary_search_by_key(&which, |(which, _)| *which) {
            Err(place) => self.attempts.insert(place, (which, attempt)),
            Ok(place) => {
                let known = &mut self.attempts[place].1;
                if attempt.outcome == Outcome::Delivered && known.outcome != Outcome::Delivered {
                    *known = attempt;
                }
            }
        }
    }
}

/// What is kept of a delivery already.
pub(super) struct Kept {
    pub(super) far: Far,
    /// The latest attempt, and whether it delivered.
    pub(super) latest: Option<(Which, bool)>,
}

/// What has come of each delivery, in the order of their places.
pub(super) fn merged(entries: &[Entry]) -> BTreeMap<Key, Merged<'_>> {
    let mut all: BTreeMap<Key, Merged<'_>> = BTreeMap::new();
    for entry in entries {
        let key = Key::of(entry.accepted_at, &entry.id);
        let merged = all.entry(key).or_insert_with(|| Merged::of(entry));
        // The first one of a delivery came to nothing before.
        merged.noted_before &= entry.noted_before;
        if far(entry) >= far(merged.furthest) {
            merged.furthest = entry;
        }
        if let Some(attempt) = &entry.attempt {
            merged.add((entry.generation, attempt.number), attempt);
        }
    }
    all
}

pub(super) fn far(entry: &Entry) -> Far {
    (entry.generation, entry.attempts, entry.state != DeliveryState::Waiting, entry.parks)
}

/// The columns of `deliveries` that a [`Kept`] is read from.
pub(super) const KEPT_COLUMNS: &str =
    "generation, attempts, state <> 'waiting', parks, last_generation, last_attempt, outcome";

impl Kept {
    /// Reads a row's columns from `first` on as [`KEPT_COLUMNS`].
    pub(super) fn read(row: &Row, first: usize) -> Self {
        let count = |column: usize| u32::try_from(row.get::<_, i32>(first + column)).unwrap_or(0);
        let is_there = row.get::<_, Option<i32>>(first + 5).is_some();
        let delivered = row.get::<_, Option<&str>>(first + 6) == Some(Outcome::Delivered.as_str());
        let latest = is_there.then(|| ((count(4), count(5)), delivered));
        Self { far: (count(0), count(1), row.get(first + 2), count(3)), latest }
    }
}

/// How long it took, in microseconds.
pub(super) fn took_us(attempt: &Attempted) -> i64 {
    i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX)
}
