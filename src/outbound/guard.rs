//! The address guard: no request leaves for an address that policy forbids.
//!
//! It stands where an address becomes a connection, so that what was checked is what is connected to. A host that is an
//! address is checked before the request; a name's addresses are checked in the client's own resolver (`resolver`), each time
//! that a connection is made, and the forbidden ones are dropped there. When none is left the request has not left.
//!
//! A resolver is not told the port. Where the settings open networks for some ports only, there is a client, with a resolver,
//! for each group of ports that are alike; without such settings there is one.

use std::sync::Arc;

use reqwest::{Request, Response, redirect};
use url::{Origin, Url};

use super::client::{ClientError, IDLE_MAX};
use super::names::Names;
use super::resolver::{Checks, Resolver};
use super::tls::Trust;
use crate::decide::{AddressPolicy, Forbidden};

/// HTTP with the guard. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    reach: Reach,
    /// For each range of ports its first one and its client, ascending from port 0.
    ranges: Vec<(u16, reqwest::Client)>,
}

/// What may be requested.
#[derive(Clone, Debug)]
enum Reach {
    /// What policy allows.
    Policy(Arc<AddressPolicy>),
    /// Any address of one server, which the admin has named, and nothing else.
    Server(Origin),
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum NotAnswered {
    /// The host is an address that is forbidden; nothing has left.
    Forbidden(Forbidden),
    /// It is another server than the one that was named; nothing has left.
    Elsewhere,
    /// The rest, a forbidden address of a name included.
    Failed(reqwest::Error),
}

impl Guarded {
    /// Requests what `policy` allows, by the addresses that `names` tells.
    pub(super) fn by_policy(
        user_agent: &str,
        policy: AddressPolicy,
        names: &Arc<dyn Names>,
        trust: &Trust,
    ) -> Result<Self, ClientError> {
        let policy = Arc::new(policy);
        let mut ranges: Vec<(u16, reqwest::Client)> = Vec::new();
        for first in policy.port_ranges() {
            let alike = ranges.iter().find(|(port, _)| policy.are_alike(*port, first));
            let client = match alike.map(|(_, client)| client.clone()) {
                Some(client) => client,
                None => {
                    let checks = Checks::Policy { policy: Arc::clone(&policy), port: first };
                    http(user_agent, Resolver::new(Arc::clone(names), checks), trust)?
                }
            };
            ranges.push((first, client));
        }
        Ok(Self { reach: Reach::Policy(policy), ranges })
    }

    /// Requests `server`, whatever its addresses are, and nothing else.
    pub(super) fn to_server(
        user_agent: &str,
        server: &Url,
        names: &Arc<dyn Names>,
        trust: &Trust,
    ) -> Result<Self, ClientError> {
        let client = http(user_agent, Resolver::new(Arc::clone(names), Checks::None), trust)?;
        Ok(Self { reach: Reach::Server(server.origin()), ranges: vec![(0, client)] })
    }

    /// Makes the request, if it may leave.
    pub(super) async fn execute(&self, request: Request) -> Result<Response, NotAnswered> {
        let url = request.url();
        match &self.reach {
            Reach::Policy(policy) => policy.check_url(url).map_err(NotAnswered::Forbidden)?,
            Reach::Server(server) if url.origin() == *server => {}
            Reach::Server(_) => return Err(NotAnswered::Elsewhere),
        }
        let port = url.port_or_known_default().unwrap_or_default();
        // The first range begins at 0, so there is one before each port.
        let range = self.ranges.partition_point(|(first, _)| *first <= port).saturating_sub(1);
        self.ranges[range].1.execute(request).await.map_err(NotAnswered::Failed)
    }
}

/// The one HTTP stack: TLS by rustls, no redirects, no retries, no proxies of the environment.
fn http(user_agent: &str, resolver: Resolver, trust: &Trust) -> Result<reqwest::Client, ClientError> {
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
        .tls_backend_preconfigured(trust.config()?)
        .build()?;
    Ok(http)
}
