//! Who is forgotten, as a process knows it: asked for every event that a worker takes up, from memory.
//!
//! [`DeadLetters`] has the table. It is read at the start and whenever somebody tells that the store has changed
//! (`Registry::heard`), so a process knows within a second who was forgotten by another; nothing is read besides. While the store
//! is away, the set last known counts. It names nobody: persons are told apart by a hash.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::DeadLetters;
use crate::model::{Event, Person, Source, Timestamp, UserId};
use crate::postgres::Row;

/// Persons, and when each was forgotten.
pub(super) type Persons = HashMap<Person, Timestamp>;

/// One of them, by a row of PostgreSQL's table.
pub(super) fn person_of_row(row: &Row) -> Option<(Person, Timestamp)> {
    let bytes: [u8; 32] = row.get::<_, Vec<u8>>(0).try_into().ok()?;
    Some((Person::from_bytes(bytes), Timestamp::from_millis(row.get(1))))
}

/// All of them, by the table in a file.
pub(super) fn persons_in(connection: &Connection) -> rusqlite::Result<Persons> {
    let mut statement = connection.prepare_cached("SELECT person, forgotten_at FROM forgotten")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok((Person::from_bytes(row.get::<_, [u8; 32]>(0)?), Timestamp::from_millis(row.get(1)?)))
    };
    statement.query_map((), read)?.collect()
}

/// Who is forgotten.
#[derive(Debug)]
pub struct Forgotten {
    known: watch::Receiver<Arc<Persons>>,
    /// The task that reads, if any; it ends with this.
    _reading: JoinSet<()>,
}

impl Forgotten {
    /// Nobody.
    pub fn nobody() -> Self {
        let (_, known) = watch::channel(Arc::default());
        Self { known, _reading: JoinSet::new() }
    }

    /// Those of `letters`, known when this returns unless the store is away, and read anew when `heard` tells that something has
    /// changed, in a task that ends with this.
    pub async fn following(letters: Arc<DeadLetters>, mut heard: watch::Receiver<()>) -> Self {
        heard.mark_unchanged();
        let (tell, known) = watch::channel(Arc::new(letters.forgotten().await.unwrap_or_default()));
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            while heard.changed().await.is_ok() {
                if let Ok(persons) = letters.forgotten().await {
                    tell.send_if_modified(|known: &mut Arc<Persons>| {
                        let differs = **known != persons;
                        *known = Arc::new(persons);
                        differs
                    });
                }
            }
        });
        Self { known, _reading: reading }
    }

    /// Whether `event` is of somebody who was forgotten after it was taken in.
    pub fn has<B>(&self, event: &Event<B>) -> bool {
        let known = self.known.borrow();
        let Some(user) = event.user.as_ref().filter(|_| !known.is_empty()) else { return false };
        known.get(&Person::of(&event.source, user)).is_some_and(|at| event.accepted_at <= *at)
    }

    /// Tells of each change, for as long as this is there.
    pub fn changes(&self) -> ForgottenChanges {
        ForgottenChanges(self.known.clone())
    }
}

/// Follows who is forgotten.
#[derive(Debug)]
pub struct ForgottenChanges(watch::Receiver<Arc<Persons>>);

impl ForgottenChanges {
    /// Waits until somebody more is forgotten, or is not any more; false when nobody is going to tell.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Whether the user `user` of `source` is among them.
    pub fn names(&self, source: &Source, user: &UserId) -> bool {
        self.0.borrow().contains_key(&Person::of(source, user))
    }
}
