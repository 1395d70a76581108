//! `POST /v1/deliveries/resend` and `POST /v1/deliveries/{id}/resend`: sends again what was sent before.
//!
//! Of many it works in steps for as long as [`WORK_MAX`], also when whoever sent the request has gone, and then answers how far it
//! came: `{"count":4000,"underWay":3,"withoutBody":0,"done":false,"next":"..","before":"..","dryRun":false,"problems":[]}`. The same
//! request with `cursor` as `next` was answered goes on; with `before` as it was answered, from the beginning too, since what was
//! sent again after that is left alone.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::by::By;
use super::dead_letters::acting::ReplayedOneShape;
use super::dead_letters::{failed, flag, to_deleted};
use super::deliveries::{ShowParams, filter_of, history, moment, which};
use super::no_body::NoBody;
use super::params::{Id, Params, in_query};
use super::problem::{Mistake, Problem, ProblemShape};
use super::{OperatorsParts, WORK_MAX, found, on_its_own};
use crate::model::{DeliveryId, Timestamp, described};
use crate::operate::{Resend, Resent, ResentOne, Until};
use crate::record::{HistoryCursor, HistoryFilter, Replayed};

/// How far a request came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ResentThrough)]
struct Came {
    /// Deliveries that are sent again; in a dry run, that would be.
    count: u64,
    /// Those that are on their way already, or were put back to work since `before`.
    under_way: u64,
    /// Those whose body is not kept.
    without_body: u64,
    /// Whether that is all.
    done: bool,
    /// The next request's `cursor`.
    #[schema(required)]
    next: Option<String>,
    /// When this began.
    #[schema(schema_with = described::moment)]
    before: String,
    /// Whether nothing was sent.
    dry_run: bool,
    /// Deliveries that cannot be read, in words.
    problems: Vec<String>,
}

/// The parameters, as the document has them.
pub(super) struct ResendParams;

impl utoipa::IntoParams for ResendParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let before = "Not what was put back to work at this moment or later; now, unless given.";
        let mut parameters = which();
        parameters.extend([
            in_query("all", "Every delivery; needed where nothing else says which.", described::flag()),
            in_query("before", before, described::moment_or_age()),
            in_query("cursor", "`next` of the answer before.", described::delivery_cursor()),
            in_query("dryRun", "Sends nothing, and tells how many it would be.", described::flag()),
        ]);
        parameters
    }
}

fn read(query: Option<&str>, now: Timestamp) -> Result<Resend, Problem> {
    let mut params = Params::of(query);
    let filter = filter_of(&mut params, now);
    let all = params.get("all", flag).unwrap_or(false);
    let resend = Resend {
        before: params.get("before", |text| moment(text, now)).unwrap_or(now),
        after: params.get("cursor", str::parse::<HistoryCursor>),
        is_dry: params.get("dryRun", flag).unwrap_or(false),
        filter,
    };
    params.finish()?;
    let detail = match (resend.filter == HistoryFilter::default(), all) {
        (true, false) => "say which deliveries (webhook, event, type, state, since, until), or all=true",
        (false, true) => "give either all=true or which deliveries, not both",
        _ => return Ok(resend),
    };
    Err(Problem::mistakes(vec![Mistake { parameter: "all".to_owned(), detail: detail.to_owned() }]))
}

/// Sends again what was sent before, those deliveries that are meant.
///
/// It works for 20 seconds at most, also when whoever asked has gone; while `done` is false, go on with `cursor` as `next` says, and
/// `before` as it was answered.
#[utoipa::path(
    post, path = "/v1/deliveries/resend", tag = "deliveries", operation_id = "resendDeliveries", params(ResendParams),
    responses(
        (status = 200, description = "How far it came.", body = Came, example = json!({
            "count": 120, "underWay": 3, "withoutBody": 0, "done": true, "next": null,
            "before": "2026-04-01T08:00:00.000Z", "dryRun": false, "problems": []
        })),
        (status = 409, description = "Others are at it all the time.", body = ProblemShape, content_type = "application/problem+json")
    )
)]
pub(super) async fn resend(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let resend = read(query.as_deref(), parts.clock.now())?;
    history(&parts)?;
    let by = by.name();
    let work = async move {
        let Resent { count, under_way, without_body, next, problems } = parts
            .operations
            .resend(history(&parts)?, &resend, &by, Until::within(WORK_MAX))
            .await
            .map_err(|error| failed(&error))?;
        if count > 0 && !resend.is_dry {
            parts.telemetry.lifecycle(&format!("{by} has sent {count} deliveries again"));
        }
        let (next, before) = (next.map(|next| next.to_string()), resend.before.to_rfc3339());
        let (done, dry_run) = (next.is_none(), resend.is_dry);
        Ok(found(&Came { count, under_way, without_body, done, next, before, dry_run, problems }))
    };
    on_its_own(work).await?
}

/// Sends one delivery again that has ended, whatever came of it.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resend", tag = "deliveries", operation_id = "resendDelivery", params(ShowParams),
    responses(
        (status = 200, description = "It is on its way.", body = ReplayedOneShape, example = json!({
            "id": "msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "isNew": true,
            "replayed": { "generation": 1, "how": "resend", "by": "admin", "at": "2026-04-01T08:00:00.000Z" }
        })),
        (
            status = 409, description = "Its body is not kept, its webhook is deleted, or others are at it all the time.", body = ProblemShape,
            content_type = "application/problem+json"
        )
    )
)]
pub(super) async fn resend_one(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    Id(id): Id<DeliveryId>,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    history(&parts)?;
    let by = by.name();
    let work = async move {
        let operations = &parts.operations;
        let resent = operations.resend_one(history(&parts)?, &id, &by).await.map_err(|error| failed(&error))?;
        let is_new = match resent {
            ResentOne::Sent(_) => true,
            ResentOne::UnderWay => false,
            ResentOne::WithoutBody => {
                return Err(Problem::of(
                    StatusCode::CONFLICT,
                    format!(
                        "the delivery {id} cannot be sent again: its event's body is not kept any more, or never was \
                         (history.bodies, history.bodies_retention_s, history.bodies_bytes_max)"
                    ),
                ));
            }
            ResentOne::ToDeleted(webhook) => return Err(to_deleted(&id, &webhook)),
            ResentOne::Unknown => return Err(super::deliveries::unknown(&id)),
        };
        if is_new {
            parts.telemetry.lifecycle(&format!("{by} has sent the delivery {id} again"));
        }
        let replays = operations.letters.replays(&id).await.map_err(|error| Problem::unavailable(&error))?;
        let replayed = replays.last().map(Replayed::to_shape);
        Ok(found(&ReplayedOneShape { id: id.to_string(), is_new, replayed }))
    };
    on_its_own(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

    #[test]
    fn what_is_to_be_sent_again_is_read_and_nothing_is_meant_by_saying_nothing() {
        let resend = read(Some("webhook=wh1&since=2h&before=1h&cursor=5.6&dryRun=true"), NOW).expect("right");
        assert_eq!(resend.before, NOW.minus(std::time::Duration::from_secs(3600)));
        assert!(resend.is_dry && resend.after == "5.6".parse().ok() && resend.filter.webhook.is_some());
        assert_eq!(read(Some("all=true"), NOW).expect("right").before, NOW);
        for (query, parameter) in [
            ("", "all"),
            ("all=true&state=dead", "all"),
            ("webhook=wh1&before=soon", "before"),
            ("webhook=wh1&cursor=5", "cursor"),
            ("webhook=wh1&limit=5", "limit"),
        ] {
            let told = format!("{:?}", read(Some(query), NOW).expect_err(query));
            assert!(told.contains(&format!("parameter: {parameter:?}")), "{query}: {told}");
        }
    }
}
