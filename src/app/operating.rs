//! Puts the operators' API together.

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;

use super::store::history_reader;
use crate::api::{self, FILES_MAX, OperatorsParts, Readiness};
use crate::clock::SharedClock;
use crate::config::{QueueUrl, Settings, StoreUrl};
use crate::deliver::{Endpoints, Live};
use crate::operate::{DeletedWebhooks, Operations};
use crate::queue::Queue;
use crate::record::{DeadLetters, HistoryReader, Latest, Workers};
use crate::registry::Registry;
use crate::shown::Places;
use crate::store::Store;
use crate::telemetry::{LogSwitch, SharedTelemetry};

/// What is kept.
pub(super) struct Known<'a> {
    pub(super) queue: &'a Queue,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) latest: &'a Arc<Latest>,
    pub(super) letters: &'a Arc<DeadLetters>,
}

/// How this process, and others, do.
#[derive(Clone)]
pub(super) struct Sight {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) workers: Arc<Workers>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) live: Arc<Live>,
    pub(super) log: LogSwitch,
}

/// Its routes, for `settings`.
pub(super) fn router(
    settings: &Settings,
    store: &Store,
    known: &Known<'_>,
    sight: Sight,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Router {
    let Sight { endpoints, workers, readiness, live, log } = sight;
    api::operators(OperatorsParts {
        endpoints,
        queue: known.queue.clone(),
        registry: Arc::clone(known.registry),
        latest: Arc::clone(known.latest),
        letters: Arc::clone(known.letters),
        workers,
        places: places(settings),
        readiness: Arc::clone(&readiness),
        live,
        log,
        stored_history: reader(settings, store, &readiness),
        operations: Operations {
            letters: Arc::clone(known.letters),
            deleted: DeletedWebhooks::Registry(Arc::clone(known.registry)),
            queue: known.queue.clone(),
            clock: Arc::clone(clock),
        },
        event_bytes_max: settings.ingest.event_bytes_max,
        files: Arc::new(Semaphore::new(FILES_MAX)),
        history: settings.history.enabled.then(|| reader(settings, store, &readiness)),
        tokens: settings.server.operators(),
        clock: Arc::clone(clock),
        telemetry: telemetry.clone(),
    })
}

/// What reads the history beside what writes it in this process, if anything does.
fn reader(settings: &Settings, store: &Store, readiness: &Readiness) -> HistoryReader {
    let reader = history_reader(settings, store);
    match readiness.history() {
        Some(history) => reader.beside(history),
        None => reader,
    }
}

/// Where queue and store are.
pub(super) fn places(settings: &Settings) -> Places {
    Places {
        queue_backend: match settings.queue.url {
            QueueUrl::Sqlite(_) => "sqlite",
            QueueUrl::RabbitMq(_) => "rabbitmq",
        },
        queue: settings.queue.url.to_string(),
        store_backend: match settings.store.url {
            StoreUrl::Sqlite(_) => "sqlite",
            StoreUrl::Postgres(_) => "postgresql",
        },
        store: settings.store.url.to_string(),
    }
}
