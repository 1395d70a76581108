//! `hikyaku webhooks --url ...`: the registrations of a running hikyaku. They are looked at over the operators' API, and changed over
//! Misskey's management API, which the same token opens when it is one for everything.

use serde_json::{Value, json};

use super::shown;
use super::{CliError, Output, Remote, WebhooksCommand};

/// Webhooks asked for at a time.
const PAGE: &str = "1000";

/// Does what `command` says.
///
/// # Errors
/// When hikyaku does not answer, or refuses it, or `command` is none that is done over the network.
pub async fn webhooks_of(remote: &Remote, command: WebhooksCommand, output: &mut Output) -> Result<(), CliError> {
    match command {
        WebhooksCommand::List { user, system, source, json } => {
            let mut query: Vec<(&str, String)> = vec![("limit", PAGE.to_owned())];
            query.extend(user.map(|user| ("user", user)));
            query.extend(system.then(|| ("system", "true".to_owned())));
            query.extend(source.map(|source| ("source", source)));
            shown::list(all(remote, &query, output).await?, json, output)
        }
        WebhooksCommand::Show { id, reveal, json } => {
            let mut webhook = found(remote, &id).await?;
            if reveal {
                let told = managed(remote, &webhook, "show", json!({})).await?;
                for name in ["secret", "signingSecret"] {
                    webhook[name] = told[name].clone();
                }
            }
            shown::show(&webhook, json, output)
        }
        WebhooksCommand::Delete { id } => {
            let webhook = found(remote, &id).await?;
            managed(remote, &webhook, "delete", json!({})).await?;
            output.line(&format!("deleted {id}"))
        }
        WebhooksCommand::Create(_) | WebhooksCommand::Update(_) | WebhooksCommand::Test(_) => Err(CliError::Usage(
            "over --url, `webhooks` lists, shows and deletes; to create, update or test one there, call Misskey's management API with \
             the same token (docs/management-api.md), or run this command where the store is, without --url"
                .to_owned(),
        )),
    }
}

/// Every page of a listing.
async fn all(remote: &Remote, query: &[(&str, String)], output: &mut Output) -> Result<Vec<Value>, CliError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = query.to_vec();
        let is_first = cursor.is_none();
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = remote.get("/v1/webhooks", &query).await?;
        if is_first {
            let problems = page["problems"].as_array().into_iter().flatten();
            problems.filter_map(Value::as_str).for_each(|problem| output.note(problem));
        }
        if let Value::Array(webhooks) = page["webhooks"].take() {
            all.extend(webhooks);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

async fn found(remote: &Remote, id: &str) -> Result<Value, CliError> {
    let id = super::webhooks::webhook_id(id)?;
    remote.get(&format!("/v1/webhooks/{id}"), &[]).await
}

/// Calls `endpoint` of the management API for `webhook`: that of users' webhooks, or of the system's.
async fn managed(remote: &Remote, webhook: &Value, endpoint: &str, mut params: Value) -> Result<Value, CliError> {
    let is_system = webhook["userId"].is_null();
    let (path, name) = if is_system { ("admin/system-webhook", "id") } else { ("i/webhooks", "webhookId") };
    params[name] = webhook["id"].clone();
    remote.post(&format!("/api/{path}/{endpoint}"), &params).await
}
