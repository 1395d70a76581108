//! The address guard: no request leaves for an address that policy forbids.
//!
//! It stands where an address becomes a connection, so that what was checked is what is connected to. A host that is an
//! address is checked before the request; a name's addresses are checked in the client's own resolver (`resolver`), each time
//! that a connection is made, and the forbidden ones are dropped there. When none is left the request has not left.
//!
//! A resolver is not told the port. Where the settings open networks for some ports only, there is a client, with a resolver,
//! for each group of ports that are alike; without such settings there is one. A request through the proxy of the settings has
//! its check in `tunnel`, which knows the port.

use std::sync::Arc;

use reqwest::{Request, Response};
use url::{Origin, Url};

use super::client::ClientError;
use super::clients::Make;
use super::http::Http;
use super::names::Names;
use super::resolver::{Checks, Resolver};
use super::tls::Trust;
use super::tunnel::Tunnels;
use crate::decide::{AddressPolicy, Forbidden};
use crate::model::ClientCertificate;

/// HTTP with the guard. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    reach: Reach,
    /// For each range of ports its first one and its client, ascending from port 0.
    ranges: Vec<(u16, Http)>,
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
    /// The request is none that can be made; or the rest, of a call.
    Failed(reqwest::Error),
    /// More interim answers came than are waited for.
    TooManyInterim,
    /// The rest, a forbidden address of a name included.
    Unanswered(hyper_util::client::legacy::Error),
}

impl Guarded {
    /// Requests what the policy of `make` allows, by the addresses that its names tell; presents `certificate`.
    pub(super) fn by_policy(make: &Make, certificate: Option<&ClientCertificate>) -> Result<Self, ClientError> {
        let policy = &make.policy;
        let tls = make.trust.config(certificate)?;
        if let Some(proxy) = &make.proxy {
            let tunnels =
                Tunnels { proxy: Arc::clone(proxy), names: Arc::clone(&make.names), policy: Arc::clone(policy) };
            let client = Http::through(&make.user_agent, tunnels, tls)?;
            return Ok(Self { reach: Reach::Policy(Arc::clone(policy)), ranges: vec![(0, client)] });
        }
        let mut ranges: Vec<(u16, Http)> = Vec::new();
        for first in policy.port_ranges() {
            let alike = ranges.iter().find(|(port, _)| policy.are_alike(*port, first));
            let client = match alike.map(|(_, client)| client.clone()) {
                Some(client) => client,
                None => {
                    let checks = Checks::Policy { policy: Arc::clone(policy), port: first };
                    Http::direct(&make.user_agent, Resolver::new(Arc::clone(&make.names), checks), tls.clone())?
                }
            };
            ranges.push((first, client));
        }
        Ok(Self { reach: Reach::Policy(Arc::clone(policy)), ranges })
    }

    /// Requests `server`, whatever its addresses are, and nothing else.
    pub(super) fn to_server(
        user_agent: &str,
        server: &Url,
        names: &Arc<dyn Names>,
        trust: &Trust,
    ) -> Result<Self, ClientError> {
        let client = Http::calls(user_agent, Resolver::new(Arc::clone(names), Checks::None), trust.config(None)?)?;
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
        self.ranges[range].1.execute(request).await
    }
}
