//! Whom a request comes from when it came through a reverse proxy.
//!
//! Each proxy adds to `X-Forwarded-For`, on the right, the address that it was asked from; what stands further left came with
//! the request, and anyone may write there what they like. So the list is read from the right for as long as what adds to it
//! is one of our own proxies, and not a step further.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::decide::Network;
use crate::model::Peer;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The addresses of our own reverse proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Trusts `networks` to say whom they were asked by.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whom a request with `headers` comes from, that came on a connection from `connected`.
    pub fn peer(&self, connected: IpAddr, headers: &HeaderMap) -> Peer {
        let mut nearest = connected.to_canonical();
        let lists = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|list| list.to_str().ok());
        for hop in lists.flat_map(|list| list.rsplit(',')) {
            if !self.0.iter().any(|network| network.has(nearest)) {
                break;
            }
            let Some(before) = address(hop.trim()) else { break };
            nearest = before;
        }
        Peer::of(nearest)
    }
}

/// The address in an entry of the list; some proxies add a port to it.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let found: Option<IpAddr> = plain.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    found.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn peer(proxies: &[&str], connected: &str, lists: &[&'static str]) -> Peer {
        let networks = proxies.iter().map(|text| Network::parse(text).expect("a network")).collect();
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(list));
        }
        Proxies::new(networks).peer(connected.parse().expect("an address"), &headers)
    }

    fn of(text: &str) -> Peer {
        Peer::of(text.parse().expect("an address"))
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        assert_eq!(peer(&[], "127.0.0.1", &["203.0.113.9"]), of("127.0.0.1"));
        assert_eq!(peer(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.9"]), of("192.0.2.1"));
    }

    #[test]
    fn the_list_is_read_from_the_right_up_to_the_first_that_is_no_proxy_of_ours() {
        let proxies = ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"];
        let cases: [(&[&str], &str); 8] = [
            (&["203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9 ,2001:db8::5"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db9::7]:4711"], "2001:db9::7"),
            (&["203.0.113.9, nonsense"], "127.0.0.1"),
            (&[], "127.0.0.1"),
        ];
        for (lists, expected) in cases {
            assert_eq!(peer(&proxies, "::ffff:127.0.0.1", lists), of(expected), "{lists:?}");
        }
    }
}
