//! `[server]`: where we listen, who may ask, and how we stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::decide::Network;
use crate::model::{TokenHash, Tokens};

use super::reader::Section;
use super::tokens::{self, NamedToken};
use super::values;

/// Reverse proxies and networks of such.
const TRUSTED_PROXIES_MAX: usize = 100;

/// Where we listen, who may ask, and how we stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `listen`: the IP address and port for HTTP. Port 0: any free port. Default 127.0.0.1:8787: a Misskey on the same
    /// machine reaches it, and nobody else does before the admin says so.
    pub listen: SocketAddr,
    /// `metrics_listen`: an IP address and port of its own for `/metrics`, `/healthz` and `/readyz`. Empty, the
    /// default: they are served on `listen`, one port to open and to watch.
    pub metrics_listen: Option<SocketAddr>,
    /// `admin_token`: the bearer token of API and console, 16 to 1024 visible ASCII characters (a header must carry
    /// it), or `sha256:` and the SHA-256 of such in 64 hexadecimal digits. Kept as the latter. Empty, the default: there is no
    /// admin, since a token that everyone can read in the source would be none.
    pub admin_token: Option<TokenHash>,
    /// `[[server.tokens]]`: tokens beside that one, at most 100, each with a name and an access. Default none.
    pub tokens: Vec<NamedToken>,
    /// `trusted_proxies`: IP addresses, or networks such as 10.0.0.0/8, of reverse proxies that say in `X-Forwarded-For` whom
    /// they were asked by, at most 100. Default none: anyone else could write there what they like.
    pub trusted_proxies: Vec<Network>,
    /// `shutdown_grace_s`: seconds that attempts in flight get to end at shutdown, 0 to 600, and not less than
    /// `delivery.timeout_ms`. Default 15: the 10 s that an attempt may take, and time to settle; Kubernetes kills after
    /// 30.
    pub shutdown_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787),
            metrics_listen: None,
            admin_token: None,
            tokens: Vec::new(),
            trusted_proxies: Vec::new(),
            shutdown_grace: Duration::from_secs(15),
        }
    }
}

impl Server {
    /// Why nothing should be served with these settings: other machines would reach it, and there is no token that says who
    /// is an admin. (`metrics_listen` is for other machines, and tells no secrets.)
    pub fn is_open(&self) -> Option<String> {
        let is_open = !self.listen.ip().to_canonical().is_loopback() && self.operators().is_empty();
        is_open.then(|| {
            format!(
                "server.listen is {}, where other machines reach hikyaku, and server.admin_token is not set, nor a [[server.tokens]]. Set one \
                 (`openssl rand -hex 32` makes it, and HIKYAKU__SERVER__ADMIN_TOKEN may hold it), or listen on 127.0.0.1",
                self.listen
            )
        })
    }

    /// Everyone who is let in.
    pub fn operators(&self) -> Tokens {
        let named = self.tokens.iter().map(|named| (named.operator.clone(), named.token.clone()));
        Tokens::new(self.admin_token.clone(), named)
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let admin_token = section.text("admin_token", |text| unless_empty(text, tokens::token)).flatten();
        Self {
            listen: section.text("listen", address).unwrap_or(default.listen),
            metrics_listen: section.text("metrics_listen", |text| unless_empty(text, address)).flatten(),
            tokens: tokens::read(section, admin_token.as_ref()),
            admin_token,
            trusted_proxies: section
                .list("trusted_proxies", TRUSTED_PROXIES_MAX, |value| Network::parse(values::text(value)?.trim()))
                .unwrap_or_default(),
            shutdown_grace: section.whole_seconds("shutdown_grace_s", 0..=600).unwrap_or(default.shutdown_grace),
        }
    }
}

/// Nothing of an empty text, else what `parse` makes of it.
pub(super) fn unless_empty<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address with a port, such as 127.0.0.1:8787 or [::1]:8787"))
}
