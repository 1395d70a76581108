//! Tells the metrics what a process runs as, and which of its files lie on this machine.

use super::operating::places;
use super::service::Roles;
use crate::config::{QueueUrl, Settings, StoreUrl};
use crate::telemetry::{Identity, SharedTelemetry, Telemetry};

/// Telemetry that knows this of a process with `settings` that does what `roles` has.
///
/// # Errors
/// As [`Telemetry::shared`].
pub(super) fn telemetry_of(settings: &Settings, roles: Roles) -> Result<SharedTelemetry, prometheus::Error> {
    let telemetry = Telemetry::shared()?;
    let places = places(settings);
    let role = match roles {
        Roles { ingest: true, worker: false } => "ingest",
        Roles { ingest: false, worker: true } => "worker",
        _ => "all",
    };
    telemetry.runs_as(Identity { queue: places.queue_backend, store: places.store_backend, role });
    if let QueueUrl::Sqlite(path) = &settings.queue.url {
        telemetry.keeps("queue", path);
    }
    if let StoreUrl::Sqlite(path) = &settings.store.url {
        telemetry.keeps("store", path);
    }
    if let Some(path) = settings.store.url.history().filter(|_| settings.history.enabled) {
        telemetry.keeps("history", &path);
    }
    Ok(telemetry)
}
