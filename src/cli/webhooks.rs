//! `hikyaku webhooks ...`: registrations, for a person at a shell.
//!
//! Secrets are shown only when asked for (`show --reveal`).

use std::io::{BufRead, Read};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::args::{CreateArgs, UpdateArgs};
use super::client_certificate;
use super::rate_limit::limited;
use super::shown;
use super::signing;
use super::types::event_types;
use super::{CliError, OptionArgs, Output, WebhooksCommand};
use crate::clock::SharedClock;
use crate::decide::AddressPolicy;
use crate::model::{
    Condition, Format, Options, Owner, Secret, Source, Subscribable, Timestamp, UserId, Webhook, WebhookError,
    WebhookId, check_format, check_name, check_secret, check_source, check_url,
};
use crate::record::Latest;
use crate::registry::{Change, Filter, NewWebhook, Registry};
use crate::shown::{Revealed, WebhookShape};

pub(super) const NOTHING_TO_CHANGE: &str = "nothing to change was given; see `hikyaku webhooks update --help`";

/// What a registration may name, and what holds where it does not say.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// The event types.
    pub types: &'a Subscribable,
    /// The addresses.
    pub addresses: &'a AddressPolicy,
    /// For how long a signing secret or key signs besides after another took its place, unless that is said.
    pub signing_grace: Duration,
}

/// Does what `command` says.
///
/// # Errors
/// When an argument is not allowed, or the registry does not do it; nothing was changed.
pub async fn webhooks(
    command: WebhooksCommand,
    registry: &Registry,
    latest: &Latest,
    allowed: &Allowed<'_>,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = clock.now();
    let hidden = Revealed { path: true, ..Revealed::default() };
    let document = |webhook: &Webhook, latest, revealed| json_of(&WebhookShape::of(webhook, latest, now, revealed));
    match command {
        WebhooksCommand::List { user, system, source, json, .. } => {
            let filter =
                Filter { owner: owner_filter(user, system)?, source: source.as_deref().map(source_of).transpose()? };
            let attempts = latest.all().await?;
            registry.snapshot().problems().iter().for_each(|problem| output.note(problem));
            let all = registry.list(&filter);
            let all = all.iter().map(|webhook| document(webhook, attempts.get(&webhook.id).copied(), hidden));
            shown::list(all.collect(), json, output)
        }
        WebhooksCommand::Show { id, reveal, json, .. } => {
            let webhook = registry.show(&webhook_id(&id)?)?;
            let attempt = latest.of(&webhook.id).await?;
            let revealed = Revealed { secret: reveal, signing_secret: reveal, path: true };
            shown::show(&document(&webhook, attempt, revealed), json, output)
        }
        WebhooksCommand::Create(args) => {
            let json = args.json;
            let revealed = Revealed { signing_secret: args.options.generate_signing_secret, ..hidden };
            let webhook = registry.create(new_webhook(*args, allowed, now, output)?).await?;
            warn_of_misfit(&webhook, output);
            shown::show(&document(&webhook, None, revealed), json, output)
        }
        WebhooksCommand::Update(args) => {
            let id = webhook_id(&args.id)?;
            let json = args.json;
            let change = change(&args, &*registry.show(&id)?, allowed, output)?;
            let webhook = registry.update(&id, change).await?;
            warn_of_misfit(&webhook, output);
            let attempt = latest.of(&webhook.id).await?;
            let revealed = Revealed { signing_secret: args.options.generate_signing_secret, ..hidden };
            shown::show(&document(&webhook, attempt, revealed), json, output)
        }
        WebhooksCommand::Delete { id, .. } => {
            let id = webhook_id(&id)?;
            registry.delete(&id).await?;
            latest.forget(&id).await?;
            output.line(&format!("deleted {id}"))
        }
        // It needs what none of the others does, and is done in `test_webhook`.
        WebhooksCommand::Test(_) => Ok(()),
    }
}

fn warn_of_misfit(webhook: &Webhook, output: &mut Output) {
    note_misfit(webhook.options.format, &webhook.url, webhook.id.as_str(), output);
}

/// Says so when the address looks like one that refuses what it is going to get.
pub(super) fn note_misfit(format: Format, url: &Url, id: &str, output: &mut Output) {
    if let Some(words) = format.misfit(url) {
        output.note(&format!("{words}: `hikyaku webhooks update {id} --format ...`"));
    }
}

pub(super) fn usage(field: &str, why: &dyn std::fmt::Display) -> CliError {
    CliError::Usage(format!("{field}: {why}"))
}

pub(super) fn webhook_id(text: &str) -> Result<WebhookId, CliError> {
    WebhookId::new(text).map_err(|error| usage("id", &error))
}

/// What `error` means for the flag that its field is given by.
pub(super) fn flagged(flag: &str, error: &WebhookError) -> CliError {
    let words = error.to_string();
    usage(flag, &words.split_once(": ").map_or(words.as_str(), |(_, bare)| bare))
}

fn source_of(text: &str) -> Result<Source, CliError> {
    Source::new(text).map_err(|error| usage("--source", &error))
}

pub(super) fn owner_of(user: Option<String>) -> Result<Owner, CliError> {
    match user {
        None => Ok(Owner::System),
        Some(user) => UserId::new(&user).map(Owner::User).map_err(|error| usage("--user", &error)),
    }
}

fn owner_filter(user: Option<String>, system: bool) -> Result<Option<Owner>, CliError> {
    if user.is_none() && !system { Ok(None) } else { owner_of(user).map(Some) }
}

/// The URL. One that is an address must not be forbidden; names are resolved, and checked, when something is sent.
fn url_of(text: &str, addresses: &AddressPolicy) -> Result<Url, CliError> {
    let url = check_url(text).map_err(|error| flagged("--url", &error))?;
    addresses.check_url(&url).map_err(|forbidden| usage("--url", &forbidden))?;
    Ok(url)
}

/// The secret; `-` stands for a line of standard input, so that it is in no history and no process list.
pub(super) fn secret_of(text: &str) -> Result<Secret, CliError> {
    check_secret(&given_or_typed(text)?).map_err(|error| flagged("--secret", &error))
}

/// The text itself, or for `-` the next line of standard input.
pub(super) fn given_or_typed(text: &str) -> Result<String, CliError> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut typed = String::new();
    let read = std::io::stdin().lock().take(8192).read_line(&mut typed);
    read.map_err(|error| CliError::Io { what: "the secret cannot be read".to_owned(), error })?;
    Ok(typed.trim_end_matches(['\r', '\n']).to_owned())
}

fn new_webhook(
    args: CreateArgs,
    allowed: &Allowed<'_>,
    now: Timestamp,
    output: &mut Output,
) -> Result<NewWebhook, CliError> {
    let owner = owner_of(args.user)?;
    // Standard input is read in this order.
    let secret = secret_of(&args.secret)?;
    let signing = signing::asked(&args.options, allowed.signing_grace)?;
    if signing.grace.is_some() {
        return Err(usage("--signing-grace", &"a new webhook has no earlier signing secret or key; leave it out"));
    }
    let mut options = options(&args.options, Options::default())?.unwrap_or_default();
    options.signing.change(&signing, now);
    Ok(NewWebhook {
        id: args.id.as_deref().map(webhook_id).transpose()?,
        source: check_source(&args.source).map_err(|error| flagged("--source", &error))?,
        name: check_name(&args.name).map_err(|error| flagged("--name", &error))?,
        url: url_of(&args.url, allowed.addresses)?,
        secret,
        on: event_types(&args.on, &owner, allowed.types, args.any, output)?,
        owner,
        active: !args.paused,
        options,
    })
}

fn change(args: &UpdateArgs, now: &Webhook, allowed: &Allowed<'_>, output: &mut Output) -> Result<Change, CliError> {
    let change = Change {
        name: args.name.as_deref().map(check_name).transpose().map_err(|error| flagged("--name", &error))?,
        url: args.url.as_deref().map(|url| url_of(url, allowed.addresses)).transpose()?,
        secret: args.secret.as_deref().map(secret_of).transpose()?,
        on: args.on.as_deref().map(|on| event_types(on, &now.owner, allowed.types, args.any, output)).transpose()?,
        active: args.active,
        options: options(&args.options, now.options.clone())?,
        signing: signing::asked(&args.options, allowed.signing_grace)?,
    };
    let Change { name, url, secret, on, active, options, signing } = &change;
    let is_same = name.is_none() && url.is_none() && secret.is_none() && on.is_none() && active.is_none();
    if is_same && options.is_none() && signing.is_empty() {
        return Err(CliError::Usage(NOTHING_TO_CHANGE.to_owned()));
    }
    Ok(change)
}

/// The options with what `args` say, or nothing when they say nothing.
pub(super) fn options(args: &OptionArgs, mut options: Options) -> Result<Option<Options>, CliError> {
    let OptionArgs { format, send_secret, retry_schedule, max_age, timeout, .. } = args;
    let OptionArgs { rate_limit, rate_burst, filter, no_filters, .. } = args;
    if let Some(text) = format {
        let checked = |text: &str| check_format(text).map_err(|error| flagged("--format", &error));
        options.format = or_default(text, checked)?.unwrap_or_default();
    }
    if let Some(send) = send_secret {
        options.send_secret = *send;
    }
    if let Some(text) = retry_schedule {
        options.retry_schedule = or_default(text, |text| {
            text.split(',').map(|wait| seconds("--retry-schedule", wait, 0.01, 604_800.0)).collect()
        })?;
    }
    if let Some(text) = max_age {
        options.max_age = or_default(text, |text| seconds("--max-age", text, 1.0, 31_536_000.0))?;
    }
    if let Some(text) = timeout {
        options.timeout = or_default(text, |text| seconds("--timeout", text, 100.0, 600_000.0))?.map(|ms| ms / 1000);
    }
    if *no_filters || !filter.is_empty() {
        options.filters = filters(filter)?;
    }
    if let Some(limit) = limited(rate_limit.as_deref(), *rate_burst, options.rate_limit)? {
        options.rate_limit = limit;
    }
    let certificate = client_certificate::asked(args)?;
    let certifies = certificate.is_some();
    if let Some(certificate) = certificate {
        options.client_certificate = certificate;
    }
    let limits = certifies || rate_limit.is_some() || rate_burst.is_some();
    let any = limits || send_secret.is_some() || retry_schedule.is_some() || max_age.is_some();
    let any = any || timeout.is_some() || format.is_some() || *no_filters || !filter.is_empty();
    Ok(any.then_some(options))
}

/// The conditions, each the JSON of one; `--filter[0]` is the first.
fn filters(texts: &[String]) -> Result<Vec<Condition>, CliError> {
    let mut all = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let example = r#"'{"path":"/note/visibility","equals":"public"}'"#;
            usage(&format!("--filter[{index}]"), &format!("it is no JSON ({error}); it must look like {example}"))
        })?;
        all.push(value);
    }
    Condition::read_all("--filter", &all.into()).map_err(|error| CliError::Usage(error.to_string()))
}

fn or_default<T>(text: &str, read: impl FnOnce(&str) -> Result<T, CliError>) -> Result<Option<T>, CliError> {
    if text == "default" { Ok(None) } else { read(text).map(Some) }
}

fn seconds(flag: &str, text: &str, least: f64, most: f64) -> Result<Duration, CliError> {
    match text.trim().parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err(usage(flag, &format!("{text:?} is no number from {least} to {most}, nor `default`"))),
    }
}

/// Texts and numbers under fixed names always are JSON.
fn json_of(shape: &WebhookShape) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}
