//! `hikyaku deliveries --url ...`: what a running hikyaku has in its history, shown as if it were read from the file here; and sent
//! again, in requests of 20 s at most that are made until all is done.

use serde_json::Value;

use super::{Query, Remote};
use crate::cli::dead::delivery_id;
use crate::cli::deliveries::{filter_of, items, list_pages, tell, text};
use crate::cli::resend::{ResentCounts, check, moment_of, note_beginning, tell as tell_resent};
use crate::cli::{CliError, DeliveriesCommand, LimitArgs, Output, RemoteError, ResendArgs};
use crate::clock::SharedClock;
use crate::model::Timestamp;
use crate::record::HistoryFilter;

const PATH: &str = "/v1/deliveries";

/// Does what `command` says, and tells whether all of it went well.
///
/// # Errors
/// When hikyaku does not answer, or refuses it.
pub async fn deliveries_of(
    remote: &Remote,
    command: DeliveriesCommand,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<bool, CliError> {
    match command {
        DeliveriesCommand::List { filter, limit: LimitArgs { limit }, json } => {
            let query = query_of(&filter_of(&filter, clock)?);
            let page = async |limit, after| remote.page(PATH, "deliveries", &query, limit, after).await;
            list_pages(limit, json, output, page).await?;
            Ok(true)
        }
        DeliveriesCommand::Show { id, json } => {
            let shown = remote.get(&format!("{PATH}/{}", delivery_id(&id)?), &[]).await?;
            tell(&remote.having("delivery", shown)?, json, output)?;
            Ok(true)
        }
        DeliveriesCommand::Resend(args) => {
            let filter = filter_of(&args.filter, clock)?;
            check(&args, &filter)?;
            if args.ids.is_empty() {
                resend(remote, &args, &filter, clock, output).await
            } else {
                resend_by_ids(remote, &args, output).await
            }
        }
    }
}

/// The parameters that say what `filter` does. Ages have become moments by now: from request to request they stay the same.
fn query_of(filter: &HistoryFilter) -> Query {
    let HistoryFilter { webhook, event, kind, state, since, until } = filter;
    let given = [
        ("webhook", webhook.as_ref().map(ToString::to_string)),
        ("event", event.as_ref().map(ToString::to_string)),
        ("type", kind.as_ref().map(ToString::to_string)),
        ("state", state.map(|state| state.to_string())),
        ("since", since.map(Timestamp::to_rfc3339)),
        ("until", until.map(Timestamp::to_rfc3339)),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

async fn resend(
    remote: &Remote,
    args: &ResendArgs,
    filter: &HistoryFilter,
    clock: &SharedClock,
    output: &mut Output,
) -> Result<bool, CliError> {
    let before = moment_of(args, clock)?;
    note_beginning(args, before, output);
    let mut query = query_of(filter);
    query.extend(args.all.then(|| ("all", "true".to_owned())));
    query.extend(args.dry_run.then(|| ("dryRun", "true".to_owned())));
    query.push(("before", before.to_rfc3339()));
    let mut counts = ResentCounts::default();
    loop {
        let came = remote.change("/v1/deliveries/resend", &query, "count").await?;
        let of = |name: &str| came[name].as_u64().unwrap_or(0);
        counts.count += of("count");
        counts.under_way += of("underWay");
        counts.without_body += of("withoutBody");
        counts.problems.extend(items(&came["problems"]).iter().filter_map(Value::as_str).map(str::to_owned));
        let Some(next) = came["next"].as_str() else { return tell_resent(&counts, args.dry_run, output) };
        output.note(&format!("{} deliveries so far, and it goes on", counts.count));
        query.retain(|(name, _)| *name != "cursor");
        query.push(("cursor", next.to_owned()));
    }
}

async fn resend_by_ids(remote: &Remote, args: &ResendArgs, output: &mut Output) -> Result<bool, CliError> {
    let ids = args.ids.iter().map(|id| delivery_id(id)).collect::<Result<Vec<_>, _>>()?;
    let mut all = true;
    for id in ids {
        match remote.change(&format!("{PATH}/{id}/resend"), &[], "isNew").await {
            Ok(resent) if resent["isNew"] == true => {
                let generation = text(&resent["replayed"], "generation");
                output.line(&format!("{id} sent again, as generation {generation}"))?;
            }
            Ok(_) => output.line(&format!("{id} is on its way already"))?,
            // Of this one; the others may be sent.
            Err(
                CliError::NotFound(words) | CliError::Remote(RemoteError::Refused { status: 409, detail: words, .. }),
            ) => {
                all = false;
                output.note(&words);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
