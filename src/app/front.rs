//! What is answered where hikyaku listens: made of the settings, and made anew when they change while it serves.
//!
//! Everything that answers is built of the parts here, which last, and of settings, which may not: tokens, secrets of Misskey's
//! webhooks, limits. So new ones count from the next request on, on connections that are open too.

use std::sync::Arc;

use axum::Router;

use super::management;
use super::operating::{self, Known, Sight};
use super::reconcile::reconciler;
use super::service::{Roles, credentials};
use crate::api;
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::ingest::{self, HttpPolicy, Ingest, MisskeyPolicy, Reconciler};
use crate::queue::Queue;
use crate::record::{DeadLetters, Forgotten, Latest};
use crate::registry::Registry;
use crate::store::Store;
use crate::telemetry::SharedTelemetry;

/// What answers.
pub(super) struct Front {
    pub(super) roles: Roles,
    pub(super) store: Store,
    pub(super) ingest: Ingest,
    pub(super) queue: Queue,
    pub(super) registry: Arc<Registry>,
    pub(super) latest: Arc<Latest>,
    pub(super) letters: Arc<DeadLetters>,
    /// Who is forgotten, for as long as this is there.
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) sight: Sight,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
}

impl Front {
    /// Every route but those of health and metrics, as `settings` have them.
    ///
    /// # Errors
    /// When requests cannot be made as they say.
    pub(super) fn routes(&self, settings: &Settings) -> anyhow::Result<Router> {
        let Self { store, queue, registry, latest, letters, forgotten, sight, clock, telemetry, .. } = self;
        let known = Known { queue, registry, latest, letters };
        let routes = operating::router(settings, store, &known, sight.clone(), clock, telemetry);
        if !self.roles.ingest {
            return Ok(routes.merge(api::no_management()));
        }
        let management = management::router(settings, registry, latest, forgotten, clock, telemetry)?;
        Ok(routes.merge(self.ways_in(settings)).merge(management))
    }

    /// Every route that events come in by.
    fn ways_in(&self, settings: &Settings) -> Router {
        let tokens = settings.server.operators();
        let http = HttpPolicy { tokens, request_bytes_max: settings.ingest.request_bytes_max };
        let misskey = MisskeyPolicy { credentials: credentials(settings) };
        ingest::router(self.ingest.clone(), http).merge(ingest::misskey_router(self.ingest.clone(), misskey))
    }

    /// What fetches what Misskey gave up, if the settings say as whom.
    ///
    /// # Errors
    /// When requests cannot be made as they say.
    pub(super) fn reconciler(&self, settings: &Settings) -> anyhow::Result<Option<Reconciler>> {
        let Some(token) = settings.misskey.token.clone().filter(|_| self.roles.ingest) else { return Ok(None) };
        Ok(Some(reconciler(settings, token, self.ingest.clone())?))
    }
}
