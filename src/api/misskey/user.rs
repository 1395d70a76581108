//! `i/webhooks/*`: users' webhooks. A person sees and changes their own; the admin everyone's, and says whose one is made.
//!
//! To a person, somebody else's webhook is none: the answer is `NO_SUCH_WEBHOOK`, as in Misskey.

use std::sync::Arc;

use super::Management;
use super::caller::Caller;
use super::error::ApiError;
use super::fields;
use super::params::{Params, required};
use super::shape::{Answer, UserShape};
use super::signing::Asked;
use crate::model::{Owner, Secret, Source, UserId, Webhook, WebhookId};
use crate::registry::{Change, Filter, NewWebhook};

/// Misskey's ids of `NO_SUCH_WEBHOOK`, an id for each endpoint.
const NONE_TO_SHOW: &str = "50f614d9-3047-4f7e-90d8-ad6b2d5fb098";
const NONE_TO_UPDATE: &str = "fb0fea69-da18-45b1-828d-bd4fd1612518";
const NONE_TO_DELETE: &str = "bae73e5a-5522-4965-ae19-3a8688e71d82";
pub(super) const NONE_TO_TEST: &str = "0c52149c-e913-18f8-5dc7-74870bfe0cf9";

impl Management {
    pub(super) async fn user_create(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        let owner = Owner::User(owner(caller, params)?);
        let new = NewWebhook {
            id: None,
            source: fields::chosen_source(source(caller, params)?.as_ref())?,
            name: required("name", fields::name(params, fields::USER_NAME_CHARS)?)?,
            url: required("url", self.url(params, None)?)?,
            secret: fields::secret(params)?.unwrap_or_else(|| Secret::new("")),
            on: required("on", fields::on(params, &self.types, &owner)?)?,
            active: params.flag("active")?.unwrap_or(true),
            options: self.new_options(params, &owner)?,
            owner,
        };
        let max = match caller {
            Caller::Admin => usize::MAX,
            Caller::Person(_) => self.webhook_limit,
        };
        let created = self.parts.registry.create_within(new, max).await;
        let webhook = created.map_err(|error| self.refused(&error, ApiError::internal(error.to_string())))?;
        Ok(Answer::json(&UserShape::of(&webhook, None, self.parts.clock.now())))
    }

    pub(super) async fn user_list(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        let user = match caller {
            Caller::Admin => fields::user_id(params)?,
            Caller::Person(_) => Some(owner(caller, params)?),
        };
        let webhooks = self.webhooks_of(caller, user, source(caller, params)?);
        let latest = self.latest_of(&webhooks).await?;
        let now = self.parts.clock.now();
        let shapes = webhooks.iter().map(|webhook| UserShape::of(webhook, latest.get(&webhook.id).copied(), now));
        Ok(Answer::json(&shapes.collect::<Vec<_>>()))
    }

    /// Those of users' webhooks that `caller` may see, the oldest first.
    fn webhooks_of(&self, caller: &Caller, user: Option<UserId>, source: Option<Source>) -> Vec<Arc<Webhook>> {
        let (user, source) = match caller {
            Caller::Admin => (user, source),
            Caller::Person(user) => (Some(user.clone()), Some(Source::default())),
        };
        let filter = Filter { owner: user.map(Owner::User), source };
        let mut webhooks = self.parts.registry.list(&filter);
        webhooks.retain(|webhook| caller.owns(webhook));
        webhooks
    }

    pub(super) async fn user_show(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        let webhook = self.user_webhook(caller, &fields::webhook_id(params, "webhookId")?, NONE_TO_SHOW)?;
        let latest = self.latest(&webhook).await?;
        Ok(Answer::json(&UserShape::of(&webhook, latest, self.parts.clock.now())))
    }

    /// The webhook `id`, if it is a user's and `caller` may see it; else the refusal with the id `none`.
    pub(super) fn user_webhook(
        &self,
        caller: &Caller,
        id: &WebhookId,
        none: &'static str,
    ) -> Result<Arc<Webhook>, ApiError> {
        let found = self.parts.registry.show(id).ok().filter(|webhook| caller.owns(webhook));
        found.ok_or_else(|| ApiError::no_such_webhook(none))
    }

    pub(super) async fn user_update(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        let id = fields::webhook_id(params, "webhookId")?;
        let webhook = self.user_webhook(caller, &id, NONE_TO_UPDATE)?;
        let Asked { change: signing, made } = self.signing(params)?;
        let change = Change {
            name: fields::name(params, fields::USER_NAME_CHARS)?,
            url: self.url(params, Some(&webhook))?,
            secret: fields::secret(params)?,
            on: fields::changed_on(params, &self.types, &webhook)?,
            active: params.flag("active")?,
            options: fields::options(params, webhook.options.clone(), &self.types, &webhook.owner)?,
            signing,
        };
        unmoved(params, &webhook)?;
        let none = ApiError::no_such_webhook(NONE_TO_UPDATE);
        self.parts.registry.update(&id, change).await.map_err(|error| self.refused(&error, none))?;
        // Misskey's answer, unless there is something that the caller cannot know otherwise.
        Ok(if made.is_empty() { Answer::Nothing } else { Answer::json(&made) })
    }

    pub(super) async fn user_delete(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        let id = fields::webhook_id(params, "webhookId")?;
        self.user_webhook(caller, &id, NONE_TO_DELETE)?;
        self.delete(&id, ApiError::no_such_webhook(NONE_TO_DELETE)).await
    }

    /// Deletes the webhook `id`, which the caller may delete.
    pub(super) async fn delete(&self, id: &WebhookId, absent: ApiError) -> Result<Answer, ApiError> {
        self.parts.registry.delete(id).await.map_err(|error| self.refused(&error, absent))?;
        if let Err(error) = self.parts.latest.forget(id).await {
            // It is deleted all the same, and nobody asks for its latest attempt any more.
            self.parts.telemetry.trouble("the latest attempt of a deleted webhook cannot be forgotten", &error);
        }
        Ok(Answer::Nothing)
    }
}

/// Whose webhook is meant: a person's own, or whose the admin says.
fn owner(caller: &Caller, params: &Params) -> Result<UserId, ApiError> {
    match (caller, fields::user_id(params)?) {
        (Caller::Admin, Some(user)) => Ok(user),
        (Caller::Admin, None) => Err(ApiError::param(
            "userId",
            "it is missing: with the admin token, say whose webhook it is, with the id of the Misskey user",
        )),
        (Caller::Person(person), None) => Ok(person.clone()),
        (Caller::Person(person), Some(user)) if user == *person => Ok(user),
        (Caller::Person(_), Some(_)) => Err(ApiError::param("userId", "it is somebody else; leave it out")),
    }
}

/// Which Misskey is meant; a person's is the one beside us.
fn source(caller: &Caller, params: &Params) -> Result<Option<Source>, ApiError> {
    match (caller, fields::source(params)?) {
        (Caller::Person(_), Some(source)) if source != Source::default() => {
            Err(ApiError::param("source", "your webhooks get the events of `default`; leave it out"))
        }
        (_, source) => Ok(source),
    }
}

/// A webhook stays its owner's, and of its Misskey.
pub(super) fn unmoved(params: &Params, webhook: &Webhook) -> Result<(), ApiError> {
    if fields::user_id(params)?.is_some_and(|user| webhook.owner.user() != Some(&user)) {
        return Err(ApiError::param("userId", "a webhook stays its owner's; delete it and create another"));
    }
    if fields::source(params)?.is_some_and(|source| source != webhook.source) {
        return Err(ApiError::param("source", "a webhook stays of its source; delete it and create another"));
    }
    Ok(())
}
