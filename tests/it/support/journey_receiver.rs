//! A receiver on loopback that counts: which deliveries arrived, which of them again, and how they looked.
//!
//! How it answers is set by [`Receiver::behave`] at any time. A request is noted when it has arrived whole, before it is
//! answered, so what a killed sender had in flight is counted too.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::program::PATIENCE;

/// How the receiver answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// With this status, at once.
    Answer(u16),
    /// With 200, after this long.
    Slow(Duration),
    /// Not at all, for as long as the sender waits.
    Hang,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrived {
    /// A header's text; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The delivery's id.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The event's id, as the body says; empty when it does not.
    fn event_id(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["eventId"].as_str().unwrap_or_default().to_owned()
    }
}

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every request in its order.
    pub(crate) arrived: Vec<Arrived>,
    /// How often each delivery came.
    times: HashMap<String, usize>,
    /// The ids of the events that arrived.
    pub(crate) event_ids: HashSet<String>,
    /// Requests that were answered.
    pub(crate) answered: usize,
}

impl Book {
    /// Deliveries that arrived.
    pub(crate) fn distinct(&self) -> usize {
        self.times.len()
    }

    /// Arrivals beyond the first of each delivery.
    pub(crate) fn repeats(&self) -> usize {
        self.arrived.len() - self.times.len()
    }
}

struct Shared {
    book: Mutex<Book>,
    behaviour: watch::Sender<Behaviour>,
    changed: watch::Sender<()>,
}

/// A receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
    _server: JoinSet<std::io::Result<()>>,
}

impl Receiver {
    /// Starts to listen.
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            behaviour: watch::Sender::new(behaviour),
            changed: watch::Sender::new(()),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        Self { shared, address, _server: server }
    }

    /// Where it listens, with a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers differently from now on. What hangs goes on hanging.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// What has arrived by now.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap()
    }

    /// Waits until what has arrived is as `so` says; `what` that is says the panic when it never is.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Book) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        let wait = async {
            while !so(&self.book()) {
                changes.changed().await.expect("the receiver is here");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let book = self.book();
            let (distinct, repeats, answered) = (book.distinct(), book.repeats(), book.answered);
            panic!(
                "waited {PATIENCE:?} in vain: {what}; {distinct} deliveries arrived, {repeats} repeats, {answered} answered"
            );
        }
    }

    /// Waits until `count` deliveries have arrived.
    pub(crate) async fn until_distinct(&self, count: usize) {
        self.until(&format!("{count} deliveries arrive"), |book| book.distinct() >= count).await;
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let behaviour = *shared.behaviour.borrow();
    {
        let arrived = Arrived { path: uri.path().to_owned(), headers, body };
        let mut book = shared.book.lock().unwrap();
        *book.times.entry(arrived.id().to_owned()).or_default() += 1;
        book.event_ids.insert(arrived.event_id());
        book.arrived.push(arrived);
    }
    shared.changed.send_replace(());
    let status = match behaviour {
        Behaviour::Answer(status) => status,
        Behaviour::Slow(wait) => {
            tokio::time::sleep(wait).await;
            200
        }
        Behaviour::Hang => std::future::pending().await,
    };
    shared.book.lock().unwrap().answered += 1;
    shared.changed.send_replace(());
    StatusCode::from_u16(status).expect("a status")
}
