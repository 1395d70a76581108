//! Messages: plain ones by number, and arbitrary ones.

use std::sync::Arc;

use bytes::Bytes;
use hikyaku::clock::{Clock, SystemClock};
use hikyaku::model::{
    Body, DeathReason, Delivery, Event, EventId, EventType, LastFailure, Message, Outcome, Source, SpanId, Target,
    Timestamp, TraceContext, TraceId, UserId, WebhookId,
};
use hikyaku::queue::{Consumer, Death, FollowUp, Lease, Prefetch};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::backend::BEGIN;
use crate::support::patience::{never, soon};

/// A prefetch that no test reaches.
pub(super) const PLENTY: Prefetch = Prefetch { messages: 10_000, bytes: 1 << 30 };

/// The event number `n`.
pub(super) fn event(n: usize) -> Event {
    sized_event(n, 0)
}

/// The event number `n`, with about `bytes` bytes of body.
pub(super) fn sized_event(n: usize, bytes: usize) -> Event {
    Event {
        id: EventId::new(&format!("e{n}")).expect("valid"),
        kind: EventType::new("note").expect("valid"),
        user: Some(UserId::new("u1").expect("valid")),
        source: Source::default(),
        server: Some("https://misskey.example".to_owned()),
        created_at: *BEGIN,
        accepted_at: *BEGIN,
        trace: None,
        body: Body::from_checked(Bytes::from(format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)))),
    }
}

/// The fresh message number `n`.
pub(super) fn fresh(n: usize) -> Message {
    Message { event: Arc::new(event(n)), target: Target::Subscribers }
}

/// Fresh messages by number.
pub(super) fn fresh_ones(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(fresh).collect()
}

/// A delivery of any event.
pub(super) fn delivery() -> Delivery {
    Delivery {
        webhook: WebhookId::new("wh1").expect("valid"),
        generation: 0,
        attempts: 1,
        parks: 0,
        since: *BEGIN,
        last: None,
    }
}

/// The event number `n` for one webhook.
pub(super) fn aimed(n: usize) -> Message {
    Message { event: Arc::new(event(n)), target: Target::One(delivery()) }
}

/// A follow-up that waits until `due`.
pub(super) fn later(due: Timestamp) -> FollowUp {
    FollowUp::Later { delivery: delivery(), due }
}

/// A follow-up that is given up.
pub(super) fn dead() -> FollowUp {
    FollowUp::Dead { delivery: delivery(), death: Death { reason: DeathReason::Exhausted, at: *BEGIN } }
}

/// The number of a message's event.
pub(super) fn number(message: &Message) -> usize {
    message.event.id.as_str()[1..].parse().expect("an event of this suite")
}

/// The next message.
#[track_caller]
pub(super) fn next(consumer: &mut Consumer) -> impl Future<Output = Lease> {
    let next = soon("the next message", consumer.next());
    async move { next.await.expect("the consumer goes on") }
}

/// The next `count` messages.
pub(super) async fn next_ones(consumer: &mut Consumer, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    while leases.len() < count {
        leases.push(next(consumer).await);
    }
    leases
}

/// Checks that no message comes.
#[track_caller]
pub(super) fn nothing_more(consumer: &mut Consumer) -> impl Future<Output = ()> + '_ {
    let another = async { consumer.next().await.map(|lease| lease.message.event.id.clone()) };
    never("another message comes", another)
}

/// The numbers of leased messages, in the order in which they came.
pub(super) fn numbers(leases: &[Lease]) -> Vec<usize> {
    leases.iter().map(|lease| number(&lease.message)).collect()
}

/// Settles without follow-ups.
pub(super) async fn settle_all(leases: Vec<Lease>) {
    for mut lease in leases {
        lease.settle(&[]).await.expect("settled");
    }
}

/// Some of what `strategy` makes.
pub(super) fn any_of<S: Strategy>(strategy: S) -> S::Value {
    strategy.new_tree(&mut TestRunner::default()).expect("the strategy makes a value").current()
}

fn texts() -> impl Strategy<Value = String> {
    "\\PC{1,30}"
}

fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), Just(8_640_000_000_000_000), any::<i64>()].prop_map(Timestamp::from_millis)
}

/// Any moment at which an event that still waits may have been accepted: nothing waits for longer than a year.
fn past_moments() -> impl Strategy<Value = Timestamp> {
    let (now, year) = (SystemClock.now().as_millis(), 365 * 24 * 3_600_000);
    prop_oneof![Just(now - year), now - year..now].prop_map(Timestamp::from_millis)
}

/// Any JSON object, also such as no parser keeps as it is.
fn any_object() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("1e400".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just("[ 1 ,\t2 ]".to_owned()),
        "\\PC{0,60}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    let members = proptest::collection::vec(("[a-c]", value), 0..6);
    members.prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
        format!("{{{}}}", members.join(",\n")).into_bytes()
    })
}

/// Any context of a trace.
pub(super) fn any_trace() -> impl Strategy<Value = TraceContext> {
    (any::<u128>(), any::<u64>(), any::<bool>()).prop_map(|(trace, span, is_sampled)| TraceContext {
        trace: TraceId::from_number(trace),
        span: SpanId::from_number(span),
        is_sampled,
    })
}

/// Any event that can be accepted; `n` makes its id unique.
pub(super) fn any_event(n: usize) -> impl Strategy<Value = Event> {
    let body = any_object();
    let server = proptest::option::of("\\PC{1,60}");
    let created = prop_oneof![Just(0), Just(8_640_000_000_000_000_i64)].prop_map(Timestamp::from_millis);
    let accepted = (past_moments(), proptest::option::of(any_trace()));
    (texts(), texts(), proptest::option::of(texts()), texts(), server, created, accepted, body).prop_map(
        move |(id, kind, user, source, server, created_at, (accepted_at, trace), body)| Event {
            id: EventId::new(&format!("{n} {id}")).expect("valid"),
            kind: EventType::new(&kind).expect("valid"),
            user: user.map(|user| UserId::new(&user).expect("valid")),
            source: Source::new(&source).expect("valid"),
            server,
            created_at,
            accepted_at,
            trace,
            body: Body::from_checked(Bytes::from(body)),
        },
    )
}

/// Any delivery.
pub(super) fn any_delivery() -> impl Strategy<Value = Delivery> {
    let outcome = proptest::sample::select(Outcome::ALL);
    let error = prop_oneof![Just(String::new()), "\\PC{0,600}", "(?s).{0,100}"];
    let last = proptest::option::of((outcome, any::<Option<u16>>(), error))
        .prop_map(|last| last.map(|(outcome, status, error)| LastFailure::new(outcome, status, &error)));
    ("[A-Za-z0-9_.-]{1,128}", any::<u32>(), any::<u32>(), any::<u32>(), moments(), last).prop_map(
        |(webhook, generation, attempts, parks, since, last)| Delivery {
            webhook: WebhookId::new(&webhook).expect("valid"),
            generation,
            attempts,
            parks,
            since,
            last,
        },
    )
}

/// Any reason and time of death.
pub(super) fn any_death() -> impl Strategy<Value = Death> {
    (proptest::sample::select(DeathReason::ALL), moments()).prop_map(|(reason, at)| Death { reason, at })
}
