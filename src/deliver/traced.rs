//! The spans of a worker: a message taken, each of its deliveries, each attempt, and the settling.
//!
//! A message's span comes after the one that stored its event, at whatever time and in whatever process that was; so every retry, and
//! the dead letter, belongs to the trace in which the event was accepted. An event without a trace (its producer has none, or it was put
//! back to work) gets one here, and what is stored of it from then on has it.

use std::sync::Arc;

use super::outlook::Pursuit;
use crate::decide::{SkipReason, Step, Verdict, Wait};
use crate::model::{Delivery, Event, Outcome, Target, Timestamp, Webhook};
use crate::queue::{FollowUp, Lane, Lease};
use crate::traces::{Kind, Span, Tracer, names};

/// Begins the span of a message that was taken, and sees to it that its event has a trace.
pub(super) fn taken(tracer: &Tracer, lease: &mut Lease) -> Span {
    if !tracer.is_on() {
        return Span::default();
    }
    let (name, lane) = match (&lease.message.target, lease.death) {
        (Target::Subscribers, _) => ("process work", Lane::Work),
        (Target::One(_) | Target::Later { .. }, None) => ("process delay", Lane::Retry),
        (Target::One(_) | Target::Later { .. }, Some(_)) => ("process dead", Lane::Dead),
    };
    let mut span = tracer.begin(Kind::Consumer, name, lease.message.event.trace);
    if lease.message.event.trace.is_none() {
        Arc::make_mut(&mut lease.message.event).trace = span.context();
    }
    span.word(names::SYSTEM, tracer.system());
    span.word(names::DESTINATION, lane.as_str());
    span.word(names::OPERATION, "process");
    span.word(names::OPERATION_TYPE, "process");
    span.of_event(&lease.message.event);
    span.number(names::SINCE_ACCEPTED, tracer.since(lease.message.event.accepted_at).as_millis());
    if let Target::One(delivery) = &lease.message.target {
        of_delivery(&mut span, &lease.message.event, delivery);
    }
    span
}

/// The step of `taken` that is one delivery's.
pub(super) fn delivery(taken: &Span, event: &Event, pursuit: &Pursuit) -> Span {
    let mut span = taken.child(Kind::Internal, "deliver");
    if taken.trace().is_some() {
        of_delivery(&mut span, event, &pursuit.delivery);
    }
    span
}

/// Tells of a delivery that waits from the start. The trace of an event of our own begins when a worker takes it.
pub(super) fn waits_from_the_start(tracer: &Tracer, event: &Event, pursuit: &Pursuit, step: &Step, now: Timestamp) {
    if tracer.is_on() && event.trace.is_some() {
        let mut span = tracer.begin(Kind::Internal, "deliver", event.trace);
        of_delivery(&mut span, event, &pursuit.delivery);
        stepped(&mut span, step, now);
    }
}

fn of_delivery(span: &mut Span, event: &Event, delivery: &Delivery) {
    if span.trace().is_some() {
        span.text(names::DELIVERY, delivery.id(event));
        span.text(names::WEBHOOK, &delivery.webhook);
        span.number(names::GENERATION, delivery.generation);
    }
}

/// Notes in a delivery's span what is next for it.
pub(super) fn stepped(span: &mut Span, step: &Step, now: Timestamp) {
    let (word, reason) = match step {
        Step::Attempt => return,
        Step::Done => ("delivered", None),
        Step::Skip(SkipReason::Paused) => ("skipped", Some("paused")),
        Step::Skip(SkipReason::Deactivated) => ("skipped", Some("deactivated")),
        Step::Drop(reason) => ("dropped", Some(reason.as_str())),
        Step::Later { wait: Wait::Retry, .. } => ("retry", None),
        Step::Later { wait: Wait::Park(reason), .. } => ("parked", Some(reason.as_str())),
        Step::Dead { reason, .. } => ("dead", Some(reason.as_str())),
    };
    span.word(names::STEP, word);
    if let Some(reason) = reason {
        span.word(names::REASON, reason);
    }
    match step {
        Step::Later { due, .. } => span.number(names::WAIT, due.since(now).as_millis()),
        Step::Dead { .. } => span.failed(reason.unwrap_or("dead")),
        _ => {}
    }
}

/// The step of a delivery's span that is a request to its webhook.
pub(super) fn attempt(of: &Span, event: &Event, delivery: &Delivery, webhook: &Webhook) -> Span {
    let mut span = of.child(Kind::Client, "POST");
    if span.trace().is_some() {
        span.word(names::METHOD, "POST");
        span.text(names::SCHEME, webhook.url.scheme());
        // The path can be a secret, as Discord's is.
        span.text(names::SERVER, webhook.url.host_str().unwrap_or_default());
        if let Some(port) = webhook.url.port_or_known_default() {
            span.number(names::PORT, port);
        }
        span.number(names::ATTEMPT, delivery.attempts.saturating_add(1));
        if delivery.attempts > 0 {
            span.number(names::RESENDS, delivery.attempts);
        }
        span.text(names::EVENT, &event.id);
        span.text(names::EVENT_TYPE, &event.kind);
        of_delivery(&mut span, event, delivery);
    }
    span
}

/// Notes what a request came to.
pub(super) fn attempted(span: &mut Span, verdict: &Verdict) {
    span.word(names::OUTCOME, verdict.outcome.as_str());
    if let Some(status) = verdict.status {
        span.number(names::STATUS, status);
    }
    if verdict.outcome != Outcome::Delivered {
        span.failed(verdict.outcome.as_str());
    }
}

/// The step of `taken` that stores `follow_ups` and removes the message.
pub(super) fn settling(taken: &Span, tracer: &Tracer, follow_ups: &[FollowUp]) -> Span {
    let mut span = taken.child(Kind::Client, "settle");
    span.word(names::SYSTEM, tracer.system());
    span.word(names::OPERATION, "settle");
    span.word(names::OPERATION_TYPE, "settle");
    span.number(names::FOLLOW_UPS, follow_ups.len());
    span
}
