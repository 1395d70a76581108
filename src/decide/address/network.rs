//! A network of addresses, and how an admin writes one that shall be open, with or without ports.
//!
//! | written | opens |
//! |---|---|
//! | `10.0.0.0/8`, `fd00::/8` | every port of every address in it |
//! | `10.0.0.5`, `fd00::5` | every port of that address; the same as `/32`, `/128` |
//! | `10.0.0.0/8:8080`, `10.0.0.5:8000-8099` | these ports |
//! | `[fd00::/8]:443`, `[fd00::5]:8000-8099` | these ports |

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::unwrap::Carries;

/// A network of one of the two families: the addresses that begin as its first does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network(Bits);

/// Its first address, whose host bits are zero, and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    V4(u32, u32),
    V6(u128, u32),
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address.
    ///
    /// # Errors
    /// What is wrong with `text`, and how to write it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| {
            format!(
                "{address:?} is no IP address; write a network such as 10.0.0.0/8, 127.0.0.1/32 or fd00::/8, not a name"
            )
        })?;
        let Some(prefix) = prefix else { return Ok(Self::of(address)) };
        let max = prefix_max(address);
        let prefix = match prefix.parse::<u32>() {
            Ok(length) if length <= max && prefix.bytes().all(|byte| byte.is_ascii_digit()) => length,
            _ => return Err(format!("{text:?}: after the '/' there must be a number from 0 to {max}")),
        };
        let network = Self::around(address, prefix);
        if network.first() != address {
            return Err(format!("{text:?} is no network; did you mean {network}, or {} alone?", Self::of(address)));
        }
        Ok(network)
    }

    /// Whether `address` lies in it.
    pub fn has(self, address: IpAddr) -> bool {
        match (self.0, address) {
            (Bits::V4(first, prefix), IpAddr::V4(address)) => {
                (first ^ address.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
            }
            (Bits::V6(first, prefix), IpAddr::V6(address)) => {
                (first ^ address.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    pub(super) const fn v4(first: [u8; 4], prefix: u32) -> Self {
        Self(Bits::V4(u32::from_be_bytes(first), prefix))
    }

    /// The network whose first address has these segments, and zeroes after them.
    pub(super) const fn v6(a: u16, b: u16, c: u16, prefix: u32) -> Self {
        Self(Bits::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits(), prefix))
    }

    /// That IPv6 address alone.
    pub(super) const fn v6_alone(address: u128) -> Self {
        Self(Bits::V6(address, 128))
    }

    /// That address alone.
    pub(super) fn of(address: IpAddr) -> Self {
        Self::around(address, prefix_max(address))
    }

    /// The network with that prefix that `address` lies in.
    fn around(address: IpAddr, prefix: u32) -> Self {
        Self(match address {
            IpAddr::V4(address) => Bits::V4(address.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0), prefix),
            IpAddr::V6(address) => {
                Bits::V6(address.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0), prefix)
            }
        })
    }

    fn first(self) -> IpAddr {
        match self.0 {
            Bits::V4(first, _) => Ipv4Addr::from_bits(first).into(),
            Bits::V6(first, _) => Ipv6Addr::from_bits(first).into(),
        }
    }

    fn prefix(self) -> u32 {
        let (Bits::V4(_, prefix) | Bits::V6(_, prefix)) = self.0;
        prefix
    }
}

/// The length of a whole address.
fn prefix_max(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.prefix())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network that an admin has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedNetwork {
    pub(super) network: Network,
    /// The ports; none: all.
    pub(super) ports: Option<RangeInclusive<u16>>,
}

impl AllowedNetwork {
    /// Reads one as an admin writes it (the module's head has the notation).
    ///
    /// # Errors
    /// What is wrong with it, and how to write it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (network, ports) = split(text.trim())?;
        let ports = ports.map(read_ports).transpose()?;
        Ok(Self { network: read_network(network)?, ports })
    }

    /// That address alone, at that port alone.
    pub fn one(address: IpAddr, port: u16) -> Self {
        Self { network: Network::of(address), ports: Some(port..=port) }
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

impl fmt::Display for AllowedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ports) = &self.ports else { return write!(f, "{}", self.network) };
        match self.network.first() {
            IpAddr::V4(_) => write!(f, "{}:", self.network)?,
            IpAddr::V6(_) => write!(f, "[{}]:", self.network)?,
        }
        match (ports.start(), ports.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// The network and the ports of what was written.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((network, "")) => Ok((network, None)),
            Some((network, after)) => match after.strip_prefix(':') {
                Some(ports) => Ok((network, Some(ports))),
                None => Err(format!("{text:?}: after the ']' there may be a port, as in [fd00::/8]:443")),
            },
            None => Err(format!("{text:?}: the '[' is not closed; write [fd00::/8]:443")),
        };
    }
    match text.split_once(':') {
        // Not more than one, else it is IPv6.
        Some((network, ports)) if !ports.contains(':') => Ok((network, Some(ports))),
        _ => Ok((text, None)),
    }
}

fn read_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{text:?} is no port; write one from 1 to 65535, or two with a '-' between, as in 8000-8099")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(format!("the ports {text} are the wrong way round")) } else { Ok(first..=last) }
}

/// A network that may be opened: not every address, and none of those that carry an IPv4 address.
fn read_network(text: &str) -> Result<Network, String> {
    if text.split_once('/').is_some_and(|(_, prefix)| prefix.contains(':')) {
        return Err(format!("{text:?}: with a port, an IPv6 network stands in brackets, as in [fd00::/8]:443"));
    }
    let network = Network::parse(text)?;
    if network.prefix() == 0 {
        return Err(format!(
            "{text} is every address, and would end the guard; name the networks that receivers are in"
        ));
    }
    if let IpAddr::V6(first) = network.first()
        && let Some(carries) = Carries::of(first).filter(|carries| network.prefix() >= carries.prefix())
    {
        return Err(format!(
            "{text:?}: such an address carries an IPv4 address ({}); write the IPv4 network itself",
            carries.how()
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_told_the_same() {
        for (written, told) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            (" 127.0.0.1/32 ", "127.0.0.1/32"),
            ("10.0.0.5", "10.0.0.5/32"),
            ("10.0.0.0/8:8080", "10.0.0.0/8:8080"),
            ("10.0.0.5:8000-8099", "10.0.0.5/32:8000-8099"),
            ("10.0.0.5:80-80", "10.0.0.5/32:80"),
            ("128.0.0.0/1", "128.0.0.0/1"),
            ("fd00::/8", "fd00::/8"),
            ("FD00::5", "fd00::5/128"),
            ("::1", "::1/128"),
            ("[fd00::/8]", "fd00::/8"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("[fd00::5]:8000-8099", "[fd00::5/128]:8000-8099"),
            ("64:ff9b:1::/48", "64:ff9b:1::/48"),
        ] {
            let read = AllowedNetwork::parse(written).expect(written);
            assert_eq!(read.to_string(), told);
            assert_eq!(AllowedNetwork::parse(told), Ok(read));
        }
    }

    #[test]
    fn what_opens_nothing_or_too_much_is_refused_in_words() {
        for (written, words) in [
            ("", "is no IP address"),
            ("localhost", "not a name"),
            ("bot.internal:80", "not a name"),
            ("10.0.0", "is no IP address"),
            ("010.0.0.1", "is no IP address"),
            ("0x7f.0.0.1", "is no IP address"),
            ("fe80::1%eth0", "is no IP address"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/-1", "0 to 32"),
            ("10.0.0.0/+8", "0 to 32"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/255.0.0.0", "0 to 32"),
            ("fd00::/129", "0 to 128"),
            ("fd00::/8:443", "in brackets, as in [fd00::/8]:443"),
            ("[fd00::]/8:443", "after the ']' there may be a port"),
            ("[fd00::/8", "not closed"),
            ("10.0.0.0/8:", "is no port"),
            ("10.0.0.0/8:0", "is no port"),
            ("10.0.0.0/8:65536", "is no port"),
            ("10.0.0.0/8:http", "is no port"),
            ("10.0.0.0/8:+80", "is no port"),
            ("10.0.0.0/8:90-80", "wrong way round"),
            ("10.0.0.5/8", "did you mean 10.0.0.0/8, or 10.0.0.5/32 alone?"),
            ("fd00::5/8", "did you mean fd00::/8, or fd00::5/128 alone?"),
            ("0.0.0.0/0", "would end the guard"),
            ("::/0", "would end the guard"),
            ("::ffff:10.0.0.0/104", "write the IPv4 network itself"),
            ("::ffff:127.0.0.1", "write the IPv4 network itself"),
            ("::10.0.0.0/104", "write the IPv4 network itself"),
            ("64:ff9b::/96", "write the IPv4 network itself"),
            ("64:ff9b::10.0.0.1", "write the IPv4 network itself"),
            ("2002::/16", "write the IPv4 network itself"),
            ("2002:7f00:1::/48", "write the IPv4 network itself"),
            ("2001::/32", "write the IPv4 network itself"),
        ] {
            let refused = AllowedNetwork::parse(written).expect_err(written);
            assert!(refused.contains(words), "{written}: {refused}");
        }
    }

    #[test]
    fn a_network_is_its_first_bits_and_what_is_none_is_refused() {
        let has = |network: &str, address: &str| {
            Network::parse(network).expect(network).has(address.parse().expect("an address"))
        };
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.7", "192.0.2.7") && !has("192.0.2.7", "192.0.2.6"));
        assert!(has("0.0.0.0/0", "203.0.113.9") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:f::1") && !has("2001:db8::/32", "2001:db9::1"));
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "2001:db8::/129", "10.0.0.0/-1", "10.0.0.5/8"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
