//! Putting dead letters back to work, and deleting them.
//!
//! A request about many works in steps for as long as [`WORK_MAX`], also when whoever sent it has gone, and then answers how
//! far it came: `{"count":4000,"done":false,"left":96000,"until":"..","dryRun":false,"problems":[]}`. The same request again
//! goes on; with `until` as it was answered, what has died meanwhile is left out. Nothing is kept between the requests, so it
//! does not matter which process answers the next one, nor whether one was killed.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::{Meant, MeantParams};
use super::looking::IdParams;
use super::{failed, no_letter, record_failed, to_deleted};
use crate::api::operators::by::By;
use crate::api::operators::no_body::NoBody;
use crate::api::operators::params::{Id, Params};
use crate::api::operators::problem::{Problem, ProblemShape};
use crate::api::operators::{OperatorsParts, WORK_MAX, found, on_its_own};
use crate::model::{DeliveryId, Timestamp, described};
use crate::operate::{OperateError, ReplayedOne, Run, Until};
use crate::record::{Filter, Replayed, ReplayedShape};

/// How far a request came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CameThrough)]
struct Came {
    /// Letters that it has dealt with; in a dry run, that it would have.
    count: u64,
    /// Whether that is all.
    done: bool,
    /// Letters that are left.
    left: u64,
    /// Only what died before this moment was meant.
    #[schema(schema_with = described::moment)]
    until: String,
    /// Whether nothing was changed.
    dry_run: bool,
    /// Letters that it could not deal with, and those whose webhooks are deleted, in words.
    problems: Vec<String>,
}

/// That a delivery was put back to work, now or before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReplayedOne)]
pub(in crate::api::operators) struct ReplayedOneShape {
    /// The delivery's id.
    #[schema(schema_with = described::delivery_id)]
    pub(in crate::api::operators) id: String,
    /// Whether it was done now; false: it is on its way already, or was before.
    pub(in crate::api::operators) is_new: bool,
    /// By whom and when; null: it is on its way by itself.
    #[schema(required)]
    pub(in crate::api::operators) replayed: Option<ReplayedShape>,
}

/// That a dead letter was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedOne)]
struct DeletedShape {
    /// The delivery's id.
    #[schema(schema_with = described::delivery_id)]
    id: String,
    /// Letters that were deleted: 1.
    count: u64,
}

/// What is done with letters.
#[derive(Clone, Copy)]
enum Action {
    Replay,
    Purge,
}

/// Puts dead letters back to work, those that are meant.
///
/// It works for 20 seconds at most, also when whoever asked has gone; while `done` is false, the same request again goes on.
#[utoipa::path(
    post, path = "/v1/dead-letters/replay", tag = "dead letters", operation_id = "replayDeadLetters", params(MeantParams),
    responses(
        (status = 200, description = "How far it came.", body = Came, example = json!({
        "count": 4000, "done": false, "left": 96000, "until": "2026-04-01T08:00:00.000Z", "dryRun": false, "problems": []
    })),
        (status = 409, description = "Others are at it all the time.", body = ProblemShape, content_type = "application/problem+json")
    )
)]
pub(in crate::api::operators) async fn replay(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    do_to_many(parts, Action::Replay, &by, query.as_deref()).await
}

/// Deletes dead letters for good, those that are meant.
///
/// It works for 20 seconds at most, also when whoever asked has gone; while `done` is false, the same request again goes on.
#[utoipa::path(
    post, path = "/v1/dead-letters/purge", tag = "dead letters", operation_id = "purgeDeadLetters", params(MeantParams),
    responses((status = 200, description = "How far it came.", body = Came, example = json!({
        "count": 4000, "done": false, "left": 96000, "until": "2026-04-01T08:00:00.000Z", "dryRun": false, "problems": []
    })))
)]
pub(in crate::api::operators) async fn purge(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    do_to_many(parts, Action::Purge, &by, query.as_deref()).await
}

async fn do_to_many(
    parts: Arc<OperatorsParts>,
    action: Action,
    by: &By,
    query: Option<&str>,
) -> Result<Response, Problem> {
    let meant = Meant::read(query, parts.clock.now())?;
    on_its_own(act(parts, action, by.name(), meant)).await?.map(|came| found(&came)).map_err(|error| failed(&error))
}

/// Does it for as long as may be, unless only the number is asked for.
async fn act(parts: Arc<OperatorsParts>, action: Action, by: String, meant: Meant) -> Result<Came, OperateError> {
    let operations = &parts.operations;
    let filter = operations.as_of_now(&meant.filter);
    let until = filter.until.map(Timestamp::to_rfc3339).unwrap_or_default();
    if meant.is_dry {
        let Run { count, stays, problems, .. } = match action {
            Action::Replay => operations.would_replay(&filter).await?,
            Action::Purge => Run { count: operations.letters.count(&filter).await?, ..Run::default() },
        };
        return Ok(Came { count, done: true, left: count + stays, until, dry_run: true, problems });
    }
    let longest = Until::within(WORK_MAX);
    let (run, what) = match action {
        Action::Replay => (operations.replay(&filter, &by, longest, |_| {}).await?, "put back to work"),
        Action::Purge => (operations.purge(&filter, longest, |_| {}).await?, "deleted"),
    };
    told(&parts, &format!("{by} has {what} {} dead letters", run.count), run.count);
    let left = if run.is_done { run.stays } else { operations.letters.count(&filter).await? };
    let Run { count, is_done: done, problems, stays: _ } = run;
    Ok(Came { count, done, left, until, dry_run: false, problems })
}

fn told(parts: &OperatorsParts, words: &str, count: u64) {
    parts.telemetry.dead_letters_held(parts.operations.letters.total());
    if count > 0 {
        parts.telemetry.lifecycle(words);
    }
}

/// Puts one dead letter back to work.
///
/// One that was put back to work before is answered with that.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/replay", tag = "dead letters", operation_id = "replayDeadLetter", params(IdParams),
    responses(
        (status = 200, description = "It is on its way.", body = ReplayedOneShape, example = json!({
        "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "isNew": true,
        "replayed": { "generation": 1, "how": "replay", "by": "admin", "at": "2026-04-01T08:00:00.000Z" }
    })),
        (
            status = 409, description = "Its webhook is deleted, or others are at it all the time.", body = ProblemShape,
            content_type = "application/problem+json"
        )
    )
)]
pub(in crate::api::operators) async fn replay_one(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    Id(id): Id<DeliveryId>,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let by = by.name();
    let work = async move {
        let operations = &parts.operations;
        let is_new = match operations.replay_one(&id, &by).await.map_err(|error| failed(&error))? {
            ReplayedOne::Sent(_) => true,
            ReplayedOne::NotThere => false,
            ReplayedOne::ToDeleted(webhook) => return Err(to_deleted(&id, &webhook)),
        };
        if is_new {
            told(&parts, &format!("{by} has put the dead letter {id} back to work"), 1);
        }
        // What was replayed before is, and there is nothing more to do.
        let replays = operations.letters.replays(&id).await.map_err(|error| record_failed(&error))?;
        let replayed = replays.last().map(Replayed::to_shape).ok_or_else(|| no_letter(&id))?;
        Ok(found(&ReplayedOneShape { id: id.to_string(), is_new, replayed: Some(replayed) }))
    };
    on_its_own(work).await?
}

/// Deletes one dead letter for good.
#[utoipa::path(
    delete, path = "/v1/dead-letters/{id}", tag = "dead letters", operation_id = "deleteDeadLetter", params(IdParams),
    responses((status = 200, description = "It is deleted.", body = DeletedShape, example = json!({
        "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "count": 1
    })))
)]
pub(in crate::api::operators) async fn delete(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    Id(id): Id<DeliveryId>,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    // By filter, which needs not read it: what cannot be read can be deleted too.
    let filter = Filter { ids: vec![id.clone()], ..Filter::default() };
    let run = parts.operations.purge(&filter, Until::DONE, |_| {}).await.map_err(|error| failed(&error))?;
    if run.count == 0 {
        return Err(no_letter(&id));
    }
    told(&parts, &format!("{} has deleted the dead letter {id}", by.name()), 1);
    Ok(found(&DeletedShape { id: id.to_string(), count: run.count }))
}
