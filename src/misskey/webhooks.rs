//! A person's webhooks on Misskey: `i/webhooks/list`, `show`, `create`, `update`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Misskey;
use super::error::MisskeyError;
use crate::model::Secret;

/// A webhook that a person has on Misskey.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MisskeyWebhook {
    /// Its id.
    pub id: String,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// The event types it gets.
    #[serde(default)]
    pub on: Vec<String>,
    /// Where it points.
    pub url: String,
    /// What it sends as `X-Misskey-Hook-Secret`; may be empty.
    #[serde(default = "no_secret", deserialize_with = "secret")]
    pub secret: Secret,
    /// Whether it gets events.
    pub active: bool,
    /// When Misskey last sent to it, RFC 3339.
    #[serde(default)]
    pub latest_sent_at: Option<String>,
    /// What was answered then; 1: nothing.
    #[serde(default)]
    pub latest_status: Option<i32>,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    Ok(Secret::new(&Option::<String>::deserialize(from)?.unwrap_or_default()))
}

fn no_secret() -> Secret {
    Secret::new("")
}

/// A webhook to be made on Misskey.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// 1 to 100 characters.
    pub name: String,
    /// 1 to 1,024 characters.
    pub url: String,
    /// At most 1,024 characters; ASCII, or Misskey never delivers it.
    pub secret: Secret,
    /// Of Misskey's types.
    pub on: Vec<String>,
}

/// What is to be different about a webhook on Misskey; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// 1 to 100 characters.
    pub name: Option<String>,
    /// 1 to 1,024 characters.
    pub url: Option<String>,
    /// At most 1,024 characters.
    pub secret: Option<Secret>,
    /// Of Misskey's types.
    pub on: Option<Vec<String>>,
    /// Whether it gets events.
    pub active: Option<bool>,
}

impl Misskey {
    /// The webhooks of the person whose `token` it is. Needs `read:account`.
    ///
    /// # Errors
    /// As every call.
    pub async fn webhooks(&self, token: &Secret) -> Result<Vec<MisskeyWebhook>, MisskeyError> {
        self.ask("i/webhooks/list", Some(token), json!({})).await
    }

    /// The webhook `id`. Needs `read:account`.
    ///
    /// # Errors
    /// Refused with `NO_SUCH_WEBHOOK` when that person has none of that id.
    pub async fn webhook(&self, token: &Secret, id: &str) -> Result<MisskeyWebhook, MisskeyError> {
        self.ask("i/webhooks/show", Some(token), json!({ "webhookId": id })).await
    }

    /// Makes a webhook, active, and tells it as Misskey has it. Needs `write:account`.
    ///
    /// # Errors
    /// Refused with `TOO_MANY_WEBHOOKS` when the person's role allows no more.
    pub async fn create_webhook(&self, token: &Secret, new: &NewWebhook) -> Result<MisskeyWebhook, MisskeyError> {
        let NewWebhook { name, url, secret, on } = new;
        let params = json!({ "name": name, "url": url, "secret": secret.expose(), "on": on });
        self.ask("i/webhooks/create", Some(token), params).await
    }

    /// Changes the webhook `id`. Needs `write:account`.
    ///
    /// # Errors
    /// Refused with `NO_SUCH_WEBHOOK` when that person has none of that id.
    pub async fn update_webhook(&self, token: &Secret, id: &str, change: &WebhookChange) -> Result<(), MisskeyError> {
        let mut params = json!({ "webhookId": id });
        put(&mut params, "name", change.name.as_ref());
        put(&mut params, "url", change.url.as_ref());
        put(&mut params, "secret", change.secret.as_ref().map(Secret::expose));
        put(&mut params, "on", change.on.as_ref());
        put(&mut params, "active", change.active);
        self.call("i/webhooks/update", Some(token), params).await.map(drop)
    }
}

fn put(params: &mut Value, key: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        params[key] = json!(value);
    }
}
