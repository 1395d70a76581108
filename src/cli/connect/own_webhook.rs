//! The person's webhook on Misskey that points here: made, repaired, or left as it is.

use std::collections::BTreeSet;

use url::Url;

use super::Connecting;
use crate::cli::{CliError, Output};
use crate::ingest::Reach;
use crate::misskey::{Granted, MisskeyWebhook, NewWebhook, WebhookChange};
use crate::model::{Audience, Secret, Sender, Source, known_types};

/// What it is called on Misskey.
const NAME: &str = "hikyaku";

/// Every type that Misskey takes in `on`: `unfollow`, which its pages do not offer, and `reaction`, which will come by itself
/// when Misskey sends it.
fn types_of_misskey() -> impl Iterator<Item = &'static str> {
    let is_taken = |sender: Sender| matches!(sender, Sender::Misskey | Sender::Nobody);
    known_types()
        .iter()
        .filter(move |known| known.audience == Audience::User && is_taken(known.sender))
        .map(|known| known.name)
}

/// Whether a webhook to `url` comes in `here`, as events of `source`.
pub(super) fn points_here(url: &str, here: &Url, source: &Source) -> bool {
    Reach::new(here, source).source_of(url).as_ref() == Some(source)
}

/// Sees to it that one webhook among the person's `webhooks` brings every event here with `secret`, and no other does.
///
/// # Errors
/// When Misskey does not do it.
pub(super) async fn repair(
    with: &Connecting<'_>,
    granted: &Granted,
    webhooks: &[MisskeyWebhook],
    secret: &Secret,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut ours: Vec<&MisskeyWebhook> =
        webhooks.iter().filter(|webhook| points_here(&webhook.url, with.here, with.source)).collect();
    // The one in use is kept.
    ours.sort_by_key(|webhook| !webhook.active);
    let Some((own, doubles)) = ours.split_first() else {
        return create(with, granted, webhooks, secret, output).await;
    };
    let (change, done) = repairs(own, secret);
    if done.is_empty() {
        output.line(&format!(
            "Your webhook {} on Misskey points here, with every event type; it is as it should be.",
            own.id
        ))?;
    } else {
        with.misskey.update_webhook(&granted.token, &own.id, &change).await?;
        output.line(&format!(
            "Repaired your webhook {} on Misskey, which points here: {}.",
            own.id,
            done.join(", ")
        ))?;
    }
    for double in doubles.iter().filter(|double| double.active) {
        let off = WebhookChange { active: Some(false), ..WebhookChange::default() };
        with.misskey.update_webhook(&granted.token, &double.id, &off).await?;
        output.line(&format!(
            "Switched off your webhook {} on Misskey, which points here too: everything would come twice.",
            double.id
        ))?;
    }
    Ok(())
}

async fn create(
    with: &Connecting<'_>,
    granted: &Granted,
    webhooks: &[MisskeyWebhook],
    secret: &Secret,
    output: &mut Output,
) -> Result<(), CliError> {
    let new = NewWebhook {
        name: NAME.to_owned(),
        url: with.here.to_string(),
        secret: secret.clone(),
        on: types_of_misskey().map(str::to_owned).collect(),
    };
    match with.misskey.create_webhook(&granted.token, &new).await {
        Ok(created) => output.line(&format!(
            "Made the webhook {} on Misskey: it sends every event here ({}).",
            created.id,
            new.on.join(", ")
        )),
        Err(error) if error.code() == Some("TOO_MANY_WEBHOOKS") => Err(no_room(with, granted, webhooks)),
        Err(error) => Err(error.into()),
    }
}

fn no_room(with: &Connecting<'_>, granted: &Granted, webhooks: &[MisskeyWebhook]) -> CliError {
    let has = match webhooks.len() {
        0 => "no webhook".to_owned(),
        1 => format!("no webhook besides {}", names(webhooks)),
        count => format!("no webhook besides the {count} that are there, {}", names(webhooks)),
    };
    let roles = format!("{}/admin/roles", with.misskey.origin());
    let instead = match webhooks {
        [] => String::new(),
        _ => format!(", or one that is not needed is deleted at {}/settings/connect", with.misskey.origin()),
    };
    CliError::NoRoom { username: granted.account.username.clone(), has, roles, instead }
}

fn names(webhooks: &[MisskeyWebhook]) -> String {
    webhooks.iter().map(|webhook| format!("{:?}", webhook.name)).collect::<Vec<_>>().join(", ")
}

/// What has to be changed about `own`, and in words what that does.
fn repairs(own: &MisskeyWebhook, secret: &Secret) -> (WebhookChange, Vec<String>) {
    let (mut change, mut done) = (WebhookChange::default(), Vec::new());
    let there: BTreeSet<&str> = own.on.iter().map(String::as_str).collect();
    let missing: Vec<&str> = types_of_misskey().filter(|name| !there.contains(name)).collect();
    if !missing.is_empty() {
        // Types of a fork that are there stay.
        change.on = Some(own.on.iter().map(String::as_str).chain(missing.iter().copied()).map(str::to_owned).collect());
        done.push(format!("asked for {} too", missing.join(", ")));
    }
    if own.secret != *secret {
        change.secret = Some(secret.clone());
        done.push("set its secret".to_owned());
    }
    if !own.active {
        change.active = Some(true);
        done.push("switched it on".to_owned());
    }
    (change, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(on: &[&str], secret: &str, active: bool) -> MisskeyWebhook {
        MisskeyWebhook {
            id: "ajbar5w5k3x90008".to_owned(),
            name: "hikyaku".to_owned(),
            on: on.iter().map(|&name| name.to_owned()).collect(),
            url: "http://127.0.0.87:8787/ingest/misskey".to_owned(),
            secret: Secret::new(secret),
            active,
            latest_sent_at: None,
            latest_status: None,
        }
    }

    #[test]
    fn a_webhook_as_it_should_be_is_left_alone() {
        let mut every: Vec<&str> = types_of_misskey().collect();
        every.reverse();
        every.push("edited");
        assert!(repairs(&webhook(&every, "s", true), &Secret::new("s")).1.is_empty());
    }

    #[test]
    fn a_repair_changes_only_what_is_wrong_and_keeps_a_forks_types() {
        let every: Vec<&str> = types_of_misskey().collect();
        let (change, done) = repairs(&webhook(&every, "old", true), &Secret::new("new"));
        assert!(change.on.is_none() && change.active.is_none() && change.name.is_none() && change.url.is_none());
        assert_eq!(change.secret, Some(Secret::new("new")));
        assert!(!done.join("").contains("new"), "{done:?}");

        let (change, done) = repairs(&webhook(&["edited", "note"], "s", false), &Secret::new("s"));
        let on = change.on.expect("types were missing");
        assert_eq!(on.len(), every.len() + 1);
        assert!(
            ["edited", "note", "unfollow", "reaction"].iter().all(|name| on.iter().any(|other| other == name)),
            "{on:?}"
        );
        assert_eq!((change.active, change.secret), (Some(true), None));
        assert_eq!(done.len(), 2);
    }

    #[test]
    fn a_webhook_points_here_however_its_address_is_written() {
        let here = Url::parse("http://127.0.0.87:8787/ingest/misskey").expect("a URL");
        for (url, is_here) in [
            ("http://127.0.0.87:8787/ingest/misskey", true),
            ("HTTP://127.0.0.87:8787/ingest/misskey/", true),
            ("http://127.0.0.87:8787/ingest/misskey?from=misskey", true),
            ("http://127.0.0.87:8787/ingest/misskey/second", false),
            ("http://127.0.0.87:8788/ingest/misskey", false),
            ("https://127.0.0.87:8787/ingest/misskey", false),
            ("no URL", false),
        ] {
            assert_eq!(points_here(url, &here, &Source::default()), is_here, "{url}");
        }
    }
}
