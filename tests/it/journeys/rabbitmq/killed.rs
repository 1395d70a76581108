//! `kill -9` of broker and worker, many times: nothing is lost, and only what a killed worker held is sent again.

use std::collections::HashSet;
use std::time::Duration;

use super::producers::{Item, Producers};
use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, repeats, until_all_is_done};
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared};

const EVENTS: usize = 20_000;
/// One in this many is for the receiver that fails at first.
const FLAKY_ONE_IN: usize = 10;
const PRODUCERS: usize = 4;
/// The least that the settings allow, of each lane: so that few repeats are the most that is allowed.
const PREFETCH: usize = 64;

fn items() -> Vec<Item> {
    let kind = |n: usize| if n.is_multiple_of(FLAKY_ONE_IN) { "mention" } else { "note" };
    (0..EVENTS).map(|n| Item { kind: kind(n), id: format!("e{n}") }).collect()
}

fn ids_of(items: &[Item], kind: &str) -> HashSet<String> {
    items.iter().filter(|item| item.kind == kind).map(|item| item.id.clone()).collect()
}

async fn start(home: &Home, producers: &Producers) -> Program {
    let program = home.serve().await;
    producers.worker_is_at(&program.address);
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20_000_events_none_is_lost_though_broker_and_worker_are_killed_again_and_again() {
    let broker = Broker::start().await;
    let steady = Receiver::start(Behaviour::Slow(Duration::from_millis(5))).await;
    let flaky = Receiver::start(Behaviour::FailFirst(503, Duration::from_millis(5))).await;
    let webhooks = declared("steady", &steady.url("/"), "note") + &declared("flaky", &flaky.url("/"), "mention");
    let limits = format!(
        "queue.prefetch = {PREFETCH}\ndelivery.concurrency = {PREFETCH}\ndelivery.retry_schedule_s = [1, 2, 2, 2, 2]\n"
    );
    let home = home(&broker.url(), "hikyaku.", &format!("{limits}{webhooks}"));
    let (notes, mentions) = (ids_of(&items(), "note"), ids_of(&items(), "mention"));

    let mut producers = Producers::new();
    let mut program = start(&home, &producers).await;
    let mut parts: Vec<Vec<Item>> = (0..2 * PRODUCERS).map(|_| Vec::new()).collect();
    items().into_iter().enumerate().for_each(|(n, item)| parts[n / FLAKY_ONE_IN % (2 * PRODUCERS)].push(item));
    for _ in 0..PRODUCERS {
        producers.over_http(parts.pop().expect("a part"));
        producers.over_amqp(parts.pop().expect("a part"), &broker.url(), "hikyaku.events");
    }

    // What a kill of the worker can repeat: two lanes of 64 messages, each with one delivery. A kill of the broker nothing.
    let mut repeats_max = 0;
    let count_repeats = |producers: &Producers| {
        let again = producers.published_again();
        assert!(again.len() < EVENTS / 2, "{} were published again: too few are left to count by", again.len());
        repeats(&steady.book(), &again) + repeats(&flaky.book(), &again)
    };
    for (kill_at, of_broker) in [(3000, true), (5500, false), (8000, true), (10_500, false), (13_000, true)] {
        let what = format!("{kill_at} notes arrive before a kill");
        steady.until_within(LONG, &what, |book| book.distinct() >= kill_at).await;
        assert!(steady.book().distinct() < notes.len(), "it is killed too late to matter");
        let repeats = count_repeats(&producers);
        assert!(repeats <= repeats_max, "{repeats} repeats when {kill_at} had arrived, {repeats_max} are allowed");
        if of_broker {
            broker.kill().await;
            broker.restart().await;
        } else {
            repeats_max += 2 * PREFETCH;
            program.kill().await;
            program = start(&home, &producers).await;
        }
    }
    producers.finish().await;
    steady.until_within(LONG, "every note arrives", |book| book.event_ids.len() >= notes.len()).await;
    flaky
        .until_within(LONG, "every mention arrives twice", |book| {
            book.arrived
                .iter()
                .filter(|arrived| arrived.attempt() == "2")
                .map(|arrived| arrived.id())
                .collect::<HashSet<_>>()
                .len()
                >= mentions.len()
        })
        .await;
    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&broker.url(), "hikyaku.").await;

    assert_all_arrived(&steady, &notes);
    assert_all_arrived(&flaky, &mentions);
    let repeats = count_repeats(&producers);
    assert!(repeats <= repeats_max, "{repeats} repeats, {repeats_max} are allowed");
}
