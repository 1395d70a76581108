//! A stand-in for Misskey on loopback: it answers its API's calls as Misskey 2026.3.2 does, from data that a test puts in.
//!
//! Served are `i`, `i/webhooks/*` (but for `test`), `admin/system-webhook/list`, `admin/queue/jobs` and `miauth/../check`, with
//! Misskey's permissions, codes, ids, statuses and shapes ([`endpoints`], [`refusal`]). A test gives it people, tokens,
//! webhooks, failed jobs and sessions ([`world`]), and says how it is to behave ([`Mood`]). It sends no webhooks.

mod endpoints;
mod refusal;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use endpoints::{SYSTEM_QUEUE, USER_QUEUE};
pub(crate) use refusal::Refusal;
pub(crate) use world::{GivenUp, World};

/// How it behaves.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    /// As Misskey does.
    #[default]
    Well,
    /// As a proxy does that finds no Misskey behind it, or something else altogether: this status and body.
    Answers(u16, &'static str),
    /// It sends whoever asks elsewhere.
    Redirects,
    /// 200, and then its connection breaks off.
    BreaksOff,
    /// As Misskey does, but not before [`Misskey::release`].
    Held,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Such as `i/webhooks/list`.
    pub(crate) endpoint: String,
    /// The headers, names in lower case.
    pub(crate) headers: HeaderMap,
    /// The body; null when it was no JSON.
    pub(crate) params: Value,
}

/// A running stand-in; it ends when it is dropped.
pub(crate) struct Misskey {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    world: Mutex<World>,
    mood: watch::Sender<Mood>,
    calls: watch::Sender<Vec<Call>>,
}

impl Misskey {
    /// Starts one with nobody on it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            world: Mutex::new(World::default()),
            mood: watch::Sender::new(Mood::Well),
            calls: watch::Sender::new(Vec::new()),
        });
        let router = Router::new().route("/api/{*endpoint}", any(answer)).with_state(Arc::clone(&shared));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, shared, _serving: serving }
    }

    /// `misskey.url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts something into it, or looks at what is there.
    pub(crate) fn world<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        with(&mut self.shared.world.lock().unwrap())
    }

    /// Makes it behave so from now on.
    pub(crate) fn behave(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// Lets the answers go that are held, and behave well again.
    pub(crate) fn release(&self) {
        self.behave(Mood::Well);
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.borrow().clone()
    }

    /// How often `endpoint` was called so far.
    pub(crate) fn count(&self, endpoint: &str) -> usize {
        self.shared.calls.borrow().iter().filter(|call| call.endpoint == endpoint).count()
    }

    /// Waits until there were `count` calls of `endpoint`.
    pub(crate) async fn wait_for(&self, endpoint: &str, count: usize) {
        let come = |calls: &Vec<Call>| calls.iter().filter(|call| call.endpoint == endpoint).count() >= count;
        let mut calls = self.shared.calls.subscribe();
        let waited = super::patience::soon("Misskey is called", async move { calls.wait_for(come).await.map(drop) });
        waited.await.expect("it is there");
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let call = Call { endpoint: endpoint.clone(), headers: headers.clone(), params: params.clone() };
    shared.calls.send_modify(|calls| calls.push(call));
    let mood = shared.mood.borrow().clone();
    match mood {
        Mood::Well => {}
        Mood::Answers(status, body) => {
            return (StatusCode::from_u16(status).expect("a status"), [(CONTENT_TYPE, "text/html")], body)
                .into_response();
        }
        Mood::Redirects => return (StatusCode::FOUND, [(LOCATION, "/elsewhere")]).into_response(),
        Mood::BreaksOff => {
            let broken = futures_util::stream::iter([Ok("{\"id\":"), Err("broken off")]);
            return Body::from_stream(broken).into_response();
        }
        Mood::Held => {
            let mut mood = shared.mood.subscribe();
            mood.wait_for(|mood| matches!(mood, Mood::Well)).await.map(drop).expect("it is there");
        }
    }
    // Bearer tokens come first, and `Bearer` is told apart by case.
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = bearer.map(|token| json!(token)).or_else(|| params.get("i").cloned()).unwrap_or_default();
    let answered = endpoints::answer(&mut shared.world.lock().unwrap(), &endpoint, &token, &params);
    match answered {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(json)) => (StatusCode::OK, [(CONTENT_TYPE, "application/json; charset=UTF-8")], json).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).expect("a status");
    let mut response = (status, [(CONTENT_TYPE, "application/json; charset=UTF-8")], refusal.json()).into_response();
    if let Some(value) = refusal.www_authenticate() {
        response.headers_mut().insert(WWW_AUTHENTICATE, value.parse().expect("a header"));
    }
    response
}
