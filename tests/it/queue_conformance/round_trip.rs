//! What comes out is what went in, to the byte, on every lane and also for the next process.

use std::collections::BTreeMap;
use std::sync::Arc;

use hikyaku::model::{Delivery, Event, Message, Target};
use hikyaku::queue::{Consumer, Death, FollowUp, Lane};

use super::backend::Backend;
use super::samples::{
    PLENTY, any_death, any_delivery, any_event, any_of, any_trace, dead, event, fresh, later, next, next_ones,
    sized_event,
};

/// Messages of each kind that are tried.
const COUNT: usize = 150;

/// What a message carries, by its event's id.
type Carried = BTreeMap<String, (Message, Option<Death>)>;

async fn carried(consumer: &mut Consumer, count: usize) -> Carried {
    let leases = next_ones(consumer, count).await;
    leases.iter().map(|lease| (lease.message.event.id.to_string(), (lease.message.clone(), lease.death))).collect()
}

fn any_events() -> Vec<Arc<Event>> {
    (0..COUNT).map(|n| Arc::new(any_of(any_event(n)))).collect()
}

fn expected(messages: impl IntoIterator<Item = (Message, Option<Death>)>) -> Carried {
    messages.into_iter().map(|(message, death)| (message.event.id.to_string(), (message, death))).collect()
}

fn assert_same(came: &Carried, expected: &Carried) {
    for (id, message) in expected {
        let came = came.get(id).unwrap_or_else(|| panic!("{id:?} is missing"));
        assert_eq!(came, message);
        assert_eq!(came.0.event.body.bytes(), message.0.event.body.bytes());
    }
    assert_eq!(came.len(), expected.len());
}

/// Reads the lane now, and once more as the next process.
async fn assert_carried<B: Backend>(store: &B, queue: hikyaku::queue::Queue, lane: Lane, expected: &Carried) {
    let mut consumer = queue.consume(lane, PLENTY).await.expect("consumes");
    assert_same(&carried(&mut consumer, expected.len()).await, expected);
    drop((consumer, queue));
    let queue = store.worker().await;
    let mut consumer = queue.consume(lane, PLENTY).await.expect("consumes");
    assert_same(&carried(&mut consumer, expected.len()).await, expected);
}

pub(super) async fn a_fresh_message_comes_out_as_it_went_in<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let messages: Vec<Message> =
        any_events().into_iter().map(|event| Message { event, target: Target::Subscribers }).collect();

    queue.publish(messages.clone()).await.expect("published");

    let expected = expected(messages.into_iter().map(|message| (message, None)));
    assert_carried(&store, queue, Lane::Work, &expected).await;
}

pub(super) async fn a_delivery_that_waits_comes_out_as_it_went_in<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let (now, deliveries) = (store.now(), any_deliveries());
    let (published, settled) = deliveries.split_at(COUNT / 2);

    // Half as replays are, half as retries are.
    let aim = |(event, delivery): &(Arc<Event>, Delivery)| Message {
        event: Arc::clone(event),
        target: Target::One(delivery.clone()),
    };
    queue.publish(published.iter().map(aim).collect()).await.expect("published");
    settle_with(&queue, settled, |delivery| FollowUp::Later { delivery, due: now }).await;

    let expected = expected(deliveries.iter().map(|delivery| (aim(delivery), None)));
    assert_carried(&store, queue, Lane::Retry, &expected).await;
}

pub(super) async fn a_dead_letter_comes_out_as_it_went_in_with_its_death<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let deliveries = any_deliveries();
    let deaths: Vec<Death> = deliveries.iter().map(|_| any_of(any_death())).collect();

    let mut next_death = deaths.iter();
    let follow_up = |delivery| FollowUp::Dead { delivery, death: *next_death.next().expect("one each") };
    settle_with(&queue, &deliveries, follow_up).await;

    let message = |(event, delivery): &(Arc<Event>, Delivery), death: &Death| {
        (Message { event: Arc::clone(event), target: Target::One(delivery.clone()) }, Some(*death))
    };
    let expected = expected(deliveries.iter().zip(&deaths).map(|(delivery, death)| message(delivery, death)));
    assert_carried(&store, queue, Lane::Dead, &expected).await;
}

fn any_deliveries() -> Vec<(Arc<Event>, Delivery)> {
    any_events().into_iter().map(|event| (event, any_of(any_delivery()))).collect()
}

/// Publishes each event fresh and settles it with one follow-up.
async fn settle_with(
    queue: &hikyaku::queue::Queue,
    deliveries: &[(Arc<Event>, Delivery)],
    mut follow_up: impl FnMut(Delivery) -> FollowUp,
) {
    let fresh = deliveries.iter().map(|(event, _)| Message { event: Arc::clone(event), target: Target::Subscribers });
    queue.publish(fresh.collect()).await.expect("published");
    let mut work = queue.consume(Lane::Work, PLENTY).await.expect("consumes");
    for (event, delivery) in deliveries {
        let mut lease = next(&mut work).await;
        assert_eq!(lease.message.event.id, event.id);
        lease.settle(&[follow_up(delivery.clone())]).await.expect("settled");
    }
}

pub(super) async fn a_body_of_a_mebibyte_comes_out_as_it_went_in<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let large = Message { event: Arc::new(sized_event(1, 1 << 20)), target: Target::Subscribers };

    queue.publish(vec![large.clone(), fresh(2)]).await.expect("published");

    let expected = expected([(large, None), (fresh(2), None)]);
    assert_carried(&store, queue, Lane::Work, &expected).await;
}

pub(super) async fn a_trace_goes_with_its_event_through_redelivery_a_wait_and_a_dead_letter<B: Backend>() {
    let store = B::new().await;
    let queue = store.worker().await;
    let [mut work, mut retry, mut died] = [
        queue.consume(Lane::Work, PLENTY).await.expect("consumes"),
        queue.consume(Lane::Retry, PLENTY).await.expect("consumes"),
        queue.consume(Lane::Dead, PLENTY).await.expect("consumes"),
    ];
    let (of_producer, of_worker) = (Some(any_of(any_trace())), Some(any_of(any_trace())));
    for (given, in_hand, then) in [
        (of_producer, None, of_producer),
        // An event without one gets it from the worker that takes it.
        (None, of_worker, of_worker),
        (None, None, None),
    ] {
        let event = Event { trace: given, ..event(1) };
        queue.publish(vec![Message { event: Arc::new(event), target: Target::Subscribers }]).await.expect("published");
        let first = next(&mut work).await;
        assert_eq!(first.message.event.trace, given);
        drop(first);
        let mut again = next(&mut work).await;
        assert_eq!(again.message.event.trace, given);
        if in_hand.is_some() {
            Arc::make_mut(&mut again.message.event).trace = in_hand;
        }
        again.settle(&[later(store.now())]).await.expect("settled");
        let mut waited = next(&mut retry).await;
        assert_eq!(waited.message.event.trace, then);
        waited.settle(&[dead()]).await.expect("settled");
        let mut letter = next(&mut died).await;
        assert_eq!(letter.message.event.trace, then);
        letter.settle(&[]).await.expect("settled");
    }
}
