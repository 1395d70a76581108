//! What does not fit in the account, in words: sums that do not come out, what nobody asked for, what is there twice.
//!
//! Each finder reads the ledger and adds a line for each problem; the lines are cut at a number, and one line tells how
//! many more there are.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Ledger, Place, count};
use super::{Report, Sums};
use crate::app::demo::words::DeliveryRef;
use crate::model::{EventType, WebhookId};

/// Problems told one by one; beyond them one line says how many more there are.
pub(super) const PROBLEMS_MAX: usize = 50;

/// What does not fit.
pub(super) fn problems(ledger: &Ledger<'_>, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if ledger.inputs.events.is_empty() || ledger.due.is_empty() {
        found.push("nothing was to be delivered, so nothing has been shown".to_owned());
    }
    find_wrong_sums(report, &mut found);
    find_strangers(ledger, &mut found);
    find_repeats(ledger, &mut found);
    let violations = &ledger.inputs.violations;
    found.extend(violations.words.iter().map(|words| format!("against the wire format: {words}")));
    let told = count(violations.words.iter());
    if violations.count > told {
        found.push(format!("against the wire format: {} more", violations.count - told));
    }
    if found.len() > PROBLEMS_MAX {
        let more = found.len() - PROBLEMS_MAX;
        found.truncate(PROBLEMS_MAX);
        found.push(format!("and {more} more problems"));
    }
    found
}

fn find_wrong_sums(report: &Report, found: &mut Vec<String>) {
    let mut check = |what: String, sums: &Sums| {
        let accounted = sums.delivered + sums.dead + sums.waiting;
        if sums.deliveries != accounted {
            found.push(format!(
                "{what}: {} deliveries are due, and {accounted} are accounted for ({} delivered + {} dead-lettered + {} \
                 waiting)",
                sums.deliveries, sums.delivered, sums.dead, sums.waiting
            ));
        }
    };
    check("in total".to_owned(), &report.total());
    for row in &report.by_webhook {
        check(format!("webhook {}", row.webhook), &row.sums);
    }
    for row in &report.by_type {
        check(format!("type {}", row.kind), &row.sums);
    }
}

/// Finds what somebody counts and nobody asked for.
fn find_strangers(ledger: &Ledger<'_>, found: &mut Vec<String>) {
    for (place, one) in &ledger.placed {
        let DeliveryRef { webhook, delivery, kind } = one;
        match ledger.due.get(delivery) {
            None => found.push(format!(
                "{delivery} ({kind} to {webhook}) is {}, and is no accepted event's delivery to a registered webhook",
                place.words()
            )),
            Some(due) if due.webhook != webhook || due.kind != kind => found.push(format!(
                "{delivery} is {} as {kind} to {webhook}, and is due as {} to {}",
                place.words(),
                due.kind,
                due.webhook
            )),
            Some(_) => {}
        }
    }
    let mut skipped: BTreeMap<(&WebhookId, &EventType), u64> = BTreeMap::new();
    for one in &ledger.inputs.skipped {
        *skipped.entry((&one.webhook, &one.kind)).or_default() += one.count;
    }
    for ((webhook, kind), skips) in skipped {
        let expected = ledger.expected(|for_webhook, of_kind| for_webhook == webhook && of_kind == kind);
        if skips > expected {
            found.push(format!("{skips} events of type {kind} were skipped for {webhook}, and {expected} were for it"));
        }
    }
    let registered: BTreeSet<_> = ledger.inputs.webhooks.iter().map(|webhook| &webhook.id).collect();
    for (webhook, attempts) in ledger.inputs.attempts.iter().filter(|(webhook, _)| !registered.contains(webhook)) {
        found.push(format!("{attempts} attempts were made for {webhook}, which is not registered"));
    }
}

/// Finds what is there twice: a delivery in two places, an event, a webhook.
fn find_repeats(ledger: &Ledger<'_>, found: &mut Vec<String>) {
    let mut places: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (place, one) in &ledger.placed {
        places.entry(&one.delivery).or_default().push(*place);
    }
    for (delivery, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
        let words: Vec<_> = places.iter().map(|place| place.words()).collect();
        found.push(format!("{delivery} is counted {} times: {}", places.len(), words.join(", ")));
    }
    let mut events = BTreeSet::new();
    for event in ledger.inputs.events.iter().filter(|event| !events.insert(&event.id)) {
        found.push(format!("event {} was accepted twice", event.id));
    }
    let mut webhooks = BTreeSet::new();
    for webhook in ledger.inputs.webhooks.iter().filter(|webhook| !webhooks.insert(&webhook.id)) {
        found.push(format!("webhook {} was registered twice", webhook.id));
    }
}
