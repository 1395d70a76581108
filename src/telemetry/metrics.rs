//! The metrics: names, help texts, labels and buckets, gathered in one place.
//!
//! Help texts list the label values. Histograms of requests reach from 1 ms (loopback) to 30 s (past the default deadline of
//! 10 s); delivery latency reaches to four days (the default `max_age`); durability from 100 us (a fast disk) to 10 s.

use prometheus::{
    Encoder, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use super::maker::Maker;
use super::standing::StandingMetrics;
use crate::model::{DeactivationReason, DeathReason, IngestRefusal, Outcome, ParkReason};

const REQUEST_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const LATENCY_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0,
    345600.0,
];
const CONFIRM_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every metric. Fields are grouped as the flow goes: in, out, given up, and how the parts are.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) ingest: IngestMetrics,
    pub(super) delivery: DeliveryMetrics,
    pub(super) dead: DeadMetrics,
    pub(super) api: ApiMetrics,
    pub(super) endpoints: EndpointMetrics,
    pub(super) history: HistoryMetrics,
    pub(super) parts: PartMetrics,
    pub(super) standing: StandingMetrics,
    pub(super) traces: TraceMetrics,
}

pub(super) struct IngestMetrics {
    pub(super) accepted: IntCounterVec,
    pub(super) refused: IntCounter,
    pub(super) not_stored: IntCounter,
    pub(super) publish_confirm: Histogram,
    pub(super) reconciled: IntCounter,
    misskey_refused: IntCounterVec,
    pub(super) duplicates: IntCounter,
    pub(super) unremembered: IntCounter,
}

pub(super) struct DeliveryMetrics {
    pub(super) in_flight: IntGauge,
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    pub(super) latency: Histogram,
    pub(super) delivered: IntCounter,
    pub(super) dead: IntCounter,
    pub(super) dropped: IntCounter,
    pub(super) skipped: IntCounter,
    pub(super) filtered: IntCounter,
    pub(super) unwanted: IntCounter,
    pub(super) retries: IntCounter,
    parked: IntCounterVec,
    deactivated: IntCounterVec,
}

pub(super) struct DeadMetrics {
    by_reason: IntCounterVec,
    pub(super) held: IntGauge,
    pub(super) pruned: IntCounter,
}

pub(super) struct ApiMetrics {
    tests: IntCounterVec,
    pub(super) tokens_refused: IntCounter,
}

pub(super) struct EndpointMetrics {
    pub(super) breakers_open: IntGauge,
    pub(super) breakers_opened: IntCounter,
    pub(super) hosts_left_alone: IntGauge,
    pub(super) slow: IntGauge,
    pub(super) waiting: IntGauge,
}

pub(super) struct HistoryMetrics {
    pub(super) deliveries: IntGauge,
    pub(super) attempts: IntGauge,
    pub(super) pruned: IntCounter,
    pub(super) bodies_left_out: IntCounter,
}

pub(super) struct TraceMetrics {
    pub(super) sent: IntCounter,
    pub(super) dropped: IntCounter,
    pub(super) refused: IntCounter,
}

pub(super) struct PartMetrics {
    queue_depth: IntGaugeVec,
    pub(super) oldest_waiting: Gauge,
    pub(super) messages_unreadable: IntCounter,
    pub(super) record_dropped: IntCounter,
    pub(super) troubles: IntCounter,
    pub(super) messages_rejected: IntCounter,
    pub(super) broker_connected: IntGauge,
    pub(super) broker_blocked: IntGauge,
    pub(super) broker_reconnects: IntCounter,
}

impl Metrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let make = Maker(Registry::new());
        Ok(Self {
            ingest: IngestMetrics::new(&make)?,
            delivery: DeliveryMetrics::new(&make)?,
            dead: DeadMetrics::new(&make)?,
            api: ApiMetrics::new(&make)?,
            endpoints: EndpointMetrics::new(&make)?,
            history: HistoryMetrics::new(&make)?,
            parts: PartMetrics::new(&make)?,
            standing: StandingMetrics::new(&make)?,
            traces: TraceMetrics::new(&make)?,
            registry: make.0,
        })
    }

    pub(super) fn render(&self) -> String {
        self.standing.look();
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => format!("# the metrics cannot be written: {error}\n"),
        }
    }
}

impl IngestMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let refusals: Vec<&str> = IngestRefusal::ALL.iter().map(|reason| reason.as_str()).collect();
        Ok(Self {
            accepted: make.counters(
                "events_accepted_total",
                "Events stored durably. source: the Misskey they came from (64 values, then other).",
                "source",
                &[],
            )?,
            refused: make
                .counter("events_refused_total", "What was offered as an event and was none, or was too large.")?,
            not_stored: make.counter(
                "events_not_stored_total",
                "Events that could not be stored; the producer was told to keep them.",
            )?,
            publish_confirm: make.histogram(
                "publish_confirm_seconds",
                "From asking the queue to store a batch until it is durable.",
                CONFIRM_SECONDS,
            )?,
            reconciled: make.counter(
                "events_reconciled_total",
                "Events that Misskey gave up sending here, fetched from it and stored.",
            )?,
            misskey_refused: make.counters(
                "ingest_refused_total",
                &format!("Requests of Misskey's webhooks that were not taken in. reason: {}.", refusals.join(", ")),
                "reason",
                &refusals,
            )?,
            duplicates: make.counter(
                "ingest_duplicates_total",
                "Requests of Misskey's webhooks whose event had been taken in before.",
            )?,
            unremembered: make.counter(
                "ingest_unremembered_total",
                "Events taken in while the store could not tell, or note, whether they were before (RabbitMQ only).",
            )?,
        })
    }

    pub(super) fn misskey_refused(&self, reason: IngestRefusal) -> IntCounter {
        self.misskey_refused.with_label_values(&[reason.as_str()])
    }
}

impl TraceMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let spans = make.counters(
            "trace_spans_total",
            "Spans of traces that ended. result: sent (the collector has them), dropped (it was away or slow), refused (it did not want them).",
            "result",
            &["sent", "dropped", "refused"],
        )?;
        let result = |result| spans.with_label_values(&[result]);
        Ok(Self { sent: result("sent"), dropped: result("dropped"), refused: result("refused") })
    }
}

impl DeliveryMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let outcomes: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        let reasons: Vec<&str> = ParkReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let stops: Vec<&str> = DeactivationReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let ended = make.counters(
            "deliveries_total",
            "Deliveries that ended. result: delivered, dead (handed over to the dead letters), dropped (webhook deleted, or its person forgotten).",
            "result",
            &["delivered", "dead", "dropped"],
        )?;
        Ok(Self {
            in_flight: make.gauge("in_flight", "Requests to receivers under way.")?,
            attempts: make.counters(
                "attempts_total",
                &format!("Requests made. outcome: {}.", outcomes.join(", ")),
                "outcome",
                &outcomes,
            )?,
            attempt_duration: make.histograms(
                "attempt_duration_seconds",
                "Duration of requests, from connecting to the end of the answer. outcome: as attempts_total.",
                "outcome",
                &outcomes,
                REQUEST_SECONDS,
            )?,
            latency: make.histogram(
                "delivery_latency_seconds",
                "From an event's createdAt to its delivery, never below 0.",
                LATENCY_SECONDS,
            )?,
            delivered: ended.with_label_values(&["delivered"]),
            dead: ended.with_label_values(&["dead"]),
            dropped: ended.with_label_values(&["dropped"]),
            skipped: make.counter(
                "deliveries_skipped_total",
                "Fresh events not queued for a webhook that is paused or deactivated.",
            )?,
            filtered: make.counter(
                "deliveries_filtered_total",
                "Fresh events not queued for a webhook whose filters do not let them through.",
            )?,
            unwanted: make
                .counter("events_without_subscriber_total", "Events taken up that no webhook subscribes to.")?,
            retries: make.counter("retries_planned_total", "Failed attempts that will be made again.")?,
            parked: make.counters(
                "parked_total",
                &format!("Deliveries put off without spending an attempt. reason: {}.", reasons.join(", ")),
                "reason",
                &reasons,
            )?,
            deactivated: make.counters(
                "webhooks_deactivated_total",
                &format!("Webhooks switched off. reason: {}.", stops.join(", ")),
                "reason",
                &stops,
            )?,
        })
    }

    pub(super) fn attempts(&self, outcome: Outcome) -> IntCounter {
        self.attempts.with_label_values(&[outcome.as_str()])
    }

    pub(super) fn attempt_duration(&self, outcome: Outcome) -> Histogram {
        self.attempt_duration.with_label_values(&[outcome.as_str()])
    }

    pub(super) fn parked(&self, reason: ParkReason) -> IntCounter {
        self.parked.with_label_values(&[reason.as_str()])
    }

    pub(super) fn deactivated(&self, reason: DeactivationReason) -> IntCounter {
        self.deactivated.with_label_values(&[reason.as_str()])
    }
}

impl DeadMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let reasons: Vec<&str> = DeathReason::ALL.iter().map(|reason| reason.as_str()).collect();
        Ok(Self {
            by_reason: make.counters(
                "dead_letters_total",
                &format!("Deliveries given up. reason: {}.", reasons.join(", ")),
                "reason",
                &reasons,
            )?,
            held: make.gauge("dead_letters", "Dead letters in the store.")?,
            pruned: make
                .counter("dead_letters_pruned_total", "Dead letters removed because they were past retention.")?,
        })
    }

    pub(super) fn by_reason(&self, reason: DeathReason) -> IntCounter {
        self.by_reason.with_label_values(&[reason.as_str()])
    }
}

impl ApiMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let outcomes: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        Ok(Self {
            tests: make.counters(
                "test_sends_total",
                &format!("Test sends of the management API. outcome: {}.", outcomes.join(", ")),
                "outcome",
                &outcomes,
            )?,
            tokens_refused: make
                .counter("tokens_refused_total", "Requests to /api and /v1/events with a token that is wrong.")?,
        })
    }

    pub(super) fn tests(&self, outcome: Outcome) -> IntCounter {
        self.tests.with_label_values(&[outcome.as_str()])
    }
}

impl EndpointMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            breakers_open: make.gauge(
                "breakers_open",
                "Webhooks that this worker leaves alone for a while, since they failed too often or asked for it.",
            )?,
            breakers_opened: make.counter(
                "breakers_opened_total",
                "Times that a webhook was left alone, after failed probes as well.",
            )?,
            hosts_left_alone: make.gauge(
                "hosts_left_alone",
                "Hosts that this worker leaves alone for a while, since they answered none of several webhooks.",
            )?,
            slow: make.gauge("webhooks_slow", "Webhooks whose answers mostly take longer than a second.")?,
            waiting: make.gauge("slot_waiters", "Deliveries that wait in the worker for a slot of their webhook.")?,
        })
    }
}

impl HistoryMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            deliveries: make.gauge("history_deliveries", "Deliveries in the history, as of its last batch.")?,
            attempts: make.gauge("history_attempts", "Attempts in the history, as of its last batch.")?,
            pruned: make.counter(
                "history_pruned_total",
                "Deliveries removed from the history because they were too old or too many.",
            )?,
            bodies_left_out: make.counter(
                "history_bodies_left_out_total",
                "Events whose body is not in the history because more came than are kept in a second.",
            )?,
        })
    }
}

impl PartMetrics {
    fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            queue_depth: make.gauges(
                "queue_depth",
                "Messages in the queue, those being worked on included. queue: work, delay, dead, rejected (RabbitMQ only).",
                "queue",
                &["work", "delay", "dead", "rejected"],
            )?,
            oldest_waiting: make.seconds(
                "oldest_waiting_seconds",
                "How long the longest overdue message has waited; 0 when nothing is overdue.",
            )?,
            messages_unreadable: make.counter(
                "messages_unreadable_total",
                "Messages in the queue that could not be read; they stay there.",
            )?,
            record_dropped: make.counter(
                "record_dropped_total",
                "Entries missing from the record because the store was away or slow.",
            )?,
            messages_rejected: make.counter(
                "messages_rejected_total",
                "Messages in RabbitMQ that were no event, or poison; they lie in the queue `rejected`.",
            )?,
            broker_connected: make
                .gauge("broker_connected", "1 while connected to RabbitMQ; 0 while not, and with another queue.")?,
            broker_blocked: make
                .gauge("broker_blocked", "1 while RabbitMQ takes no messages because of a memory or disk alarm.")?,
            broker_reconnects: make
                .counter("broker_reconnects_total", "Times that the connection to RabbitMQ was lost.")?,
            troubles: make
                .counter("troubles_total", "Failures of our own parts (disk, store); each is tried again.")?,
        })
    }

    pub(super) fn queue_depth(&self, queue: &str) -> IntGauge {
        self.queue_depth.with_label_values(&[queue])
    }
}
