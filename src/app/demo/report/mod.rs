//! The account at the end of the demo: whether every delivery that was due is somewhere, and where.
//!
//! Four parties that do not know of each other are put side by side: what was published and registered says which
//! deliveries are due; the receivers say which they took; the store which are dead letters; the queue which wait. For
//! each webhook, each event type and in total it must hold that
//!
//! ```text
//! deliveries = expected - skipped = delivered + dead-lettered + waiting
//! ```
//!
//! where *skipped* is what the worker did not queue because the webhook had been deactivated. Whatever does not fit is a
//! problem in words; a report without problems is a demo that went well.
//!
//! Pure: no I/O, no clock. Table and JSON carry the same numbers.

mod inputs;
mod ledger;
mod problems;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::inputs::{AcceptedEvent, Inputs, RegisteredWebhook, Skipped};
use self::ledger::{Ledger, count};
use crate::model::{EventType, WebhookId};

/// The account. Serialised, it is the demo's `--json`:
///
/// ```json
/// {"accepted":23,"deliveries":110,"delivered":66,"dead":44,"waiting":0,"attempts":200,"skipped":0,"seconds":9.5,
///  "by_webhook":[{"webhook":"..","receiver":"healthy","owner":"user","deliveries":17,"delivered":17,"dead":0,
///                 "waiting":0,"skipped":0,"attempts":17,"dead_by_reason":{}}],
///  "by_type":[{"type":"note","accepted":6,"deliveries":30,"delivered":18,"dead":12,"waiting":0,"skipped":0}],
///  "problems":[]}
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub(super) accepted: u64,
    pub(super) deliveries: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) waiting: u64,
    pub(super) attempts: u64,
    pub(super) skipped: u64,
    pub(super) seconds: f64,
    pub(super) by_webhook: Vec<WebhookRow>,
    pub(super) by_type: Vec<TypeRow>,
    problems: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct WebhookRow {
    pub(super) webhook: WebhookId,
    pub(super) receiver: &'static str,
    pub(super) owner: &'static str,
    #[serde(flatten)]
    pub(super) sums: Sums,
    pub(super) attempts: u64,
    pub(super) dead_by_reason: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct TypeRow {
    #[serde(rename = "type")]
    pub(super) kind: EventType,
    pub(super) accepted: u64,
    #[serde(flatten)]
    pub(super) sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sums {
    pub(super) deliveries: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) waiting: u64,
    pub(super) skipped: u64,
}

impl Report {
    /// Puts what the parties say side by side.
    pub fn new(inputs: &Inputs) -> Self {
        let ledger = Ledger::of(inputs);
        let total = ledger.total();
        let mut report = Self {
            accepted: count(inputs.events.iter()),
            deliveries: total.deliveries,
            delivered: total.delivered,
            dead: total.dead,
            waiting: total.waiting,
            attempts: inputs.attempts.iter().map(|(_, attempts)| attempts).sum(),
            skipped: total.skipped,
            seconds: (inputs.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            by_webhook: ledger.by_webhook(),
            by_type: ledger.by_type(),
            problems: Vec::new(),
        };
        report.problems = problems::problems(&ledger, &report);
        report
    }

    /// What does not fit, in words; none when every delivery is accounted for.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn total(&self) -> Sums {
        Sums {
            deliveries: self.deliveries,
            delivered: self.delivered,
            dead: self.dead,
            waiting: self.waiting,
            skipped: self.skipped,
        }
    }
}
