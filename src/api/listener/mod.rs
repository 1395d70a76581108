//! Serves HTTP/1.1 on a socket, with limits: so many connections at a time, and so long for a request's head.
//!
//! Connections come from the listener and go, each in a task of its own, to hyper with the routes that are given. When so many
//! are held as may be, one more takes the place of the one that has been idle for longest ([`places`]); while none is idle,
//! further ones wait in the system's backlog. Every connection that is held gives its place back in bounded time unless a
//! request is under way: whoever sends no head, or half of one, or nothing after an answer, or does not take its answer
//! ([`stream`]), is closed. How long a request's body may take is the routes' affair.
//!
//! What every request and answer has in common is done here too: its name, and that no browser of another origin is let in,
//! which needs nothing but that no route says otherwise.

mod places;
mod stream;

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, MatchedPath};
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Request};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::incoming::RequestId;
use crate::telemetry::{answered, of_request};
use places::{Busy, Place, Places};
use stream::Taken;

/// RFC 2068, 19.7.1.1, whose `timeout` is in seconds; in no later RFC, and in use.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// How long to wait after a connection could not be accepted (no file descriptor left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections held at a time.
    pub connections_max: usize,
    /// How long a connection is kept that has not sent a whole head: its first, or the next after an answer.
    pub head_wait_max: Duration,
    /// How long a client may take for 64 KiB of an answer that the system does not take from us at once.
    pub unread_wait_max: Duration,
}

impl Default for Limits {
    /// A head is a packet or two; 10 s are for a producer's pooled connection that is used again. A connection closed
    /// while idle costs a producer nothing but another one.
    fn default() -> Self {
        let wait_max = Duration::from_secs(10);
        Self { connections_max: 1024, head_wait_max: wait_max, unread_wait_max: wait_max }
    }
}

/// A listener with limits.
#[derive(Debug)]
pub struct Limited {
    listener: TcpListener,
    places: Arc<Places>,
    limits: Limits,
}

impl Limited {
    /// Limits `listener`.
    pub fn new(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, places: Places::new(limits.connections_max), limits }
    }

    /// Serves `routes` until `stopped`; then listens no more, closes idle connections, and ends when the requests under way
    /// are answered. Each request is answered by the routes that hold when it comes.
    pub async fn serve(self, mut routes: watch::Receiver<Router>, stopped: impl Future<Output = ()>) {
        let services = watch::Sender::new(self.tended(routes.borrow_and_update().clone()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.head_wait_max);
        let connections = GracefulShutdown::new();
        let mut stopped = pin!(stopped);
        loop {
            let (stream, peer, place) = tokio::select! {
                () = &mut stopped => break,
                Ok(()) = routes.changed() => {
                    services.send_replace(self.tended(routes.borrow_and_update().clone()));
                    continue;
                }
                accepted = self.accept() => accepted,
            };
            let stream = TokioIo::new(Taken::new(stream, self.limits.unread_wait_max));
            let told = Told { peer, services: services.subscribe(), place: Arc::clone(&place) };
            let connection = connections.watch(http.serve_connection(stream, told));
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    // What breaks off is the peer's trouble; it has no answer to miss.
                    _ended = connection => {}
                    () = place.told_to_go() => {}
                }
            });
        }
        drop(self.listener);
        connections.shutdown().await;
    }

    fn tended(&self, router: Router) -> TowerToHyperService<Router> {
        let router = router.layer(from_fn(tended));
        TowerToHyperService::new(tells_how_long_it_waits(router, self.limits.head_wait_max))
    }

    async fn accept(&self) -> (TcpStream, SocketAddr, Arc<Place>) {
        loop {
            if let Ok((stream, peer)) = self.listener.accept().await {
                return (stream, peer, self.places.take().await);
            }
            tokio::time::sleep(ACCEPT_AGAIN).await;
        }
    }
}

/// The routes for one connection: each request is told where that comes from, and which place it has.
struct Told {
    peer: SocketAddr,
    services: watch::Receiver<TowerToHyperService<Router>>,
    place: Arc<Place>,
}

impl Service<Request<Incoming>> for Told {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(Arc::clone(&self.place));
        let service = self.services.borrow().clone();
        service.call(request)
    }
}

/// What is done about every request: it keeps its place until its answer is on its way, and has a name, which its answer and
/// the lines about it tell.
async fn tended(mut request: Request<Body>, next: Next) -> Response {
    let busy = match request.extensions_mut().remove::<Arc<Place>>() {
        Some(place) => match place.busy() {
            Some(busy) => Some(busy),
            // Its connection is being closed, as if the request had come a moment later.
            None => pending().await,
        },
        None => None,
    };
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = of_request(id.as_str(), async {
        let response = next.run(request).await;
        let path = path.as_ref().map_or("(none of ours)", MatchedPath::as_str);
        answered(method.as_str(), path, response.status().as_u16(), began.elapsed());
        response
    })
    .await;
    id.tell(response.headers_mut());
    if is_chunked {
        // A length beside it is passed over (RFC 9112, 6.3). Whoever went by the length on the way here would have what follows
        // for the next request, and somebody else's (6.1): so nothing follows.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Body::new(Unsent { body, _busy: busy }))
}

/// The body of an answer, which is under way until all of it is handed to the connection.
struct Unsent {
    body: Body,
    _busy: Option<Busy>,
}

impl http_body::Body for Unsent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Has each answer say how long its connection is kept idle. Node's pools, Misskey's among them, let go of it before that,
/// and so never send a request on a connection that is being closed, which they would take for a failure.
fn tells_how_long_it_waits(router: Router, head_wait_max: Duration) -> Router {
    let words = HeaderValue::from_str(&format!("timeout={}", head_wait_max.as_secs())).ok();
    router.layer(map_response(move |mut response: Response| {
        let is_kept = !response.headers().contains_key(CONNECTION);
        response.headers_mut().extend(words.clone().filter(|_| is_kept).map(|words| (KEEP_ALIVE, words)));
        std::future::ready(response)
    }))
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    use super::*;

    /// How long anything may take on a busy machine before its test has failed.
    const LONGEST: Duration = Duration::from_secs(30);
    const CONNECTIONS_MAX: usize = 4;

    async fn started(head_wait_max: Duration, router: Router) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let limited = Limited::new(
            listener,
            Limits { connections_max: CONNECTIONS_MAX, head_wait_max, unread_wait_max: LONGEST },
        );
        let (stop, stopped) = oneshot::channel();
        let routes = watch::Sender::new(router).subscribe();
        let serving = tokio::spawn(limited.serve(routes, async move {
            let _told_or_gone = stopped.await;
        }));
        (address, stop, serving)
    }

    async fn connected(address: SocketAddr, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        stream
    }

    /// All that is sent before the connection is closed.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(LONGEST, stream.read_to_string(&mut text)).await;
        read.expect("waited in vain for the connection's end").expect("read");
        text
    }

    async fn assert_places_come_back(sent_by_idlers: &str) {
        let router = Router::new().route("/", get(|| async { "here" }));
        let (address, _stop, _serving) = started(Duration::from_millis(100), router).await;
        let mut idlers = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idlers.push(connected(address, sent_by_idlers).await);
        }
        let answer = rest(connected(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer:?}");
    }

    #[tokio::test]
    async fn connections_that_send_half_a_head_are_closed_and_others_are_answered() {
        assert_places_come_back("GET / HTTP/1.1\r\nhost").await;
    }

    #[tokio::test]
    async fn connections_that_send_nothing_are_closed_and_others_are_answered() {
        assert_places_come_back("").await;
    }

    #[tokio::test]
    async fn connections_that_idle_after_an_answer_are_closed_and_others_are_answered() {
        assert_places_come_back("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }

    #[tokio::test]
    async fn every_request_is_told_where_its_connection_comes_from() {
        let tell = async |Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>| peer.to_string();
        let (address, _stop, _serving) = started(LONGEST, Router::new().route("/", get(tell))).await;
        let stream = connected(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let ours = stream.local_addr().expect("an address").to_string();
        let answer = rest(stream).await;
        assert!(answer.ends_with(&ours), "{ours}: {answer:?}");
    }

    #[tokio::test]
    async fn every_answer_says_how_long_its_connection_is_kept_idle() {
        let (address, _stop, _serving) = started(Duration::from_secs(7), Router::new()).await;
        let answer = rest(connected(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("\r\nkeep-alive: timeout=7\r\n"), "{answer:?}");
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_when_stopped_and_an_idle_connection_is_closed() {
        let (asked, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (seen, until) = (Arc::clone(&asked), Arc::clone(&finish));
        let slow = async move || {
            seen.notify_one();
            until.notified().await;
            "done"
        };
        let (address, stop, serving) = started(LONGEST, Router::new().route("/", get(slow))).await;
        let idle = connected(address, "").await;
        let under_way = connected(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        asked.notified().await;
        stop.send(()).expect("it still serves");
        assert_eq!(rest(idle).await, "");
        assert!(!serving.is_finished());
        finish.notify_one();
        let answer = rest(under_way).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer:?}");
        tokio::time::timeout(LONGEST, serving).await.expect("waited in vain for the end").expect("no panic");
    }

    #[tokio::test]
    async fn routes_that_are_exchanged_answer_the_next_request_on_a_connection_that_is_open() {
        let limits = Limits { connections_max: CONNECTIONS_MAX, head_wait_max: LONGEST, unread_wait_max: LONGEST };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let routes = watch::Sender::new(Router::new().route("/", get(|| async { "first" })));
        tokio::spawn(Limited::new(listener, limits).serve(routes.subscribe(), pending()));

        let mut stream = connected(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"first") {
            let read = tokio::time::timeout(LONGEST, stream.read_buf(&mut answer)).await;
            assert!(read.expect("waited in vain for an answer").expect("read") > 0, "{answer:?}");
        }
        drop(routes.send_replace(Router::new().route("/", get(|| async { "second" }))));
        // They hold once the listener has taken them.
        let ask =
            async || rest(connected(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await;
        let held = async { while !ask().await.ends_with("second") {} };
        tokio::time::timeout(LONGEST, held).await.expect("waited in vain for the routes to hold");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("sent");
        let answer = rest(stream).await;
        assert!(answer.ends_with("second"), "{answer:?}");
    }
}
