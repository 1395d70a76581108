//! Whether this process can take events and deliver them, and if not, why not in words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::queue::Queue;
use crate::record::Latest;
use crate::registry::Registry;
use crate::telemetry::Trouble;

/// Asks every part how it is.
#[derive(Debug)]
pub struct Readiness {
    queue: Queue,
    registry: Arc<Registry>,
    latest: Arc<Latest>,
    drainer: Arc<Trouble>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Readiness of these parts.
    pub fn new(queue: Queue, registry: Arc<Registry>, latest: Arc<Latest>, drainer: Arc<Trouble>) -> Self {
        Self { queue, registry, latest, drainer, stopping: AtomicBool::new(false) }
    }

    /// From now on the process is on its way out.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
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
