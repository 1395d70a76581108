//! `GET /v1/webhooks` and `GET /v1/webhooks/{id}`: the registrations with their state.
//!
//! | parameter | is |
//! |---|---|
//! | `user` | those of this user |
//! | `system` | `true`: only system webhooks; `false`: only users' |
//! | `source` | those of this source |
//! | `status` | those that are `active`, `paused`, `deactivated` |
//! | `limit` | how many, 1 to 1000; default 100 |
//! | `cursor` | `next` of the page before |
//!
//! Secrets are never told, nor, to whoever may only look, what stands behind the host in a URL. Changes go over Misskey's
//! management API.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::by::By;
use super::params::{Id, Params, in_path, in_query, quoted};
use super::problem::Problem;
use super::{OperatorsParts, found};
use crate::model::{Access, Owner, Source, Status, Timestamp, UserId, Webhook, WebhookId, described};
use crate::record::LatestAttempt;
use crate::registry::Filter;
use crate::shown::{Revealed, WebhookShape};

const LIMIT_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 100;
/// Webhooks whose latest attempts are asked for one by one; of more, all are read at once.
const ASKED_SINGLY_MAX: usize = 16;
/// What a webhook can be.
const STATUSES: [&str; 3] = ["active", "paused", "deactivated"];

/// Parameters, as the document has them; [`Asked`] reads them.
pub(super) struct ListParams;

impl utoipa::IntoParams for ListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let system = "`true`: only system webhooks; `false`: only users'.";
        vec![
            in_query("user", "Those of this user.", described::id()),
            in_query("system", system, described::flag()),
            in_query("source", "Those of this source.", described::id()),
            in_query("status", "Those that are so.", described_status()),
            in_query("limit", "How many.", described::limit()),
            in_query("cursor", "`next` of the page before.", described_cursor()),
        ]
    }
}

/// The id in the path.
pub(super) struct ShowParams;

impl utoipa::IntoParams for ShowParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("id", "The webhook's id.", described::token())]
    }
}

fn described_status() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(STATUSES)).build()
}

fn described_cursor() -> Object {
    let pattern = r"^(0|[1-9][0-9]{0,14})\.[A-Za-z0-9_.-]{1,128}$";
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// Some of the webhooks.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
struct WebhooksShape<'a> {
    /// The oldest first.
    webhooks: Vec<WebhookShape>,
    /// The next page's `cursor`; null: this was the last.
    #[schema(required)]
    next: Option<String>,
    /// Registrations of the store that cannot be read, in words; they hide no other.
    problems: &'a [String],
}

/// The place of a webhook in the listing. As text: `created_at_ms.id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    created_at: Timestamp,
    id: WebhookId,
}

impl Place {
    fn of(webhook: &Webhook) -> Self {
        Self { created_at: webhook.created_at, id: webhook.id.clone() }
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let wrong = "it is no place in a list of webhooks; take the `next` of the page before, or begin without one";
        let (ms, id) = text.split_once('.').ok_or(wrong)?;
        let place = Self {
            created_at: Timestamp::from_millis(ms.parse().map_err(|_| wrong)?),
            id: WebhookId::new(id).map_err(|_| wrong)?,
        };
        // `+5`, `05` and `-5` are numbers too, and none that we wrote.
        if place.text() == text && !text.starts_with('-') { Ok(place) } else { Err(wrong) }
    }

    fn text(&self) -> String {
        format!("{}.{}", self.created_at.as_millis(), self.id)
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    owner: Option<Owner>,
    is_system: Option<bool>,
    source: Option<Source>,
    status: Option<String>,
    limit: usize,
    cursor: Option<Place>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let user = params.get("user", UserId::new);
        let is_system = params.get("system", |text| {
            text.parse::<bool>().map_err(|_| format!("{} is neither true nor false", quoted(text)))
        });
        let status = params.get("status", |text| {
            let is_known = STATUSES.contains(&text);
            if is_known {
                Ok(text.to_owned())
            } else {
                Err(format!("{} is none of {}", quoted(text), STATUSES.join(", ")))
            }
        });
        let asked = Self {
            owner: user.map(Owner::User),
            is_system,
            source: params.get("source", Source::new),
            status,
            limit: params.whole("limit", 1..=LIMIT_MAX).unwrap_or(LIMIT_DEFAULT) as usize,
            cursor: params.get("cursor", Place::read),
        };
        params.finish().map(|()| asked)
    }

    fn has(&self, webhook: &Webhook) -> bool {
        let status = match webhook.status {
            Status::Active => "active",
            Status::Paused => "paused",
            Status::Deactivated(_) => "deactivated",
        };
        self.is_system.is_none_or(|is_system| (webhook.owner == Owner::System) == is_system)
            && self.status.as_ref().is_none_or(|wanted| wanted == status)
            && self.cursor.as_ref().is_none_or(|cursor| Place::of(webhook) > *cursor)
    }
}

/// The registered webhooks with their state, the oldest first.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks", params(ListParams),
    responses((status = 200, description = "A page.", body = WebhooksShape, example = json!({
        "webhooks": [{
            "id": "wh1", "userId": "9ks5o1w5k3x90001", "source": "default", "name": "my bot", "url": "https://bot.example/hook",
            "on": ["note", "mention"], "active": false, "status": "deactivated (gone)",
            "deactivatedAt": "2026-03-31T12:34:56.789Z", "failingSince": "2026-03-31T12:34:56.789Z", "secret": "***",
            "format": "misskey", "sendSecret": true, "signingSecret": null, "signingPublicKey": null,
            "previousSigningSecrets": [], "previousSigningKeys": [], "clientCertificate": null, "retryScheduleS": null,
            "maxAgeS": null, "timeoutMs": null, "rateLimit": null, "filters": [], "declaredIn": "store",
            "latestSentAt": "2026-03-31T12:34:56.789Z", "latestStatus": 410
        }],
        "next": null, "problems": []
    })))
)]
pub(super) async fn list(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref())?;
    let filter = Filter { owner: asked.owner.clone(), source: asked.source.clone() };
    let mut webhooks = parts.registry.list(&filter);
    webhooks.retain(|webhook| asked.has(webhook));
    let is_last = webhooks.len() <= asked.limit;
    webhooks.truncate(asked.limit);
    let next = webhooks.last().filter(|_| !is_last).map(|webhook| Place::of(webhook).text());
    let latest = latest_of(&parts, &webhooks).await?;
    let (now, revealed) = (parts.clock.now(), revealed_to(&by));
    let shape = |webhook: &Arc<Webhook>| WebhookShape::of(webhook, latest.get(&webhook.id).copied(), now, revealed);
    let webhooks = webhooks.iter().map(shape).collect();
    Ok(found(&WebhooksShape { webhooks, next, problems: parts.registry.snapshot().problems() }))
}

/// One webhook with its state.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "showWebhook", params(ShowParams),
    responses((status = 200, description = "It is there.", body = WebhookShape, example = json!({
        "id": "wh1", "userId": null, "source": "default", "name": "", "url": "https://bot.example/hook", "on": ["abuseReport"],
        "active": true, "status": "active", "deactivatedAt": null, "failingSince": null, "secret": "", "format": "misskey",
        "sendSecret": true, "signingSecret": null, "signingPublicKey": null, "previousSigningSecrets": [],
        "previousSigningKeys": [], "clientCertificate": null, "retryScheduleS": null, "maxAgeS": null, "timeoutMs": null,
        "rateLimit": {"perSecond": 5.0, "burst": 10}, "filters": [], "declaredIn": "settings file", "latestSentAt": null,
        "latestStatus": null
    })))
)]
pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    Id(id): Id<WebhookId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    let absent = |_| Problem::of(StatusCode::NOT_FOUND, format!("there is no webhook {id}; it may have been deleted"));
    let webhook = parts.registry.show(&id).map_err(absent)?;
    let latest = parts.latest.of(&id).await.map_err(|error| Problem::unavailable(&error))?;
    Ok(found(&WebhookShape::of(&webhook, latest, parts.clock.now(), revealed_to(&by))))
}

fn revealed_to(By(operator): &By) -> Revealed {
    Revealed { path: operator.access == Access::Full, ..Revealed::default() }
}

async fn latest_of(
    parts: &OperatorsParts,
    webhooks: &[Arc<Webhook>],
) -> Result<HashMap<WebhookId, LatestAttempt>, Problem> {
    let unavailable = |error| Problem::unavailable(&error);
    if webhooks.len() > ASKED_SINGLY_MAX {
        return parts.latest.all().await.map_err(unavailable);
    }
    let mut found = HashMap::new();
    for webhook in webhooks {
        let latest = parts.latest.of(&webhook.id).await.map_err(unavailable)?;
        found.extend(latest.map(|latest| (webhook.id.clone(), latest)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_each_mistake_names_its_parameter() {
        let asked = Asked::read(Some("system=true&status=paused&limit=5&cursor=17.wh.1")).expect("right");
        let place = Place { created_at: Timestamp::from_millis(17), id: WebhookId::new("wh.1").expect("an id") };
        assert_eq!((asked.is_system, asked.status.as_deref(), asked.limit), (Some(true), Some("paused"), 5));
        assert_eq!(asked.cursor, Some(place));
        for (query, parameter, words) in [
            ("system=perhaps", "system", "neither true nor false"),
            ("status=asleep", "status", "none of active, paused, deactivated"),
            ("cursor=017.a", "cursor", "no place in a list of webhooks"),
            ("cursor=%2B17.a", "cursor", "no place in a list of webhooks"),
            ("cursor=-17.a", "cursor", "no place in a list of webhooks"),
            ("cursor=5.", "cursor", "no place in a list of webhooks"),
            ("limit=0", "limit", "from 1 to 1000"),
            ("usr=u1", "usr", "there is no such parameter"),
        ] {
            let told = format!("{:?}", Asked::read(Some(query)).expect_err(query));
            assert!(told.contains(&format!("parameter: {parameter:?}")) && told.contains(words), "{query}: {told}");
        }
    }
}
