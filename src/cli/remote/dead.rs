//! `hikyaku dead --url ...`: the dead letters of a running hikyaku, looked at and dealt with as if they lay here.
//!
//! What is done to many goes in requests of 20 s at most, each of which says how far it came; they are made until all is done.
//! Broken off at any moment, nothing is lost, and the same command goes on: nothing is kept between two requests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Query, Remote, RemoteError, dead_files};
use crate::cli::dead::{PURGED, REPLAYED, WOULD_BE_PURGED, WOULD_BE_REPLAYED, chosen, counted, delivery_id, ended};
use crate::cli::dead::{filter_of, showing, tell_so_far};
use crate::cli::deliveries::items;
use crate::cli::delivery_args::FilterArgs;
use crate::cli::{CliError, DeadCommand, LimitArgs, Output};
use crate::clock::SharedClock;
use crate::model::Timestamp;
use crate::record::Filter;

const PATH: &str = "/v1/dead-letters";
/// Ids that one request takes.
const IDS_MAX: usize = 100;
/// Requests in a row that may do nothing although something is left.
const IDLE_MAX: u32 = 3;

/// Does what `command` says, and tells whether all of it went well.
///
/// # Errors
/// When an argument is not allowed, or hikyaku does not answer, or refuses it. What was done before stays done.
pub async fn dead_of(
    remote: &Remote,
    command: DeadCommand,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<bool, CliError> {
    match command {
        DeadCommand::List { filter, limit: LimitArgs { limit }, json } => {
            let query = query_of(&filter_of(&filter, clock)?)?;
            let page = async |limit, after| remote.page(PATH, "deadLetters", &query, limit, after).await;
            showing::list_pages(limit, json, output, page).await?;
            Ok(true)
        }
        DeadCommand::Show { id, json } => show(remote, &id, json, output).await.map(|()| true),
        DeadCommand::Replay { filter, all, dry_run } => {
            let doing = Doing { path: "/v1/dead-letters/replay", done: REPLAYED, would: WOULD_BE_REPLAYED };
            doing.to(remote, &filter, all, dry_run, clock, output).await
        }
        DeadCommand::Purge { filter, all, dry_run } => {
            let doing = Doing { path: "/v1/dead-letters/purge", done: PURGED, would: WOULD_BE_PURGED };
            doing.to(remote, &filter, all, dry_run, clock, output).await
        }
        DeadCommand::Export { filter, output: to } => {
            dead_files::export(remote, &query_of(&filter_of(&filter, clock)?)?, to.as_deref(), output).await
        }
        DeadCommand::Import { file, dry_run, json } => {
            let import = crate::cli::dead::files::Import { file: file.as_deref(), is_dry: dry_run, json };
            dead_files::import(remote, &import, output).await
        }
    }
}

/// The parameters that say what `filter` does. Ages have become moments by now: from request to request they stay the same.
fn query_of(filter: &Filter) -> Result<Query, CliError> {
    let Filter { webhook, event, kind, reason, status, since, until, ids } = filter;
    if ids.len() > IDS_MAX {
        return Err(CliError::Usage(format!(
            "--id: over --url at most {IDS_MAX} may be given, and here are {}",
            ids.len()
        )));
    }
    let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let given = [
        ("webhook", webhook.as_ref().map(ToString::to_string)),
        ("event", event.as_ref().map(ToString::to_string)),
        ("type", kind.as_ref().map(ToString::to_string)),
        ("reason", reason.map(|reason| reason.to_string())),
        ("status", status.map(|status| status.to_string())),
        ("since", since.map(Timestamp::to_rfc3339)),
        ("until", until.map(Timestamp::to_rfc3339)),
        ("id", Some(ids).filter(|ids| !ids.is_empty())),
    ];
    Ok(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// One letter with what is known of it. Its body may hold what a JSON value of ours cannot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    dead_letter: BTreeMap<String, Box<RawValue>>,
    attempts: Vec<Value>,
    replays: Vec<Value>,
}

async fn show(remote: &Remote, id: &str, json: bool, output: &mut Output) -> Result<(), CliError> {
    let id = delivery_id(id)?;
    let text = remote.get_text(&format!("{PATH}/{id}")).await?;
    if json {
        return output.line(&text);
    }
    let unreadable = |_| RemoteError::Unreadable { origin: remote.origin(), status: 200 };
    let mut shown: Shown = serde_json::from_str(&text).map_err(unreadable)?;
    let body = shown.dead_letter.remove("body").map(|body| body.get().to_owned()).unwrap_or_default();
    let fields = shown.dead_letter.iter().map(|(name, value)| Ok((name.clone(), serde_json::from_str(value.get())?)));
    let letter = fields.collect::<Result<serde_json::Map<_, _>, serde_json::Error>>().map_err(unreadable)?;
    showing::tell(&Value::Object(letter), &body, &shown.attempts, &shown.replays, output)
}

/// Something that is done to many letters.
struct Doing {
    path: &'static str,
    /// What is told of letters that it was done to.
    done: &'static str,
    /// What is told of letters that it would be done to.
    would: &'static str,
}

impl Doing {
    async fn to(
        &self,
        remote: &Remote,
        filter: &FilterArgs,
        all: bool,
        dry_run: bool,
        clock: &SharedClock,
        output: &mut Output,
    ) -> Result<bool, CliError> {
        let mut query = query_of(&chosen(filter, all, clock)?)?;
        query.extend(all.then(|| ("all", "true".to_owned())));
        if dry_run {
            query.push(("dryRun", "true".to_owned()));
            let would = remote.change(self.path, &query, "count").await?;
            return ended(count_of(&would, "count"), &problems_of(&would), self.would, output);
        }
        let (mut count, mut idle) = (0, 0);
        loop {
            let came = remote
                .change(self.path, &query, "count")
                .await
                .inspect_err(|_| tell_so_far(count, self.done, output))?;
            let now = count_of(&came, "count");
            count += now;
            // Told by each request anew.
            if came["done"] == true {
                return ended(count, &problems_of(&came), self.done, output);
            }
            idle = if now == 0 { idle + 1 } else { 0 };
            if idle == IDLE_MAX {
                tell_so_far(count, self.done, output);
                let left = counted(count_of(&came, "left"));
                return Err(RemoteError::NoHeadway { origin: remote.origin(), left }.into());
            }
            output.note(&format!("{} {} so far, {} left", counted(count), self.done, count_of(&came, "left")));
            // What dies from now on is not meant; that alone says which, where all were.
            query.retain(|(name, _)| !matches!(*name, "until" | "all"));
            query.push(("until", came["until"].as_str().unwrap_or_default().to_owned()));
        }
    }
}

fn problems_of(came: &Value) -> Vec<String> {
    items(&came["problems"]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn count_of(came: &Value, name: &str) -> u64 {
    came[name].as_u64().unwrap_or(0)
}
