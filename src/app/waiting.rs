//! Waits at the start of `serve` for a store that is away: without having seen the webhooks once, a worker would drop events
//! for want of them.
//!
//! Meanwhile the process says how it is: it lives, it is not ready and why, and what is sent to it is to be sent again. What will
//! not change by waiting, such as a wrong password, ends it instead.

use std::time::Duration;

use tokio::sync::watch;

use super::listeners::Listeners;
use super::service::Roles;
use super::standing;
use super::store::store_of;
use crate::api;
use crate::config::Settings;
use crate::postgres::{Postgres, PostgresError};
use crate::store::Store;
use crate::telemetry::{Part, SharedTelemetry};

/// How often it is asked; PostgreSQL itself is tried each 0.25 to 1.5 s.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Ends when the store of `settings` can be used.
///
/// # Errors
/// Why waiting would not help.
pub(super) async fn for_store(settings: &Settings, roles: Roles) -> anyhow::Result<()> {
    let telemetry = standing::telemetry_of(settings, roles)?;
    telemetry.stands(false, &[Part::Webhooks]);
    let Store::Postgres(postgres) = store_of(settings, &telemetry) else { return Ok(()) };
    match postgres.session().await {
        Ok(_) => Ok(()),
        Err(error) if can_pass(&error) => until_it_answers(settings, &postgres, error, &telemetry).await,
        Err(error) => Err(error.into()),
    }
}

fn can_pass(error: &PostgresError) -> bool {
    error.is_away() || matches!(error, PostgresError::ReadOnly { .. } | PostgresError::Full { .. })
}

async fn until_it_answers(
    settings: &Settings,
    postgres: &Postgres,
    error: PostgresError,
    telemetry: &SharedTelemetry,
) -> anyhow::Result<()> {
    let reason = watch::Sender::new(words(&error));
    let listeners = Listeners::bind(settings).await?;
    let (address, _) = listeners.addresses()?;
    telemetry.lifecycle(&format!(
        "hikyaku waits for its store before it takes or delivers anything: {error}. Meanwhile http://{address} answers 503"
    ));
    let (events, health) = api::waiting(&reason.subscribe(), telemetry.clone());
    let mut serving = listeners.serve(events, health);
    let ended = loop {
        tokio::time::sleep(ASK_EVERY).await;
        match postgres.session().await {
            Ok(_) => break Ok(()),
            Err(error) if can_pass(&error) => {
                reason.send_replace(words(&error));
            }
            Err(error) => break Err(error.into()),
        }
    };
    serving.stop().await;
    ended
}

fn words(error: &PostgresError) -> String {
    format!("nothing is taken or delivered until the store has been read once: {error}")
}
