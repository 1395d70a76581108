//! The HTTP stack: requests to receivers, by themselves or through the proxy of the settings, and calls to a named server.
//!
//! Calls are reqwest's. Requests to receivers are reqwest's too, but are made by the client that reqwest is made of
//! (`hyper-util`), for two things that reqwest does not pass on: connections of ours (`tunnel`; reqwest tells a proxy that
//! speaks HTTP receivers' names, and so leaves the guard to it), and a word about each interim answer (`interim`). Both have
//! the same TLS, headers, pools and lack of redirects. Proxies of the environment are never used.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{Body, Request, Response, redirect};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::client::{ClientError, IDLE_MAX};
use super::guard::NotAnswered;
use super::interim::Interim;
use super::resolver::Resolver;
use super::tunnel::Tunnels;

/// Bytes of an answer's head; a last read may bring as much again. Servers send some KiB at most; Node's clients take 16 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxedError>> + Send>>;

/// Makes requests. Clones share connections.
#[derive(Clone, Debug)]
pub(super) enum Http {
    /// To a server that the admin has named.
    Calls(reqwest::Client),
    /// To receivers.
    Deliveries(Box<Deliveries>),
}

/// Makes requests to receivers.
#[derive(Clone, Debug)]
pub(super) struct Deliveries {
    client: Client<HttpsConnector<Connections>, Body>,
    user_agent: HeaderValue,
}

/// Makes connections to receivers. Clones share everything.
#[derive(Clone, Debug)]
enum Connections {
    /// By themselves, to the addresses that the resolver lets through.
    Direct(HttpConnector<Resolver>),
    /// Through the proxy.
    Through(Tunnels),
}

impl Http {
    /// For calls. TLS by rustls, no redirects, no retries, no proxies of the environment.
    pub(super) fn calls(user_agent: &str, resolver: Resolver, tls: ClientConfig) -> Result<Self, ClientError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let http = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_MAX)
            .dns_resolver(resolver)
            .tls_backend_preconfigured(tls)
            .build()?;
        Ok(Self::Calls(http))
    }

    /// For deliveries that leave by themselves.
    pub(super) fn direct(user_agent: &str, resolver: Resolver, tls: ClientConfig) -> Result<Self, ClientError> {
        let mut connector = HttpConnector::new_with_resolver(resolver);
        // TLS is put around what it connects to.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        Self::deliveries(user_agent, Connections::Direct(connector), tls)
    }

    /// For deliveries that leave by `tunnels`.
    pub(super) fn through(user_agent: &str, tunnels: Tunnels, tls: ClientConfig) -> Result<Self, ClientError> {
        Self::deliveries(user_agent, Connections::Through(tunnels), tls)
    }

    fn deliveries(user_agent: &str, connections: Connections, tls: ClientConfig) -> Result<Self, ClientError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(HttpsConnector::from((connections, Arc::new(tls))));
        Ok(Self::Deliveries(Box::new(Deliveries { client, user_agent: HeaderValue::from_str(user_agent)? })))
    }

    pub(super) async fn execute(&self, request: Request) -> Result<Response, NotAnswered> {
        match self {
            Self::Calls(http) => http.execute(request).await.map_err(NotAnswered::Failed),
            Self::Deliveries(deliveries) => deliveries.execute(request).await,
        }
    }
}

impl Deliveries {
    async fn execute(&self, request: Request) -> Result<Response, NotAnswered> {
        let mut request = hyper::Request::<Body>::try_from(request).map_err(NotAnswered::Failed)?;
        // As reqwest does.
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let interim = Interim::of(&mut request);
        let response = tokio::select! {
            biased;
            response = self.client.request(request) => response.map_err(NotAnswered::Unanswered)?,
            () = interim.too_many() => return Err(NotAnswered::TooManyInterim),
        };
        Ok(Response::from(response.map(Body::wrap)))
    }
}

impl Service<Uri> for Connections {
    type Response = TokioIo<TcpStream>;
    type Error = BoxedError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Direct(connector) => connector.poll_ready(context).map_err(Into::into),
            Self::Through(tunnels) => tunnels.poll_ready(context),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Direct(connector) => {
                let connecting = connector.call(uri);
                Box::pin(async move { connecting.await.map_err(Into::into) })
            }
            Self::Through(tunnels) => tunnels.call(uri),
        }
    }
}

/// For connections of ours; reqwest asks the resolver in its own way.
impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxedError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let allowed = resolver.allowed(name.as_str()).await?;
            let with_port = |address| SocketAddr::new(address, 0);
            Ok(allowed.into_iter().map(with_port).collect::<Vec<_>>().into_iter())
        })
    }
}
