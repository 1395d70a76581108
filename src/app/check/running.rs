//! Asks a hikyaku that runs on this machine how it is, at the address that it listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Server;

/// How long connecting and the whole answer may take: both come from memory.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer; the metrics of a busy worker have some hundred thousand.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    /// Whether all is well.
    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }

    /// In words.
    pub(super) fn words(&self) -> &str {
        self.body.trim_end()
    }
}

/// Where a hikyaku of these settings tells how it is, when asked from this machine; `listen` was given on the command line.
pub(in crate::app) fn address(server: &Server, listen: Option<SocketAddr>) -> SocketAddr {
    here(server.metrics_listen.or(listen).unwrap_or(server.listen))
}

/// Where on this machine one who listens on `address` is reached.
pub(super) fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What is answered at `address` to `GET path`.
///
/// # Errors
/// Why nothing was, in words.
pub(super) async fn ask(address: SocketAddr, path: &str) -> Result<Answer, String> {
    if address.port() == 0 {
        return Err(
            "server.listen has port 0, which is any free one, so hikyaku cannot be found; name it by --listen, or \
                    set a port"
                .to_owned(),
        );
    }
    match tokio::time::timeout(ANSWER_WAIT_MAX, exchange(address, path)).await {
        Ok(answered) => answered.map_err(|why| format!("http://{address}{path} does not answer: {why}")),
        Err(_) => Err(format!("http://{address}{path} has not answered within {} s", ANSWER_WAIT_MAX.as_secs())),
    }
}

/// The parts that the hikyaku at `address` has trouble with; none when no hikyaku answers there.
pub(in crate::app) async fn failing(address: SocketAddr) -> Option<Vec<String>> {
    let answer = ask(address, "/metrics").await.ok().filter(Answer::is_good)?;
    let metrics = answer.words();
    let named = metrics.lines().filter_map(|line| line.strip_prefix("hikyaku_part_failing{part=\""));
    let failing = named.filter_map(|rest| rest.strip_suffix("\"} 1")).map(str::to_owned).collect();
    metrics.contains("hikyaku_").then_some(failing)
}

async fn exchange(address: SocketAddr, path: &str) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nobody listens there; is hikyaku running?".to_owned(),
        _ => error.to_string(),
    })?;
    let told = |error: hyper::Error| format!("it does not speak HTTP as hikyaku does ({error})");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let request = Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(told)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status: head.status.as_u16(), body })
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    // The connection moves what the exchange sends and reads; it may end first, with the answer in hand.
    tokio::select! {
        answered = &mut exchange => answered,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(told(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(listen: &str, metrics_listen: Option<&str>) -> Server {
        let parse = |text: &str| text.parse().expect("an address");
        Server { listen: parse(listen), metrics_listen: metrics_listen.map(parse), ..Server::default() }
    }

    #[test]
    fn who_listens_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8787", "127.0.0.1:8787"),
            ("[::]:8787", "[::1]:8787"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(address(&server(listen, None), None).to_string(), asked);
        }
    }

    #[test]
    fn health_is_asked_where_it_is_told() {
        let apart = server("127.0.0.1:1", Some("0.0.0.0:9"));
        assert_eq!(address(&apart, None).to_string(), "127.0.0.1:9");
        let given = Some("127.0.0.1:7".parse().expect("an address"));
        assert_eq!(address(&apart, given).to_string(), "127.0.0.1:9", "which --listen of serve does not change");
        assert_eq!(address(&server("127.0.0.1:1", None), given).to_string(), "127.0.0.1:7");
    }
}
