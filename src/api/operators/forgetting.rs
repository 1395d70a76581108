//! `POST /v1/forget`: erases a person.
//!
//! | parameter | is |
//! |---|---|
//! | `user` | the user's id at Misskey; needed |
//! | `source` | which Misskey; default `default` |
//!
//! 200: `{"user":"..","source":"default","webhooks":2,"declaredWebhooks":[],"deliveries":120,"attempts":130,"bodies":110,"deadLetters":4,"queueTrouble":null}`.
//! It works on when whoever sent the request has gone; asked again, it erases what is left.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use utoipa::ToSchema;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::by::By;
use super::dead_letters::failed;
use super::no_body::NoBody;
use super::params::{Params, in_query};
use super::problem::{Mistake, Problem};
use super::{OperatorsParts, found, on_its_own};
use crate::model::{Source, UserId, described};
use crate::operate::{self, ForgetPlaces};

/// The parameters, as the document has them.
pub(super) struct ForgetParams;

impl utoipa::IntoParams for ForgetParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut user = in_query("user", "The user's id at Misskey.", described::id());
        user.required = Required::True;
        vec![user, in_query("source", "Which Misskey; `default` unless given.", described::id())]
    }
}

/// What was erased of a person.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Forgotten)]
#[expect(dead_code, reason = "it is only described: `ForgetReport::to_json` writes it")]
struct ForgottenShape {
    /// The user's id at Misskey.
    #[schema(schema_with = described::id)]
    user: String,
    /// Which Misskey.
    #[schema(schema_with = described::id)]
    source: String,
    /// Webhooks that were deleted.
    webhooks: u64,
    /// Webhooks of the person that the settings file declares: take them out there.
    declared_webhooks: Vec<String>,
    /// Deliveries that the history had.
    deliveries: u64,
    /// Attempts that it had.
    attempts: u64,
    /// Events' bodies that it had.
    bodies: u64,
    /// Dead letters.
    dead_letters: u64,
    /// Why the queue cannot be reached now; null when it can. What lies in it is dropped as it comes by all the same.
    #[schema(required)]
    queue_trouble: Option<String>,
}

fn read(query: Option<&str>) -> Result<(Source, UserId), Problem> {
    let mut params = Params::of(query);
    let user = params.get("user", UserId::new);
    let source = params.get("source", Source::new).unwrap_or_default();
    params.finish()?;
    let missing = || Mistake { parameter: "user".to_owned(), detail: "say whom: the user's id at Misskey".to_owned() };
    Ok((source, user.ok_or_else(|| Problem::mistakes(vec![missing()]))?))
}

/// Erases a person: webhooks, history, dead letters, and what is still queued as it comes by.
///
/// It takes some seconds, and works on when whoever asked has gone; asked again, it erases what is left.
#[utoipa::path(
    post, path = "/v1/forget", tag = "people", operation_id = "forget", params(ForgetParams),
    responses((status = 200, description = "What was erased.", body = ForgottenShape, example = json!({
        "user": "9ks5o1w5k3x90001", "source": "default", "webhooks": 2, "declaredWebhooks": [], "deliveries": 120,
        "attempts": 130, "bodies": 110, "deadLetters": 4, "queueTrouble": null
    })))
)]
pub(super) async fn forget(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let (source, user) = read(query.as_deref())?;
    let work = async move {
        let OperatorsParts { registry, latest, stored_history, operations, .. } = &*parts;
        let places = ForgetPlaces { letters: &operations.letters, registry, latest, history: stored_history };
        let mut report = operate::forget(places, &source, &user).await.map_err(|error| failed(&error))?;
        report.queue_trouble = Some(parts.queue.health().join("; ")).filter(|words| !words.is_empty());
        // Not whom: the log outlives what is erased.
        parts.telemetry.lifecycle(&format!("{} has had a person forgotten", by.name()));
        parts.telemetry.dead_letters_held(parts.operations.letters.total());
        Ok(found(&report.to_json(&source, &user)))
    };
    on_its_own(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_by_user_and_source() {
        let (source, user) = read(Some("user=9ks5o1w5k3x90001")).expect("right");
        assert_eq!((source, user.as_str()), (Source::default(), "9ks5o1w5k3x90001"));
        for (query, parameter) in
            [("", "user"), ("user=", "user"), ("user=a&source=", "source"), ("user=a&dryRun=true", "dryRun")]
        {
            let told = format!("{:?}", read(Some(query)).expect_err(query));
            assert!(told.contains(&format!("parameter: {parameter:?}")), "{query}: {told}");
        }
    }
}
