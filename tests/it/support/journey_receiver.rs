//! A receiver on loopback that counts: which deliveries arrived, which of them again, and how they looked.
//!
//! How it answers is set by [`Receiver::behave`] at any time. A request is noted when it has arrived whole, before it is
//! answered, so what a killed sender had in flight is counted too.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
    /// Not until it behaves differently; then with 200.
    Hold,
    /// With this status to the first attempt of a delivery, with 200 to later ones; after this long.
    FailFirst(u16, Duration),
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
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

    /// The attempt's number.
    pub(crate) fn attempt(&self) -> &str {
        self.header("x-hikyaku-attempt")
    }

    /// The event's id, as the body says; empty when it does not.
    pub(crate) fn event_id(&self) -> String {
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
    in_flight: usize,
    /// The most that were being answered at one time.
    pub(crate) in_flight_max: usize,
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
        self.until_within(PATIENCE, what, so).await;
    }

    /// Waits like [`Receiver::until`], for as long as `limit`.
    pub(crate) async fn until_within(&self, limit: Duration, what: &str, so: impl Fn(&Book) -> bool) {
        if tokio::time::timeout(limit, self.when(so)).await.is_err() {
            let book = self.book();
            let (distinct, repeats, answered) = (book.distinct(), book.repeats(), book.answered);
            panic!(
                "waited {limit:?} in vain: {what}; {distinct} deliveries arrived, {repeats} repeats, {answered} answered"
            );
        }
    }

    /// Waits without a limit until what has arrived is as `so` says.
    pub(crate) async fn when(&self, so: impl Fn(&Book) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        while !so(&self.book()) {
            changes.changed().await.expect("the receiver is here");
        }
    }

    /// Waits until `count` deliveries have arrived.
    pub(crate) async fn until_distinct(&self, count: usize) {
        self.until(&format!("{count} deliveries arrive"), |book| book.distinct() >= count).await;
    }
}

/// Counts a request as being answered for as long as it lives: a sender that is killed ends it early.
struct Answering(Arc<Shared>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.book.lock().unwrap().in_flight -= 1;
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let behaviour = *shared.behaviour.borrow();
    let arrived = Arrived { path: uri.path().to_owned(), headers, body, at: Instant::now() };
    let is_first = arrived.attempt() == "1";
    let answering = {
        let mut book = shared.book.lock().unwrap();
        *book.times.entry(arrived.id().to_owned()).or_default() += 1;
        book.event_ids.insert(arrived.event_id());
        book.arrived.push(arrived);
        book.in_flight += 1;
        book.in_flight_max = book.in_flight_max.max(book.in_flight);
        Answering(Arc::clone(&shared))
    };
    shared.changed.send_replace(());
    let status = match behaviour {
        Behaviour::Answer(status) => status,
        Behaviour::Slow(wait) => {
            tokio::time::sleep(wait).await;
            200
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Hold => {
            let mut behaviour = shared.behaviour.subscribe();
            let released = |behaviour: &Behaviour| !matches!(behaviour, Behaviour::Hold);
            behaviour.wait_for(released).await.expect("the receiver is here");
            200
        }
        Behaviour::FailFirst(status, wait) => {
            tokio::time::sleep(wait).await;
            if is_first { status } else { 200 }
        }
    };
    drop(answering);
    shared.book.lock().unwrap().answered += 1;
    shared.changed.send_replace(());
    StatusCode::from_u16(status).expect("a status")
}
