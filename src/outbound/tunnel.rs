//! Connections through the proxy of the settings, with the guard: the part of the HTTP client that is ours then.
//!
//! A name is looked up here, its addresses are checked, and the proxy is told one that is allowed: what was checked is what it
//! connects to. TLS is with the receiver, by its name, within what the proxy passes on. Where the proxy looks names up itself,
//! they are not checked; addresses that stand in the URL still are.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::handshake::{self, Refusal, Target};
use super::names::Names;
use super::proxy::Proxy;
use super::resolver::{Checks, addresses};
use crate::decide::AddressPolicy;

/// How long the proxy may take to be connected to and to know us. It stands near, and what it takes longer is not the receiver's.
const PROXY_WAIT_MAX: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried; the deadline comes sooner than the end of many.
const ADDRESSES_MAX: usize = 8;

type BoxedError = Box<dyn Error + Send + Sync>;

/// There is no way through the proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// Because of the proxy, or of what we are to it: nothing that a receiver has done.
    #[error("the proxy {proxy} {why}")]
    OurSide {
        /// Without credentials.
        proxy: String,
        /// In words.
        why: String,
    },
    /// Because the proxy cannot reach the receiver.
    #[error("the proxy {proxy} {why}")]
    Receiver {
        /// Without credentials.
        proxy: String,
        /// In words.
        why: String,
    },
}

/// Makes connections. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Tunnels {
    pub(super) proxy: Arc<Proxy>,
    pub(super) names: Arc<dyn Names>,
    pub(super) policy: Arc<AddressPolicy>,
}

impl Tunnels {
    async fn through(self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxedError> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut last = None;
        for target in self.targets(host, port).await? {
            match self.open(&target).await {
                Ok(stream) => return Ok(TokioIo::new(stream)),
                Err(error @ TunnelError::OurSide { .. }) => return Err(error.into()),
                Err(error @ TunnelError::Receiver { .. }) => last = Some(error),
            }
        }
        let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
        Err(last.map_or_else(|| none().into(), Into::into))
    }

    /// To where the proxy is asked to connect, in turn.
    async fn targets(&self, host: &str, port: u16) -> Result<Vec<Target>, BoxedError> {
        let address = |ip: IpAddr| Target::Address(SocketAddr::new(ip, port));
        let checks = Checks::Policy { policy: Arc::clone(&self.policy), port };
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(ip) = literal {
            // The request's own check comes before this; whoever calls this without it gets nothing more.
            let allowed = checks.allowed(vec![ip]);
            return allowed.map(|allowed| allowed.into_iter().map(address).collect()).map_err(Into::into);
        }
        if self.proxy.resolves {
            return Ok(vec![Target::Name(host.to_owned(), port)]);
        }
        let found = addresses(&*self.names, &checks, host).await?;
        Ok(found.into_iter().take(ADDRESSES_MAX).map(address).collect())
    }

    async fn open(&self, target: &Target) -> Result<TcpStream, TunnelError> {
        let dial = async {
            let mut stream = TcpStream::connect((self.proxy.host.as_str(), self.proxy.port)).await?;
            stream.set_nodelay(true)?;
            handshake::greet(&self.proxy, &mut stream).await?;
            Ok(stream)
        };
        let dialled = match tokio::time::timeout(PROXY_WAIT_MAX, dial).await {
            Ok(dialled) => dialled,
            Err(_) => Err(Refusal::OurSide(format!("does not answer within {} s", PROXY_WAIT_MAX.as_secs()))),
        };
        let mut stream = dialled.map_err(|refusal| self.refused(refusal))?;
        handshake::connect(&self.proxy, target, &mut stream).await.map_err(|refusal| self.refused(refusal))?;
        Ok(stream)
    }

    fn refused(&self, refusal: Refusal) -> TunnelError {
        let proxy = self.proxy.to_string();
        match refusal {
            Refusal::Broken(error) => TunnelError::OurSide { proxy, why: format!("cannot be used: {error}") },
            Refusal::OurSide(why) => TunnelError::OurSide { proxy, why },
            Refusal::Receiver(why) => TunnelError::Receiver { proxy, why },
        }
    }
}

impl Service<Uri> for Tunnels {
    type Response = TokioIo<TcpStream>;
    type Error = BoxedError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().through(uri))
    }
}
