//! The stream between lapin and a socket, plain or TLS, on which the handshake is changed as [`frame_max`](super::frame_max)
//! says; after it, bytes go straight through.
//!
//! lapin takes the type of its streams from its runtime, so there is one here too: tokio's, with this stream.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;

use super::frame_max::{Greeting, Handshake, Use};

/// Bytes that are read at once during the handshake.
const READ_BYTES: usize = 1024;

/// A stream as tokio has it.
type Inner = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;
/// The runtime that lapin is given.
pub(super) type Kit = RuntimeParts<Tokio, OnTokio>;

/// tokio, that of the caller, with [`Stream`].
pub(super) fn runtime() -> Runtime<Kit> {
    Runtime::new(RuntimeParts::new(Tokio::current(), OnTokio(Tokio::current())))
}

/// What lapin reads from and writes to.
pub(super) struct Stream {
    inner: Inner,
    /// Until both ways are through.
    handshake: Option<Handshake>,
}

impl Stream {
    /// `inner`, at the very beginning of a connection for `purpose`.
    /// What RabbitMQ says of itself is noted in `greeting`.
    pub(super) fn new(inner: Inner, purpose: Use, greeting: Arc<Greeting>) -> Self {
        Self { inner, handshake: Some(Handshake::new(purpose, greeting)) }
    }

    fn forget_the_handshake(&mut self) {
        if self.handshake.as_ref().is_some_and(|both| both.to_lapin.is_through() && both.to_rabbitmq.is_through()) {
            self.handshake = None;
        }
    }

    /// Reads for lapin while the handshake is held.
    fn poll_read_held(
        inner: &mut Inner,
        handshake: &mut Handshake,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while handshake.to_lapin.ready().is_empty() {
            let mut read = [0; READ_BYTES];
            let count = ready!(Pin::new(&mut *inner).poll_read(cx, &mut read))?;
            handshake.rabbitmq_sends(&read[..count]);
            if let Some(problem) = handshake.problem() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
            if count == 0 {
                handshake.to_lapin.end();
                break;
            }
        }
        let ready = handshake.to_lapin.ready();
        let count = ready.len().min(buf.len());
        buf[..count].copy_from_slice(&ready[..count]);
        handshake.to_lapin.take(count);
        Poll::Ready(Ok(count))
    }

    /// Sends what may go on.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(handshake) = &mut self.handshake else { return Poll::Ready(Ok(())) };
        while !handshake.to_rabbitmq.ready().is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, handshake.to_rabbitmq.ready()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            handshake.to_rabbitmq.take(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what lapin writes while the handshake is held; nothing once it goes straight through.
    fn poll_write_held(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let handshake = self.handshake.as_mut()?;
        if handshake.to_rabbitmq.is_through() {
            return None;
        }
        handshake.lapin_sends(buf);
        // What does not go out now does with the flush that lapin does next.
        Some(match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => {
                self.forget_the_handshake();
                Poll::Ready(Ok(buf.len()))
            }
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match &mut this.handshake {
            Some(handshake) if !handshake.to_lapin.is_through() => {
                let read = Self::poll_read_held(&mut this.inner, handshake, cx, buf);
                this.forget_the_handshake();
                read
            }
            _ => Pin::new(&mut this.inner).poll_read(cx, buf),
        }
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.handshake.is_none() {
            return Pin::new(&mut self.inner).poll_read_vectored(cx, bufs);
        }
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.poll_read(cx, buf),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_write_held(cx, buf) {
            Some(written) => written,
            None => Pin::new(&mut self.inner).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.handshake.is_none() {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        match bufs.iter().find(|buf| !buf.is_empty()) {
            Some(buf) => self.poll_write(cx, buf),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.forget_the_handshake();
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// tokio's reactor, with [`Stream`].
#[derive(Clone, Debug)]
pub(super) struct OnTokio(Tokio);

impl Reactor for OnTokio {
    type TcpStream = Stream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + std::os::fd::AsFd + std::os::fd::AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, wait: Duration) -> Self::Sleep {
        self.0.sleep(wait)
    }

    fn interval(&self, wait: Duration) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(wait)
    }

    /// Not used: `link` connects, and says what the connection is for.
    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Stream::new(AsyncTcpStream::Plain(connecting.await?), Use::Publish, Arc::default())) }
    }
}
