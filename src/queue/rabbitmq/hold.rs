//! What a lane may hold, purely: how many messages RabbitMQ may send ahead, and for how long.
//!
//! RabbitMQ counts the messages that it sends ahead and not their bytes, and lapin reads whatever is sent. So the count is
//! made to fit the bytes: [`Sizes`] takes every message to be as large as an event may be until it has seen otherwise, and
//! [`step`] asks for more as they turn out smaller, and for none when too much is held all the same. [`Ages`] knows how
//! long the oldest message has been unacknowledged, since RabbitMQ closes the channel of whoever keeps one for 30 minutes,
//! and [`Pause`] how long to let go of them all before that. Nothing of this is told by RabbitMQ, nor asked of it.
//! Decision record 0017 says why.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that may be held, as a multiple of those that may be handed out: when there are more, none is asked for.
const HELD_PER_HANDED_OUT: usize = 2;
/// The part of what is asked for that is little: by so much more may be held while one consumer takes the place of several.
const LITTLE: usize = 8;
/// How finely [`Ages`] keeps time: this many steps to the limit.
const AGE_STEPS: u32 = 32;
/// The longest pause. A message that RabbitMQ handed out 50 times is taken for poison (unless it is held); with pauses that
/// double up to this, a worker that is stuck takes eleven days to let go of one as often.
const PAUSE_LONGEST: Duration = Duration::from_secs(6 * 3600);

/// How large messages are.
#[derive(Debug)]
pub(super) struct Sizes {
    messages_max: usize,
    bytes_max: usize,
    message_bytes_max: usize,
    /// What a message is taken to have.
    mean: usize,
    /// What was seen since the mean was last thought over.
    messages: usize,
    bytes: usize,
}

impl Sizes {
    /// Of a lane that may hand out `messages_max` and `bytes_max`, of messages with `message_bytes_max` at most.
    pub(super) fn new(messages_max: usize, bytes_max: usize, message_bytes_max: usize) -> Self {
        let messages_max = messages_max.max(1);
        // One fits always, and the mean says so: then one small message is enough for two.
        let message_bytes_max = message_bytes_max.min(bytes_max).max(1);
        Self { messages_max, bytes_max, message_bytes_max, mean: message_bytes_max, messages: 0, bytes: 0 }
    }

    /// How many messages fit, going by what was seen.
    pub(super) fn fitting(&self) -> usize {
        let fitting = (self.bytes_max / self.mean).max(1);
        // For the last few it is not worth the while to ask once more.
        if fitting >= self.messages_max - self.messages_max / 8 { self.messages_max } else { fitting }
    }

    /// Notes a message that arrived. Once half as many were seen as fit, which can be while none is settled, the mean is
    /// thought over: larger ones are believed at once, smaller ones by half, so that small ones earn each doubling.
    pub(super) fn see(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
        if self.messages >= self.fitting().div_ceil(2) {
            self.mean = (self.bytes / self.messages).max(self.mean / 2).min(self.bytes_max).max(1);
            (self.messages, self.bytes) = (0, 0);
        }
    }

    /// They were larger than was thought: it is as at first.
    fn start_anew(&mut self) {
        self.mean = self.mean.max(self.message_bytes_max);
        (self.messages, self.bytes) = (0, 0);
    }
}

/// What a lane has now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Messages that RabbitMQ may have on their way and unacknowledged, by the consumers that are on; 0 when none is.
    pub(super) asked: usize,
    /// Consumers that are on.
    pub(super) consumers: usize,
    /// Messages that are held.
    pub(super) messages: usize,
    /// Bytes of the messages that are held, handed out or not.
    pub(super) bytes: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    GoOn,
    /// Let RabbitMQ send so many more ahead, by one more consumer.
    Ask(usize),
    /// Let it send so many ahead in all, by one consumer in place of those there are: it writes an acknowledgement of many messages once
    /// for each of their consumers.
    AskByOne(usize),
    /// Let RabbitMQ send nothing for now.
    Stop,
}

/// What follows from `held`, by as few consumers as can be: what is little is had twice for a moment, for as many are asked for anew.
pub(super) fn step(sizes: &mut Sizes, held: Held) -> Step {
    let is_little = held.messages <= held.asked / LITTLE;
    match step_by_bytes(sizes, held) {
        Step::Ask(more) if is_little && held.consumers > 0 => Step::AskByOne(held.asked + more),
        Step::GoOn if is_little && held.consumers > 1 => Step::AskByOne(held.asked),
        step => step,
    }
}

/// Nothing goes back to RabbitMQ for its bytes: it is worked off, and meanwhile no more comes.
fn step_by_bytes(sizes: &mut Sizes, held: Held) -> Step {
    let Held { asked, bytes, .. } = held;
    if asked == 0 {
        return if bytes <= sizes.bytes_max { Step::Ask(sizes.fitting()) } else { Step::GoOn };
    }
    // One at a time cannot be fewer: the next comes when the last is acknowledged.
    if asked > 1 && bytes > sizes.bytes_max.saturating_mul(HELD_PER_HANDED_OUT) {
        sizes.start_anew();
        return Step::Stop;
    }
    let fitting = sizes.fitting();
    let is_much_more = fitting >= asked + asked / 2 || fitting == sizes.messages_max;
    if fitting > asked && is_much_more && bytes <= sizes.bytes_max {
        return Step::Ask(fitting - asked);
    }
    if fitting <= asked / 2 { Step::Stop } else { Step::GoOn }
}

/// Since when the messages of one channel have been unacknowledged, to within a small part of the limit.
#[derive(Debug)]
pub(super) struct Ages {
    limit: Duration,
    /// The highest tag of each stretch of time, and when the stretch began: at most one for each step, and one.
    stretches: VecDeque<(u64, Instant)>,
}

impl Ages {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, stretches: VecDeque::new() }
    }

    /// How often to look.
    pub(super) fn look_every(&self) -> Duration {
        self.limit / AGE_STEPS
    }

    /// Notes that `tag` arrived.
    pub(super) fn arrived(&mut self, tag: u64, now: Instant) {
        let step = self.look_every();
        match self.stretches.back_mut() {
            // Those of several consumers come a little out of order.
            Some((last, since)) if now.saturating_duration_since(*since) < step => *last = tag.max(*last),
            _ => self.stretches.push_back((tag, now)),
        }
    }

    /// Whether the oldest is at the limit, when every tag up to `answered` is answered.
    pub(super) fn is_over(&mut self, answered: u64, now: Instant) -> bool {
        while self.stretches.front().is_some_and(|(last, _)| *last <= answered) {
            self.stretches.pop_front();
        }
        self.stretches.front().is_some_and(|(_, since)| now.saturating_duration_since(*since) >= self.limit)
    }
}

/// How long a lane that let go of its messages waits for those in hand to be done before it takes others all the same.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    /// The first is as long as a message may be unacknowledged.
    pub(super) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// The next: twice the last, unless work went on meanwhile.
    pub(super) fn begin(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_LONGEST.max(self.first));
        pause
    }

    /// Work goes on.
    pub(super) fn work_goes_on(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const LIMIT: Duration = Duration::from_secs(20 * 60);

    /// What a lane has that was asked for by one consumer, and is more than little.
    fn held(asked: usize, bytes: usize) -> Held {
        Held { asked, consumers: usize::from(asked > 0), messages: asked + 1, bytes }
    }

    /// What RabbitMQ may send ahead once `count` messages of `bytes` have come and gone one by one.
    fn asked_after(sizes: &mut Sizes, asked: &mut usize, count: usize, bytes: usize) -> usize {
        for _ in 0..count {
            sizes.see(bytes);
            // A `Stop` of which nothing is left starts anew in the next step.
            for _ in 0..2 {
                match step(sizes, held(*asked, 0)) {
                    Step::Ask(more) => *asked += more,
                    Step::AskByOne(all) => *asked = all,
                    Step::Stop => *asked = 0,
                    Step::GoOn => {}
                }
            }
        }
        *asked
    }

    #[test]
    fn at_first_no_more_is_asked_for_than_fits_if_each_is_as_large_as_can_be() {
        let mut sizes = Sizes::new(2000, 32 * MIB, MIB);
        assert_eq!(step(&mut sizes, held(0, 0)), Step::Ask(32));
        let mut sizes = Sizes::new(2000, 16 * MIB, 17 * MIB);
        assert_eq!(step(&mut sizes, held(0, 0)), Step::Ask(1), "one always");
        let mut sizes = Sizes::new(10, 32 * MIB, MIB);
        assert_eq!(step(&mut sizes, held(0, 0)), Step::Ask(10), "no more than allowed");
    }

    #[test]
    fn small_messages_are_asked_for_in_full_after_as_many_and_large_ones_never() {
        let (mut sizes, mut asked) = (Sizes::new(2000, 32 * MIB, MIB), 32);
        assert_eq!(asked_after(&mut sizes, &mut asked, 15, 1024), 32, "too few are seen yet");
        assert_eq!(asked_after(&mut sizes, &mut asked, 1, 1024), 64, "believed by half");
        assert_eq!(asked_after(&mut sizes, &mut asked, 2000, 1024), 2000);

        let (mut sizes, mut asked) = (Sizes::new(2000, 32 * MIB, MIB), 32);
        assert_eq!(asked_after(&mut sizes, &mut asked, 4000, MIB), 32);
    }

    #[test]
    fn all_that_may_be_asked_for_is_while_none_of_it_is_settled() {
        let limits = [MIB / 2, MIB, 4 * MIB, 8 * MIB, 32 * MIB, 33 * MIB + 4711];
        for (bytes_max, messages_max) in
            limits.into_iter().flat_map(|bytes| [(bytes, 400), (bytes, 128), (bytes, 90), (bytes, 2)])
        {
            let mut sizes = Sizes::new(messages_max, bytes_max, MIB + 512);
            let (mut asked, mut arrived) = (sizes.fitting(), 0);
            while arrived < asked {
                sizes.see(1024);
                arrived += 1;
                if let Step::Ask(more) = step(&mut sizes, held(asked, 1024 * arrived)) {
                    asked += more;
                }
            }
            assert_eq!(asked, messages_max, "with {bytes_max} bytes");
        }
    }

    #[test]
    fn messages_that_become_large_are_believed_at_once() {
        let (mut sizes, mut asked) = (Sizes::new(2000, 32 * MIB, MIB), 32);
        asked_after(&mut sizes, &mut asked, 10_000, 1024);
        assert_eq!(asked_after(&mut sizes, &mut asked, 4000, MIB), 32);
    }

    #[test]
    fn when_too_much_is_held_none_is_asked_for_until_there_is_room_and_then_fewer() {
        let mut sizes = Sizes::new(2000, 32 * MIB, MIB);
        asked_after(&mut sizes, &mut 32, 10_000, 1024);
        assert_eq!(step(&mut sizes, held(2000, 64 * MIB)), Step::GoOn);
        assert_eq!(step(&mut sizes, held(2000, 65 * MIB)), Step::Stop);
        assert_eq!(step(&mut sizes, held(0, 33 * MIB)), Step::GoOn);
        assert_eq!(step(&mut sizes, held(0, 32 * MIB)), Step::Ask(32));
        assert_eq!(step(&mut sizes, held(1, 100 * MIB)), Step::GoOn, "one at a time");
    }

    #[test]
    fn one_consumer_takes_the_place_of_all_while_no_more_than_an_eighth_of_what_is_asked_for_is_held() {
        let mut sizes = Sizes::new(2000, 32 * MIB, MIB);
        let with = |consumers, messages| Held { asked: 32, consumers, messages, bytes: 0 };
        assert_eq!(step(&mut sizes, with(2, 5)), Step::GoOn);
        assert_eq!(step(&mut sizes, with(2, 4)), Step::AskByOne(32));
        assert_eq!(step(&mut sizes, with(1, 4)), Step::GoOn, "it is one");
        (0..16).for_each(|_| sizes.see(1024));
        assert_eq!(step(&mut sizes, with(2, 5)), Step::Ask(32));
        assert_eq!(step(&mut sizes, with(1, 4)), Step::AskByOne(64));
        let none = Held { asked: 0, consumers: 0, messages: 0, bytes: 0 };
        assert_eq!(step(&mut sizes, none), Step::Ask(64), "there is none whose place it could take");
    }

    #[test]
    fn the_oldest_is_over_the_limit_only_while_it_is_unanswered() {
        let began = Instant::now();
        let mut ages = Ages::new(LIMIT);
        ages.arrived(1, began);
        ages.arrived(2, began + LIMIT / 2);
        assert!(!ages.is_over(0, began + LIMIT - Duration::from_secs(1)));
        assert!(ages.is_over(0, began + LIMIT));
        assert!(!ages.is_over(1, began + LIMIT), "the second came later");
        assert!(ages.is_over(1, began + LIMIT * 3 / 2));
        assert!(!ages.is_over(2, began + LIMIT * 10), "all are answered");
    }

    #[test]
    fn the_oldest_is_known_though_tags_of_several_consumers_come_out_of_order() {
        let began = Instant::now();
        let mut ages = Ages::new(LIMIT);
        for tag in [1, 3, 2] {
            ages.arrived(tag, began);
        }
        assert!(ages.is_over(2, began + LIMIT), "the third is unanswered");
        assert!(!ages.is_over(3, began + LIMIT), "all are answered");
    }

    #[test]
    fn ages_need_little_memory_however_many_messages_arrive() {
        let began = Instant::now();
        let mut ages = Ages::new(LIMIT);
        for tag in 1..=100_000_u64 {
            ages.arrived(tag, began + Duration::from_millis(12 * tag));
        }
        assert!(ages.is_over(0, began + LIMIT + Duration::from_secs(1)));
        assert!(ages.stretches.len() <= AGE_STEPS as usize + 1, "{}", ages.stretches.len());
    }

    #[test]
    fn a_worker_that_is_stuck_lets_go_of_nothing_fifty_times_within_eleven_days() {
        let mut pause = Pause::new(LIMIT);
        let fifty: Duration = (0..50).map(|_| LIMIT + pause.begin()).sum();
        assert!(fifty > Duration::from_secs(11 * 24 * 3600), "{fifty:?}");
        pause.work_goes_on();
        assert_eq!(pause.begin(), LIMIT);
    }
}
