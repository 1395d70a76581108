//! One connection to one node, every step of which has a limit in time.
//!
//! lapin has no time limit on connecting, and a future that is dropped leaves its thread behind, waiting for a peer that
//! may never speak (a frozen broker accepts connections and says nothing). So we keep a second handle on each socket:
//! shutting it down ends lapin's thread wherever it is. lapin's own recovery is off: after it, an `ack` of an old delivery
//! is silently nothing; `supervisor` makes everything anew instead.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_rs::TokioRuntime;
use lapin::tcp::RustlsConnector;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};

use super::error::{self, BrokerError};
use super::frame_max::{Greeting, Use};
use super::stream::{self, Stream};
use super::tls;
use super::url::BrokerUrl;

/// How long connecting may take, with names, TCP, TLS and AMQP's greetings.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an answer to anything else may take.
pub(super) const CALL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// An open connection; dropping it cuts it off.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    socket: Socket,
    greeting: Arc<Greeting>,
}

impl Link {
    /// Connects for `purpose` to the node at `index` of `url`, where operators see it as `name`.
    pub(super) async fn open(url: &BrokerUrl, index: usize, purpose: Use, name: &str) -> Result<Self, BrokerError> {
        Self::open_with(url, index, purpose, name, None).await
    }

    /// The same beside this connection, whose handshake has told what the other's will.
    pub(super) async fn another(
        &self,
        url: &BrokerUrl,
        index: usize,
        purpose: Use,
        name: &str,
    ) -> Result<Self, BrokerError> {
        Self::open_with(url, index, purpose, name, self.greeting.frame_max.get().copied()).await
    }

    async fn open_with(
        url: &BrokerUrl,
        index: usize,
        purpose: Use,
        name: &str,
        frame_max: Option<u32>,
    ) -> Result<Self, BrokerError> {
        let (socket, greeting) = (Socket::default(), Arc::new(Greeting::default()));
        let held = (socket.clone(), Arc::clone(&greeting));
        let mut uri = url.node(index);
        uri.query.frame_max = purpose.room(frame_max);
        let connecting = connect(uri, tls::connector(url)?, purpose, name, held);
        match tokio::time::timeout(CONNECT_WAIT_MAX, connecting).await {
            Ok(connected) => Ok(Self { connection: connected?, socket, greeting }),
            Err(_) => {
                socket.cut();
                let (node, limit_s) = (url.node_name(index), CONNECT_WAIT_MAX.as_secs());
                Err(BrokerError::Away { why: format!("{node} did not answer within {limit_s} s") })
            }
        }
    }

    /// Connects for `purpose` to the first node of `url` that answers.
    pub(super) async fn open_any(url: &BrokerUrl, purpose: Use, name: &str) -> Result<Self, BrokerError> {
        let mut last = BrokerError::other("queue.url names no node");
        for node in 0..url.node_count() {
            match Self::open(url, node, purpose, name).await {
                Ok(link) => return Ok(link),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects for `purpose` to the node of `url` that answers first, of all at a time, within `limit`.
    pub(super) async fn open_quickest(
        url: &BrokerUrl,
        purpose: Use,
        name: &str,
        limit: Duration,
    ) -> Result<Self, BrokerError> {
        let open = async |node| {
            let why = || format!("{} did not answer within {} s", url.node_name(node), limit.as_secs());
            let opened = tokio::time::timeout(limit, Self::open(url, node, purpose, name)).await;
            opened.unwrap_or_else(|_| Err(BrokerError::Away { why: why() }))
        };
        let all = (0..url.node_count()).map(|node| Box::pin(open(node)));
        let (link, _others) = futures_util::future::select_ok(all).await?;
        Ok(link)
    }

    /// What RabbitMQ says its version is.
    pub(super) fn version(&self) -> Option<&str> {
        self.greeting.version.get().map(String::as_str)
    }

    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        within("opening a channel", self.connection.create_channel()).await
    }

    /// Says goodbye, after all that was to be sent.
    pub(super) async fn close(&self) {
        // It may be gone already, and lapin's closing was seen to hang: the socket is cut in any case.
        let _said_or_not = tokio::time::timeout(CLOSE_WAIT_MAX, self.connection.close(200, "bye".into())).await;
        self.cut();
    }

    /// Cuts it off.
    pub(super) fn cut(&self) {
        self.socket.cut();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Does `call`, which is `what`, within the limit.
pub(super) async fn within<T>(
    what: &str,
    call: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(CALL_WAIT_MAX, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(BrokerError::too_slow(what, CALL_WAIT_MAX)),
    }
}

async fn connect(
    uri: AMQPUri,
    tls: Option<RustlsConnector>,
    purpose: Use,
    name: &str,
    (socket, greeting): (Socket, Arc<Greeting>),
) -> Result<Connection, BrokerError> {
    let (host, port) = (uri.authority.host.clone(), uri.authority.port);
    let away = |why: String| BrokerError::Away { why: format!("{host}:{port}: {why}") };
    let found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| away(error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.collect();
    let properties = ConnectionProperties::default()
        .with_connection_name(in_full(name).into())
        .with_client_property("product".into(), "hikyaku".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let (dialer, is_tls) = (TokioRuntime::tokio_current(), tls.is_some());
    let connector = async move |uri: AMQPUri, _| {
        let stream = AsyncTcpStream::connect(&dialer, addresses.clone()).await?;
        if let AsyncTcpStream::Plain(plain) = &stream {
            socket.hold(plain.get_ref())?;
        }
        let stream = match &tls {
            Some(tls) => stream.into_rustls(tls, &uri.authority.host).await?,
            None => stream,
        };
        Ok(AsyncTcpStream::Plain(Stream::new(stream, purpose, Arc::clone(&greeting))))
    };
    Connection::connector(uri, stream::runtime(), connector, properties).await.map_err(|error| {
        match BrokerError::of_connecting(&error) {
            BrokerError::Away { why } if is_tls && error::is_hung_up(&error) => away(format!(
                "{why}, which is all that can be seen when RabbitMQ wants a client's certificate and does not get one that \
                 it trusts"
            )),
            BrokerError::Away { why } => away(why),
            BrokerError::Tls { why } => BrokerError::Tls { why: format!("{host}:{port}: {why}") },
            other => other,
        }
    })
}

/// `name` as operators see it among the connections of many: with the machine and the process.
fn in_full(name: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{name} ({host}, pid {})", std::process::id())
}

/// A second handle on a connection's socket.
#[derive(Clone, Debug, Default)]
struct Socket(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    socket: Option<std::net::TcpStream>,
    is_cut: bool,
}

impl Socket {
    fn hold(&self, stream: &impl AsFd) -> std::io::Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_cut {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        held.socket = Some(stream.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    fn cut(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_cut = true;
        if let Some(socket) = held.socket.take() {
            let _closed_already = socket.shutdown(Shutdown::Both);
        }
    }
}
