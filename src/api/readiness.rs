//! Whether this process can take events and deliver them, and if not, why not in words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::queue::Queue;
use crate::record::{History, Latest};
use crate::registry::Registry;
use crate::telemetry::{Part, Telemetry, Trouble};

/// Asks every part how it is.
#[derive(Debug)]
pub struct Readiness {
    queue: Queue,
    registry: Arc<Registry>,
    latest: Arc<Latest>,
    drainer: Arc<Trouble>,
    history: Option<Arc<History>>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Readiness of these parts.
    pub fn new(queue: Queue, registry: Arc<Registry>, latest: Arc<Latest>, drainer: Arc<Trouble>) -> Self {
        Self { queue, registry, latest, drainer, history: None, stopping: AtomicBool::new(false) }
    }

    /// The same of a process that writes this history.
    #[must_use]
    pub fn writing(self, history: Option<Arc<History>>) -> Self {
        Self { history, ..self }
    }

    /// From now on the process is on its way out.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Tells the metrics how it is at this moment.
    pub fn tell(&self, telemetry: &Telemetry) {
        let parts = [
            (Part::Queue, !self.queue.health().is_empty()),
            (Part::Webhooks, self.registry.health().is_some()),
            (Part::Latest, self.latest.health().is_some()),
            (Part::DeadLetters, self.drainer.words().is_some()),
        ];
        let mut failing: Vec<Part> = parts.into_iter().filter(|(_, fails)| *fails).map(|(part, _)| part).collect();
        let is_ready = failing.is_empty() && !self.stopping.load(Ordering::Relaxed);
        failing.extend(self.history_trouble().map(|_| Part::History));
        telemetry.stands(is_ready, &failing);
    }

    /// The history that this process writes.
    pub fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// What is wrong with the history that is written, which keeps nothing from being delivered.
    pub fn history_trouble(&self) -> Option<String> {
        self.history.as_ref()?.health()
    }

    /// Why the process is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = self.queue.health();
        reasons.extend(self.registry.health());
        reasons.extend(self.latest.health());
        reasons.extend(self.drainer.words());
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("shutting down".to_owned());
        }
        reasons
    }
}
