//! The proxy of the settings: where it is, how it is spoken with, and as whom.
//!
//! The admin names it, so its own address is not checked. Its user and password are told to it alone.

use std::fmt;

use url::{Host, Url};

use crate::model::Secret;

/// Bytes of a user's name and of a password (RFC 1929, section 2).
const CREDENTIAL_BYTES_MAX: usize = 255;

/// A proxy through which requests to receivers leave.
#[derive(Clone, PartialEq)]
pub struct Proxy {
    pub(super) kind: Kind,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
    /// Whether it is told receivers' names, and looks them up itself.
    pub(super) resolves: bool,
}

/// How a proxy is asked to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// SOCKS5 (RFC 1928).
    Socks5,
}

/// As whom a proxy is asked.
#[derive(Clone, PartialEq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Proxy {
    /// Reads `http://host:3128` or `socks5://host:1080`, with `user:password@`, percent-encoded, where it wants that. It is
    /// told addresses, unless it is to resolve names itself.
    ///
    /// # Errors
    /// What is wrong, without quoting anything: a password may be in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "it must look like http://proxy.example:3128 or socks5://proxy.example:1080".to_owned();
        let form = match text.contains('@') {
            false => form,
            true => form + ", special characters of user and password percent-encoded (`%40` for `@`, `%2F` for `/`)",
        };
        let url = Url::parse(text).map_err(|_| format!("it is no URL; {form}"))?;
        let (kind, usual) = match url.scheme() {
            "http" => (Kind::Http, 80),
            "socks5" => (Kind::Socks5, 1080),
            "socks5h" => {
                return Err(
                    "names are looked up here, so that what they lead to can be checked: write socks5://, and if \
                            the proxy is to look them up, set outbound.proxy_resolves = true"
                        .to_owned(),
                );
            }
            "https" => return Err(format!("a proxy that is spoken to by TLS is not supported; {form}")),
            _ => return Err(format!("its scheme is neither http nor socks5; {form}")),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(format!("it names no host; {form}")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("it has something after host and port; {form}"));
        }
        let credentials = Credentials::of(&url, kind)?;
        Ok(Self { kind, host, port: url.port().unwrap_or(usual), credentials, resolves: false })
    }

    /// The same, which is told receivers' names and looks them up itself.
    #[must_use]
    pub fn resolving(self) -> Self {
        Self { resolves: true, ..self }
    }
}

impl Credentials {
    fn of(url: &Url, kind: Kind) -> Result<Option<Self>, String> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(None);
        }
        let user = decoded(url.username()).ok_or("its user is not percent-encoded UTF-8")?;
        let password =
            decoded(url.password().unwrap_or_default()).ok_or("its password is not percent-encoded UTF-8")?;
        if [&user, &password].iter().any(|text| text.chars().any(char::is_control)) {
            return Err("its user or password has a control character".to_owned());
        }
        if kind == Kind::Http && user.contains(':') {
            return Err("its user has a colon, which ends the user in what is sent (RFC 7617)".to_owned());
        }
        let lengths = [user.len(), password.len()];
        if kind == Kind::Socks5 && lengths.iter().any(|length| !(1..=CREDENTIAL_BYTES_MAX).contains(length)) {
            return Err(format!("user and password must both have 1 to {CREDENTIAL_BYTES_MAX} bytes (RFC 1929)"));
        }
        Ok(Some(Self { user, password: Secret::new(&password) }))
    }
}

/// The text without percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.kind == Kind::Http { "http" } else { "socks5" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, resolves: {})", self.resolves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_credentials_and_prints_none() {
        let proxy = Proxy::parse("http://us%40er:hunter%3A2@proxy.example:3128/").expect("a proxy");
        assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (Kind::Http, "proxy.example", 3128));
        let credentials = proxy.credentials.as_ref().expect("credentials");
        assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("us@er", "hunter:2"));
        for printed in [proxy.to_string(), format!("{proxy:?}")] {
            assert!(printed.contains("http://proxy.example:3128") && !printed.contains("hunter"), "{printed}");
        }
        let plain = Proxy::parse("socks5://[::1]").expect("a proxy");
        assert_eq!((plain.to_string().as_str(), plain.credentials.is_none()), ("socks5://[::1]:1080", true));
        assert_eq!(Proxy::parse("http://10.0.0.1").expect("a proxy").to_string(), "http://10.0.0.1:80");
    }

    #[test]
    fn what_is_no_proxy_is_refused_in_words_without_its_password() {
        for (text, words) in [
            ("", "it is no URL"),
            ("proxy.example:3128", "neither http nor socks5"),
            ("hunter2", "it is no URL"),
            ("socks5h://u:hunter2@proxy.example", "proxy_resolves = true"),
            ("socks4://u:hunter2@proxy.example", "neither http nor socks5"),
            ("https://u:hunter2@proxy.example", "by TLS is not supported"),
            ("http://u:hunter2@proxy.example/path", "something after host and port"),
            ("socks5://u:hunter2@", "it is no URL"),
            ("http://u:hunter2/x@proxy.example", "it is no URL; it must look like"),
            ("http://u:hunter2/x@proxy.example", "`%2F` for `/`"),
            ("http://u:1/hunter2@proxy.example", "`%2F` for `/`"),
            ("socks5://user@proxy.example", "1 to 255 bytes"),
            ("socks5://:hunter2@proxy.example", "1 to 255 bytes"),
            ("http://us%3Aer:hunter2@proxy.example", "colon"),
            ("http://u:hunter2%zz@proxy.example", "not percent-encoded"),
            ("http://u:hunter2%0A@proxy.example", "control character"),
        ] {
            let message = Proxy::parse(text).expect_err(text);
            assert!(message.contains(words) && !message.contains("hunter"), "{text}: {message}");
        }
    }
}
