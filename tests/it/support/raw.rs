//! A client that writes the very bytes of its requests: what no HTTP library would send, or none at that pace.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::program::{PATIENCE, Program};

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Connects to where `program` takes events.
    pub(crate) async fn to(program: &Program) -> Self {
        Self::to_address(&program.address).await
    }

    /// Connects to `http://...`.
    pub(crate) async fn to_address(address: &str) -> Self {
        let address = address.strip_prefix("http://").expect("an address");
        Self(TcpStream::connect(address).await.expect("connected"))
    }

    /// The same, after sending `bytes`.
    pub(crate) async fn sending(program: &Program, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::to(program).await;
        raw.send(bytes).await.expect("sent");
        raw
    }

    /// Sends `bytes`; fails when the server has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref()).await
    }

    /// Sends no more, and says so.
    pub(crate) async fn end(&mut self) {
        self.0.shutdown().await.expect("the connection is there");
    }

    /// The next head, up to its empty line.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("a head"));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("waited in vain for an answer's head");
        String::from_utf8(head).expect("text")
    }

    /// All that still comes until the server closes, which it must.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut all)).await;
        // A reset is an end too: what was sent and not read makes one of it.
        let _reset = read.expect("waited in vain for the server to close the connection");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Whether an answer, or the end, has come, waiting a moment for it.
    pub(crate) async fn has_something(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), self.0.readable()).await.is_ok()
    }

    /// Sends `bytes` again and again, and reads nothing, until the server closes.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        let flood = async { while self.0.write_all(bytes).await.is_ok() {} };
        let ended = tokio::time::timeout(PATIENCE + Duration::from_secs(30), flood).await;
        ended.expect("waited in vain for the server to close the connection of a client that reads nothing");
    }
}

/// The status of an answer that begins with `text`; 0 when there is none.
pub(crate) fn status(text: &str) -> u16 {
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default()
}
