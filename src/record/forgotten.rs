//! Who is forgotten, as a worker knows it: asked for every event that it takes up, from memory.
//!
//! [`DeadLetters`] has the table, and each process looks there every [`LOOK_EVERY`]. While the store is away, the set last known
//! counts. It names nobody: persons are told apart by a hash.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::DeadLetters;
use crate::model::{Event, Person, Timestamp};

/// How often it is looked whether somebody was forgotten: a worker knows it within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Persons, and when each was forgotten.
pub(super) type Persons = HashMap<Person, Timestamp>;

/// Who is forgotten.
#[derive(Debug)]
pub struct Forgotten {
    known: watch::Receiver<Arc<Persons>>,
    /// The task that looks, if any; it ends with this.
    _looking: JoinSet<()>,
}

impl Forgotten {
    /// Nobody.
    pub fn nobody() -> Self {
        let (_, known) = watch::channel(Arc::default());
        Self { known, _looking: JoinSet::new() }
    }

    /// Those of `letters`, followed in a task that ends with this.
    pub fn watching(letters: Arc<DeadLetters>) -> Self {
        let (tell, known) = watch::channel(Arc::default());
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Ok(persons) = letters.forgotten().await {
                    tell.send_if_modified(|known: &mut Arc<Persons>| {
                        let differs = **known != persons;
                        *known = Arc::new(persons);
                        differs
                    });
                }
            }
        });
        Self { known, _looking: looking }
    }

    /// Whether `event` is of somebody who was forgotten after it was taken in.
    pub fn has<B>(&self, event: &Event<B>) -> bool {
        let known = self.known.borrow();
        let Some(user) = event.user.as_ref().filter(|_| !known.is_empty()) else { return false };
        known.get(&Person::of(&event.source, user)).is_some_and(|at| event.accepted_at <= *at)
    }
}
