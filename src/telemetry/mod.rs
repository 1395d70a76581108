//! What happens, told to Prometheus and to the log: one method per happening updates the metric and writes the line.
//!
//! Every other module calls a method here and never a metric or a log macro of its own. Names and label values are a
//! contract with dashboards and alerts. Labels come from closed lists; the one open one, `source`, is held to
//! [`SOURCES_MAX`] values. Each label value is there from the start, so a drained queue reports 0 and not nothing.
//!
//! Levels: ERROR is data lost or a human needed, WARN is dead-lettered or degraded, INFO is lifecycle, DEBUG is each success.
//! No line holds a body, a secret, or a URL. Lines that failures can multiply are limited ([`LineLimit`]).

mod endpoints;
mod history;
mod ingest;
mod level;
mod lifecycle;
mod line_limit;
mod maker;
mod metrics;
mod process;
mod request;
mod standing;
mod traces;
mod trouble;

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::decide::without_excerpt;
use crate::model::{
    DeactivationReason, DeathReason, DeliveryId, DropReason, EventId, Outcome, ParkReason, Source, Timestamp, WebhookId,
};

pub use endpoints::EndpointGauges;
pub use ingest::Reconciliation;
pub use level::{LogLevel, LogSwitch};
use line_limit::LineLimit;
use metrics::Metrics;
pub use request::{answered, of_request, of_same_request, of_trace};
pub use standing::{Identity, Part};
pub use trouble::Trouble;

/// Values that the label `source` may take; further ones are counted as `other`.
pub const SOURCES_MAX: usize = 64;

/// Where happenings are told. Shared by everyone.
pub type SharedTelemetry = Arc<Telemetry>;

/// A queue's contents, for the gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueGauges {
    /// Fresh messages.
    pub work: u64,
    /// Deliveries waiting for their due time.
    pub delay: u64,
    /// Dead letters on their way to the store.
    pub dead: u64,
    /// What was no event; RabbitMQ only.
    pub rejected: u64,
    /// Since when the longest overdue message has been waiting.
    pub oldest: Option<Timestamp>,
}

/// Metrics and log lines.
pub struct Telemetry {
    metrics: Metrics,
    sources: Mutex<HashSet<String>>,
    dead_letter_lines: LineLimit,
    trouble_lines: LineLimit,
    rejected_lines: LineLimit,
    ingest_lines: LineLimit,
    token_lines: LineLimit,
    breaker_lines: LineLimit,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telemetry")
    }
}

impl Telemetry {
    /// Telemetry of its own, with every metric at zero.
    ///
    /// # Errors
    /// When two metrics have one name, which is a mistake in this module.
    pub fn shared() -> Result<SharedTelemetry, prometheus::Error> {
        Ok(Arc::new(Self {
            metrics: Metrics::new()?,
            sources: Mutex::new(HashSet::new()),
            dead_letter_lines: LineLimit::default(),
            trouble_lines: LineLimit::default(),
            rejected_lines: LineLimit::default(),
            ingest_lines: LineLimit::default(),
            token_lines: LineLimit::default(),
            breaker_lines: LineLimit::default(),
        }))
    }

    /// Every metric in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        self.metrics.render()
    }

    /// Events were accepted: stored, and their producer told so.
    pub fn events_accepted(&self, source: &Source, count: u64) {
        let label = self.source_label(source);
        self.metrics.ingest.accepted.with_label_values(&[label.as_str()]).inc_by(count);
        tracing::debug!(%source, count, "events accepted");
    }

    /// Something offered as an event was refused.
    pub fn event_refused(&self) {
        self.metrics.ingest.refused.inc();
    }

    /// Events could not be stored; their producer was told to keep them.
    pub fn events_not_stored(&self, count: u64, error: &dyn Error) {
        self.metrics.ingest.not_stored.inc_by(count);
        if let Some(silenced) = self.trouble_lines.allow() {
            let error = chain(error);
            tracing::error!(count, silenced, "events not stored, the producer was told to send them again: {error}");
        }
    }

    /// A publish was made durable, `took` after it was asked for.
    pub fn published(&self, took: Duration) {
        self.metrics.ingest.publish_confirm.observe(took.as_secs_f64());
    }

    /// A fresh event was not queued for a webhook that is paused or deactivated.
    pub fn delivery_skipped(&self) {
        self.metrics.delivery.skipped.inc();
    }

    /// So many webhooks subscribe to a fresh event and have filters that do not let it through.
    pub fn deliveries_filtered(&self, count: u64) {
        self.metrics.delivery.filtered.inc_by(count);
    }

    /// No webhook subscribes to an event.
    pub fn event_unwanted(&self) {
        self.metrics.delivery.unwanted.inc();
    }

    /// A request is about to leave.
    pub fn attempt_started(&self) {
        self.metrics.delivery.in_flight.inc();
    }

    /// A request was given up unfinished, at shutdown.
    pub fn attempt_abandoned(&self) {
        self.metrics.delivery.in_flight.dec();
    }

    /// An attempt ended.
    pub fn attempt_ended(&self, outcome: Outcome, took: Duration) {
        self.metrics.delivery.in_flight.dec();
        self.metrics.delivery.attempts(outcome).inc();
        self.metrics.delivery.attempt_duration(outcome).observe(took.as_secs_f64());
    }

    /// A delivery reached its receiver, `latency` after its event was created.
    pub fn delivered(&self, event: &EventId, id: &DeliveryId, webhook: &WebhookId, attempts: u32, latency: Duration) {
        self.metrics.delivery.delivered.inc();
        self.metrics.delivery.latency.observe(latency.as_secs_f64());
        tracing::debug!(delivery = %id, %event, %webhook, attempts, "delivered");
    }

    /// A delivery will be tried again.
    pub fn retry_planned(
        &self,
        event: &EventId,
        id: &DeliveryId,
        webhook: &WebhookId,
        attempts: u32,
        wait: Duration,
        error: &str,
    ) {
        self.metrics.delivery.retries.inc();
        let error = without_excerpt(error);
        tracing::debug!(delivery = %id, %event, %webhook, attempts, wait_ms = wait.as_millis(), "will be tried again: {error}");
    }

    /// A delivery was put off without spending an attempt.
    pub fn parked(&self, event: &EventId, id: &DeliveryId, webhook: &WebhookId, reason: ParkReason, wait: Duration) {
        self.metrics.delivery.parked(reason).inc();
        tracing::debug!(delivery = %id, %event, %webhook, %reason, wait_ms = wait.as_millis(), "parked");
    }

    /// A delivery was given up and handed over to the dead letters.
    pub fn dead_lettered(
        &self,
        event: &EventId,
        id: &DeliveryId,
        webhook: &WebhookId,
        reason: DeathReason,
        error: &str,
    ) {
        self.metrics.delivery.dead.inc();
        self.metrics.dead.by_reason(reason).inc();
        if let Some(silenced) = self.dead_letter_lines.allow() {
            let error = without_excerpt(error);
            tracing::warn!(delivery = %id, %event, %webhook, %reason, silenced, "dead-lettered: {error}");
        }
    }

    /// A delivery ended because its webhook is no more.
    pub fn dropped(&self, event: &EventId, id: &DeliveryId, webhook: &WebhookId, reason: DropReason) {
        self.metrics.delivery.dropped.inc();
        tracing::debug!(delivery = %id, %event, %webhook, %reason, "dropped");
    }

    /// We stopped a webhook.
    pub fn webhook_deactivated(&self, webhook: &WebhookId, reason: DeactivationReason, failing_since: Timestamp) {
        self.metrics.delivery.deactivated(reason).inc();
        let since = failing_since.to_rfc3339();
        tracing::warn!(%webhook, %reason, "webhook deactivated: no success since {since}; its owner can activate it again");
    }

    /// A test was sent, and came to `outcome`.
    pub fn test_sent(&self, webhook: &WebhookId, outcome: Outcome) {
        self.metrics.api.tests(outcome).inc();
        tracing::debug!(%webhook, %outcome, "test sent");
    }

    /// Somebody came with a token that is none to `path`, which is one of ours.
    pub fn token_refused(&self, path: &'static str) {
        self.metrics.api.tokens_refused.inc();
        if let Some(silenced) = self.token_lines.allow() {
            tracing::warn!(silenced, "a request to {path} was refused: its token is wrong");
        }
    }

    /// How many dead letters the store holds.
    pub fn dead_letters_held(&self, count: u64) {
        self.metrics.dead.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Dead letters were removed because they were too old or too many.
    pub fn dead_letters_pruned(&self, by_age: u64, by_count: u64) {
        self.metrics.dead.pruned.inc_by(by_age + by_count);
        tracing::info!(by_age, by_count, "dead letters past retention removed");
    }

    /// Latest statuses could not be kept in memory and are missing from the record.
    pub fn record_dropped(&self, count: u64) {
        self.metrics.parts.record_dropped.inc_by(count);
    }

    /// How many entries are missing in the record.
    pub fn record_missing(&self) -> u64 {
        self.metrics.parts.record_dropped.get()
    }

    /// What the queue holds at `now`.
    pub fn queue_sampled(&self, gauges: QueueGauges, now: Timestamp) {
        self.metrics.parts.queue_depth("work").set(to_i64(gauges.work));
        self.metrics.parts.queue_depth("delay").set(to_i64(gauges.delay));
        self.metrics.parts.queue_depth("dead").set(to_i64(gauges.dead));
        self.metrics.parts.queue_depth("rejected").set(to_i64(gauges.rejected));
        let age = gauges.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        self.metrics.parts.oldest_waiting.set(age.as_secs_f64());
    }

    /// A message in the queue cannot be read; it stays where it is.
    pub fn message_unreadable(&self, lane: &str, id: i64, error: &dyn std::fmt::Display) {
        self.metrics.parts.messages_unreadable.inc();
        tracing::error!(lane, id, "a message in the queue cannot be read and stays where it is: {error}");
    }

    /// A message in RabbitMQ was no event, or poison, and lies in `rejected` now.
    pub fn message_rejected(&self, queue: &str, reason: &str) {
        self.metrics.parts.messages_rejected.inc();
        if let Some(silenced) = self.rejected_lines.allow() {
            tracing::warn!(queue, silenced, "a message was put away in `rejected`: {reason}");
        }
    }

    /// RabbitMQ can be used.
    pub fn broker_connected(&self, node: &str) {
        self.metrics.parts.broker_connected.set(1);
        tracing::info!(node, "connected to RabbitMQ");
    }

    /// The connection to RabbitMQ was lost; a new one is being made.
    pub fn broker_lost(&self, why: &str) {
        self.metrics.parts.broker_connected.set(0);
        self.metrics.parts.broker_blocked.set(0);
        self.metrics.parts.broker_reconnects.inc();
        tracing::warn!("the connection to RabbitMQ was lost and is made anew: {why}");
    }

    /// We have left RabbitMQ.
    pub fn broker_left(&self) {
        self.metrics.parts.broker_connected.set(0);
        self.metrics.parts.broker_blocked.set(0);
    }

    /// Messages of a RabbitMQ queue were unacknowledged for as long as they may be, and went back; `out` of them are in hand
    /// all the same.
    pub fn messages_let_go(&self, queue: &str, after: Duration, out: usize) {
        let after_s = after.as_secs();
        tracing::info!(
            "messages of `{queue}` have waited {after_s} s to be done, and RabbitMQ has them back; {out} of them are in \
             hand and stay there. Others are taken again when work goes on"
        );
    }

    /// RabbitMQ takes no messages for now.
    pub fn broker_blocked(&self, why: &str) {
        self.metrics.parts.broker_blocked.set(1);
        tracing::error!("RabbitMQ takes no messages because of an alarm; events are refused until it is over: {why}");
    }

    /// RabbitMQ takes messages again.
    pub fn broker_unblocked(&self) {
        self.metrics.parts.broker_blocked.set(0);
        tracing::info!("over: RabbitMQ takes no messages because of an alarm");
    }

    /// A part of ours does not work for now; `what` is the part. Nothing is lost, and it is tried again.
    pub fn trouble(&self, what: &str, error: &dyn Error) {
        self.metrics.parts.troubles.inc();
        if let Some(silenced) = self.trouble_lines.allow() {
            let error = chain(error);
            tracing::error!(silenced, "{what}: {error}");
        }
    }

    /// As [`Self::trouble`], of a part that tells its trouble only when it `begins`: that line is not held back for others.
    fn trouble_by_the_clock(&self, what: &str, error: &dyn Error, begins: bool) {
        self.metrics.parts.troubles.inc();
        if begins {
            let error = chain(error);
            tracing::error!("{what}: {error}");
        }
    }

    /// The trouble `what` is over.
    pub fn recovered(&self, what: &str) {
        tracing::info!("over: {what}");
    }

    fn source_label(&self, source: &Source) -> String {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.contains(source.as_str()) {
            return source.as_str().to_owned();
        }
        if sources.len() >= SOURCES_MAX {
            return "other".to_owned();
        }
        sources.insert(source.as_str().to_owned());
        source.as_str().to_owned()
    }
}

/// An error and all that caused it, in words; nothing is said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        next = cause.source();
    }
    words
}

fn to_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_at_zero_from_the_start() {
        let text = Telemetry::shared().expect("metrics").render();
        for line in [
            "hikyaku_queue_depth{queue=\"work\"} 0",
            "hikyaku_attempts_total{outcome=\"delivered\"} 0",
            "hikyaku_dead_letters_total{reason=\"exhausted\"} 0",
            "hikyaku_parked_total{reason=\"no_slot\"} 0",
            "hikyaku_deliveries_total{result=\"dead\"} 0",
            "hikyaku_record_dropped_total 0",
        ] {
            assert!(text.contains(line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn a_flood_of_sources_does_not_flood_the_labels() {
        let telemetry = Telemetry::shared().expect("metrics");
        for n in 0..200 {
            telemetry.events_accepted(&Source::new(&format!("s{n}")).expect("valid"), 1);
        }
        let text = telemetry.render();
        assert_eq!(text.matches("hikyaku_events_accepted_total{").count(), SOURCES_MAX + 1);
        assert!(text.contains("hikyaku_events_accepted_total{source=\"other\"} 136"), "{text}");
    }
}
