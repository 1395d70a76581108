//! A request's body in three pieces: what we write before the event's own bytes, those bytes, and what comes after.
//!
//! Small bodies are sent as one piece; large ones share the event's bytes, so that a thousand subscribers to an event of
//! one mebibyte do not cost a gibibyte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Bodies up to this many bytes are copied into one piece: one write is cheaper than three.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// The pieces, in order; those sent are empty.
#[derive(Clone, Debug)]
pub(super) struct Pieces([Bytes; 3]);

impl Pieces {
    /// A head with [`room_beside`](Self::room_beside) its own bytes is not moved.
    pub(super) fn new(mut head: Vec<u8>, middle: Bytes, tail: Bytes) -> Self {
        if head.len() + middle.len() + tail.len() > COPY_BYTES_MAX {
            return Self([Bytes::from(head), middle, tail]);
        }
        head.extend_from_slice(&middle);
        head.extend_from_slice(&tail);
        Self([Bytes::from(head), Bytes::new(), Bytes::new()])
    }

    /// Bytes that a head should have room for beside its own, so that `middle` and a byte of a tail fit in.
    pub(super) fn room_beside(middle: &[u8]) -> usize {
        if middle.len() > COPY_BYTES_MAX { 0 } else { middle.len() + 1 }
    }

    /// The bytes, in order.
    pub(super) fn slices(&self) -> [&[u8]; 3] {
        [&self.0[0], &self.0[1], &self.0[2]]
    }

    /// As a request's body.
    pub(super) fn into_body(self) -> reqwest::Body {
        if self.0[1].is_empty() && self.0[2].is_empty() {
            let [whole, ..] = self.0;
            return reqwest::Body::from(whole);
        }
        reqwest::Body::wrap(self)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.0.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn small_and_large_bodies_come_out_whole_and_with_their_length() {
        for size in [10, COPY_BYTES_MAX + 1] {
            let pieces = Pieces::new(b"<".to_vec(), Bytes::from(vec![b'x'; size]), Bytes::from_static(b">"));
            assert_eq!(pieces.size_hint().exact(), Some(size as u64 + 2));
            let whole = pieces.collect().await.expect("infallible").to_bytes();
            assert_eq!(whole, [b"<", &vec![b'x'; size][..], b">"].concat());
        }
    }

    #[test]
    fn a_large_body_shares_the_events_bytes() {
        let event = Bytes::from(vec![b'x'; COPY_BYTES_MAX]);
        let pieces = Pieces::new(b"<".to_vec(), event.clone(), Bytes::from_static(b">"));
        assert_eq!(pieces.0[1].as_ptr(), event.as_ptr());
    }
}
