//! What is declared in RabbitMQ, as a pure function of the prefix.
//!
//! ```text
//!  producers --> events --#--> work                                            rejected <--- alternate exchange of all
//!  follow-ups -> delay --<n>s--> delay.<n>s --(expired, at least once)--> due --#--> retry
//!                      --dead--> dead
//!  a new session -> probe (nothing is bound to it, and it has no alternate)
//! ```
//!
//! Exchanges and queues share the prefix. The arguments of a queue are a function of its name and of nothing that can be
//! set: RabbitMQ refuses a redeclaration with others, and the running workers of two versions must agree. If one has to
//! change, the name changes. Every number and its reason: docs and the design's section on RabbitMQ; the short form:
//!
//! - quorum queues with dead-lettering *at least once* are the only ones that lose nothing when a node is killed; that
//!   needs `x-overflow = reject-publish`, and a target that always takes: hence the alternate exchanges.
//! - `x-delivery-limit` is large and positive: 3.10 destroys messages with -1, 4.x has 20 when it is left out.
//! - A bucket holds waits of [n, 2n) seconds, each message with its own TTL. Only the head of a queue expires, so no wait
//!   is shorter than asked, and none longer than twice that (plus the time that a bucket takes to empty). The bucket has a
//!   TTL too, longer than any of ours: one message that someone put there without its own would else hold up all behind
//!   it for ever.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

/// The last bucket holds 2^18 s (3 days) and more.
pub(super) const BUCKETS: u32 = 19;
/// Deliveries after which RabbitMQ dead-letters a message by itself.
const DELIVERY_LIMIT: i64 = 1_000_000;
/// Bytes of what was no event that are kept; the oldest goes first.
const REJECTED_BYTES_MAX: i64 = 1 << 30;
/// The routing key of dead letters on the exchange of follow-ups.
pub(super) const DEAD_KEY: &str = "dead";
/// The routing key of what is due at once.
pub(super) const DUE_KEY: &str = "due";

/// An exchange of ours.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) kind: ExchangeKind,
    pub(super) arguments: FieldTable,
}

/// A queue of ours.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) arguments: FieldTable,
}

/// What leads into a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) queue: String,
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

/// The names under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    prefix: String,
}

impl Topology {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The exchange that producers publish to.
    pub(super) fn events(&self) -> String {
        self.name("events")
    }

    /// The queue of fresh events.
    pub(super) fn work(&self) -> String {
        self.name("work")
    }

    /// The queue of what is due again.
    pub(super) fn retry(&self) -> String {
        self.name("retry")
    }

    /// The exchange of follow-ups.
    pub(super) fn delay(&self) -> String {
        self.name("delay")
    }

    /// The exchange from the buckets to the queue of what is due.
    pub(super) fn due(&self) -> String {
        self.name("due")
    }

    /// The queue of dead letters.
    pub(super) fn dead(&self) -> String {
        self.name("dead")
    }

    /// The queue, and the exchange that leads to it, of what is no event.
    pub(super) fn rejected(&self) -> String {
        self.name("rejected")
    }

    /// The exchange to which nothing is bound: what is published to it is confirmed and gone.
    pub(super) fn probe(&self) -> String {
        self.name("probe")
    }

    /// The queue of bucket `bucket`, 0 to [`BUCKETS`] - 1.
    pub(super) fn bucket(&self, bucket: u32) -> String {
        self.name(&format!("delay.{}", bucket_key(bucket)))
    }

    /// Every exchange, each after its alternate.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        let fanout = |name| Exchange { name, kind: ExchangeKind::Fanout, arguments: FieldTable::default() };
        let with_alternate = |name| {
            let arguments = table([("alternate-exchange", text(&self.rejected()))]);
            Exchange { name, kind: ExchangeKind::Topic, arguments }
        };
        let mut all = vec![fanout(self.rejected()), fanout(self.probe())];
        all.extend([self.events(), self.due(), self.delay()].map(with_alternate));
        all
    }

    /// Every queue.
    pub(super) fn queues(&self) -> Vec<Queue> {
        let mut all = vec![Queue { name: self.rejected(), arguments: rejected_arguments() }];
        for name in [self.work(), self.retry(), self.dead()] {
            all.push(Queue { name, arguments: lasting_arguments(&self.rejected()) });
        }
        for bucket in 0..BUCKETS {
            let mut arguments = lasting_arguments(&self.due());
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(longest_ttl_ms(bucket).cast_signed()));
            all.push(Queue { name: self.bucket(bucket), arguments });
        }
        all
    }

    /// Every binding.
    pub(super) fn bindings(&self) -> Vec<Binding> {
        let bind =
            |queue, exchange, routing_key: &str| Binding { queue, exchange, routing_key: routing_key.to_owned() };
        let mut all = vec![
            bind(self.rejected(), self.rejected(), ""),
            bind(self.work(), self.events(), "#"),
            bind(self.retry(), self.due(), "#"),
            bind(self.dead(), self.delay(), DEAD_KEY),
        ];
        all.extend((0..BUCKETS).map(|bucket| bind(self.bucket(bucket), self.delay(), &bucket_key(bucket))));
        all
    }
}

/// A queue from which nothing is lost: what it gives up goes to `dead_letter_exchange`, at least once.
fn lasting_arguments(dead_letter_exchange: &str) -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-dead-letter-exchange", text(dead_letter_exchange)),
    ])
}

fn rejected_arguments() -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-overflow", text("drop-head")),
        ("x-max-length-bytes", AMQPValue::LongLongInt(REJECTED_BYTES_MAX)),
    ])
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// The routing key of a bucket: its shortest wait, `1s` to `262144s`.
pub(super) fn bucket_key(bucket: u32) -> String {
    format!("{}s", 1_u64 << bucket)
}

/// The bucket that holds `wait`: the one whose [n, 2n) it lies in; below 1 s the first, beyond all the last.
pub(super) fn bucket_of(wait: Duration) -> u32 {
    wait.as_secs().checked_ilog2().unwrap_or(0).min(BUCKETS - 1)
}

/// The TTL, in milliseconds, with which a message stays in its bucket for `wait` and never less: what is under a
/// millisecond counts as one, and RabbitMQ may have cut as much off the moment of arrival.
pub(super) fn ttl_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).saturating_add(1).min(TTL_MS_MAX)
}

/// The TTL of bucket `bucket`, in milliseconds: longer than that of any wait which belongs there.
fn longest_ttl_ms(bucket: u32) -> u64 {
    if bucket == BUCKETS - 1 { TTL_MS_MAX } else { ((2 << bucket) + 1) * 1000 }
}

/// RabbitMQ's longest TTL is about 49.7 days (2^32 - 1 ms).
const TTL_MS_MAX: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(bucket: u32) -> (Duration, Duration) {
        (Duration::from_secs(1 << bucket), Duration::from_secs(2 << bucket))
    }

    proptest! {
        #[test]
        fn a_wait_lies_in_its_bucket_or_is_held_to_the_first_or_last(ms in 0_u64..1_000_000_000) {
            let wait = Duration::from_millis(ms);
            let bucket = bucket_of(wait);
            prop_assert!(bucket < BUCKETS);
            let (least, most) = bounds(bucket);
            prop_assert!(wait >= least || bucket == 0, "{wait:?} is too short for {least:?}");
            prop_assert!(wait < most || bucket == BUCKETS - 1, "{wait:?} is too long for {most:?}");
        }

        #[test]
        fn a_message_is_never_released_early(nanos in 0_u64..4_000_000_000_000_000) {
            let wait = Duration::from_nanos(nanos);
            prop_assert!(Duration::from_millis(ttl_ms(wait)) >= wait);
            let of_bucket = longest_ttl_ms(bucket_of(wait));
            prop_assert!(ttl_ms(wait) <= of_bucket, "{wait:?} is cut to {of_bucket} ms");
        }

        #[test]
        fn nobody_ahead_in_a_bucket_holds_a_message_up_for_more_than_its_own_wait_again(
            ms in 1000_u64..500_000_000, other_ms in 1000_u64..500_000_000,
        ) {
            let (wait, other) = (Duration::from_millis(ms), Duration::from_millis(other_ms));
            if bucket_of(wait) == bucket_of(other) {
                prop_assert!(other < wait * 2);
            }
        }
    }

    #[test]
    fn the_edges_of_the_buckets() {
        for (ms, bucket) in [(0, 0), (1, 0), (999, 0), (1000, 0), (1999, 0), (2000, 1), (3999, 1), (4000, 2)] {
            assert_eq!(bucket_of(Duration::from_millis(ms)), bucket, "{ms} ms");
        }
        assert_eq!(bucket_of(Duration::from_secs((1 << 18) - 1)), 17);
        assert_eq!(bucket_of(Duration::from_secs(1 << 18)), 18);
        assert_eq!(bucket_of(Duration::MAX), 18);
    }

    #[test]
    fn every_queue_is_quorum_and_has_a_positive_delivery_limit() {
        for queue in Topology::new("x.").queues() {
            let arguments = queue.arguments.inner();
            assert_eq!(arguments.get("x-queue-type"), Some(&text("quorum")), "{}", queue.name);
            assert_eq!(arguments.get("x-delivery-limit"), Some(&AMQPValue::LongLongInt(1_000_000)), "{}", queue.name);
        }
    }

    #[test]
    fn only_rejected_may_drop_and_everything_else_dead_letters_at_least_once() {
        for queue in Topology::new("x.").queues().iter().filter(|queue| queue.name != "x.rejected") {
            let arguments = queue.arguments.inner();
            assert_eq!(arguments.get("x-dead-letter-strategy"), Some(&text("at-least-once")), "{}", queue.name);
            assert_eq!(arguments.get("x-overflow"), Some(&text("reject-publish")), "{}", queue.name);
            assert!(arguments.contains_key("x-dead-letter-exchange"), "{}", queue.name);
        }
    }

    #[test]
    fn every_exchange_has_an_alternate_that_takes_everything_but_the_one_for_nothing() {
        let topology = Topology::new("x.");
        let without = ["x.rejected", "x.probe"];
        for exchange in topology.exchanges().iter().filter(|exchange| !without.contains(&exchange.name.as_str())) {
            assert_eq!(exchange.arguments.inner().get("alternate-exchange"), Some(&text("x.rejected")));
        }
        assert!(topology.bindings().iter().any(|binding| binding.queue == "x.rejected"));
    }

    #[test]
    fn what_is_published_to_the_probe_goes_nowhere() {
        let topology = Topology::new("x.");
        let probe = topology.exchanges().into_iter().find(|exchange| exchange.name == topology.probe());
        assert_eq!(probe.map(|probe| probe.arguments), Some(FieldTable::default()), "no alternate");
        assert!(topology.bindings().iter().all(|binding| binding.exchange != topology.probe()));
    }

    #[test]
    fn names_are_pinned() {
        let topology = Topology::new("hikyaku.");
        let mut names: Vec<String> = topology.queues().into_iter().map(|queue| queue.name).collect();
        names.truncate(6);
        let expected =
            ["rejected", "work", "retry", "dead", "delay.1s", "delay.2s"].map(|name| format!("hikyaku.{name}"));
        assert_eq!(names, expected);
        assert_eq!(topology.bucket(18), "hikyaku.delay.262144s");
    }
}
