//! `admin/system-webhook/*`: webhooks that get the server's own events. They are the admin's and the moderators'.
//!
//! `update` takes all of them anew, as Misskey's does: `isActive`, `name`, `on` and `url` are required, and a `secret` that
//! is left out is empty from then on. Where Misskey says `INTERNAL_ERROR` to an id that there is not, we say
//! `NO_SUCH_SYSTEM_WEBHOOK`.

use std::sync::Arc;

use super::Management;
use super::error::ApiError;
use super::fields;
use super::params::{Params, required};
use super::shape::{Answer, SystemShape};
use super::user::unmoved;
use crate::model::{Owner, Secret, Status, Webhook, WebhookId};
use crate::registry::{Change, Filter, NewWebhook};

impl Management {
    pub(super) async fn system_create(&self, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        no_user(params)?;
        let new = NewWebhook {
            id: None,
            owner: Owner::System,
            source: fields::chosen_source(fields::source(params)?.as_ref())?,
            active: required("isActive", params.flag("isActive")?)?,
            name: required("name", fields::name(params, fields::SYSTEM_NAME_CHARS)?)?,
            on: required("on", fields::on(params, &self.types, &Owner::System)?)?,
            url: required("url", self.url(params, None)?)?,
            secret: fields::secret(params)?.unwrap_or_else(|| Secret::new("")),
            options: self.new_options(params, &Owner::System)?,
        };
        let created = self.parts.registry.create(new).await;
        let webhook = created.map_err(|error| self.refused(&error, ApiError::internal(error.to_string())))?;
        Ok(Answer::json(&SystemShape::of(&webhook, None, self.parts.clock.now())))
    }

    pub(super) async fn system_list(&self, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        no_user(params)?;
        let (is_active, source) = (params.flag("isActive")?, fields::source(params)?);
        let on = fields::on(params, &self.types, &Owner::System)?.unwrap_or_default();
        let mut webhooks = self.parts.registry.list(&Filter { owner: Some(Owner::System), source });
        webhooks.retain(|webhook| {
            let has_status = is_active.is_none_or(|is_active| (webhook.status == Status::Active) == is_active);
            has_status && on.iter().all(|kind| webhook.on.contains(kind))
        });
        let latest = self.latest_of(&webhooks).await?;
        let now = self.parts.clock.now();
        let shapes = webhooks.iter().map(|webhook| SystemShape::of(webhook, latest.get(&webhook.id).copied(), now));
        Ok(Answer::json(&shapes.collect::<Vec<_>>()))
    }

    pub(super) async fn system_show(&self, params: &Params) -> Result<Answer, ApiError> {
        let webhook = self.system_webhook(&fields::webhook_id(params, "id")?)?;
        let latest = self.latest(&webhook).await?;
        Ok(Answer::json(&SystemShape::of(&webhook, latest, self.parts.clock.now())))
    }

    fn system_webhook(&self, id: &WebhookId) -> Result<Arc<Webhook>, ApiError> {
        self.find_system(id).ok_or_else(ApiError::no_such_system_webhook)
    }

    /// The system webhook `id`, if there is one.
    pub(super) fn find_system(&self, id: &WebhookId) -> Option<Arc<Webhook>> {
        self.parts.registry.show(id).ok().filter(|webhook| webhook.owner == Owner::System)
    }

    pub(super) async fn system_update(&self, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        no_user(params)?;
        let id = fields::webhook_id(params, "id")?;
        let webhook = self.system_webhook(&id)?;
        let change = Change {
            active: Some(required("isActive", params.flag("isActive")?)?),
            name: Some(required("name", fields::name(params, fields::SYSTEM_NAME_CHARS)?)?),
            on: Some(required("on", fields::changed_on(params, &self.types, &webhook)?)?),
            url: Some(required("url", self.url(params, Some(&webhook))?)?),
            secret: Some(fields::secret(params)?.unwrap_or_else(|| Secret::new(""))),
            options: fields::options(params, webhook.options.clone(), &self.types, &webhook.owner)?,
            signing: self.signing(params)?.change,
        };
        unmoved(params, &webhook)?;
        let updated = self.parts.registry.update(&id, change).await;
        let webhook = updated.map_err(|error| self.refused(&error, ApiError::no_such_system_webhook()))?;
        let latest = self.latest(&webhook).await?;
        Ok(Answer::json(&SystemShape::of(&webhook, latest, self.parts.clock.now())))
    }

    pub(super) async fn system_delete(&self, params: &Params) -> Result<Answer, ApiError> {
        let id = fields::webhook_id(params, "id")?;
        self.system_webhook(&id)?;
        self.delete(&id, ApiError::no_such_system_webhook()).await
    }
}

/// A system webhook is nobody's.
fn no_user(params: &Params) -> Result<(), ApiError> {
    match fields::user_id(params)? {
        None => Ok(()),
        Some(_) => Err(ApiError::param("userId", "a system webhook is no user's; leave it out")),
    }
}
