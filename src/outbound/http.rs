//! The HTTP stack: requests that leave by themselves, or through the proxy of the settings.
//!
//! Those that leave by themselves are reqwest's. reqwest tells a proxy that speaks HTTP receivers' names, and so leaves the
//! guard to it; therefore requests through a proxy are made by the client that reqwest is made of, with connections of ours
//! (`tunnel`). Both have the same TLS, headers, pools and lack of redirects. Proxies of the environment are never used.

use std::sync::Arc;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{Body, Request, Response, redirect};
use rustls::ClientConfig;

use super::client::{ClientError, IDLE_MAX};
use super::guard::NotAnswered;
use super::resolver::Resolver;
use super::tunnel::Tunnels;

/// Makes requests. Clones share connections.
#[derive(Clone, Debug)]
pub(super) enum Http {
    Direct(reqwest::Client),
    Through(Box<Through>),
}

/// Makes requests through the proxy.
#[derive(Clone, Debug)]
pub(super) struct Through {
    client: Client<HttpsConnector<Tunnels>, Body>,
    user_agent: HeaderValue,
}

impl Http {
    /// TLS by rustls, no redirects, no retries, no proxies of the environment.
    pub(super) fn direct(user_agent: &str, resolver: Resolver, tls: ClientConfig) -> Result<Self, ClientError> {
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
        Ok(Self::Direct(http))
    }

    /// The same by `tunnels`.
    pub(super) fn through(user_agent: &str, tunnels: Tunnels, tls: ClientConfig) -> Result<Self, ClientError> {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(HttpsConnector::from((tunnels, Arc::new(tls))));
        Ok(Self::Through(Box::new(Through { client, user_agent: HeaderValue::from_str(user_agent)? })))
    }

    pub(super) async fn execute(&self, request: Request) -> Result<Response, NotAnswered> {
        match self {
            Self::Direct(http) => http.execute(request).await.map_err(NotAnswered::Failed),
            Self::Through(through) => {
                let Through { client, user_agent } = &**through;
                let mut request = hyper::Request::<Body>::try_from(request).map_err(NotAnswered::Failed)?;
                // As reqwest does.
                request.headers_mut().entry(USER_AGENT).or_insert_with(|| user_agent.clone());
                request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
                let response = client.request(request).await.map_err(NotAnswered::Tunnelled)?;
                Ok(Response::from(response.map(Body::wrap)))
            }
        }
    }
}
