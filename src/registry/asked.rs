//! What the registry is asked: to make a webhook, to change one, to list some. The parts have been checked by the model.

use url::Url;

use super::made_id;
use crate::model::{
    EventType, Options, Origin, Owner, Secret, SigningChange, Source, Status, Timestamp, Webhook, WebhookId,
};

/// A webhook to be made. Its parts have been checked by the model's `check_*`.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its id; none: one is made.
    pub id: Option<WebhookId>,
    /// Whose events it gets.
    pub owner: Owner,
    /// The Misskey whose events it gets.
    pub source: Source,
    /// What its owner calls it.
    pub name: String,
    /// Where its events go.
    pub url: Url,
    /// Goes out as `X-Misskey-Hook-Secret`.
    pub secret: Secret,
    /// The event types it gets.
    pub on: Vec<EventType>,
    /// Whether it gets events at once.
    pub active: bool,
    /// How its deliveries differ from the settings.
    pub options: Options,
}

/// What to change of a webhook; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Where its events go.
    pub url: Option<Url>,
    /// Goes out as `X-Misskey-Hook-Secret`.
    pub secret: Option<Secret>,
    /// The event types it gets.
    pub on: Option<Vec<EventType>>,
    /// `true` activates it, also after we have deactivated it; `false` pauses it.
    pub active: Option<bool>,
    /// How its deliveries differ from the settings: all options anew but what signs, which `signing` changes.
    pub options: Option<Options>,
    /// What to change of what signs, as it stands when the change is made.
    pub signing: SigningChange,
}

impl Change {
    /// Whether it asks for nothing but an active webhook.
    pub(super) fn only_activates(&self) -> bool {
        let Self { name, url, secret, on, active, options, signing } = self;
        *active == Some(true)
            && name.is_none()
            && url.is_none()
            && secret.is_none()
            && on.is_none()
            && options.is_none()
            && signing.is_empty()
    }

    /// The options to be written, if any: those asked for, with what signs as it stands in the row (`stored`, if there is one) and
    /// this changes it. What signs no more is left out at every change.
    pub(super) fn options_after(&self, stored: Option<Result<Options, String>>, now: Timestamp) -> Option<Options> {
        let mut options = match (self.options.clone(), stored) {
            (Some(new), Some(Ok(stored))) => Options { signing: stored.signing, ..new },
            (Some(new), _) => new,
            (None, Some(Ok(stored))) => stored,
            // What cannot be read is told when the whole row is.
            (None, _) => return None,
        };
        let before = options.signing.clone();
        options.signing.change(&self.signing, now);
        (self.options.is_some() || options.signing != before).then_some(options)
    }
}

/// Which webhooks to list; empty: all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those that get this owner's events.
    pub owner: Option<Owner>,
    /// Those of this Misskey.
    pub source: Option<Source>,
}

impl NewWebhook {
    pub(super) fn into_webhook(self, now: Timestamp) -> Webhook {
        Webhook {
            id: self.id.unwrap_or_else(made_id),
            owner: self.owner,
            source: self.source,
            name: self.name,
            url: self.url,
            secret: self.secret,
            on: self.on,
            status: if self.active { Status::Active } else { Status::Paused },
            options: self.options,
            origin: Origin::Store,
            created_at: now,
            updated_at: now,
        }
    }
}
