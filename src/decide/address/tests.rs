//! The tables: addresses and URLs, each with the rule that forbids it, or none.

use proptest::prelude::*;

use super::*;

/// What is written there, and the network that forbids it.
type Row = (&'static str, Option<&'static str>);

const fn no(text: &'static str, rule: &'static str) -> Row {
    (text, Some(rule))
}

const fn yes(text: &'static str) -> Row {
    (text, None)
}

#[rustfmt::skip]
const ADDRESSES: &[Row] = &[
    // The edges of each row of the IPv4 registry, from within and from without.
    no("0.0.0.0", "0.0.0.0/8"), no("0.0.0.1", "0.0.0.0/8"), no("0.255.255.255", "0.0.0.0/8"), yes("1.0.0.0"),
    yes("9.255.255.255"), no("10.0.0.0", "10.0.0.0/8"), no("10.1.2.3", "10.0.0.0/8"), no("10.255.255.255", "10.0.0.0/8"),
    yes("11.0.0.0"),
    yes("100.63.255.255"), no("100.64.0.0", "100.64.0.0/10"), no("100.100.100.200", "100.64.0.0/10"),
    no("100.127.255.255", "100.64.0.0/10"), yes("100.128.0.0"),
    yes("126.255.255.255"), no("127.0.0.0", "127.0.0.0/8"), no("127.0.0.1", "127.0.0.0/8"), no("127.1.2.3", "127.0.0.0/8"),
    no("127.255.255.255", "127.0.0.0/8"), yes("128.0.0.0"),
    yes("169.253.255.255"), no("169.254.0.0", "169.254.0.0/16"), no("169.254.169.254", "169.254.0.0/16"),
    no("169.254.170.2", "169.254.0.0/16"), no("169.254.255.255", "169.254.0.0/16"), yes("169.255.0.0"),
    yes("172.15.255.255"), no("172.16.0.0", "172.16.0.0/12"), no("172.17.0.1", "172.16.0.0/12"),
    no("172.31.255.255", "172.16.0.0/12"), yes("172.32.0.0"),
    yes("191.255.255.255"), no("192.0.0.0", "192.0.0.0/24"), no("192.0.0.8", "192.0.0.0/24"),
    no("192.0.0.170", "192.0.0.0/24"), no("192.0.0.192", "192.0.0.0/24"), no("192.0.0.255", "192.0.0.0/24"),
    yes("192.0.1.0"), yes("192.0.1.255"), no("192.0.2.0", "192.0.2.0/24"), no("192.0.2.255", "192.0.2.0/24"), yes("192.0.3.0"),
    yes("192.31.196.1"), yes("192.52.193.1"), yes("192.175.48.1"),
    yes("192.88.98.255"), no("192.88.99.0", "192.88.99.0/24"), no("192.88.99.1", "192.88.99.0/24"),
    no("192.88.99.255", "192.88.99.0/24"), yes("192.88.100.0"),
    yes("192.167.255.255"), no("192.168.0.0", "192.168.0.0/16"), no("192.168.1.1", "192.168.0.0/16"),
    no("192.168.255.255", "192.168.0.0/16"), yes("192.169.0.0"),
    yes("198.17.255.255"), no("198.18.0.0", "198.18.0.0/15"), no("198.19.255.255", "198.18.0.0/15"), yes("198.20.0.0"),
    yes("198.51.99.255"), no("198.51.100.0", "198.51.100.0/24"), no("198.51.100.255", "198.51.100.0/24"), yes("198.51.101.0"),
    yes("203.0.112.255"), no("203.0.113.0", "203.0.113.0/24"), no("203.0.113.255", "203.0.113.0/24"), yes("203.0.114.0"),
    yes("223.255.255.255"), no("224.0.0.0", "224.0.0.0/4"), no("224.0.0.251", "224.0.0.0/4"),
    no("239.255.255.255", "224.0.0.0/4"), no("240.0.0.0", "240.0.0.0/4"), no("255.255.255.254", "240.0.0.0/4"),
    no("255.255.255.255", "255.255.255.255/32"),
    yes("8.8.8.8"), yes("1.1.1.1"), yes("93.184.216.34"),
    // IPv6.
    no("::", "::/128"), no("::1", "::1/128"), no("0:0:0:0:0:0:0:1", "::1/128"), no("::1:0:0:0:0", "::/8"),
    no("0:1::", "::/8"), no("ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/8"), no("::ffff:0:8.8.8.8", "::/8"),
    no("64:ff9b:0:0:0:1::", "::/8"), no("64:ff9b:1::", "64:ff9b:1::/48"), no("64:ff9b:1::8.8.8.8", "64:ff9b:1::/48"),
    no("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::/48"), no("64:ff9b:2::", "::/8"),
    no("100::", "100::/64"), no("100::ffff:ffff:ffff:ffff", "100::/64"), yes("100:0:0:2::"),
    yes("2000:ffff::"), no("2001:2::1", "2001:2::/48"), no("2001:3::1", "2001::/23"), no("2001:10::1", "2001::/23"),
    no("2001:20::1", "2001::/23"), no("2001:1ff:ffff::", "2001::/23"), yes("2001:200::"),
    yes("2001:db7:ffff::"), no("2001:db8::", "2001:db8::/32"), no("2001:db8:ffff::1", "2001:db8::/32"), yes("2001:db9::"),
    yes("2001:4860:4860::8888"), yes("2606:4700:4700::1111"), yes("2620:4f:8000::1"), yes("2a00:1450:4001:80f::200e"),
    yes("3ffe:ffff::"), no("3fff::", "3fff::/20"), no("3fff:fff:ffff::", "3fff::/20"), yes("3fff:1000::"),
    yes("5eff:ffff::"), no("5f00::", "5f00::/16"), no("5f00:ffff::", "5f00::/16"), yes("5f01::"),
    yes("fbff:ffff::"), no("fc00::", "fc00::/7"), no("fd00:ec2::254", "fc00::/7"), no("fdff:ffff::", "fc00::/7"), yes("fe00::"),
    yes("fe7f:ffff::"), no("fe80::", "fe80::/10"), no("fe80::1", "fe80::/10"), no("febf:ffff::", "fe80::/10"),
    no("fec0::", "fec0::/10"), no("feff:ffff::", "fec0::/10"), no("ff00::", "ff00::/8"), no("ff02::1", "ff00::/8"),
    no("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::/8"),
    // IPv6 that carries IPv4.
    no("::ffff:127.0.0.1", "127.0.0.0/8"), no("::ffff:7f00:1", "127.0.0.0/8"), no("::ffff:0:0", "0.0.0.0/8"),
    no("::ffff:169.254.169.254", "169.254.0.0/16"), no("::ffff:10.0.0.1", "10.0.0.0/8"), yes("::ffff:8.8.8.8"),
    no("::127.0.0.1", "127.0.0.0/8"), no("::10.0.0.1", "10.0.0.0/8"), no("::2", "0.0.0.0/8"), no("::ff", "0.0.0.0/8"),
    no("::255.255.255.255", "255.255.255.255/32"), yes("::8.8.8.8"),
    no("64:ff9b::127.0.0.1", "127.0.0.0/8"), no("64:ff9b::7f00:1", "127.0.0.0/8"), no("64:ff9b::", "0.0.0.0/8"),
    no("64:ff9b::a9fe:a9fe", "169.254.0.0/16"), no("64:ff9b::192.168.0.1", "192.168.0.0/16"), yes("64:ff9b::8.8.8.8"),
    no("2002::", "0.0.0.0/8"), no("2002:7f00:1::", "127.0.0.0/8"), no("2002:a00:1:1:2:3:4:5", "10.0.0.0/8"),
    no("2002:c0a8:101::1", "192.168.0.0/16"), no("2002:a9fe:a9fe::", "169.254.0.0/16"), yes("2002:808:808::1"),
    no("2001::", "2001::/32"), no("2001:0:53aa:64c:0:0:80ff:fffe", "2001::/32"),
    no("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::/32"),
];

#[rustfmt::skip]
const URLS: &[Row] = &[
    // Every notation of the URL standard for one address (its IPv4 parser): dotted, short, decimal, octal, hexadecimal, mixed.
    no("http://127.0.0.1/", "127.0.0.0/8"), no("http://127.1/", "127.0.0.0/8"), no("http://127.0.1/", "127.0.0.0/8"),
    no("http://2130706433/", "127.0.0.0/8"), no("http://0x7f000001/", "127.0.0.0/8"), no("http://0X7F000001/", "127.0.0.0/8"),
    no("http://017700000001/", "127.0.0.0/8"), no("http://0x7f.0.0.1/", "127.0.0.0/8"), no("http://0177.0.0.1/", "127.0.0.0/8"),
    no("http://0177.0x0.0.1/", "127.0.0.0/8"), no("http://127.0.0.01/", "127.0.0.0/8"), no("http://127.0x1/", "127.0.0.0/8"),
    no("http://00000000000000000177.1/", "127.0.0.0/8"), no("http://127.0.0.1./", "127.0.0.0/8"),
    no("http://127.1./", "127.0.0.0/8"), no("http://2130706433./", "127.0.0.0/8"), no("http://0x7f.1./", "127.0.0.0/8"),
    no("http://0x/", "0.0.0.0/8"), no("http://0/", "0.0.0.0/8"), no("http://0.0.0.0/", "0.0.0.0/8"), no("http://00/", "0.0.0.0/8"),
    no("http://10.1/", "10.0.0.0/8"), no("http://0xa9fea9fe/", "169.254.0.0/16"), no("http://2852039166/latest", "169.254.0.0/16"),
    no("http://0251.0376.0251.0376/", "169.254.0.0/16"), no("http://192.168.257/", "192.168.0.0/16"),
    no("http://4294967295/", "255.255.255.255/32"), no("http://0xffffffff/", "255.255.255.255/32"),
    // Percent-encoding, full-width digits and letters, other dots, characters that are left out, slashes turned round.
    no("http://%31%32%37.0.0.1/", "127.0.0.0/8"), no("http://127%2e0%2E0%2e1/", "127.0.0.0/8"),
    no("http://%30x7f.1/", "127.0.0.0/8"), no("http://１２７.０.０.１/", "127.0.0.0/8"), no("http://⑫7.0.0.1/", "127.0.0.0/8"),
    no("http://127。0。0。1/", "127.0.0.0/8"), no("http://127．0．0．1/", "127.0.0.0/8"), no("http://127｡1/", "127.0.0.0/8"),
    no("http://０ｘ７ｆ.1/", "127.0.0.0/8"), no("http://%EF%BC%91%EF%BC%92%EF%BC%97.1/", "127.0.0.0/8"),
    no("http://𝟏𝟐𝟕.𝟎.𝟎.𝟏/", "127.0.0.0/8"), no("http://127.0.0.1\u{ad}/", "127.0.0.0/8"),
    no("http://12\t7.0.0\n.1/", "127.0.0.0/8"), no("  http://127.0.0.1/  ", "127.0.0.0/8"),
    no("http:\\\\127.0.0.1\\", "127.0.0.0/8"), no("http:127.0.0.1", "127.0.0.0/8"), no("HTTPS:///127.0.0.1/", "127.0.0.0/8"),
    no("http://127.0.0.1:80/", "127.0.0.0/8"), no("https://127.0.0.1:443", "127.0.0.0/8"), no("http://127.0.0.1#x", "127.0.0.0/8"),
    no("http://127.0.0.1?@bot.example/", "127.0.0.0/8"), no("http://bot.example@127.0.0.1/", "127.0.0.0/8"),
    no("http://127.0.0.1\\@bot.example/", "127.0.0.0/8"),
    // IPv6 in brackets.
    no("http://[::]/", "::/128"), no("http://[::1]/", "::1/128"), no("http://[0:0:0:0:0:0:0:1]:8080/", "::1/128"),
    no("http://[0000::0001]/", "::1/128"), no("http://[::ffff:127.0.0.1]/", "127.0.0.0/8"),
    no("http://[::FFFF:7f00:1]/", "127.0.0.0/8"), no("http://[0:0:0:0:0:ffff:169.254.169.254]/", "169.254.0.0/16"),
    no("http://[::127.0.0.1]/", "127.0.0.0/8"), no("http://[64:ff9b::7f00:1]/", "127.0.0.0/8"),
    no("http://[64:ff9b::169.254.169.254]/", "169.254.0.0/16"), no("http://[2002:7f00:1::]/", "127.0.0.0/8"),
    no("http://[2001:0:53aa:64c::1]/", "2001::/32"), no("http://[fe80::1]/", "fe80::/10"), no("http://[fd00:ec2::254]/", "fc00::/7"),
    no("http://[fec0::1]/", "fec0::/10"), no("http://[ff02::1]/", "ff00::/8"), no("http://[::ffff:0:127.0.0.1]/", "::/8"),
    // Reachable from everywhere, or a name, of which the client's resolver sees the addresses.
    yes("http://8.8.8.8/"), yes("http://134744072/"), yes("http://[2606:4700:4700::1111]/"), yes("http://[::ffff:8.8.8.8]/"),
    yes("http://[64:ff9b::808:808]/"), yes("https://bot.example/"), yes("http://localhost/"), yes("http://127.0.0.1.bot.example/"),
    yes("http://metadata.google.internal/"), yes("http://1.2.3.4.5.example/"),
];

/// Hosts that are no URL at all.
const UNREADABLE: &[&str] = &[
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1]x/",
    "http://[::1",
    "http://[127.0.0.1]/",
    "http://256.0.0.1/",
    "http://1.2.3.4.5/",
    "http://0x100000000/",
    "http://127.0.0.0x100/",
    "http://127.0.0.08/",
    "http://127..0.1/",
    "http://999999999999/",
    "http://[::ffff:127.0.0.256]/",
    "http://127.0.0.1%00/",
    "http://%5B::1%5D/",
];

fn rule(checked: Result<(), Forbidden>) -> Option<String> {
    checked.err().map(|forbidden| forbidden.rule.0.to_string())
}

fn policy(allowed: &[&str]) -> AddressPolicy {
    AddressPolicy::new(allowed.iter().map(|text| AllowedNetwork::parse(text).expect(text)).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn every_address_of_the_table_is_forbidden_by_its_rule_or_open() {
    for (text, expected) in ADDRESSES {
        assert_eq!(rule(policy(&[]).check(ip(text), 443)).as_deref(), *expected, "{text}");
    }
}

#[test]
fn every_url_of_the_table_is_forbidden_by_its_rule_or_open_however_its_host_is_written() {
    for (text, expected) in URLS {
        let url = Url::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(rule(policy(&[]).check_url(&url)).as_deref(), *expected, "{text:?}, read as {url}");
    }
    for text in UNREADABLE {
        assert!(Url::parse(text).is_err(), "{text}");
    }
    assert!(ADDRESSES.len() + URLS.len() > 200, "{} and {}", ADDRESSES.len(), URLS.len());
}

#[test]
fn no_rule_is_there_for_nothing() {
    for (network, _) in &SPECIAL {
        let is_met = ADDRESSES.iter().any(|(_, rule)| *rule == Some(network.to_string().as_str()));
        assert!(is_met, "{network} forbids nothing of the table");
    }
}

#[test]
fn an_opened_network_opens_its_addresses_and_no_others() {
    let policy = policy(&["10.0.0.0/8", "127.0.0.1", "fd00::/16"]);
    for open in ["10.0.0.0", "10.255.255.255", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "8.8.8.8"]
    {
        assert_eq!(policy.check(ip(open), 80), Ok(()), "{open}");
    }
    for closed in ["127.0.0.2", "::1", "fd01::1", "192.168.0.1", "::ffff:127.0.0.2"] {
        assert!(policy.check(ip(closed), 80).is_err(), "{closed}");
    }
}

#[test]
fn an_opened_ipv4_network_is_not_open_in_forms_that_a_gateway_elsewhere_unwraps() {
    let policy = policy(&["127.0.0.0/8", "10.0.0.0/8"]);
    for closed in
        ["::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "2002:a00:1::1", "::10.0.0.1"]
    {
        let words = policy.check(ip(closed), 80).expect_err(closed).to_string();
        assert!(words.contains("It cannot be opened in this form; use "), "{words}");
    }
}

#[test]
fn no_opened_ipv6_network_opens_an_ipv4_address_that_an_address_in_it_carries() {
    let policy = policy(&["::/1", "::/8", "2000::/3", "2001::/23", "64:ff9b::/32"]);
    for closed in
        ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001:0:53aa:64c::1", "127.0.0.1"]
    {
        assert!(policy.check(ip(closed), 80).is_err(), "{closed}");
    }
    assert_eq!(policy.check(ip("::1"), 80), Ok(()), "it carries none");
}

#[test]
fn a_network_that_is_opened_for_some_ports_is_open_there_alone() {
    let policy = policy(&["10.0.0.0/8:8000-8099", "10.0.0.5:443", "[fd00::/8]:443"]);
    for (open, port) in [("10.0.0.5", 443), ("10.0.0.5", 8000), ("10.9.9.9", 8099), ("fd00::1", 443), ("8.8.8.8", 22)] {
        assert_eq!(policy.check(ip(open), port), Ok(()), "{open} {port}");
    }
    for (closed, port) in [("10.0.0.5", 7999), ("10.0.0.6", 443), ("10.9.9.9", 8100), ("fd00::1", 8000)] {
        let words = policy.check(ip(closed), port).expect_err(closed).to_string();
        assert!(words.ends_with("opens it for other ports only"), "{words}");
    }
    for (url, is_open) in [
        ("https://10.0.0.5/", true),
        ("http://10.0.0.5/", false),
        ("http://10.1:8000/", true),
        ("http://[fd00::1]/", false),
    ] {
        assert_eq!(policy.check_url(&Url::parse(url).expect(url)).is_ok(), is_open, "{url}");
    }
}

#[test]
fn the_words_name_the_address_the_rule_and_the_setting_that_opens_it() {
    let words = |text| policy(&[]).check(ip(text), 80).expect_err(text).to_string();
    assert_eq!(
        words("10.0.0.5"),
        "10.0.0.5 is forbidden: 10.0.0.0/8 is private use (RFC 1918). An admin can open it: \
         delivery.allowed_private_networks = [\"10.0.0.5/32\"]"
    );
    assert!(words("::ffff:127.0.0.1").ends_with("[\"127.0.0.1/32\"]"), "{}", words("::ffff:127.0.0.1"));
    assert!(words("fd00::5").ends_with("[\"fd00::5/128\"]"), "{}", words("fd00::5"));
    assert_eq!(
        words("64:ff9b::7f00:1"),
        "64:ff9b::7f00:1 is forbidden: it carries 127.0.0.1 (NAT64), and 127.0.0.0/8 is loopback (RFC 1122). It cannot be \
         opened in this form; use 127.0.0.1 itself, which an admin can open"
    );
}

proptest! {
    #[test]
    fn what_the_words_tell_an_admin_to_write_opens_the_address(bits in any::<u128>(), is_v4 in any::<bool>(), top in 0_u8..=255) {
        let address = if is_v4 {
            IpAddr::from(u32::try_from(bits >> 96).expect("32 bits").to_be_bytes())
        } else {
            IpAddr::from(((bits >> 8) | (u128::from(top) << 120)).to_be_bytes())
        };
        if let Err(forbidden) = policy(&[]).check(address, 80)
            && let Some((_, setting)) = forbidden.to_string().split_once("[\"")
        {
            prop_assert_eq!(policy(&[setting.trim_end_matches("\"]")]).check(address, 80), Ok(()));
        }
    }

    #[test]
    fn every_carried_ipv4_address_is_as_forbidden_as_it_is_itself(bits in any::<u32>()) {
        let inner = IpAddr::from(bits.to_be_bytes());
        let (high, low) = (bits >> 16, bits & 0xffff);
        let is_open = policy(&[]).check(inner, 80).is_ok();
        for form in [format!("::ffff:{inner}"), format!("::{high:x}:{low:x}"), format!("64:ff9b::{inner}"), format!("2002:{high:x}:{low:x}::1")] {
            prop_assert_eq!(policy(&[]).check(ip(&form), 80).is_ok(), is_open, "{}", form);
        }
    }

    #[test]
    fn a_host_that_is_an_address_is_never_taken_for_a_name(host in "[0-9xX.a-f%]{1,20}|[0-9a-f:.\\[\\]]{1,30}") {
        if let Ok(url) = Url::parse(&format!("http://{host}/"))
            && let Some(Host::Domain(name)) = url.host()
        {
            prop_assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "{}", name);
        }
    }

    #[test]
    fn ports_of_one_range_are_alike(a in 1_u16..=300, b in 1_u16..=300, first in 1_u16..=300, length in 0_u16..=300) {
        let ports = format!("10.0.0.0/8:{first}-{}", first + length);
        let policy = policy(&[&ports, "10.0.0.5:65535", "127.0.0.1"]);
        let firsts = policy.port_ranges();
        let range = |port: u16| firsts.partition_point(|first| *first <= port);
        if range(a) == range(b) {
            prop_assert!(policy.are_alike(a, b));
            prop_assert_eq!(policy.check(ip("10.1.1.1"), a), policy.check(ip("10.1.1.1"), b));
        }
    }
}
