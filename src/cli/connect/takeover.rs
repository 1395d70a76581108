//! The person's other webhooks on Misskey: each becomes one here, if that is wanted, and is then switched off there, if
//! that is wanted too.
//!
//! A webhook keeps what its receiver can see: URL, secret, types, name, state, and its id, which goes out as
//! `X-Misskey-Hook-Id`. What is here already, or cannot be here, is told by name, and the rest goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

use super::own_webhook::points_here;
use super::{Choices, Connecting};
use crate::cli::{CliError, Output};
use crate::misskey::{Granted, MisskeyWebhook, WebhookChange};
use crate::model::{EventType, Options, Owner, UserId, Webhook, WebhookId, check_secret, check_stored_name, check_url};
use crate::registry::{Filter, NewWebhook, RegistryError};

/// Offers to take over those of `webhooks` that do not point here.
///
/// # Errors
/// When the registry or Misskey does not do what was chosen; what was done before has been told.
pub(super) async fn offer(
    with: &Connecting<'_>,
    granted: &Granted,
    webhooks: &[MisskeyWebhook],
    choices: &Choices,
    output: &mut Output,
) -> Result<(), CliError> {
    let user = &granted.account.id;
    let others = webhooks.iter().filter(|webhook| !points_here(&webhook.url, with.here, with.source));
    let (mut here, new): (Vec<_>, Vec<_>) = others.partition(|webhook| find(with, user, webhook).is_some());
    if !new.is_empty() {
        output.line("Your other webhooks on Misskey:")?;
        new.iter().try_for_each(|webhook| output.line(&told(webhook)))?;
        if choices.import(output)? {
            for webhook in new {
                if take_over(with, user, webhook, output).await? {
                    here.push(webhook);
                }
            }
        }
    }
    here.retain(|webhook| webhook.active);
    if here.is_empty() {
        return Ok(());
    }
    output.line("In hikyaku, and switched on on Misskey too:")?;
    here.iter().try_for_each(|webhook| output.line(&told(webhook)))?;
    if choices.pause(output)? {
        for webhook in here {
            let off = WebhookChange { active: Some(false), ..WebhookChange::default() };
            with.misskey.update_webhook(&granted.token, &webhook.id, &off).await?;
            output.line(&format!("Switched off on Misskey: {}", name(webhook)))?;
        }
    }
    Ok(())
}

/// Whether `webhook` is here afterwards.
async fn take_over(
    with: &Connecting<'_>,
    user: &UserId,
    webhook: &MisskeyWebhook,
    output: &mut Output,
) -> Result<bool, CliError> {
    let name = name(webhook);
    if let Some(found) = find(with, user, webhook) {
        output.line(&format!("Here already, as {}: {name}", found.id))?;
        return Ok(true);
    }
    let new = match as_ours(with, user, webhook) {
        Ok(new) => new,
        Err(why) => {
            output.note(&format!("not taken over: {name}: {why}"));
            return Ok(false);
        }
    };
    let made = match with.registry.create_within(new.clone(), with.webhook_limit).await {
        // Another's, or one that was deleted here: then its receiver sees a new id.
        Err(RegistryError::Taken { .. } | RegistryError::Deleted { .. }) => {
            with.registry.create_within(NewWebhook { id: None, ..new }, with.webhook_limit).await
        }
        made => made,
    };
    let made = match made {
        Err(why @ RegistryError::Full { .. }) => {
            output.note(&format!("not taken over: {name}: {why}"));
            return Ok(false);
        }
        made => made?,
    };
    output.line(&format!("Taken over, as {}: {name}", made.id))?;
    Ok(true)
}

/// The person's webhooks here.
pub(super) fn of_person(with: &Connecting<'_>, user: &UserId) -> Vec<Arc<Webhook>> {
    let owner = Some(Owner::User(user.clone()));
    with.registry.list(&Filter { owner, source: Some(with.source.clone()) })
}

/// What `webhook` is here, if it was taken over before or registered alike.
fn find(with: &Connecting<'_>, user: &UserId, webhook: &MisskeyWebhook) -> Option<Arc<Webhook>> {
    let types = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<BTreeSet<_>>();
    let on = types(&mut webhook.on.iter().map(String::as_str));
    let url = check_url(&webhook.url).ok();
    let is_it = |ours: &Arc<Webhook>| {
        let is_alike = || {
            Some(&ours.url) == url.as_ref()
                && ours.secret == webhook.secret
                && types(&mut ours.on.iter().map(EventType::as_str)) == on
        };
        ours.id.as_str() == webhook.id || is_alike()
    };
    of_person(with, user).into_iter().find(is_it)
}

/// `webhook` as it is registered here, or why it cannot be.
fn as_ours(with: &Connecting<'_>, user: &UserId, webhook: &MisskeyWebhook) -> Result<NewWebhook, String> {
    let url = check_url(&webhook.url).map_err(|error| error.to_string())?;
    if is_ours(&url, with.here) {
        return Err("it points to hikyaku itself".to_owned());
    }
    with.addresses.check_url(&url).map_err(|forbidden| forbidden.to_string())?;
    let on = webhook.on.iter().map(|name| EventType::new(name)).collect::<Result<Vec<_>, _>>();
    Ok(NewWebhook {
        id: WebhookId::new(&webhook.id).ok(),
        owner: Owner::User(user.clone()),
        source: with.source.clone(),
        name: check_stored_name(&webhook.name).map_err(|error| error.to_string())?,
        url,
        secret: check_secret(webhook.secret.expose()).map_err(|error| error.to_string())?,
        on: on.map_err(|error| format!("on: {error}"))?,
        active: webhook.active,
        options: Options::default(),
    })
}

/// Whether what goes to `url` comes in at some source of ours: taken over, it would go round in circles.
fn is_ours(url: &Url, here: &Url) -> bool {
    url.origin() == here.origin() && (url.path().contains("/ingest/misskey") || url.path().starts_with(here.path()))
}

fn name(webhook: &MisskeyWebhook) -> String {
    if webhook.name.is_empty() { webhook.id.clone() } else { format!("{:?}", webhook.name) }
}

/// A webhook in a line, without what its URL may hold of tokens and passwords.
fn told(webhook: &MisskeyWebhook) -> String {
    let url = match Url::parse(&webhook.url) {
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => format!("{:?}", webhook.url.chars().take(100).collect::<String>()),
    };
    let state = if webhook.active { "" } else { " (switched off)" };
    let on = if webhook.on.is_empty() { "nothing".to_owned() } else { webhook.on.join(",") };
    format!("  {}: {on} to {url}{state}", name(webhook))
}
