//! Which addresses a request may go to.
//!
//! A webhook's URL is a stranger's choice, and each request leaves from inside the admin's network. So nothing goes to an
//! address that is not reachable from everywhere ([`special`] has the list), unless the admin has opened it
//! (`delivery.allowed_private_networks`, [`AllowedNetwork`]).
//!
//! An IPv6 address that carries an IPv4 address ([`unwrap`]) is as good as that one. What the admin has opened in IPv4 is open
//! as `::ffff:a.b.c.d` too, which the system connects to by IPv4 itself. It is not open in the forms that a gateway elsewhere
//! unwraps (`::a.b.c.d`, NAT64, 6to4): the network that the gateway sees is another. No entry opens such a form by its IPv6
//! address, however wide it is, and Teredo cannot be opened.
//!
//! Hosts arrive here as `url` has read them: it writes decimal, octal, hexadecimal and short IPv4 addresses, full-width digits,
//! percent-encoding and a dot at the end in one form, and takes no zone ids. Nothing is resolved here.

mod network;
mod special;
mod unwrap;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

pub use network::{AllowedNetwork, Network};

use special::{SPECIAL, Special};
use unwrap::Carries;

/// What may be requested: what is reachable from everywhere, and what the admin has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<AllowedNetwork>,
}

/// An address that must not be requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// As it was met.
    address: IpAddr,
    /// The rule that forbids it.
    rule: &'static Special,
    way_out: WayOut,
}

impl std::error::Error for Forbidden {}

/// What an admin could do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum WayOut {
    /// Open the network.
    Open(Network),
    /// Open this port of it too.
    OpenPort,
    /// Nothing, in this form.
    Carries(Option<Ipv4Addr>, &'static str),
}

impl AddressPolicy {
    /// The admin has opened `allowed`.
    pub fn new(allowed: Vec<AllowedNetwork>) -> Self {
        Self { allowed }
    }

    /// Says whether a request to `port` of `address` may leave.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check(&self, address: IpAddr, port: u16) -> Result<(), Forbidden> {
        let forbidden = |rule, way_out| Err(Forbidden { address, rule, way_out });
        let carries = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Carries::of(address),
        };
        match carries {
            None => self.check_plain(address, port).or_else(|(rule, way_out)| forbidden(rule, way_out)),
            Some(Carries::Mapped(inner)) => {
                self.check_plain(inner.into(), port).or_else(|(rule, way_out)| forbidden(rule, way_out))
            }
            Some(by @ (Carries::Compatible(inner) | Carries::Nat64(inner) | Carries::SixToFour(inner))) => {
                match rule_of(inner.into()) {
                    None => Ok(()),
                    Some(rule) => forbidden(rule, WayOut::Carries(Some(inner), by.how())),
                }
            }
            Some(by @ Carries::Teredo) => match rule_of(address) {
                None => Ok(()),
                Some(rule) => forbidden(rule, WayOut::Carries(None, by.how())),
            },
        }
    }

    /// Checks an address that carries no other.
    fn check_plain(&self, address: IpAddr, port: u16) -> Result<(), (&'static Special, WayOut)> {
        let Some(rule) = rule_of(address) else { return Ok(()) };
        let mut open = self.allowed.iter().filter(|allowed| allowed.network.has(address)).peekable();
        let way_out = if open.peek().is_some() { WayOut::OpenPort } else { WayOut::Open(Network::of(address)) };
        if open.any(|allowed| allowed.has_port(port)) { Ok(()) } else { Err((rule, way_out)) }
    }

    /// Checks the host of `url` if it is an address and no name.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into(), port),
            Some(Host::Ipv6(address)) => self.check(address.into(), port),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// The first port of each range within which every port is as good as another: whoever knows an address and the range
    /// knows whether it may be requested. Ascending, from 0.
    pub fn port_ranges(&self) -> Vec<u16> {
        let mut firsts = vec![0];
        for ports in self.allowed.iter().filter_map(|allowed| allowed.ports.as_ref()) {
            firsts.push(*ports.start());
            firsts.extend(ports.end().checked_add(1));
        }
        firsts.sort_unstable();
        firsts.dedup();
        firsts
    }

    /// Whether `a` and `b` are ports of the same networks.
    pub fn are_alike(&self, a: u16, b: u16) -> bool {
        self.allowed.iter().all(|allowed| allowed.has_port(a) == allowed.has_port(b))
    }
}

fn rule_of(address: IpAddr) -> Option<&'static Special> {
    SPECIAL.iter().find(|(network, _)| network.has(address))
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, rule: (network, is), way_out } = self;
        write!(f, "{address} is forbidden: ")?;
        if let WayOut::Carries(Some(inner), how) = way_out {
            write!(f, "it carries {inner} ({how}), and ")?;
        }
        write!(f, "{network} is {is}. ")?;
        match way_out {
            WayOut::Open(network) => {
                write!(f, "An admin can open it: delivery.allowed_private_networks = [\"{network}\"]")
            }
            WayOut::OpenPort => f.write_str("delivery.allowed_private_networks opens it for other ports only"),
            WayOut::Carries(Some(inner), _) => {
                write!(f, "It cannot be opened in this form; use {inner} itself, which an admin can open")
            }
            WayOut::Carries(None, _) => f.write_str("It cannot be opened"),
        }
    }
}
