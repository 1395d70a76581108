//! `queue.url` of RabbitMQ: `amqp://user:password@host:port,host:port/vhost?cacertfile=...`.
//!
//! As RabbitMQ's URI specification has it, with several nodes of one cluster separated by commas, tried in turn. `amqps`
//! is TLS; `cacertfile` (PEM, trusted instead of the system's), `certfile` and `keyfile` (PEM, a client
//! certificate) are the Erlang client's names. Nothing here prints user or password.

use std::fmt;
use std::path::PathBuf;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};

/// Seconds between heartbeats: a dead peer is noticed after twice that.
const HEARTBEAT_S: u16 = 10;

/// Where RabbitMQ is, and as whom to come.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    nodes: Vec<Node>,
    pub(super) tls: bool,
    user: String,
    password: String,
    vhost: String,
    /// Certificates to trust instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// A client certificate and its key.
    pub(super) client_files: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    host: String,
    port: u16,
}

impl BrokerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Words that name what is wrong and how it should be, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (tls, rest) = match url.split_once("://") {
            Some(("amqp", rest)) => (false, rest),
            Some(("amqps", rest)) => (true, rest),
            _ => return Err("it must be amqp://user:password@host:5672/vhost, or amqps://".to_owned()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, hosts) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let default_port = if tls { 5671 } else { 5672 };
        let mut url = Self {
            nodes: hosts.split(',').map(|host| node(host, default_port)).collect::<Result<_, _>>()?,
            tls,
            user: decode(user, "the user")?,
            password: decode(password, "the password")?,
            vhost: if vhost.is_empty() { "/".to_owned() } else { decode(vhost, "the virtual host")? },
            ca_file: None,
            client_files: None,
        };
        url.read_options(query)?;
        Ok(url)
    }

    fn read_options(&mut self, query: &str) -> Result<(), String> {
        let (mut cert, mut key) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let path = PathBuf::from(decode(value, name)?);
            match name {
                "cacertfile" => self.ca_file = Some(path),
                "certfile" => cert = Some(path),
                "keyfile" => key = Some(path),
                _ => {
                    return Err(format!("unknown option `{name}`; here are known: cacertfile, certfile, keyfile"));
                }
            }
        }
        if !self.tls && (self.ca_file.is_some() || cert.is_some() || key.is_some()) {
            return Err("certificates are for TLS: it must begin with amqps://".to_owned());
        }
        self.client_files = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("certfile and keyfile go together".to_owned()),
        };
        Ok(())
    }

    /// How many nodes it names, at least one.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node at `index`, wrapping around, as lapin wants it.
    pub(super) fn node(&self, index: usize) -> AMQPUri {
        let node = &self.nodes[index % self.nodes.len()];
        AMQPUri {
            scheme: if self.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: self.user.clone(), password: self.password.clone() },
                host: node.host.clone(),
                port: node.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() },
        }
    }

    /// The node at `index` in words.
    pub(super) fn node_name(&self, index: usize) -> String {
        let node = &self.nodes[index % self.nodes.len()];
        format!("{}:{}", node.host, node.port)
    }
}

fn node(text: &str, default_port: u16) -> Result<Node, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(
            "a host is missing; it must be amqp://user:password@host:5672/vhost, and hosts are separated by commas"
                .to_owned(),
        );
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| "a port is no number from 1 to 65535".to_owned())?,
    };
    Ok(Node { host: host.to_owned(), port })
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(text: &str, what: &str) -> Result<String, String> {
    let wrong =
        || format!("{what} is not percent-encoded as in a URL; write %40 for @, %3A for :, %2F for / and %25 for %");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(wrong);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = (0..self.nodes.len()).map(|index| self.node_name(index)).collect();
        let scheme = if self.tls { "amqps" } else { "amqp" };
        write!(f, "{scheme}://{} (virtual host {:?})", nodes.join(","), self.vhost)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let url =
            BrokerUrl::parse("amqps://h%40k:p%3A%2F@a.example,b.example:5680,[::1]:1/my%2Fhost?cacertfile=/ca.pem")
                .expect("valid");
        assert_eq!(url.node_count(), 3);
        let second = url.node(1);
        assert_eq!((second.authority.host.as_str(), second.authority.port), ("b.example", 5680));
        assert_eq!(second.authority.userinfo.username, "h@k");
        assert_eq!(second.authority.userinfo.password, "p:/");
        assert_eq!(second.vhost, "my/host");
        assert_eq!(url.node(0).authority.port, 5671);
        assert_eq!(url.node(5).authority.host, "::1");
        assert_eq!(url.ca_file, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn what_is_left_out_has_rabbitmqs_defaults() {
        let url = BrokerUrl::parse("amqp://localhost").expect("valid").node(0);
        assert_eq!((url.vhost.as_str(), url.authority.port), ("/", 5672));
        assert_eq!(url.authority.userinfo.username, "guest");
        assert_eq!(url.query.heartbeat, Some(HEARTBEAT_S));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, words) in [
            ("http://x", "must be amqp://"),
            ("amqp://u:hunter2@/v", "a host is missing"),
            ("amqp://u:hunter2@a,,b", "a host is missing"),
            ("amqp://u:hunter2@a:x", "a port is no number"),
            ("amqp://u:hunter2%zz@a", "not percent-encoded"),
            ("amqp://u:hunter2@a/v?heartbeat=1", "unknown option `heartbeat`"),
            ("amqp://u:hunter2@a/v?cacertfile=/x", "amqps://"),
            ("amqps://u:hunter2@a/v?certfile=/x", "go together"),
        ] {
            let message = BrokerUrl::parse(url).expect_err(url);
            assert!(message.contains(words) && !message.contains("hunter2"), "{url}: {message}");
        }
        let url = BrokerUrl::parse("amqp://u:hunter2@a/v").expect("valid");
        assert!(!format!("{url:?} {url}").contains("hunter2"));
    }
}
