//! A receiver that costs as little as possible: it answers 200 to every request on a kept-alive connection.
//!
//! It reads no more of HTTP than the length of a body; it is for loopback and for our own client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use url::Url;

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Bytes read at a time.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;

/// A receiver on a thread of its own, until it is dropped.
pub(super) struct Receiver {
    url: Url,
    answered: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        let url = Url::parse(&format!("http://{}/hook", socket.local_addr()?))?;
        let answered = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counter = Arc::clone(&answered);
        std::thread::Builder::new().name("bench-receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = accept(socket, counter) => {}
                }
            });
        })?;
        Ok(Self { url, answered, _stop: stop })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Requests answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

async fn accept(socket: std::net::TcpListener, answered: Arc<AtomicU64>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream, Arc::clone(&answered)));
    }
}

async fn answer(mut stream: TcpStream, answered: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        while let Some(length) = request_length(&buffer).filter(|length| *length <= buffer.len()) {
            buffer.drain(..length);
            answered.fetch_add(1, Ordering::Relaxed);
            stream.write_all(ANSWER).await?;
        }
    }
}

/// The bytes of the first request in `buffer`, once its headers are there.
pub(super) fn request_length(buffer: &[u8]) -> Option<usize> {
    let head_end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..head_end]).ok()?;
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head_end + body.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_after_its_body() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        assert_eq!(request_length(request), Some(request.len() - 4));
        assert_eq!(request_length(b"POST / HTTP/1.1\r\n"), None);
    }
}
