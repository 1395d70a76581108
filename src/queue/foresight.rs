//! What need not be tried yet waits from the start: the worker of this process knows of a fresh event that it would only be put off,
//! and spares the queue to store it twice and to hand it out in between.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::backend::Backend;
use crate::model::{Delivery, Event, Message, Target, Timestamp};

/// Messages published together about which it is asked: more are no events that just happened, and whoever publishes would be held up.
const ASKED_MAX: usize = 256;

/// Knows which fresh events would only be put off.
pub trait Foresight: Send + Sync + fmt::Debug {
    /// What becomes of `event`, if one webhook alone is to have it, and whoever took it now would put it off; else nothing.
    fn foresee(&self, event: &Event) -> Option<Foreseen>;
}

/// Tells what became of an event.
pub type Tell = Box<dyn FnOnce(&Event) + Send>;

/// What becomes of a fresh event without anybody trying.
pub struct Foreseen {
    /// Its delivery.
    pub delivery: Delivery,
    /// When that is due.
    pub due: Timestamp,
    /// Tells so, once it is stored.
    pub tell: Tell,
}

impl fmt::Debug for Foreseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreseen").field("delivery", &self.delivery).field("due", &self.due).finish_non_exhaustive()
    }
}

/// Who is asked, if anyone. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Adviser(Arc<RwLock<Option<Arc<dyn Foresight>>>>);

/// For as long as it is there, a queue asks.
#[derive(Debug)]
pub struct Foreseeing {
    adviser: Adviser,
    foresight: Arc<dyn Foresight>,
}

impl Drop for Foreseeing {
    fn drop(&mut self) {
        let mut asked = self.adviser.0.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may be asked by now.
        asked.take_if(|asked| Arc::ptr_eq(asked, &self.foresight));
    }
}

/// What is to be told of messages when they are stored.
#[derive(Default)]
pub(super) struct ToTell(Vec<(Arc<Event>, Tell)>);

impl Adviser {
    pub(super) fn ask(&self, foresight: Arc<dyn Foresight>) -> Foreseeing {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&foresight));
        Foreseeing { adviser: self.clone(), foresight }
    }

    /// Has those of `messages` wait that would only be put off; a `backend` in trouble stores nothing, so nobody is asked.
    pub(super) fn foresee(&self, messages: &mut [Message], backend: &dyn Backend) -> ToTell {
        let foresight = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let foresight = foresight.filter(|_| messages.len() <= ASKED_MAX && backend.health().is_empty());
        let Some(foresight) = foresight else { return ToTell::default() };
        let fresh = messages.iter_mut().filter(|message| message.target == Target::Subscribers);
        let foreseen = fresh.filter_map(|message| {
            let Foreseen { delivery, due, tell } = foresight.foresee(&message.event)?;
            message.target = Target::Later { delivery, due };
            Some((Arc::clone(&message.event), tell))
        });
        ToTell(foreseen.collect())
    }
}

impl ToTell {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn stored(self) {
        for (event, tell) in self.0 {
            tell(&event);
        }
    }
}
