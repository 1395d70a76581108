//! Misskey's management API: webhooks, made and changed as in Misskey itself, so that misskey-js and every client that
//! manages webhooks there does so here.
//!
//! | path | parameters | answer |
//! |---|---|---|
//! | `POST /api/i/webhooks/create` | `name, url, secret?, on` | 200, the webhook |
//! | `POST /api/i/webhooks/list`, `.../show` | -, `webhookId` | 200, the webhooks, the webhook |
//! | `POST /api/i/webhooks/update`, `.../delete` | `webhookId, name?, url?, secret?, on?, active?` | 204 |
//! | `POST /api/i/webhooks/test` | `webhookId, type, override?` | 204, and a dummy event goes out |
//! | `POST /api/admin/system-webhook/create`, `.../update` | `id, isActive, name, url, secret?, on` | 200, the webhook |
//! | `POST /api/admin/system-webhook/{list,show,delete,test}` | as above, `id` | as above |
//!
//! A call goes: the body is read within limits ([`door`]), the token says who calls ([`caller`]), then the endpoint
//! ([`user`], [`system`]) checks the parameters ([`params`], [`fields`]) and asks the registry. Answers are [`shape`]s,
//! refusals [`error`]s. [`signing`] has secrets and keys made. Names of options of hikyaku's own are in camel case beside Misskey's. No browser of another origin
//! may call: there are no CORS headers.

mod allowance;
mod caller;
mod client_certificate;
mod door;
mod error;
mod fields;
mod params;
mod shape;
mod signing;
mod strikes;
mod system;
mod testing;
mod user;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Extension, Router};
use url::Url;

use self::allowance::Allowance;
use self::caller::{Caller, Callers};
use self::door::Door;
use self::error::ApiError;
use self::params::Params;
use self::shape::Answer;
use self::strikes::Strikes;
use crate::clock::SharedClock;
use crate::decide::AddressPolicy;
use crate::deliver::Tester;
use crate::incoming::{Proxies, bearer, drain};
use crate::misskey::{Need, People};
use crate::model::{Peer, Subscribable, Tokens, Webhook, WebhookId};
use crate::record::{Latest, LatestAttempt, RecordError};
use crate::registry::{Registry, RegistryError};
use crate::telemetry::{SharedTelemetry, chain};

/// How long the rest of a request that is refused is read and thrown away.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Webhooks whose latest attempts are asked for one by one; of more, all are read at once.
const ASKED_SINGLY_MAX: usize = 16;

/// What the management API works with.
#[derive(Clone, Debug)]
pub struct ManagementParts {
    /// The webhooks.
    pub registry: Arc<Registry>,
    /// Their latest attempts.
    pub latest: Arc<Latest>,
    /// Sends tests.
    pub tester: Tester,
    /// Knows people by their own tokens; none: only the admin may call.
    pub people: Option<People>,
    /// Time.
    pub clock: SharedClock,
    /// Where happenings are told.
    pub telemetry: SharedTelemetry,
}

/// What the management API allows.
#[derive(Clone, Debug)]
pub struct ManagementPolicy {
    /// The operators, of whom those with full access manage everything.
    pub tokens: Tokens,
    /// The event types that a registration may name.
    pub types: Subscribable,
    /// Webhooks that a person may have.
    pub webhook_limit: usize,
    /// For how long a signing secret signs besides after another took its place, unless the call says otherwise.
    pub signing_grace: Duration,
    /// The addresses that a webhook's URL may have as its host.
    pub addresses: AddressPolicy,
    /// Who may say whom a request comes from.
    pub proxies: Proxies,
}

struct Management {
    parts: ManagementParts,
    types: Subscribable,
    webhook_limit: usize,
    signing_grace: Duration,
    addresses: AddressPolicy,
    proxies: Proxies,
    door: Door,
    callers: Callers,
    allowance: Allowance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    UserCreate,
    UserList,
    UserShow,
    UserUpdate,
    UserDelete,
    UserTest,
    SystemCreate,
    SystemList,
    SystemShow,
    SystemUpdate,
    SystemDelete,
    SystemTest,
}

impl Endpoint {
    /// What a person's token has to be good for. A test can show the webhook's secret to another address, so it needs
    /// what reading it needs.
    fn needs(self) -> &'static [Need] {
        match self {
            Self::UserCreate | Self::UserUpdate | Self::UserDelete => &[Need::Write],
            Self::UserList | Self::UserShow => &[Need::ReadSecrets],
            Self::UserTest => &[Need::Write, Need::ReadSecrets],
            Self::SystemCreate
            | Self::SystemList
            | Self::SystemShow
            | Self::SystemUpdate
            | Self::SystemDelete
            | Self::SystemTest => &[Need::SystemWebhooks],
        }
    }
}

const ENDPOINTS: [(&str, Endpoint); 12] = [
    ("/api/i/webhooks/create", Endpoint::UserCreate),
    ("/api/i/webhooks/list", Endpoint::UserList),
    ("/api/i/webhooks/show", Endpoint::UserShow),
    ("/api/i/webhooks/update", Endpoint::UserUpdate),
    ("/api/i/webhooks/delete", Endpoint::UserDelete),
    ("/api/i/webhooks/test", Endpoint::UserTest),
    ("/api/admin/system-webhook/create", Endpoint::SystemCreate),
    ("/api/admin/system-webhook/list", Endpoint::SystemList),
    ("/api/admin/system-webhook/show", Endpoint::SystemShow),
    ("/api/admin/system-webhook/update", Endpoint::SystemUpdate),
    ("/api/admin/system-webhook/delete", Endpoint::SystemDelete),
    ("/api/admin/system-webhook/test", Endpoint::SystemTest),
];

/// The routes of the management API.
pub fn management(parts: ManagementParts, policy: ManagementPolicy) -> Router {
    let strikes = Strikes::new(Arc::clone(&parts.clock), Arc::clone(&parts.telemetry));
    let management = Arc::new(Management {
        types: policy.types,
        webhook_limit: policy.webhook_limit,
        signing_grace: policy.signing_grace,
        addresses: policy.addresses,
        proxies: policy.proxies,
        door: Door::new(),
        callers: Callers::new(policy.tokens, parts.people.clone(), strikes),
        allowance: Allowance::default(),
        parts,
    });
    let mut router = Router::new();
    for (path, endpoint) in ENDPOINTS {
        let take = async move |State(management): State<Arc<Management>>,
                               from: Connection,
                               headers: HeaderMap,
                               body: Body| { management.take(endpoint, from, &headers, body).await };
        router = router.route(path, post(take).fallback(async || ApiError::not_post()));
    }
    router.route("/api/{*unknown}", any(async || ApiError::unknown_endpoint())).with_state(management)
}

/// What is answered in their place by a process that serves none of it.
pub fn no_management() -> Router {
    Router::new().route("/api/{*any}", any(async || ApiError::not_served()))
}

/// Where a connection comes from, as the listener says.
type Connection = Option<Extension<ConnectInfo<SocketAddr>>>;

impl Management {
    async fn take(&self, endpoint: Endpoint, from: Connection, headers: &HeaderMap, mut body: Body) -> Response {
        // Those of whom it is not said count together.
        let address = from.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(ConnectInfo(socket))| socket.ip());
        let peer = self.proxies.peer(address, headers);
        match self.answer(endpoint, peer, headers, &mut body).await {
            Ok(answer) => answer.into_response(),
            Err(error) => {
                drain(headers, body, DRAIN_WAIT_MAX).await;
                error.into_response()
            }
        }
    }

    async fn answer(
        &self,
        endpoint: Endpoint,
        peer: Peer,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Answer, ApiError> {
        let is_admin = bearer(headers).is_some_and(|token| self.callers.is_admin(token));
        let params = self.door.read(headers, body, is_admin).await?;
        let caller = self.callers.who(peer, door::token(headers, &params)?, endpoint.needs()).await?;
        self.call(endpoint, &caller, &params).await
    }

    async fn call(&self, endpoint: Endpoint, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        match endpoint {
            Endpoint::UserCreate => self.user_create(caller, params).await,
            Endpoint::UserList => self.user_list(caller, params).await,
            Endpoint::UserShow => self.user_show(caller, params).await,
            Endpoint::UserUpdate => self.user_update(caller, params).await,
            Endpoint::UserDelete => self.user_delete(caller, params).await,
            Endpoint::UserTest => self.user_test(caller, params).await,
            Endpoint::SystemCreate => self.system_create(params).await,
            Endpoint::SystemList => self.system_list(params).await,
            Endpoint::SystemShow => self.system_show(params).await,
            Endpoint::SystemUpdate => self.system_update(params).await,
            Endpoint::SystemDelete => self.system_delete(params).await,
            Endpoint::SystemTest => self.system_test(caller, params).await,
        }
    }

    /// The URL, if it is given. One that is an address must not be forbidden, unless it is that of the webhook `now`: who changes
    /// something else, and has to give it, has not chosen it. Names are resolved, and checked, when something is sent.
    fn url(&self, params: &Params, now: Option<&Webhook>) -> Result<Option<Url>, ApiError> {
        let url = fields::url(params)?;
        let chosen = url.as_ref().filter(|url| now.is_none_or(|now| now.url != **url));
        let checked = chosen.map_or(Ok(()), |url| self.addresses.check_url(url));
        checked.map_err(|forbidden| ApiError::param("url", forbidden.to_string()))?;
        Ok(url)
    }

    /// The latest attempt for `webhook`.
    async fn latest(&self, webhook: &Webhook) -> Result<Option<LatestAttempt>, ApiError> {
        self.parts.latest.of(&webhook.id).await.map_err(|error| self.record_failed(&error))
    }

    /// The latest attempts for `webhooks`. For a person's few they are asked for one by one: all are very many.
    async fn latest_of(&self, webhooks: &[Arc<Webhook>]) -> Result<HashMap<WebhookId, LatestAttempt>, ApiError> {
        if webhooks.len() > ASKED_SINGLY_MAX {
            return self.parts.latest.all().await.map_err(|error| self.record_failed(&error));
        }
        let mut found = HashMap::new();
        for webhook in webhooks {
            found.extend(self.latest(webhook).await?.map(|latest| (webhook.id.clone(), latest)));
        }
        Ok(found)
    }

    fn record_failed(&self, error: &RecordError) -> ApiError {
        self.parts.telemetry.trouble("the management API cannot use the latest attempts", error);
        ApiError::internal(format!("the store does not answer; try again: {}", chain(error)))
    }

    /// What the registry refused, as a person is told it; `absent` when there is no such webhook.
    fn refused(&self, error: &RegistryError, absent: ApiError) -> ApiError {
        match error {
            RegistryError::NotFound { .. } => absent,
            RegistryError::Declared { .. } => ApiError::declared(error.to_string()),
            RegistryError::Full { max } => ApiError::too_many_webhooks(*max),
            RegistryError::Taken { .. }
            | RegistryError::Deleted { .. }
            | RegistryError::Damaged { .. }
            | RegistryError::DeclaredAndStored { .. }
            | RegistryError::KeysMissing { .. }
            | RegistryError::NoRandomness
            | RegistryError::DeclaredTwice { .. } => ApiError::internal(chain(error)),
            RegistryError::Store(store) => {
                self.parts.telemetry.trouble("the management API cannot change a webhook", error);
                let became = if store.is_in_doubt() { "look whether it was changed" } else { "nothing was changed" };
                ApiError::internal(format!("{became}; try again: {}", chain(error)))
            }
        }
    }
}
