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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::words::{DeliveryRef, ReceiverKind, Violations};
use crate::model::{DeathReason, DeliveryId, Event, EventId, EventType, Owner, WebhookId};

/// Problems told one by one; beyond them one line says how many more there are.
const PROBLEMS_MAX: usize = 50;

/// An event that was accepted.
#[derive(Clone, Debug)]
pub struct AcceptedEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub kind: EventType,
    /// Whose it is.
    pub owner: Owner,
}

impl From<&Event> for AcceptedEvent {
    fn from(event: &Event) -> Self {
        let owner = event.user.clone().map_or(Owner::System, Owner::User);
        Self { id: event.id.clone(), kind: event.kind.clone(), owner }
    }
}

/// A webhook of the demo.
#[derive(Clone, Debug)]
pub struct RegisteredWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it points.
    pub receiver: ReceiverKind,
    /// Whose events it gets.
    pub owner: Owner,
    /// The event types it gets.
    pub on: Vec<EventType>,
}

impl RegisteredWebhook {
    /// Whether `event` is one that it subscribes to.
    pub(super) fn wants(&self, event: &AcceptedEvent) -> bool {
        self.owner == event.owner && self.on.contains(&event.kind)
    }
}

/// Fresh events of one type that the worker did not queue for a webhook, because it had been deactivated.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The webhook.
    pub webhook: WebhookId,
    /// The events' type.
    pub kind: EventType,
    /// How many.
    pub count: u64,
}

/// What the parties say.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Events that the queue has accepted.
    pub events: Vec<AcceptedEvent>,
    /// Webhooks that were registered.
    pub webhooks: Vec<RegisteredWebhook>,
    /// Deliveries that got a 2xx, as the receivers say. A repeat is no problem: delivery is at least once.
    pub delivered: Vec<DeliveryRef>,
    /// Dead letters in the store.
    pub dead: Vec<(DeliveryRef, DeathReason)>,
    /// Deliveries in the queue.
    pub waiting: Vec<DeliveryRef>,
    /// What the worker did not queue.
    pub skipped: Vec<Skipped>,
    /// HTTP requests that the worker made, by webhook.
    pub attempts: Vec<(WebhookId, u64)>,
    /// What receivers got that they should not.
    pub violations: Violations,
    /// How long it took.
    pub elapsed: Duration,
}

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
        let due = due(inputs);
        let placed = placed(inputs);
        let total = sums(&due, &placed, &inputs.skipped, |_, _| true);
        let by_webhook = inputs.webhooks.iter().map(|webhook| webhook_row(inputs, webhook, &due, &placed)).collect();
        let by_type = types(inputs).into_iter().map(|kind| type_row(inputs, kind, &due, &placed)).collect();
        let mut report = Self {
            accepted: count(inputs.events.iter()),
            deliveries: total.deliveries,
            delivered: total.delivered,
            dead: total.dead,
            waiting: total.waiting,
            attempts: inputs.attempts.iter().map(|(_, attempts)| attempts).sum(),
            skipped: total.skipped,
            seconds: (inputs.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            by_webhook,
            by_type,
            problems: Vec::new(),
        };
        report.problems = problems(inputs, &due, &placed, &report);
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

/// A delivery that is due: which event's for which webhook.
struct Due<'a> {
    webhook: &'a WebhookId,
    kind: &'a EventType,
}

fn due(inputs: &Inputs) -> HashMap<String, Due<'_>> {
    let pairs = inputs.webhooks.iter().flat_map(|webhook| {
        let wanted = inputs.events.iter().filter(|event| webhook.wants(event));
        wanted.map(move |event| (webhook, event))
    });
    pairs
        .map(|(webhook, event)| {
            let id = DeliveryId::of(&event.id, &webhook.id).to_string();
            (id, Due { webhook: &webhook.id, kind: &event.kind })
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Delivered,
    Dead,
    Waiting,
}

impl Place {
    const fn words(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead-lettered",
            Self::Waiting => "waiting",
        }
    }
}

type Placed<'a> = Vec<(Place, &'a DeliveryRef)>;

/// Every mention of a delivery; of a receiver's repeats only the first.
fn placed(inputs: &Inputs) -> Placed<'_> {
    let mut taken = BTreeSet::new();
    let delivered = inputs.delivered.iter().filter(|one| taken.insert((&one.webhook, &one.delivery)));
    let mut placed: Placed<'_> = delivered.map(|one| (Place::Delivered, one)).collect();
    placed.extend(inputs.dead.iter().map(|(one, _)| (Place::Dead, one)));
    placed.extend(inputs.waiting.iter().map(|one| (Place::Waiting, one)));
    placed
}

/// The sums over what `counts` picks by webhook and type.
fn sums(
    due: &HashMap<String, Due<'_>>,
    placed: &Placed<'_>,
    skipped: &[Skipped],
    counts: impl Fn(&WebhookId, &EventType) -> bool,
) -> Sums {
    let at = |place| count(placed.iter().filter(|(p, one)| *p == place && counts(&one.webhook, &one.kind)));
    let expected = count(due.values().filter(|due| counts(due.webhook, due.kind)));
    let skipped = skipped.iter().filter(|one| counts(&one.webhook, &one.kind)).map(|one| one.count).sum();
    Sums {
        deliveries: expected.saturating_sub(skipped),
        delivered: at(Place::Delivered),
        dead: at(Place::Dead),
        waiting: at(Place::Waiting),
        skipped,
    }
}

fn webhook_row(
    inputs: &Inputs,
    webhook: &RegisteredWebhook,
    due: &HashMap<String, Due<'_>>,
    placed: &Placed<'_>,
) -> WebhookRow {
    let mut dead_by_reason = BTreeMap::new();
    for (_, reason) in inputs.dead.iter().filter(|(one, _)| one.webhook == webhook.id) {
        *dead_by_reason.entry(reason.as_str()).or_default() += 1;
    }
    WebhookRow {
        webhook: webhook.id.clone(),
        receiver: webhook.receiver.as_str(),
        owner: if webhook.owner == Owner::System { "system" } else { "user" },
        sums: sums(due, placed, &inputs.skipped, |id, _| *id == webhook.id),
        attempts: inputs.attempts.iter().filter(|(id, _)| *id == webhook.id).map(|(_, attempts)| attempts).sum(),
        dead_by_reason,
    }
}

fn type_row(inputs: &Inputs, kind: EventType, due: &HashMap<String, Due<'_>>, placed: &Placed<'_>) -> TypeRow {
    TypeRow {
        accepted: count(inputs.events.iter().filter(|event| event.kind == kind)),
        sums: sums(due, placed, &inputs.skipped, |_, other| *other == kind),
        kind,
    }
}

/// Every type that anybody mentions.
fn types(inputs: &Inputs) -> BTreeSet<EventType> {
    let accepted = inputs.events.iter().map(|event| &event.kind);
    let skipped = inputs.skipped.iter().map(|one| &one.kind);
    let placed = inputs.delivered.iter().chain(inputs.dead.iter().map(|(one, _)| one)).chain(&inputs.waiting);
    accepted.chain(skipped).chain(placed.map(|one| &one.kind)).cloned().collect()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn problems(inputs: &Inputs, due: &HashMap<String, Due<'_>>, placed: &Placed<'_>, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if inputs.events.is_empty() || due.is_empty() {
        found.push("nothing was to be delivered, so nothing has been shown".to_owned());
    }
    find_wrong_sums(report, &mut found);
    find_strangers(inputs, due, placed, &mut found);
    find_repeats(inputs, placed, &mut found);
    let violations = &inputs.violations;
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
fn find_strangers(inputs: &Inputs, due: &HashMap<String, Due<'_>>, placed: &Placed<'_>, found: &mut Vec<String>) {
    for (place, one) in placed {
        let DeliveryRef { webhook, delivery, kind } = one;
        match due.get(delivery) {
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
    for one in &inputs.skipped {
        *skipped.entry((&one.webhook, &one.kind)).or_default() += one.count;
    }
    for ((webhook, kind), skips) in skipped {
        let expected = count(due.values().filter(|due| due.webhook == webhook && due.kind == kind));
        if skips > expected {
            found.push(format!("{skips} events of type {kind} were skipped for {webhook}, and {expected} were for it"));
        }
    }
    let registered: BTreeSet<_> = inputs.webhooks.iter().map(|webhook| &webhook.id).collect();
    for (webhook, attempts) in inputs.attempts.iter().filter(|(webhook, _)| !registered.contains(webhook)) {
        found.push(format!("{attempts} attempts were made for {webhook}, which is not registered"));
    }
}

/// Finds what is there twice: a delivery in two places, an event, a webhook.
fn find_repeats(inputs: &Inputs, placed: &Placed<'_>, found: &mut Vec<String>) {
    let mut places: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (place, one) in placed {
        places.entry(&one.delivery).or_default().push(*place);
    }
    for (delivery, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
        let words: Vec<_> = places.iter().map(|place| place.words()).collect();
        found.push(format!("{delivery} is counted {} times: {}", places.len(), words.join(", ")));
    }
    let mut events = BTreeSet::new();
    for event in inputs.events.iter().filter(|event| !events.insert(&event.id)) {
        found.push(format!("event {} was accepted twice", event.id));
    }
    let mut webhooks = BTreeSet::new();
    for webhook in inputs.webhooks.iter().filter(|webhook| !webhooks.insert(&webhook.id)) {
        found.push(format!("webhook {} was registered twice", webhook.id));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const USER: &str = "9ks5o1w5k3x90001";

    fn owner(is_system: bool) -> Owner {
        if is_system { Owner::System } else { Owner::User(crate::model::UserId::new(USER).expect("valid")) }
    }

    fn event(id: &str, kind: &str, owner: Owner) -> AcceptedEvent {
        AcceptedEvent { id: EventId::new(id).expect("valid"), kind: EventType::new(kind).expect("valid"), owner }
    }

    fn webhook(id: &str, receiver: ReceiverKind, is_system: bool) -> RegisteredWebhook {
        let on = ["note", "mention", "userCreated"].map(|kind| EventType::new(kind).expect("valid")).to_vec();
        RegisteredWebhook { id: WebhookId::new(id).expect("valid"), receiver, owner: owner(is_system), on }
    }

    fn delivery(event: &str, kind: &str, webhook: &str) -> DeliveryRef {
        let webhook = WebhookId::new(webhook).expect("valid");
        let delivery = DeliveryId::of(&EventId::new(event).expect("valid"), &webhook).to_string();
        DeliveryRef { webhook, delivery, kind: EventType::new(kind).expect("valid") }
    }

    /// Four events for three webhooks: `healthy` takes its three, `gone` one is dead, one waits and one was skipped, `sys`
    /// takes its own.
    pub(in crate::app::demo) fn sound() -> Inputs {
        let gone = WebhookId::new("gone").expect("valid");
        Inputs {
            events: vec![
                event("n1", "note", owner(false)),
                event("n2", "note", owner(false)),
                event("m1", "mention", owner(false)),
                event("u1", "userCreated", owner(true)),
            ],
            webhooks: vec![
                webhook("healthy", ReceiverKind::Healthy, false),
                webhook("gone", ReceiverKind::Gone, false),
                webhook("sys", ReceiverKind::Slow, true),
            ],
            delivered: vec![
                delivery("n1", "note", "healthy"),
                delivery("n2", "note", "healthy"),
                delivery("m1", "mention", "healthy"),
                delivery("u1", "userCreated", "sys"),
            ],
            dead: vec![(delivery("n1", "note", "gone"), DeathReason::Gone)],
            waiting: vec![delivery("n2", "note", "gone")],
            skipped: vec![Skipped { webhook: gone.clone(), kind: EventType::new("mention").expect("valid"), count: 1 }],
            attempts: vec![
                (WebhookId::new("healthy").expect("valid"), 5),
                (gone, 1),
                (WebhookId::new("sys").expect("valid"), 1),
            ],
            violations: Violations::default(),
            elapsed: Duration::from_micros(9_512_345),
        }
    }

    fn problems_of(change: impl FnOnce(&mut Inputs)) -> Vec<String> {
        let mut inputs = sound();
        change(&mut inputs);
        Report::new(&inputs).problems().to_vec()
    }

    fn has(problems: &[String], words: &str) -> bool {
        problems.iter().any(|problem| problem.contains(words))
    }

    #[test]
    fn a_sound_account_has_no_problems() {
        assert_eq!(Report::new(&sound()).problems(), Vec::<String>::new());
    }

    #[test]
    fn the_json_is_exactly_what_is_documented() {
        let json = serde_json::to_string(&Report::new(&sound())).expect("JSON");
        let expected = concat!(
            r#"{"accepted":4,"deliveries":6,"delivered":4,"dead":1,"waiting":1,"attempts":7,"skipped":1,"seconds":9.512,"#,
            r#""by_webhook":["#,
            r#"{"webhook":"healthy","receiver":"healthy","owner":"user","deliveries":3,"delivered":3,"dead":0,"#,
            r#""waiting":0,"skipped":0,"attempts":5,"dead_by_reason":{}},"#,
            r#"{"webhook":"gone","receiver":"gone","owner":"user","deliveries":2,"delivered":0,"dead":1,"#,
            r#""waiting":1,"skipped":1,"attempts":1,"dead_by_reason":{"gone":1}},"#,
            r#"{"webhook":"sys","receiver":"slow","owner":"system","deliveries":1,"delivered":1,"dead":0,"#,
            r#""waiting":0,"skipped":0,"attempts":1,"dead_by_reason":{}}],"#,
            r#""by_type":["#,
            r#"{"type":"mention","accepted":1,"deliveries":1,"delivered":1,"dead":0,"waiting":0,"skipped":1},"#,
            r#"{"type":"note","accepted":2,"deliveries":4,"delivered":2,"dead":1,"waiting":1,"skipped":0},"#,
            r#"{"type":"userCreated","accepted":1,"deliveries":1,"delivered":1,"dead":0,"waiting":0,"skipped":0}],"#,
            r#""problems":[]}"#,
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn a_lost_delivery_is_missed_by_webhook_by_type_and_in_total() {
        let problems = problems_of(|inputs| {
            inputs.delivered.remove(2);
        });
        let sum = |due, accounted| format!("{due} deliveries are due, and {accounted} are accounted for");
        assert!(has(&problems, &format!("in total: {}", sum(6, 5))), "{problems:?}");
        assert!(has(&problems, &format!("webhook healthy: {} (2 delivered", sum(3, 2))), "{problems:?}");
        assert!(has(&problems, &format!("type mention: {}", sum(1, 0))), "{problems:?}");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_loss_at_one_webhook_is_not_made_up_for_by_a_surplus_at_another() {
        let problems = problems_of(|inputs| {
            inputs.delivered[0] = DeliveryRef { delivery: "msg_x".to_owned(), ..delivery("n1", "note", "gone") };
        });
        assert!(has(&problems, "webhook healthy: 3 deliveries are due, and 2"), "{problems:?}");
        assert!(has(&problems, "webhook gone: 2 deliveries are due, and 3"), "{problems:?}");
        assert!(!has(&problems, "in total"), "{problems:?}");
    }

    #[test]
    fn a_delivery_in_two_places_is_told() {
        let problems =
            problems_of(|inputs| inputs.dead.push((delivery("n1", "note", "healthy"), DeathReason::Exhausted)));
        assert!(has(&problems, "is counted 2 times: delivered, dead-lettered"), "{problems:?}");
        let problems = problems_of(|inputs| inputs.waiting.push(delivery("n2", "note", "gone")));
        assert!(has(&problems, "is counted 2 times: waiting, waiting"), "{problems:?}");
    }

    #[test]
    fn a_receivers_repeat_counts_once_and_is_no_problem() {
        assert_eq!(problems_of(|inputs| inputs.delivered.push(inputs.delivered[0].clone())), Vec::<String>::new());
    }

    #[test]
    fn a_delivered_id_that_nobody_was_to_get_is_told() {
        let problems = problems_of(|inputs| inputs.delivered.push(delivery("stranger", "note", "healthy")));
        assert!(has(&problems, "is no accepted event's delivery to a registered webhook"), "{problems:?}");
        let problems = problems_of(|inputs| inputs.delivered[0].webhook = WebhookId::new("gone").expect("valid"));
        assert!(has(&problems, "is delivered as note to gone, and is due as note to healthy"), "{problems:?}");
        let problems = problems_of(|inputs| inputs.waiting.push(delivery("u1", "userCreated", "healthy")));
        assert!(has(&problems, "(userCreated to healthy) is waiting, and is no accepted event's"), "{problems:?}");
    }

    #[test]
    fn an_event_of_another_user_or_type_is_accepted_and_due_to_nobody() {
        let other = Owner::User(crate::model::UserId::new("9gt9mv85k3x90004").expect("valid"));
        let mut inputs = sound();
        inputs.events.push(event("n3", "note", other));
        inputs.events.push(event("r1", "reaction", owner(false)));
        let report = Report::new(&inputs);
        assert_eq!(report.problems(), Vec::<String>::new());
        assert_eq!((report.accepted, report.deliveries), (6, 6));
    }

    #[test]
    fn more_skips_than_events_are_told_even_in_pieces() {
        let problems = problems_of(|inputs| inputs.skipped.push(inputs.skipped[0].clone()));
        assert!(has(&problems, "2 events of type mention were skipped for gone, and 1 were for it"), "{problems:?}");
    }

    #[test]
    fn attempts_for_an_unknown_webhook_are_told() {
        let problems = problems_of(|inputs| inputs.attempts.push((WebhookId::new("wh9").expect("valid"), 3)));
        assert_eq!(problems, ["3 attempts were made for wh9, which is not registered"]);
    }

    #[test]
    fn repeats_of_events_and_webhooks_are_told() {
        let problems = problems_of(|inputs| {
            inputs.events.push(inputs.events[0].clone());
            inputs.webhooks.push(inputs.webhooks[0].clone());
        });
        assert_eq!(problems, ["event n1 was accepted twice", "webhook healthy was registered twice"]);
    }

    #[test]
    fn an_empty_demo_has_shown_nothing() {
        assert!(has(Report::new(&Inputs::default()).problems(), "nothing was to be delivered"));
    }

    #[test]
    fn violations_are_problems() {
        let problems = problems_of(|inputs| {
            inputs.violations = Violations { count: 12, words: vec!["slow receiver: msg_1: no".to_owned()] };
        });
        assert_eq!(problems, ["against the wire format: slow receiver: msg_1: no", "against the wire format: 11 more"]);
    }

    #[test]
    fn a_flood_of_problems_is_cut() {
        let problems = problems_of(|inputs| {
            inputs.delivered.extend((0..200).map(|n| delivery(&format!("x{n}"), "note", "healthy")));
        });
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert_eq!(problems.last().map(String::as_str), Some("and 153 more problems"));
    }
}
