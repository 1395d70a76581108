//! Who a request comes from, as far as its address tells: a machine with IPv4, a network with IPv6, where one customer has
//! 2^64 addresses to choose from (RFC 6177, section 2).

use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address that name the network, the upper 64.
const NETWORK: u128 = u128::MAX << 64;

/// A machine, or with IPv6 a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// Whose `address` is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() & NETWORK).into()),
            machine @ IpAddr::V4(_) => Self(machine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_by_ipv4_and_networks_of_64_bits_by_ipv6() {
        let peer = |text: &str| Peer::of(text.parse().expect("an address"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_eq!(peer("192.0.2.1"), peer("::ffff:192.0.2.1"), "IPv4 on an IPv6 socket");
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    }
}
