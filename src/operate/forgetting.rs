//! Erases a person: webhooks, history with its bodies, dead letters; now, and for what is still queued as it comes by.
//!
//! First it is noted that the person is forgotten, so that workers drop what they take up of events that came before, and note
//! nothing of it, and nobody remembers the person's tokens. When they know it, what is there is removed. Done again, it removes
//! what is left. The queue is not needed: what lies in it is dropped as it comes by, whenever that is.

use std::time::Duration;

use serde_json::{Value, json};

use super::OperateError;
use crate::model::{Owner, Source, UserId, WebhookId};
use crate::record::{DeadLetters, Erased, HistoryReader, Latest};
use crate::registry::{Filter, Registry, RegistryError};

/// How long workers may take until they know who is forgotten, and have written what they noted before.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetReport {
    /// Webhooks that were deleted.
    pub webhooks: u64,
    /// Webhooks that the settings file declares, which is for a person to change.
    pub declared: Vec<WebhookId>,
    /// What the history had.
    pub history: Erased,
    /// Dead letters.
    pub dead_letters: u64,
    /// Why the queue cannot be reached now, if it cannot.
    pub queue_trouble: Option<String>,
}

impl ForgetReport {
    /// What was erased of `user` of `source`, as the API and the command line tell it.
    pub fn to_json(&self, source: &Source, user: &UserId) -> Value {
        let Erased { deliveries, attempts, bodies } = self.history;
        json!({
            "user": user, "source": source, "webhooks": self.webhooks, "declaredWebhooks": self.declared,
            "deliveries": deliveries, "attempts": attempts, "bodies": bodies, "deadLetters": self.dead_letters,
            "queueTrouble": self.queue_trouble,
        })
    }
}

/// Where a person is to be found.
#[derive(Clone, Copy, Debug)]
pub struct ForgetPlaces<'a> {
    /// The dead letters, and who is forgotten.
    pub letters: &'a DeadLetters,
    /// The webhooks.
    pub registry: &'a Registry,
    /// Their latest attempts.
    pub latest: &'a Latest,
    /// The history.
    pub history: &'a HistoryReader,
}

/// Erases the user `user` of `source`, and tells what there was.
///
/// # Errors
/// [`OperateError::NothingErased`] when the store does not note that the person is forgotten; or [`OperateError::ErasedInPart`]: the
/// person is forgotten for what comes by, and doing it again does the rest.
pub async fn forget(places: ForgetPlaces<'_>, source: &Source, user: &UserId) -> Result<ForgetReport, OperateError> {
    places.letters.note_forgotten(source, user).await.map_err(|why| OperateError::NothingErased { why })?;
    let mut report = ForgetReport::default();
    match erase(places, source, user, &mut report).await {
        Ok(()) => Ok(report),
        Err(why) => Err(OperateError::ErasedInPart {
            webhooks: report.webhooks,
            dead_letters: report.dead_letters,
            why: Box::new(why),
        }),
    }
}

async fn erase(
    places: ForgetPlaces<'_>,
    source: &Source,
    user: &UserId,
    report: &mut ForgetReport,
) -> Result<(), OperateError> {
    delete_webhooks(places, source, user, report).await?;
    tokio::time::sleep(KNOWN_WITHIN).await;
    // Made meanwhile with a token that was remembered still.
    delete_webhooks(places, source, user, report).await?;
    report.dead_letters = places.letters.forget(source, user).await?;
    // Last: it may be the one thing that is damaged, and need not keep the others.
    report.history = places.history.forget(source, user).await?;
    Ok(())
}

async fn delete_webhooks(
    places: ForgetPlaces<'_>,
    source: &Source,
    user: &UserId,
    report: &mut ForgetReport,
) -> Result<(), OperateError> {
    let filter = Filter { source: Some(source.clone()), owner: Some(Owner::User(user.clone())) };
    report.declared.clear();
    places.registry.refresh().await;
    for webhook in places.registry.list(&filter) {
        match places.registry.delete(&webhook.id).await {
            Ok(()) => report.webhooks += 1,
            Err(RegistryError::Declared { id }) => report.declared.push(id),
            // Somebody else was quicker.
            Err(RegistryError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        places.latest.forget(&webhook.id).await?;
    }
    Ok(())
}
