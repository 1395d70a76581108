//! IPv6 addresses that carry an IPv4 address, to which a gateway or the system itself would take what is sent there.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What an IPv6 address carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2): the system connects to the IPv4 address itself.
    Mapped(Ipv4Addr),
    /// `::a.b.c.d` (RFC 4291 section 2.5.5.1). `::` and `::1` are none.
    Compatible(Ipv4Addr),
    /// `64:ff9b::a.b.c.d` (RFC 6052 section 2.1).
    Nat64(Ipv4Addr),
    /// `2002:aabb:ccdd::` (RFC 3056 section 2).
    SixToFour(Ipv4Addr),
    /// `2001:0::` (RFC 4380 section 4): two IPv4 addresses, one of them veiled, with ports.
    Teredo,
}

impl Carries {
    /// What `address` carries, if anything.
    pub(super) fn of(address: Ipv6Addr) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = address.segments();
        let last = || Ipv4Addr::from_bits((u32::from(g) << 16) | u32::from(h));
        match (a, b) {
            (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => Some(Self::Mapped(last())),
            (0, 0) if [c, d, e, f] == [0; 4] && (g, h) > (0, 1) => Some(Self::Compatible(last())),
            (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => Some(Self::Nat64(last())),
            (0x2002, _) => Some(Self::SixToFour(Ipv4Addr::from_bits((u32::from(b) << 16) | u32::from(c)))),
            (0x2001, 0) => Some(Self::Teredo),
            _ => None,
        }
    }

    /// The length of the prefix that such addresses have.
    pub(super) fn prefix(self) -> u32 {
        match self {
            Self::Mapped(_) | Self::Compatible(_) | Self::Nat64(_) => 96,
            Self::SixToFour(_) => 16,
            Self::Teredo => 32,
        }
    }

    /// The form's name.
    pub(super) fn how(self) -> &'static str {
        match self {
            Self::Mapped(_) => "IPv4-mapped",
            Self::Compatible(_) => "IPv4-compatible",
            Self::Nat64(_) => "NAT64",
            Self::SixToFour(_) => "6to4",
            Self::Teredo => "Teredo",
        }
    }
}
