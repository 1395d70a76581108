//! The program on RabbitMQ: real workers, real nodes that are killed, stopped, frozen and cut off, counted at receivers.
//!
//! What may arrive twice: what a killed worker held unsettled (its prefetch, one delivery for each message here), and what
//! a producer published again because it was not told that it is stored. Nothing else, whatever happens to RabbitMQ: a
//! worker that lives knows what it is sending and has sent.

mod absent;
mod alarmed;
mod delayed;
mod disturbed;
mod killed;
mod left_alone;
mod limited;
mod producers;
mod recorded;
mod shared;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::support::amqp::Stranger;
use crate::support::journey_receiver::{Book, Receiver};
use crate::support::program::{Home, Program};

/// How long it may take until thousands of deliveries have arrived, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(180);

/// Names of every queue without prefix, buckets as far as these tests go.
const QUEUES: [&str; 9] =
    ["work", "retry", "dead", "rejected", "delay.1s", "delay.2s", "delay.4s", "delay.8s", "delay.16s"];

/// A home whose queue is RabbitMQ at `url` under `prefix`.
fn home(url: &str, prefix: &str, settings: &str) -> Home {
    Home::new(&format!("queue.url = \"{url}\"\nqueue.prefix = \"{prefix}\"\nqueue.single_host = true\n{settings}"))
}

/// How often an attempt of a delivery arrived beyond its first time, of events that are not in `except`.
fn repeats(book: &Book, except: &HashSet<String>) -> usize {
    let mut times: HashMap<(String, String), usize> = HashMap::new();
    for arrived in &book.arrived {
        if except.is_empty() || !except.contains(&arrived.event_id()) {
            *times.entry((arrived.id().to_owned(), arrived.attempt().to_owned())).or_default() += 1;
        }
    }
    times.values().map(|times| times - 1).sum()
}

/// Checks that every event of `ids` arrived, and always as one and the same delivery.
#[track_caller]
fn assert_all_arrived(receiver: &Receiver, ids: &HashSet<String>) {
    let book = receiver.book();
    let missing: Vec<&String> = ids.difference(&book.event_ids).take(5).collect();
    assert!(missing.is_empty(), "{} of {} arrived; missing are {missing:?} ...", book.event_ids.len(), ids.len());
    assert_eq!(book.distinct(), ids.len(), "one delivery for each event, whatever happened to it");
}

/// Waits until the worker says that nothing is left of anything.
async fn until_all_is_done(program: &Program) {
    for queue in ["work", "delay", "dead"] {
        program.metric_is(&format!("hikyaku_queue_depth{{queue=\"{queue}\"}}"), 0.0).await;
    }
}

/// The first queue that is not empty, and how many messages it has.
async fn left_in(url: &str, prefix: &str) -> Option<(String, Option<u32>)> {
    let stranger = Stranger::connect(url).await;
    for queue in QUEUES {
        let queue = format!("{prefix}{queue}");
        let depth = stranger.depth(&queue).await;
        if depth != Some(0) {
            return Some((queue, depth));
        }
    }
    None
}

/// Checks, once every worker has stopped, that every queue is empty.
async fn assert_nothing_is_left(url: &str, prefix: &str) {
    assert_eq!(left_in(url, prefix).await, None, "messages are left");
}
