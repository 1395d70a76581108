//! A connection whose client must take what it is sent.
//!
//! The system's buffers take an answer of some hundred kilobytes; what is larger waits until the client reads. One that never does
//! would hold its connection for ever. So what the system does not take is waited for, and each [`STEP_BYTES`] have so long.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a client must take in the time that it has: with 10 s, about 6.5 kB a second.
const STEP_BYTES: usize = 64 * 1024;

/// A stream whose writes have a time limit.
#[derive(Debug)]
pub(super) struct Taken<S> {
    stream: S,
    wait_max: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Taken<S> {
    /// Gives each [`STEP_BYTES`] that `stream` does not take at once `wait_max`.
    pub(super) fn new(stream: S, wait_max: Duration) -> Self {
        Self { stream, wait_max, waiting: None }
    }

    /// What a write came to, if it may go on.
    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let Poll::Ready(result) = written {
            let bytes = result.as_ref().copied().unwrap_or_default();
            self.waiting = self.waiting.take().filter(|waiting| waiting.bytes_left > bytes).map(|mut waiting| {
                waiting.bytes_left -= bytes;
                waiting
            });
            return Poll::Ready(result);
        }
        let wait_max = self.wait_max;
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            until: Box::pin(tokio::time::sleep_until(Instant::now() + wait_max)),
            bytes_left: STEP_BYTES,
        });
        ready!(waiting.until.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for when everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_is_never_taken_is_given_up_in_time() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let began = Instant::now();
        let error = Taken::new(ours, WAIT_MAX).write_all(&[0; 2048]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_given_up_and_who_takes_enough_is_not() {
        for (bytes_a_second, is_enough) in [(1024, false), (16 * 1024, true)] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let reading = tokio::spawn(async move {
                let mut taken = vec![0; bytes_a_second];
                while theirs.read_exact(&mut taken).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let written = Taken::new(ours, WAIT_MAX).write_all(&[0; 512 * 1024]).await;
            assert_eq!(written.is_ok(), is_enough, "{bytes_a_second}: {written:?}");
            reading.await.expect("read");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_time_however_long_ago_the_last_was_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Taken::new(ours, WAIT_MAX);
        for _ in 0..3 {
            let read = async {
                tokio::time::sleep(WAIT_MAX / 2).await;
                theirs.read_exact(&mut [0; 2048]).await
            };
            let write = async {
                ours.write_all(&[0; 2048]).await?;
                ours.flush().await
            };
            let (written, read) = tokio::join!(write, read);
            written.expect("in time");
            read.expect("all of it");
            tokio::time::sleep(WAIT_MAX).await;
        }
    }
}
