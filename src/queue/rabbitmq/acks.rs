//! Which acknowledgements to send, purely: contiguous ones together, the others one by one a little later.
//!
//! Delivery tags of a channel count 1, 2, 3 ... A frame with `multiple` acknowledges every tag up to its own, so it may be
//! sent for the longest prefix that is settled; one frame for many messages is what makes acknowledging cheap. What is
//! settled behind a slow message is sent singly at the second flush that finds it, so that the slow one delays nobody.
//! A tag that is acknowledged twice closes the channel (406), so what was sent is remembered until the prefix passes it.

use std::collections::BTreeMap;

/// A frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Settled: this tag, and with `multiple` all before it.
    Ack { tag: u64, multiple: bool },
    /// Given back.
    Nack { tag: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Settled since the last flush.
    New,
    /// Found by one flush already.
    Waited,
    /// Answered; only the prefix has to pass it.
    Sent,
}

/// The tags of one channel that are answered, or to be.
#[derive(Debug, Default)]
pub(super) struct AckBook {
    /// Every tag up to this one is answered.
    floor: u64,
    above: BTreeMap<u64, State>,
    nacks: Vec<u64>,
    /// Settled and given back, and not sent.
    waiting: usize,
}

impl AckBook {
    /// Notes that the message of `tag` is settled, and tells how many wait to be sent.
    pub(super) fn settle(&mut self, tag: u64) -> usize {
        self.above.insert(tag, State::New);
        self.waiting += 1;
        self.waiting
    }

    /// Notes that the message of `tag` is given back.
    pub(super) fn give_back(&mut self, tag: u64) {
        self.above.insert(tag, State::Sent);
        self.nacks.push(tag);
        self.waiting += 1;
    }

    /// The tag up to which every one is answered.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether there is anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// What to send now; with `all`, what would have waited for another flush too.
    pub(super) fn flush(&mut self, all: bool) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.nacks.drain(..).map(|tag| Frame::Nack { tag }).collect();
        frames.extend(self.flush_prefix());
        for (tag, state) in &mut self.above {
            match state {
                State::New if !all => *state = State::Waited,
                State::New | State::Waited => {
                    *state = State::Sent;
                    frames.push(Frame::Ack { tag: *tag, multiple: false });
                }
                State::Sent => {}
            }
        }
        self.waiting = self.above.values().filter(|state| **state != State::Sent).count();
        frames
    }

    fn flush_prefix(&mut self) -> Option<Frame> {
        let (mut count, mut last) = (0, 0);
        while let Some(state) = self.above.remove(&(self.floor + 1)) {
            self.floor += 1;
            if state != State::Sent {
                (count, last) = (count + 1, self.floor);
            }
        }
        (count > 0).then_some(Frame::Ack { tag: last, multiple: count > 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ack(tag: u64, multiple: bool) -> Frame {
        Frame::Ack { tag, multiple }
    }

    #[test]
    fn a_contiguous_prefix_goes_in_one_frame() {
        let mut book = AckBook::default();
        for tag in [2, 1, 3, 5] {
            book.settle(tag);
        }
        assert_eq!(book.flush(false), [ack(3, true)]);
        assert_eq!(book.flush(false), [ack(5, false)], "the slow fourth delays the fifth by one flush only");
        book.settle(4);
        assert_eq!(book.flush(false), [ack(4, false)], "a lone one goes alone, and the fifth is not sent again");
        assert!(book.is_empty());
        book.settle(6);
        book.settle(7);
        assert_eq!(book.flush(false), [ack(7, true)]);
    }

    #[test]
    fn the_target_of_a_multiple_frame_is_never_one_that_was_sent() {
        let mut book = AckBook::default();
        book.settle(3);
        assert!(book.flush(false).is_empty());
        assert_eq!(book.flush(false), [ack(3, false)]);
        book.settle(1);
        book.settle(2);
        assert_eq!(book.flush(false), [ack(2, true)]);
    }

    #[test]
    fn what_is_given_back_goes_at_once_and_is_passed_over() {
        let mut book = AckBook::default();
        book.give_back(1);
        book.settle(2);
        assert_eq!(book.flush(false), [Frame::Nack { tag: 1 }, ack(2, false)]);
        assert!(book.is_empty());
    }

    proptest! {
        /// Whatever the order and the flushes, a broker that applies the frames has every tag answered exactly once.
        #[test]
        fn every_tag_is_answered_exactly_once(
            order in Just((1_u64..=40).collect::<Vec<_>>()).prop_shuffle(),
            flushes in proptest::collection::vec(any::<bool>(), 40),
            given_back in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut book = AckBook::default();
            let mut unanswered: BTreeSet<u64> = (1..=40).collect();
            let mut frames = Vec::new();
            for (index, tag) in order.iter().enumerate() {
                if given_back[index] { book.give_back(*tag) } else { book.settle(*tag); }
                if flushes[index] { frames.extend(book.flush(false)); }
            }
            frames.extend(book.flush(true));
            for frame in frames {
                let (tag, multiple) = match frame {
                    Frame::Ack { tag, multiple } => (tag, multiple),
                    Frame::Nack { tag } => (tag, false),
                };
                prop_assert!(unanswered.contains(&tag), "tag {tag} was answered before");
                if multiple { unanswered.retain(|other| *other > tag); } else { unanswered.remove(&tag); }
            }
            prop_assert!(unanswered.is_empty(), "{unanswered:?}");
            prop_assert!(book.is_empty());
        }
    }
}
