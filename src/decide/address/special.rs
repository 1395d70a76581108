//! Networks that are not reachable from everywhere, by IANA's registries of special-purpose addresses (RFC 6890) as of 2026,
//! and those of multicast, of reserved IPv4 and of site-local IPv6 addresses.
//!
//! A few addresses within `192.0.0.0/24` and `2001::/23` are reachable from everywhere by an entry of their own; no receiver is
//! there, so they are not told apart. Addresses that carry an IPv4 address are unwrapped before this is asked.

use super::network::Network;

/// A network, and what it is.
pub(super) type Special = (Network, &'static str);

/// The smaller before the larger ones that they lie in.
pub(super) const SPECIAL: [Special; 31] = [
    (Network::v4([0, 0, 0, 0], 8), "\"this network\" (RFC 791)"),
    (Network::v4([10, 0, 0, 0], 8), "private use (RFC 1918)"),
    (Network::v4([100, 64, 0, 0], 10), "a provider's shared address space (RFC 6598)"),
    (Network::v4([127, 0, 0, 0], 8), "loopback (RFC 1122)"),
    (Network::v4([169, 254, 0, 0], 16), "link-local, where clouds have their metadata (RFC 3927)"),
    (Network::v4([172, 16, 0, 0], 12), "private use (RFC 1918)"),
    (Network::v4([192, 0, 0, 0], 24), "IETF protocol assignments (RFC 6890)"),
    (Network::v4([192, 0, 2, 0], 24), "documentation (RFC 5737)"),
    (Network::v4([192, 88, 99, 0], 24), "6to4 relays, deprecated (RFC 7526)"),
    (Network::v4([192, 168, 0, 0], 16), "private use (RFC 1918)"),
    (Network::v4([198, 18, 0, 0], 15), "benchmarking (RFC 2544)"),
    (Network::v4([198, 51, 100, 0], 24), "documentation (RFC 5737)"),
    (Network::v4([203, 0, 113, 0], 24), "documentation (RFC 5737)"),
    (Network::v4([224, 0, 0, 0], 4), "multicast (RFC 5771)"),
    (Network::v4([255, 255, 255, 255], 32), "broadcast (RFC 8190)"),
    (Network::v4([240, 0, 0, 0], 4), "reserved (RFC 1112)"),
    (Network::v6_alone(0), "the unspecified address (RFC 4291)"),
    (Network::v6_alone(1), "loopback (RFC 4291)"),
    (Network::v6(0x64, 0xff9b, 1, 48), "NAT64 for local use (RFC 8215)"),
    (Network::v6(0, 0, 0, 8), "reserved (RFC 4291)"),
    (Network::v6(0x100, 0, 0, 64), "discard-only (RFC 6666)"),
    (Network::v6(0x2001, 0, 0, 32), "Teredo, which carries IPv4 addresses (RFC 4380)"),
    (Network::v6(0x2001, 2, 0, 48), "benchmarking (RFC 5180)"),
    (Network::v6(0x2001, 0, 0, 23), "IETF protocol assignments (RFC 2928)"),
    (Network::v6(0x2001, 0xdb8, 0, 32), "documentation (RFC 3849)"),
    (Network::v6(0x3fff, 0, 0, 20), "documentation (RFC 9637)"),
    (Network::v6(0x5f00, 0, 0, 16), "segment routing (RFC 9602)"),
    (Network::v6(0xfc00, 0, 0, 7), "unique local, private use (RFC 4193)"),
    (Network::v6(0xfe80, 0, 0, 10), "link-local (RFC 4291)"),
    (Network::v6(0xfec0, 0, 0, 10), "site-local, deprecated (RFC 3879)"),
    (Network::v6(0xff00, 0, 0, 8), "multicast (RFC 4291)"),
];
