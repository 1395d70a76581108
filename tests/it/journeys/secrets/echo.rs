//! A receiver that answers with all that it got, as a careless one does: what it says is not to be told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::program::until;

/// The ids of the events that came.
type Book = Arc<Mutex<HashSet<String>>>;

/// A running one; it ends when it is dropped.
pub(super) struct Echo {
    address: SocketAddr,
    book: Book,
    _serving: JoinSet<()>,
}

impl Echo {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, book) = (listener.local_addr().expect("bound"), Book::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&book));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, book, _serving: serving }
    }

    /// Where it is; it answers with the status that `path` begins with, and not at all when that is `hang`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until an event has come.
    pub(super) async fn got(&self, event: &str) {
        let has = async || self.book.lock().expect("whole").contains(event).then_some(());
        until(&format!("the event {event} comes"), has).await;
    }
}

async fn answer(State(book): State<Book>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    book.lock().expect("whole").insert(event["eventId"].as_str().unwrap_or_default().to_owned());
    let Ok(status) = uri.path()[1..].split('/').next().unwrap_or_default().parse() else {
        return std::future::pending().await;
    };
    let status = StatusCode::from_u16(status).expect("a status");
    // The secret first, so that it is in what is kept of an answer.
    let secret = headers.get("x-misskey-hook-secret").cloned();
    let all = format!("{secret:?} {uri} {headers:?} {}", String::from_utf8_lossy(&body));
    (status, [(LOCATION, uri.to_string())], all).into_response()
}
