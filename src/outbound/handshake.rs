//! What is said to a proxy before bytes go through it: HTTP CONNECT (RFC 9110, section 9.3.6) or SOCKS5 (RFC 1928, RFC 1929).
//!
//! A proxy's refusal is either about itself and us (it does not know us, it does not let us), which is our side's failure, or
//! about the receiver, which it cannot reach. Not one byte behind its answer is read here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::proxy::{Credentials, Kind, Proxy};

/// Bytes of a proxy's answer to CONNECT. They are read one by one, so that none behind them is.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// To where a proxy is asked to connect.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// An address that was checked.
    Address(SocketAddr),
    /// A name that the proxy looks up.
    Name(String, u16),
}

/// Why there is no way through a proxy.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The connection to the proxy failed.
    Broken(io::Error),
    /// The proxy refuses us, or what it says is none of its language.
    OurSide(String),
    /// The proxy cannot reach the receiver.
    Receiver(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Asks the proxy at the other end of `stream` for its leave to ask: what concerns the proxy and us alone.
pub(super) async fn greet(proxy: &Proxy, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Refusal> {
    match proxy.kind {
        Kind::Http => Ok(()),
        Kind::Socks5 => greet_socks(proxy.credentials.as_ref(), stream).await,
    }
}

/// Asks it to connect to `target`; afterwards what is sent goes there.
pub(super) async fn connect(
    proxy: &Proxy,
    target: &Target,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), Refusal> {
    match proxy.kind {
        Kind::Http => connect_http(proxy.credentials.as_ref(), target, stream).await,
        Kind::Socks5 => connect_socks(target, stream).await,
    }
}

async fn connect_http(
    credentials: Option<&Credentials>,
    target: &Target,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), Refusal> {
    let target = match target {
        Target::Address(address) => address.to_string(),
        Target::Name(name, port) => format!("{name}:{port}"),
    };
    let authorization = credentials.map(|Credentials { user, password }| {
        let text = BASE64.encode(format!("{user}:{}", password.expose()).as_bytes());
        format!("Proxy-Authorization: Basic {text}\r\n")
    });
    let authorization = authorization.unwrap_or_default();
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == HEAD_BYTES_MAX {
            return Err(Refusal::OurSide(format!("answers CONNECT with more than {HEAD_BYTES_MAX} bytes")));
        }
        answer.push(stream.read_u8().await?);
    }
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok());
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=299) => Ok(()),
        // tinyproxy says 401 of wrong ones.
        Some(status @ (401 | 407)) => {
            let what = if credentials.is_none() { "wants a" } else { "does not take the" };
            Err(Refusal::OurSide(format!("{what} user and password ({status})")))
        }
        // Some say so of a name that they cannot find.
        Some(404) => Err(Refusal::Receiver("answers CONNECT with 404".to_owned())),
        Some(status @ 500..=599) => Err(Refusal::Receiver(format!("answers CONNECT with {status}"))),
        Some(status) => Err(Refusal::OurSide(format!("refuses CONNECT to {target} with {status}"))),
        None => Err(Refusal::OurSide("answers CONNECT with what is no HTTP".to_owned())),
    }
}

async fn greet_socks(
    credentials: Option<&Credentials>,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), Refusal> {
    // Version 5; without authentication (0), by user and password (2).
    let greeting: &[u8] = if credentials.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(greeting).await?;
    match (read_two(stream).await?, credentials) {
        ([5, 0], _) => Ok(()),
        ([5, 2], Some(Credentials { user, password })) => {
            let (user, password) = (user.as_bytes(), password.expose().as_bytes());
            let length = |text: &[u8]| u8::try_from(text.len()).unwrap_or(u8::MAX);
            let message = [&[1, length(user)], user, &[length(password)], password].concat();
            stream.write_all(&message).await?;
            match read_two(stream).await? {
                [_, 0] => Ok(()),
                _ => Err(Refusal::OurSide("does not take the user and the password".to_owned())),
            }
        }
        ([5, 0xff], None) => Err(Refusal::OurSide("wants a user and a password".to_owned())),
        ([5, _], _) => Err(Refusal::OurSide("wants to know us in a way that is not supported".to_owned())),
        _ => Err(Refusal::OurSide("does not speak SOCKS5".to_owned())),
    }
}

async fn connect_socks(target: &Target, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Refusal> {
    // Version 5, CONNECT (1), reserved, the kind of address.
    let mut message = vec![5, 1, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => message.extend([&[1], ip.octets().as_slice()].concat()),
                IpAddr::V6(ip) => message.extend([&[4], ip.octets().as_slice()].concat()),
            }
            address.port()
        }
        Target::Name(name, port) => {
            let too_long = |_| Refusal::Receiver("is not told a name of more than 255 bytes".to_owned());
            message.extend([3, u8::try_from(name.len()).map_err(too_long)?]);
            message.extend(name.as_bytes());
            *port
        }
    };
    message.extend(port.to_be_bytes());
    stream.write_all(&message).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    let [version, reply, _, kind] = answer;
    if version != 5 {
        return Err(Refusal::OurSide("does not speak SOCKS5".to_owned()));
    }
    let receivers = |what: &str| Err(Refusal::Receiver(format!("says {what} (SOCKS5 reply {reply})")));
    match reply {
        0 => {}
        1 => return receivers("that it failed"),
        2 => return Err(Refusal::OurSide("does not allow this connection (SOCKS5 reply 2)".to_owned())),
        3 => return receivers("that the network is unreachable"),
        4 => return receivers("that the host is unreachable"),
        5 => return receivers("that the connection was refused"),
        6 => return receivers("that it took too many hops"),
        8 => return receivers("that it does not know this kind of address"),
        _ => return Err(Refusal::OurSide(format!("refuses with SOCKS5 reply {reply}"))),
    }
    // The address that it connects from, and its port.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(Refusal::OurSide("does not speak SOCKS5".to_owned())),
    };
    let mut address = vec![0; length + 2];
    stream.read_exact(&mut address).await?;
    Ok(())
}

async fn read_two(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; 2]> {
    let mut two = [0; 2];
    stream.read_exact(&mut two).await?;
    Ok(two)
}

#[cfg(test)]
mod tests;
