//! The greatest frame, as the two sides of a connection are told it.
//!
//! lapin ends a connection when a frame is larger than what was agreed on. RabbitMQ keeps to that for bodies, which it
//! cuts into frames, but headers are one frame, however large: a producer may publish them as large as the frame may be,
//! and RabbitMQ adds its own when it hands the message out again (`x-delivery-count`) or dead-letters it (`x-death`, which
//! repeats the message's `CC`: up to twice the size). One such message would end every session that is handed it. So what
//! passes in the handshake is changed: lapin is told of more than RabbitMQ is.
//!
//! | RabbitMQ's `frame_max` | RabbitMQ is told | lapin, to publish | lapin, to consume |
//! |---|---|---|---|
//! | 128 KiB, its default | 128 KiB | 128 KiB | 320 KiB |
//! | `n`, lower, to 8 KiB | `n` | `n` | 2 `n` + 64 KiB |
//! | `n`, higher | 128 KiB | 128 KiB | 2 `n` + 64 KiB, at most 1 MiB |
//! | 0, which is no limit | 128 KiB | 128 KiB | 1 MiB |
//!
//! lapin cuts bodies into frames of what it is told, so the larger one is only for connections on which nothing is
//! published. It keeps 64 frames of memory for each connection: without an upper limit here, a `frame_max` of 0 would be
//! 256 GiB. What it asks for at first hand is memory that costs nothing until it is used; what it adds when it is told of
//! more it fills with zeros, which is 28 MiB of an idle worker. So it is given beforehand what it will be told. Below 8 KiB lapin takes 8 KiB all the same, and RabbitMQ would end the connection at the first body that needs
//! more than one frame: there is no connecting to such a broker. Beyond the handshake nothing is looked at or changed.

use std::sync::{Arc, OnceLock};

/// RabbitMQ's default: more for a frame would be memory for nothing.
const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// The least that lapin cuts bodies into, whatever it is told (and the least that RabbitMQ 4.1 takes).
const FRAME_BYTES_MIN: u32 = 8 * 1024;
/// What RabbitMQ may add to headers beside a copy of what is in them.
const ADDED_BYTES_MAX: u32 = 64 * 1024;
/// The largest frame that is read, where RabbitMQ has a larger `frame_max` or none.
const READ_BYTES_MAX: u32 = 1024 * 1024;
/// Until the tuning no frame may be larger (AMQP 0-9-1, `frame-min-size`), but one is not refused for that.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// AMQP 0-9-1: a frame is its type, channel and size, that many bytes, and an end.
const FRAME_HEAD_BYTES: usize = 7;
const FRAME_END_BYTES: usize = 1;
/// `AMQP` and a version: the client's first words, or those of a server that refuses them.
const GREETING_BYTES: usize = 8;
/// A method's frame on channel 0, of 12 bytes: class, method, `channel_max`, `frame_max`, `heartbeat`.
const TUNING_HEAD: [u8; FRAME_HEAD_BYTES] = [1, 0, 0, 0, 0, 0, 12];
/// Class and method of `connection.tune` and `connection.tune-ok`.
const TUNE: [u8; 4] = [0, 10, 0, 30];
const TUNE_OK: [u8; 4] = [0, 10, 0, 31];
/// In a field table: a name of 7 bytes, and the kind of its value, a long string.
const VERSION_FIELD: &[u8] = b"\x07versionS";
/// Bytes of a version that are kept.
const VERSION_BYTES_MAX: usize = 32;
const FRAME_MAX_AT: std::ops::Range<usize> = 13..17;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To publish and to declare.
    Publish,
    /// To consume: nothing is ever published on it.
    Consume,
}

impl Use {
    /// What lapin is to make room for from the beginning: what it will be told, if that is known. `said` is what RabbitMQ has
    /// said to another connection as its `frame_max`.
    pub(super) fn room(self, said: Option<u32>) -> Option<u32> {
        match self {
            // Less is agreed on where RabbitMQ says less.
            Self::Publish => Some(FRAME_BYTES_MAX),
            Self::Consume => said.map(|said| self.for_lapin(said)),
        }
    }

    /// What lapin is told when RabbitMQ says `frame_max`.
    fn for_lapin(self, frame_max: u32) -> u32 {
        match (self, frame_max) {
            (Self::Publish, _) => for_rabbitmq(frame_max),
            (Self::Consume, 0) => READ_BYTES_MAX,
            (Self::Consume, frame_max) => {
                frame_max.saturating_mul(2).saturating_add(ADDED_BYTES_MAX).min(READ_BYTES_MAX)
            }
        }
    }
}

/// What RabbitMQ is told when it says `frame_max`.
fn for_rabbitmq(frame_max: u32) -> u32 {
    if frame_max == 0 { FRAME_BYTES_MAX } else { frame_max.min(FRAME_BYTES_MAX) }
}

/// What RabbitMQ has said of itself in a handshake.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    pub(super) version: OnceLock<String>,
    pub(super) frame_max: OnceLock<u32>,
}

/// The handshake of one connection, both ways.
#[derive(Debug)]
pub(super) struct Handshake {
    purpose: Use,
    /// What RabbitMQ said, once it has.
    said: Option<u32>,
    /// How RabbitMQ began, until its version has been seen in that.
    beginning: Vec<u8>,
    greeting: Arc<Greeting>,
    pub(super) to_lapin: Way,
    pub(super) to_rabbitmq: Way,
}

impl Handshake {
    /// A handshake that notes in `greeting` what RabbitMQ says.
    pub(super) fn new(purpose: Use, greeting: Arc<Greeting>) -> Self {
        let (to_lapin, to_rabbitmq) = (Way::default(), Way::default());
        Self { purpose, said: None, beginning: Vec::new(), greeting, to_lapin, to_rabbitmq }
    }

    /// `bytes` came from RabbitMQ.
    pub(super) fn rabbitmq_sends(&mut self, bytes: &[u8]) {
        self.look_for_the_version(bytes);
        let (purpose, said, greeting) = (self.purpose, &mut self.said, &self.greeting);
        self.to_lapin.push(bytes, TUNE, |frame_max| {
            *said = Some(frame_max);
            let _first_one = greeting.frame_max.set(frame_max);
            purpose.for_lapin(frame_max)
        });
    }

    /// RabbitMQ tells it among its properties, before it knows who asks.
    fn look_for_the_version(&mut self, bytes: &[u8]) {
        if self.greeting.version.get().is_none() && self.beginning.len() < HANDSHAKE_BYTES_MAX {
            self.beginning.extend_from_slice(bytes);
            if let Some(version) = version_in(&self.beginning) {
                let _first_one = self.greeting.version.set(version);
                self.beginning = Vec::new();
            }
        }
    }

    /// Why this broker cannot be worked with, if so.
    pub(super) fn problem(&self) -> Option<String> {
        let too_low = self.said.filter(|said| (1..FRAME_BYTES_MIN).contains(said))?;
        Some(format!(
            "its `frame_max` is {too_low}, and hikyaku needs {FRAME_BYTES_MIN} or more: take `frame_max` out of rabbitmq.conf \
             and restart RabbitMQ"
        ))
    }

    /// `bytes` came from lapin.
    pub(super) fn lapin_sends(&mut self, bytes: &[u8]) {
        let said = self.said;
        // What lapin asks for beyond that is only for itself.
        self.to_rabbitmq.push(bytes, TUNE_OK, |frame_max| {
            said.map_or(frame_max, |said| for_rabbitmq(said).min(for_rabbitmq(frame_max)))
        });
    }
}

/// The long string `version` of a field table that is among `bytes`, if it is there whole.
fn version_in(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(VERSION_FIELD.len()).position(|window| window == VERSION_FIELD)?;
    let (size, rest) = bytes[at + VERSION_FIELD.len()..].split_first_chunk::<4>()?;
    let version = rest.get(..usize::try_from(u32::from_be_bytes(*size)).ok()?.min(VERSION_BYTES_MAX))?;
    Some(version.iter().copied().map(char::from).filter(char::is_ascii_graphic).collect())
}

/// What goes one way during the handshake: it is let go frame by frame, until the one that tunes has passed.
#[derive(Debug, Default)]
pub(super) struct Way {
    held: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
    is_over: bool,
}

impl Way {
    /// What may go on, and has not yet.
    pub(super) fn ready(&self) -> &[u8] {
        &self.ready[self.taken..]
    }

    /// So many bytes of [`ready`](Self::ready) have gone on.
    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.ready().is_empty() {
            self.ready.clear();
            self.taken = 0;
        }
    }

    /// Whether everything has gone on, and nothing need be held any more.
    pub(super) fn is_through(&self) -> bool {
        self.is_over && self.ready().is_empty()
    }

    /// Lets go of everything, as after the last byte.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        self.ready.append(&mut self.held);
    }

    fn push(&mut self, bytes: &[u8], tuning: [u8; 4], change: impl FnOnce(u32) -> u32) {
        if self.is_over {
            self.ready.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        while let Some(size) = piece(&self.held) {
            if size > HANDSHAKE_BYTES_MAX {
                // Not what is looked for: lapin knows what to do with it.
                self.end();
            }
            if self.held.len() < size {
                return;
            }
            let frame = &mut self.held[..size];
            if frame.starts_with(&TUNING_HEAD) && frame[FRAME_HEAD_BYTES..].starts_with(&tuning) {
                if let Ok(frame_max) = <[u8; 4]>::try_from(&frame[FRAME_MAX_AT]) {
                    frame[FRAME_MAX_AT].copy_from_slice(&change(u32::from_be_bytes(frame_max)).to_be_bytes());
                }
                self.end();
                return;
            }
            self.ready.extend(self.held.drain(..size));
        }
    }
}

/// How long the first piece of `bytes` is, once that can be seen: a greeting or a frame.
fn piece(bytes: &[u8]) -> Option<usize> {
    if *bytes.first()? == b'A' {
        return Some(GREETING_BYTES);
    }
    let size = <[u8; 4]>::try_from(bytes.get(3..FRAME_HEAD_BYTES)?).ok()?;
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    Some(size.saturating_add(FRAME_HEAD_BYTES + FRAME_END_BYTES))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).expect("small").to_be_bytes();
        [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xce]].concat()
    }

    fn tuning(method: [u8; 4], frame_max: u32) -> Vec<u8> {
        frame(1, 0, &[&method[..], &2047_u16.to_be_bytes(), &frame_max.to_be_bytes(), &60_u16.to_be_bytes()].concat())
    }

    fn start() -> Vec<u8> {
        frame(1, 0, &[&[0, 10, 0, 10, 0, 9][..], &[b'x'; 500]].concat())
    }

    /// All that has gone on.
    fn gone(way: &mut Way) -> Vec<u8> {
        let ready = way.ready().to_vec();
        way.take(ready.len());
        ready
    }

    /// What lapin and RabbitMQ read where RabbitMQ says `said` and lapin answers what it was told.
    fn agreed(purpose: Use, said: u32) -> (u32, u32) {
        let mut handshake = Handshake::new(purpose, Arc::default());
        let read =
            |way: &mut Way| u32::from_be_bytes(<[u8; 4]>::try_from(&gone(way)[FRAME_MAX_AT]).expect("four bytes"));
        handshake.rabbitmq_sends(&tuning(TUNE, said));
        let lapin = read(&mut handshake.to_lapin);
        handshake.lapin_sends(&tuning(TUNE_OK, lapin));
        (lapin, read(&mut handshake.to_rabbitmq))
    }

    #[test]
    fn lapin_reads_more_than_rabbitmq_is_told_and_only_where_nothing_is_published() {
        const KIB: u32 = 1024;
        assert_eq!(agreed(Use::Publish, 128 * KIB), (128 * KIB, 128 * KIB));
        assert_eq!(agreed(Use::Consume, 128 * KIB), (320 * KIB, 128 * KIB));
        assert_eq!(agreed(Use::Consume, 8 * KIB), (80 * KIB, 8 * KIB));
    }

    #[test]
    fn a_broker_with_smaller_frames_than_lapin_makes_is_refused_in_words() {
        let problem = |said| {
            let mut handshake = Handshake::new(Use::Publish, Arc::default());
            handshake.rabbitmq_sends(&tuning(TUNE, said));
            handshake.problem()
        };
        let words = problem(4096).expect("too low");
        assert!(words.contains("`frame_max` is 4096") && words.contains("needs 8192"), "{words}");
        assert!(problem(8191).is_some());
        assert_eq!([problem(8192), problem(131_072), problem(0)], [None, None, None]);
    }

    #[test]
    fn a_broker_that_allows_more_or_anything_does_not_cost_memory_without_end() {
        const MIB: u32 = 1024 * 1024;
        for said in [0, 16 * MIB, u32::MAX] {
            assert_eq!(agreed(Use::Publish, said), (FRAME_BYTES_MAX, FRAME_BYTES_MAX), "{said}");
            assert_eq!(agreed(Use::Consume, said), (MIB, FRAME_BYTES_MAX), "{said}");
        }
    }

    #[test]
    fn a_server_that_refuses_and_one_that_speaks_something_else_are_heard_as_they_are() {
        for words in
            [&b"AMQP\x00\x01\x00\x00"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"]
        {
            let mut handshake = Handshake::new(Use::Consume, Arc::default());
            handshake.rabbitmq_sends(words);
            handshake.to_lapin.end();
            assert_eq!(gone(&mut handshake.to_lapin), words);
        }
    }

    proptest! {
        #[test]
        fn cut_anywhere_nothing_but_the_tuning_is_changed(cuts in proptest::collection::vec(1_usize..40, 1..40)) {
            let said = [start(), tuning(TUNE, 131_072), frame(1, 0, &[0, 10, 0, 41, 0]), tuning(TUNE, 7)].concat();
            let answered = [&b"AMQP\x00\x00\x09\x01"[..], &frame(1, 0, &[0, 10, 0, 11, 1, 2, 3]), &tuning(TUNE_OK, 327_680),
                &frame(1, 0, &[0, 10, 0, 40]), &frame(3, 1, b"AMQP")].concat();
            let mut handshake = Handshake::new(Use::Consume, Arc::default());
            let mut cuts = cuts.into_iter().cycle();
            let mut in_pieces = |mut bytes: &[u8], handshake: &mut Handshake, is_said: bool| {
                let mut gone_on = Vec::new();
                while !bytes.is_empty() {
                    let (piece, rest) = bytes.split_at(cuts.next().unwrap_or(1).min(bytes.len()));
                    bytes = rest;
                    let way = if is_said {
                        handshake.rabbitmq_sends(piece);
                        &mut handshake.to_lapin
                    } else {
                        handshake.lapin_sends(piece);
                        &mut handshake.to_rabbitmq
                    };
                    gone_on.extend(gone(way));
                }
                gone_on
            };
            let heard = in_pieces(&said, &mut handshake, true);
            prop_assert!(handshake.to_lapin.is_through());
            let expected = [start(), tuning(TUNE, 327_680), frame(1, 0, &[0, 10, 0, 41, 0]), tuning(TUNE, 7)].concat();
            prop_assert_eq!(heard, expected);
            let told = in_pieces(&answered, &mut handshake, false);
            prop_assert!(handshake.to_rabbitmq.is_through());
            let place = answered.len() - told.len();
            prop_assert_eq!(place, 0);
            let changed: Vec<usize> = (0..told.len()).filter(|at| told[*at] != answered[*at]).collect();
            prop_assert!(changed.iter().all(|at| (8 + 15 + 13..8 + 15 + 17).contains(at)), "{:?}", changed);
            prop_assert_eq!(&told[8 + 15 + 13..8 + 15 + 17], &131_072_u32.to_be_bytes()[..]);
        }
    }

    #[test]
    fn rabbitmqs_version_is_seen_however_its_first_frame_is_cut() {
        let properties = b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8";
        let start = frame(1, 0, &[&[0, 10, 0, 10, 0, 9][..], properties].concat());
        for cut in 0..=start.len() {
            let greeting = Arc::new(Greeting::default());
            let mut handshake = Handshake::new(Use::Publish, Arc::clone(&greeting));
            handshake.rabbitmq_sends(&start[..cut]);
            handshake.rabbitmq_sends(&start[cut..]);
            assert_eq!(greeting.version.get().map(String::as_str), Some("3.10.8"), "cut at {cut}");
        }
        let greeting = Arc::new(Greeting::default());
        Handshake::new(Use::Publish, Arc::clone(&greeting)).rabbitmq_sends(b"\x07versionS\xff\xff\xff\xff9");
        assert_eq!(greeting.version.get(), None, "no version of such a length");
    }

    #[test]
    fn lapin_is_given_room_for_what_it_will_be_told() {
        for said in [0, 8 * 1024, 128 * 1024, 512 * 1024, 16 << 20] {
            assert_eq!(Use::Consume.room(Some(said)), Some(agreed(Use::Consume, said).0), "{said}");
            assert!(Use::Publish.room(None) >= Some(agreed(Use::Publish, said).0), "{said}");
        }
        assert_eq!(Use::Consume.room(None), None, "more could not be agreed on later");
    }
}
