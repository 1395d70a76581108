//! The receivers that come with the demo: real HTTP servers on loopback, and one port where nobody listens.
//!
//! Requests come from the worker; what they amount to goes into the report. The receivers count for themselves, so that
//! "delivered" is what somebody got, not what the worker believes. Each has a listener, and so an authority (host and
//! port), of its own: a slow one shares no connection with a healthy one.
//!
//! - A delivery counts as delivered just before its first 2xx goes out; a request that its sender gave up does not.
//! - Every request is checked against what receivers are promised ([`super::contract`]); it is answered as its receiver
//!   behaves all the same, but for one that names no delivery: 400.
//! - What is kept is bounded: [`DELIVERIES_MAX`] deliveries and a few violations in words.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use super::contract;
use super::words::{DeliveryRef, ReceiverKind, Violations};
use crate::decide::AllowedNetwork;

/// The secret with which every webhook of the demo is registered.
pub const SECRET: &str = "demo-secret";
/// How long the slow receiver thinks.
pub const SLOW_ANSWER: Duration = Duration::from_millis(700);
/// How often the flaky receiver answers 503 to a delivery before it takes it.
pub const FLAKY_FAILURES: u32 = 2;
/// Deliveries that one receiver remembers; more are a violation. The demo makes some tens.
pub const DELIVERIES_MAX: usize = 10_000;
/// Bytes read of a request: an event may have 1 MiB, and its envelope adds little.
const BODY_BYTES_MAX: usize = 2 << 20;
/// The one path that is served.
const PATH: &str = "/hook";

/// The running receivers. Dropped, they take no new connection and end those they have after the answers under way.
#[derive(Debug)]
pub struct Receivers {
    listening: Vec<Listening>,
    dead: Dead,
    violations: Arc<Mutex<Violations>>,
    /// Its end, by [`Receivers::stop`] or by drop, is the servers' signal to stop.
    running: watch::Sender<()>,
}

#[derive(Debug)]
struct Listening {
    receiver: Arc<Receiver>,
    address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
}

/// A port that is bound, so that nobody else can take it, and not listened on, so that connections are refused.
#[derive(Debug)]
struct Dead {
    address: SocketAddr,
    _socket: TcpSocket,
}

#[derive(Debug)]
struct Receiver {
    kind: ReceiverKind,
    book: Mutex<Book>,
    violations: Arc<Mutex<Violations>>,
}

#[derive(Debug, Default)]
struct Book {
    requests: u64,
    by_delivery: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    delivery: DeliveryRef,
    requests: u32,
    delivered: bool,
}

impl Receivers {
    /// Starts them on free ports of 127.0.0.1; they are reachable when this returns. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be had; those already started are stopped.
    pub async fn start() -> io::Result<Self> {
        let (running, stopped) = watch::channel(());
        let violations = Arc::new(Mutex::new(Violations::default()));
        let dead = Dead::bind()?;
        let mut listening = Vec::new();
        for kind in ReceiverKind::ALL.into_iter().filter(|kind| *kind != ReceiverKind::Dead) {
            let receiver = Arc::new(Receiver { kind, book: Mutex::default(), violations: Arc::clone(&violations) });
            listening.push(Listening::start(receiver, stopped.clone()).await?);
        }
        Ok(Self { listening, dead, violations, running })
    }

    /// Where webhooks for the receiver of that kind point.
    pub fn url(&self, kind: ReceiverKind) -> Url {
        let address = self.listening(kind).map_or(self.dead.address, |one| one.address);
        #[expect(clippy::expect_used, reason = "an IPv4 address and a port always make a URL; a test makes each")]
        Url::parse(&format!("http://{address}{PATH}")).expect("a loopback URL")
    }

    /// What the address guard is to let through: these receivers, and nothing else of this machine.
    pub fn networks(&self) -> Vec<AllowedNetwork> {
        let listening = self.listening.iter().map(|one| one.address);
        listening.chain([self.dead.address]).map(|at| AllowedNetwork::one(at.ip(), at.port())).collect()
    }

    /// Requests that the receiver of that kind has had; the dead one cannot know of any.
    pub fn requests(&self, kind: ReceiverKind) -> u64 {
        self.listening(kind).map_or(0, |one| lock(&one.receiver.book).requests)
    }

    /// Every delivery that got a 2xx from one of them, each once per receiver.
    pub fn delivered(&self) -> Vec<DeliveryRef> {
        let mut delivered = Vec::new();
        for one in &self.listening {
            let book = lock(&one.receiver.book);
            delivered.extend(book.by_delivery.values().filter(|entry| entry.delivered).map(|e| e.delivery.clone()));
        }
        delivered
    }

    /// What they got that breaks the wire format.
    pub fn violations(&self) -> Violations {
        lock(&self.violations).clone()
    }

    /// Stops them and waits until the answers under way are out.
    pub async fn stop(self) {
        drop(self.running);
        for one in self.listening {
            // A server cannot fail once it listens (axum retries to accept), and its book has been read by now.
            let _ended = one.server.await;
        }
    }

    fn listening(&self, kind: ReceiverKind) -> Option<&Listening> {
        self.listening.iter().find(|one| one.receiver.kind == kind)
    }
}

impl Dead {
    fn bind() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }
}

impl Listening {
    async fn start(receiver: Arc<Receiver>, mut stopped: watch::Receiver<()>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Every method reaches the handler: a wrong one is a violation to be told, not a 405 to be lost in a count.
        let router = Router::new().route(PATH, axum::routing::any(answer)).with_state(Arc::clone(&receiver));
        let serve = axum::serve(listener, router).with_graceful_shutdown(async move {
            // Nothing is ever sent: this ends when the sender is gone.
            while stopped.changed().await.is_ok() {}
        });
        let server = tokio::spawn(async move { serve.await });
        Ok(Self { receiver, address, server })
    }
}

async fn answer(State(receiver): State<Arc<Receiver>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        receiver.complain("", &format!("the body is over {BODY_BYTES_MAX} bytes, or broke off"));
        return StatusCode::BAD_REQUEST;
    };
    let checked = contract::check(&parts.method, &parts.headers, &body, SECRET);
    let id = checked.delivery.as_ref().map_or("", |delivery| &delivery.delivery);
    for words in &checked.violations {
        receiver.complain(id, words);
    }
    let Some((id, times_seen)) = receiver.arrived(checked.delivery) else {
        return StatusCode::BAD_REQUEST;
    };
    let status = status(receiver.kind, times_seen);
    if receiver.kind == ReceiverKind::Slow {
        tokio::time::sleep(SLOW_ANSWER).await;
    }
    if status.is_success() {
        receiver.delivers(&id);
    }
    status
}

/// What a receiver of that kind answers to a request for a delivery that it has seen `times_seen` times before.
fn status(kind: ReceiverKind, times_seen: u32) -> StatusCode {
    match kind {
        ReceiverKind::Flaky if times_seen < FLAKY_FAILURES => StatusCode::SERVICE_UNAVAILABLE,
        ReceiverKind::Healthy | ReceiverKind::Flaky | ReceiverKind::Slow => StatusCode::OK,
        ReceiverKind::Gone => StatusCode::GONE,
        // Nobody listens there; whoever gets here all the same has met no receiver.
        ReceiverKind::Dead => StatusCode::BAD_GATEWAY,
    }
}

impl Receiver {
    /// Notes a request: the delivery's id, and how often it was seen before. None when it names no delivery, or is one
    /// more than can be remembered.
    fn arrived(&self, delivery: Option<DeliveryRef>) -> Option<(String, u32)> {
        let mut book = lock(&self.book);
        book.requests = book.requests.saturating_add(1);
        let delivery = delivery?;
        let id = delivery.delivery.clone();
        if book.by_delivery.len() >= DELIVERIES_MAX && !book.by_delivery.contains_key(&id) {
            drop(book);
            self.complain(&id, &format!("more than {DELIVERIES_MAX} deliveries came"));
            return None;
        }
        let entry =
            book.by_delivery.entry(id.clone()).or_insert_with(|| Entry { delivery, requests: 0, delivered: false });
        let times_seen = entry.requests;
        entry.requests = entry.requests.saturating_add(1);
        Some((id, times_seen))
    }

    fn delivers(&self, id: &str) {
        if let Some(entry) = lock(&self.book).by_delivery.get_mut(id) {
            entry.delivered = true;
        }
    }

    fn complain(&self, id: &str, words: &str) {
        let id = if id.is_empty() { "a request without a delivery" } else { id };
        lock(&self.violations).note(format!("{} receiver: {id}: {words}", self.kind.as_str()));
    }
}

/// A panic while the lock is held leaves counts that are still right to read.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn client() -> reqwest::Client {
        // Another test may have installed it first; either will do.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "a test's client, which only meets loopback")]
        reqwest::Client::new()
    }

    async fn send(client: &reqwest::Client, url: Url, delivery: &str, secret: &str) -> reqwest::Result<u16> {
        let body = r#"{"server":"s","hookId":"wh1","eventId":"e","createdAt":1,"type":"userCreated","body":{}}"#;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("x-misskey-hook-id", "wh1")
            .header("x-misskey-hook-secret", secret)
            .header("webhook-id", delivery)
            .header("x-hikyaku-attempt", "1");
        Ok(request.body(body).send().await?.status().as_u16())
    }

    async fn statuses(receivers: &Receivers, kind: ReceiverKind, deliveries: &[&str]) -> Vec<u16> {
        let client = client();
        let mut statuses = Vec::new();
        for delivery in deliveries {
            statuses.push(send(&client, receivers.url(kind), delivery, SECRET).await.expect("an answer"));
        }
        statuses
    }

    fn delivered_ids(receivers: &Receivers) -> Vec<String> {
        receivers.delivered().into_iter().map(|one| one.delivery).collect()
    }

    /// A request that has reached the slow receiver and is not answered yet.
    async fn ask_slow(receivers: &Receivers) -> (JoinHandle<reqwest::Result<u16>>, Arc<Receiver>) {
        let url = receivers.url(ReceiverKind::Slow);
        let slow = Arc::clone(&receivers.listening(ReceiverKind::Slow).expect("it listens").receiver);
        let asking = tokio::spawn(async move { send(&client(), url, "msg_1", SECRET).await });
        let arrived = async {
            while lock(&slow.book).requests == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), arrived).await.expect("the request reaches the slow receiver");
        (asking, slow)
    }

    #[tokio::test]
    async fn healthy_takes_each_delivery_at_once_and_counts_a_repeat_once() {
        let receivers = Receivers::start().await.expect("ports");
        assert_eq!(statuses(&receivers, ReceiverKind::Healthy, &["msg_1", "msg_2", "msg_1"]).await, [200, 200, 200]);
        assert_eq!(receivers.requests(ReceiverKind::Healthy), 3);
        assert_eq!(delivered_ids(&receivers), ["msg_1", "msg_2"]);
        let first = &receivers.delivered()[0];
        assert_eq!((first.webhook.as_str(), first.kind.as_str()), ("wh1", "userCreated"));
        assert_eq!(receivers.violations(), Violations::default());
    }

    #[tokio::test]
    async fn flaky_refuses_each_delivery_twice_and_then_takes_it() {
        let receivers = Receivers::start().await.expect("ports");
        let sent = ["msg_1", "msg_2", "msg_1", "msg_1", "msg_2", "msg_2"];
        assert_eq!(statuses(&receivers, ReceiverKind::Flaky, &sent).await, [503, 503, 503, 200, 503, 200]);
        assert_eq!(delivered_ids(&receivers), ["msg_1", "msg_2"]);
    }

    #[tokio::test]
    async fn a_delivery_that_was_only_refused_is_not_delivered() {
        let receivers = Receivers::start().await.expect("ports");
        assert_eq!(statuses(&receivers, ReceiverKind::Flaky, &["msg_1", "msg_1"]).await, [503, 503]);
        assert_eq!(statuses(&receivers, ReceiverKind::Gone, &["msg_2", "msg_2"]).await, [410, 410]);
        assert_eq!(delivered_ids(&receivers), Vec::<String>::new());
        assert_eq!(receivers.requests(ReceiverKind::Gone), 2);
    }

    #[tokio::test]
    async fn slow_answers_after_its_time() {
        let receivers = Receivers::start().await.expect("ports");
        let began = Instant::now();
        assert_eq!(statuses(&receivers, ReceiverKind::Slow, &["msg_1"]).await, [200]);
        assert!(began.elapsed() >= SLOW_ANSWER, "answered after {:?}", began.elapsed());
        assert_eq!(delivered_ids(&receivers), ["msg_1"]);
    }

    #[tokio::test]
    async fn a_request_that_its_sender_gave_up_is_not_delivered() {
        let receivers = Receivers::start().await.expect("ports");
        let (asking, slow) = ask_slow(&receivers).await;
        asking.abort();
        tokio::time::timeout(Duration::from_secs(10), receivers.stop()).await.expect("the receivers stop");
        let book = lock(&slow.book);
        assert_eq!((book.requests, book.by_delivery["msg_1"].delivered), (1, false));
    }

    #[tokio::test]
    async fn dead_refuses_connections_and_keeps_its_port() {
        let receivers = Receivers::start().await.expect("ports");
        let url = receivers.url(ReceiverKind::Dead);
        let error = send(&client(), url.clone(), "msg_1", SECRET).await.expect_err("nobody listens");
        assert!(error.is_connect(), "{error:?}");
        let port = url.port().expect("a port");
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect_err("the port is held");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn each_kind_has_an_authority_of_its_own() {
        let receivers = Receivers::start().await.expect("ports");
        let mut ports: Vec<_> = ReceiverKind::ALL.map(|kind| receivers.url(kind).port()).to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), ReceiverKind::ALL.len());
    }

    #[tokio::test]
    async fn what_breaks_the_wire_format_is_told_with_receiver_and_delivery_but_without_secrets() {
        let receivers = Receivers::start().await.expect("ports");
        let client = client();
        let status = send(&client, receivers.url(ReceiverKind::Gone), "msg_1", "hunter2").await.expect("an answer");
        assert_eq!(status, 410, "it behaves as ever");
        let bare = client.get(receivers.url(ReceiverKind::Healthy)).send().await.expect("an answer");
        assert_eq!(bare.status().as_u16(), 400, "no delivery is named");

        let violations = receivers.violations();
        assert_eq!(violations.words[0], "gone receiver: msg_1: x-misskey-hook-secret is not the webhook's secret");
        assert_eq!(
            violations.words[1],
            "healthy receiver: a request without a delivery: the method is \"GET\", and must be POST"
        );
        assert!(violations.words.iter().all(|words| !words.contains("hunter2")), "{violations:?}");
        assert!(violations.count > 2);
        assert_eq!(receivers.requests(ReceiverKind::Healthy), 1);
    }

    #[tokio::test]
    async fn a_receiver_remembers_a_bounded_number_of_deliveries() {
        let violations = Arc::new(Mutex::new(Violations::default()));
        let receiver =
            Receiver { kind: ReceiverKind::Healthy, book: Mutex::default(), violations: Arc::clone(&violations) };
        let delivery = |n: usize| {
            let webhook = crate::model::WebhookId::new("wh1").expect("valid");
            let kind = crate::model::EventType::new("note").expect("valid");
            Some(DeliveryRef { webhook, delivery: format!("msg_{n}"), kind })
        };
        assert!((0..DELIVERIES_MAX).all(|n| receiver.arrived(delivery(n)).is_some()));
        assert_eq!(receiver.arrived(delivery(DELIVERIES_MAX)), None);
        assert_eq!(receiver.arrived(delivery(0)), Some(("msg_0".to_owned(), 1)), "a known one goes on");
        assert_eq!(lock(&violations).count, 1);
    }

    #[tokio::test]
    async fn stopping_waits_for_the_answer_under_way_and_frees_the_ports() {
        let receivers = Receivers::start().await.expect("ports");
        let healthy = receivers.url(ReceiverKind::Healthy);
        let (asking, _slow) = ask_slow(&receivers).await;

        tokio::time::timeout(Duration::from_secs(10), receivers.stop()).await.expect("the receivers stop");

        assert_eq!(asking.await.expect("no panic").expect("an answer"), 200);
        let error = send(&client(), healthy, "msg_2", SECRET).await.expect_err("nobody listens any more");
        assert!(error.is_connect(), "{error:?}");
    }

    #[tokio::test]
    async fn dropping_the_receivers_ends_their_servers() {
        let mut receivers = Receivers::start().await.expect("ports");
        let servers: Vec<_> = receivers.listening.drain(..).map(|one| one.server).collect();
        drop(receivers);
        for server in servers {
            let ended = tokio::time::timeout(Duration::from_secs(10), server).await.expect("the server ends");
            ended.expect("no panic").expect("no error");
        }
    }
}
