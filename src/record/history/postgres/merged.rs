//! What has come of each delivery, and what is kept of it: how far it is, and its latest attempt.

use super::place::Key;
use crate::model::Outcome;
use crate::postgres::Row;
use crate::record::history::entry::Far;
use crate::record::history::{Attempted, Entry};

/// An attempt among those of its delivery: generation, and number.
pub(super) type Which = (u32, u32);

/// An attempt of a delivery.
pub(super) type Made<'a> = (Which, &'a Attempted);

/// What has come of one delivery.
pub(super) struct Merged<'a> {
    pub(super) key: Key,
    /// The entry that came furthest.
    pub(super) furthest: &'a Entry,
    /// Whether there is perhaps a row of it.
    pub(super) noted_before: bool,
    /// The latest attempt; most deliveries have no other.
    pub(super) latest: Option<Made<'a>>,
    /// Each one before it once, in order.
    pub(super) earlier: Vec<Made<'a>>,
}

impl<'a> Merged<'a> {
    fn of(key: Key, entry: &'a Entry) -> Self {
        let mut merged =
            Self { key, furthest: entry, noted_before: entry.noted_before, latest: None, earlier: Vec::new() };
        merged.add_attempt(entry);
        merged
    }

    /// What came after the entries that are in it.
    fn add(&mut self, entry: &'a Entry) {
        // The first one of a delivery came to nothing before.
        self.noted_before &= entry.noted_before;
        if entry.far() >= self.furthest.far() {
            self.furthest = entry;
        }
        self.add_attempt(entry);
    }

    fn add_attempt(&mut self, entry: &'a Entry) {
        let Some(attempt) = &entry.attempt else { return };
        let made = ((entry.generation, attempt.number), attempt);
        match &mut self.latest {
            None => self.latest = Some(made),
            Some(latest) if latest.0 == made.0 => keep_better(latest, made),
            Some(latest) if latest.0 < made.0 => self.earlier.push(std::mem::replace(latest, made)),
            Some(_) => match self.earlier.binary_search_by_key(&made.0, |(which, _)| *which) {
                Ok(place) => keep_better(&mut self.earlier[place], made),
                Err(place) => self.earlier.insert(place, made),
            },
        }
    }
}

/// Of a number that was tried twice, the try that delivered is kept, else the first.
fn keep_better<'a>(known: &mut Made<'a>, made: Made<'a>) {
    if made.1.outcome == Outcome::Delivered && known.1.outcome != Outcome::Delivered {
        *known = made;
    }
}

/// What is kept of a delivery already.
pub(super) struct Kept {
    pub(super) far: Far,
    /// The latest attempt, and whether it delivered.
    pub(super) latest: Option<(Which, bool)>,
}

/// What has come of each delivery, in the order of their places.
pub(super) fn merged(entries: &[Entry]) -> Vec<Merged<'_>> {
    let mut placed: Vec<_> =
        entries.iter().map(|entry| (Key::of(entry.accepted_at, entry.names.id()), entry)).collect();
    // Those of one delivery stay as they came.
    placed.sort_by_key(|(key, _)| *key);
    let mut all: Vec<Merged<'_>> = Vec::with_capacity(placed.len());
    for (key, entry) in placed {
        match all.last_mut() {
            Some(merged) if merged.key == key => merged.add(entry),
            _ => all.push(Merged::of(key, entry)),
        }
    }
    all
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
