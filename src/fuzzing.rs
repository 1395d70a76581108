//! What strangers can make us read, read from any bytes: the targets of `fuzz/`, and the tests that read again what they
//! have found (`fuzz/regressions/`). Each fails by panicking.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::decide::{AddressPolicy, AllowedNetwork, parse_retry_after};
use crate::model::{
    Arrival, Event, EventId, Format, Options, Origin, Owner, Secret, Source, Status, Timestamp, URL_CHARS_MAX, Webhook,
    WebhookId, check_url,
};
use crate::outbound::fuzzed::rendered;

pub use crate::queue::fuzzed::amqp_message;

const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);
const EVENT_BYTES_MAX: usize = 1 << 16;

/// An event as producers write it, or an error that says something; its body is the very bytes of the input.
#[expect(clippy::expect_used, reason = "a text without odd characters is an id")]
fn parsed(bytes: &[u8]) -> Option<Event> {
    let event_id = EventId::new("fallback").expect("an id");
    let arrival = Arrival { now: NOW, event_id, event_bytes_max: EVENT_BYTES_MAX, source: None };
    match Event::parse(&Bytes::copy_from_slice(bytes), arrival) {
        Ok(event) => Some(event),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Reads an event.
pub fn event(bytes: &[u8]) {
    let Some(event) = parsed(bytes) else { return };
    let body = event.body.bytes();
    assert!(bytes.len() <= EVENT_BYTES_MAX, "larger than allowed");
    assert!(body.starts_with(b"{") && body.ends_with(b"}"), "the body is an object");
    assert!(bytes.windows(body.len()).any(|window| window == &body[..]), "the body has the producer's own bytes");
}

/// Tells of an event in each format: JSON, whatever is in it.
#[expect(clippy::expect_used, reason = "texts that are known to be right")]
pub fn format(bytes: &[u8]) {
    let Some(event) = parsed(bytes) else { return };
    let mut webhook = Webhook {
        id: WebhookId::new("wh1").expect("an id"),
        owner: Owner::System,
        source: Source::default(),
        name: String::new(),
        url: Url::parse("https://bot.example/hook").expect("a URL"),
        secret: Secret::new("s"),
        on: Vec::new(),
        status: Status::Active,
        options: Options::default(),
        origin: Origin::Store,
        created_at: NOW,
        updated_at: NOW,
    };
    // Deeper than that, no reader of JSON goes along, and its bytes pass as they came.
    let is_readable = serde_json::from_slice::<Value>(event.body.bytes()).is_ok();
    for format in Format::ALL {
        webhook.options.format = format;
        let body = rendered(&event, &webhook);
        let is_own = matches!(format, Format::Discord | Format::Slack);
        assert!(!(is_own || is_readable) || serde_json::from_slice::<Value>(&body).is_ok(), "{format}");
    }
}

/// Reads a webhook's URL.
pub fn url(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match check_url(text) {
        Ok(url) => {
            assert!(matches!(url.scheme(), "http" | "https") && url.host().is_some(), "{url}");
            assert!(url.username().is_empty() && url.password().is_none(), "{url}");
            assert!(text.chars().count() <= URL_CHARS_MAX);
            let _whether_it_may_be_requested = AddressPolicy::default().check_url(&url);
            assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "it is stored as a text and read again");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Says whether an address may be requested: an IPv4 or IPv6 address of any bytes, with nothing opened, and then with what the
/// rest of the bytes opens.
pub fn address(bytes: &[u8]) {
    let Some((port, bytes)) = bytes.split_first_chunk::<2>() else { return };
    let port = u16::from_be_bytes(*port);
    let closed = AddressPolicy::default();
    if let Some((first, rest)) = bytes.split_first_chunk::<16>() {
        let address = Ipv6Addr::from(*first);
        let is_open = closed.check(address.into(), port).is_ok();
        let is_inside = address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.is_unique_local()
            || address.is_unicast_link_local()
            || address.to_ipv4_mapped().is_some_and(is_inside_v4);
        assert!(!(is_open && is_inside), "{address}");
        if let Some(inner) = address.to_ipv4_mapped() {
            assert_eq!(is_open, closed.check(inner.into(), port).is_ok(), "{address}");
        }
        open_and_check(rest, address.into(), port);
    }
    if let Some((first, rest)) = bytes.split_first_chunk::<4>() {
        let address = Ipv4Addr::from(*first);
        assert!(!(closed.check(address.into(), port).is_ok() && is_inside_v4(address)), "{address}");
        open_and_check(rest, address.into(), port);
    }
}

/// As the standard library knows them; the policy has more.
fn is_inside_v4(address: Ipv4Addr) -> bool {
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified()
        || address.is_multicast()
}

/// With the network that `text` opens, only more may be requested; what cannot be opened is refused in words.
fn open_and_check(text: &[u8], address: IpAddr, port: u16) {
    match AllowedNetwork::parse(&String::from_utf8_lossy(text)) {
        Ok(network) => {
            let open = AddressPolicy::new(vec![network]);
            assert!(open.check(address, port).is_ok() || AddressPolicy::default().check(address, port).is_err());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// Reads a receiver's `Retry-After`.
pub fn retry_after(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(wait) = parse_retry_after(&text, NOW) {
        // No moment that anybody could mean is further away, and adding it to a time must not go over its end.
        assert!(NOW.plus(wait) >= NOW);
        if let Ok(seconds) = text.trim().parse::<u32>() {
            assert_eq!(wait, Duration::from_secs(seconds.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Reads what the target has found before; that it reads something is part of the test.
    fn again(target: &str, read: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            read(&std::fs::read(entry.expect("a file").path()).expect("it can be read"));
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }

    #[test]
    fn what_was_found_with_events_stays_mended() {
        again("event", super::event);
    }

    #[test]
    fn what_was_found_with_messages_of_rabbitmq_stays_mended() {
        again("amqp_message", super::amqp_message);
    }

    #[test]
    fn what_was_found_with_urls_stays_mended() {
        again("url", super::url);
    }

    #[test]
    fn what_was_found_with_addresses_stays_mended() {
        again("address", super::address);
    }

    #[test]
    fn what_was_found_with_retry_after_stays_mended() {
        again("retry_after", super::retry_after);
    }

    #[test]
    fn what_was_found_with_formats_stays_mended() {
        again("format", super::format);
    }
}
