//! The account: what it sums up, what it finds, and its JSON to the byte.

use std::time::Duration;

use super::problems::PROBLEMS_MAX;
use super::*;
use crate::app::demo::words::{DeliveryRef, ReceiverKind, Violations};
use crate::model::{DeathReason, DeliveryId, EventId, Owner};

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
    let problems = problems_of(|inputs| inputs.dead.push((delivery("n1", "note", "healthy"), DeathReason::Exhausted)));
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
