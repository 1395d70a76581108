//! `hikyaku webhooks --url ...`: the registrations of a running hikyaku. They are looked at over the operators' API, and changed over
//! Misskey's management API, which the same token opens when it is one for everything.

use serde_json::{Value, json};

use super::{Query, Remote, registering};
use crate::cli::shown;
use crate::cli::webhooks::webhook_id;
use crate::cli::{CliError, Output, WebhooksCommand};

const PATH: &str = "/v1/webhooks";
/// Webhooks asked for at a time.
const PAGE: u32 = 1000;

/// Does what `command` says, and tells whether all of it went well.
///
/// # Errors
/// When an argument is not allowed, or hikyaku does not answer, or refuses it.
pub async fn webhooks_of(remote: &Remote, command: WebhooksCommand, output: &mut Output) -> Result<bool, CliError> {
    match command {
        WebhooksCommand::List { user, system, source, json, .. } => {
            let mut query = Query::new();
            query.extend(user.map(|user| ("user", user)));
            query.extend(system.then(|| ("system", "true".to_owned())));
            query.extend(source.map(|source| ("source", source)));
            shown::list(all(remote, &query, output).await?, json, output)?;
        }
        WebhooksCommand::Show { id, reveal, json, .. } => {
            let mut webhook = found(remote, &id).await?;
            if reveal {
                let told = managed(remote, &webhook, "show", json!({})).await?;
                for name in ["secret", "signingSecret"] {
                    webhook[name] = told[name].clone();
                }
            }
            shown::show(&webhook, json, output)?;
        }
        WebhooksCommand::Create(args) => registering::create(remote, *args, output).await?,
        WebhooksCommand::Update(args) => registering::update(remote, *args, output).await?,
        WebhooksCommand::Delete { id, .. } => {
            let webhook = found(remote, &id).await?;
            managed(remote, &webhook, "delete", json!({})).await?;
            output.line(&format!("deleted {id}"))?;
        }
        WebhooksCommand::Test(args) => return registering::test(remote, &args, output).await,
    }
    Ok(true)
}

/// Every page of a listing; what cannot be read is told of all of them with each.
async fn all(remote: &Remote, query: &Query, output: &mut Output) -> Result<Vec<Value>, CliError> {
    let mut page = remote.page(PATH, "webhooks", query, PAGE, None).await?;
    page.problems.iter().for_each(|problem| output.note(problem));
    let mut all = page.rows;
    while let Some(next) = page.next {
        page = remote.page(PATH, "webhooks", query, PAGE, Some(next)).await?;
        all.append(&mut page.rows);
    }
    Ok(all)
}

pub(super) async fn found(remote: &Remote, id: &str) -> Result<Value, CliError> {
    let id = webhook_id(id)?;
    let webhook = remote.get(&format!("{PATH}/{id}"), &[]).await?;
    remote.having("id", webhook)
}

/// Calls `endpoint` of the management API for `webhook`: that of users' webhooks, or of the system's.
pub(super) async fn managed(
    remote: &Remote,
    webhook: &Value,
    endpoint: &str,
    mut params: Value,
) -> Result<Value, CliError> {
    let is_system = webhook["userId"].is_null();
    let (path, name) = if is_system { ("admin/system-webhook", "id") } else { ("i/webhooks", "webhookId") };
    params[name] = webhook["id"].clone();
    remote.post(&format!("/api/{path}/{endpoint}"), &params).await
}
