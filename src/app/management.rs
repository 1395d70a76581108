//! Puts Misskey's management API together.

use std::sync::Arc;

use axum::Router;

use super::service::{client, server_of};
use crate::api::{self, ManagementParts, ManagementPolicy};
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::deliver::Tester;
use crate::incoming::Proxies;
use crate::misskey::{Misskey, People};
use crate::model::Subscribable;
use crate::outbound::ClientError;
use crate::record::{Forgotten, Latest};
use crate::registry::Registry;
use crate::telemetry::SharedTelemetry;

/// Its routes, for `settings`.
pub(super) fn router(
    settings: &Settings,
    registry: &Arc<Registry>,
    latest: &Arc<Latest>,
    forgotten: &Forgotten,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Result<Router, ClientError> {
    let (registry, latest) = (Arc::clone(registry), Arc::clone(latest));
    let (clock, telemetry) = (Arc::clone(clock), Arc::clone(telemetry));
    let tester = tester(settings, &latest, &clock, &telemetry)?;
    let misskey =
        settings.misskey.url.as_ref().map(|url| Misskey::new(url, &settings.outbound.authorities)).transpose()?;
    let people = misskey.map(|misskey| People::new(misskey, Arc::clone(&clock)).forgetting(forgotten));
    let policy = ManagementPolicy {
        tokens: settings.server.operators(),
        types: Subscribable::with(settings.misskey.extra_types.clone()),
        webhook_limit: settings.misskey.webhook_limit,
        signing_grace: settings.delivery.signing_grace,
        addresses: settings.delivery.addresses(),
        proxies: Proxies::new(settings.server.trusted_proxies.clone()),
    };
    Ok(api::management(ManagementParts { registry, latest, tester, people, clock, telemetry }, policy))
}

/// What sends tests, by a client of its own: the worker's connections belong to another runtime.
pub(super) fn tester(
    settings: &Settings,
    latest: &Arc<Latest>,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Result<Tester, ClientError> {
    let client = client(settings)?;
    let (latest, clock, telemetry) = (Arc::clone(latest), Arc::clone(clock), Arc::clone(telemetry));
    Ok(Tester::new(client, latest, clock, telemetry, server_of(settings)))
}
