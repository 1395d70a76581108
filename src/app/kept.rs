//! What a running sidecar keeps: the queue, and all that lies in the store; and how much of it.

use std::sync::Arc;

use super::service::{Roles, open_queue};
use super::store::{refuse_newer, store_of};
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::queue::{Access, Queue};
use crate::record::{DeadLetters, Forgotten, HistoryRetention, Latest, Retention, Workers};
use crate::registry::Registry;
use crate::store::Store;
use crate::telemetry::SharedTelemetry;

/// What is kept.
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) latest: Arc<Latest>,
    pub(super) workers: Arc<Workers>,
    /// Whose events are dropped.
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) queue: Queue,
}

impl Kept {
    /// Opens what `settings` name.
    ///
    /// # Errors
    /// When something cannot be used, as another process's file or a store of a newer version.
    pub(super) async fn open(
        roles: Roles,
        settings: &Settings,
        clock: &SharedClock,
        telemetry: &SharedTelemetry,
    ) -> anyhow::Result<Self> {
        let store = store_of(settings, telemetry);
        refuse_newer(settings, &store).await?;
        let registry =
            Registry::open(&store, settings.store.seals.clone(), settings.webhooks.clone(), Arc::clone(clock))
                .await?
                .watch();
        let letters = DeadLetters::in_store(&store, letters_retention(settings), Arc::clone(clock)).await?;
        let latest = Latest::in_store(&store).await?;
        let workers = Workers::in_store(&store).await?;
        let access = if roles.worker { Access::Worker } else { Access::Ingest };
        let queue = open_queue(settings, &settings.queue.url, access, clock, telemetry).await?;
        let (registry, letters) = (Arc::new(registry), Arc::new(letters));
        let (latest, workers) = (Arc::new(latest), Arc::new(workers));
        let forgotten = Arc::new(Forgotten::following(Arc::clone(&letters), registry.heard()).await);
        Ok(Self { store, registry, letters, latest, workers, forgotten, queue })
    }
}

/// What is kept of dead letters.
pub(super) fn letters_retention(settings: &Settings) -> Retention {
    Retention { age: settings.dead_letters.retention, count_max: settings.dead_letters.count_max }
}

/// What is kept of the history.
pub(super) fn history_retention(settings: &Settings) -> HistoryRetention {
    let history = &settings.history;
    HistoryRetention {
        age: history.retention,
        count_max: history.count_max,
        bodies_age: history.bodies_retention,
        bodies_bytes_max: history.bodies_bytes_max,
    }
}
