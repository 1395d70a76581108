//! `kill -9` of broker and worker, many times: nothing is lost, and only what a killed worker held is sent again.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::producers::{Item, Producers};
use super::{LONG, assert_all_arrived, assert_nothing_is_left, home, left_in, repeats, until_all_is_done};
use crate::support::broker::{Broker, Cluster};
use crate::support::journey_receiver::{Behaviour, Book, Receiver};
use crate::support::program::{Home, Program, declared};

/// A retry that was due while the leader of its queue died comes late: RabbitMQ asks only after a while
/// (`dead_letter_worker_publisher_confirm_timeout`) whether a message that it has moved on was taken, and that can happen again.
const DEAD_LETTERED_AGAIN_MAX: Duration = Duration::from_secs(360);

const EVENTS: usize = 20_000;
/// One in this many is for the receiver that fails at first.
const FLAKY_ONE_IN: usize = 10;
const PRODUCERS: usize = 4;
/// The least that the settings allow, of each lane: so that few repeats are the most that is allowed.
const PREFETCH: usize = 64;

/// 20,000 events on their way, and what may happen to them.
struct Trial {
    steady: Receiver,
    flaky: Receiver,
    /// The events that are published by now.
    notes: HashSet<String>,
    mentions: HashSet<String>,
    producers: Producers,
    urls: Vec<String>,
    home: Home,
    worker: Option<Program>,
    /// What a kill of the worker can repeat: two lanes of the prefetch, each message with one delivery. Whatever happens to
    /// RabbitMQ can repeat nothing.
    repeats_max: usize,
}

impl Trial {
    /// Starts the worker at `url`, a broker with nodes at `urls`.
    async fn start(url: &str, urls: &[String]) -> Self {
        let steady = Receiver::start(Behaviour::Slow(Duration::from_millis(5))).await;
        let flaky = Receiver::start(Behaviour::FailFirst(503, Duration::from_millis(5))).await;
        let webhooks = declared("steady", &steady.url("/"), "note") + &declared("flaky", &flaky.url("/"), "mention");
        // A receiver that fails every first attempt would be left alone.
        let limits = format!(
            "queue.prefetch = {PREFETCH}\ndelivery.concurrency = {PREFETCH}\ndelivery.breaker_failures = 0\n\
             delivery.retry_schedule_s = [1, 2, 2, 2]\n"
        );
        let mut trial = Self {
            steady,
            flaky,
            notes: HashSet::new(),
            mentions: HashSet::new(),
            producers: Producers::new(),
            urls: urls.to_vec(),
            home: home(url, "hikyaku.", &format!("{limits}{webhooks}")),
            worker: None,
            repeats_max: 0,
        };
        trial.start_worker().await;
        trial
    }

    /// Starts producers that publish these events, through the worker and straight to the nodes.
    fn publish(&mut self, numbers: Range<usize>) {
        let mut parts: Vec<Vec<Item>> = (0..2 * PRODUCERS).map(|_| Vec::new()).collect();
        for (n, item) in numbers.map(|n| (n, item(n))) {
            let ids = if item.kind == "note" { &mut self.notes } else { &mut self.mentions };
            ids.insert(item.id.clone());
            parts[n / FLAKY_ONE_IN % (2 * PRODUCERS)].push(item);
        }
        for (n, part) in parts.into_iter().enumerate() {
            match n.is_multiple_of(2) {
                true => self.producers.over_http(part),
                false => self.producers.over_amqp(part, &self.urls, "hikyaku.events"),
            }
        }
    }

    async fn start_worker(&mut self) {
        let worker = self.home.serve().await;
        self.producers.worker_is_at(&worker.address);
        self.worker = Some(worker);
    }

    async fn kill_worker(&mut self) {
        self.repeats_max += 2 * PREFETCH;
        self.worker.take().expect("it runs").kill().await;
        self.start_worker().await;
    }

    /// Stops the worker once it says that nothing is left of anything.
    async fn stop_worker(&mut self) {
        let worker = self.worker.take().expect("it runs");
        until_all_is_done(&worker).await;
        worker.stop().await;
    }

    /// Waits until `count` notes have arrived, and checks that all goes well so far.
    async fn until_notes(&self, count: usize) {
        let what = format!("{count} notes arrive");
        self.steady.until_within(LONG, &what, |book| book.distinct() >= count).await;
        assert!(self.steady.book().distinct() < self.notes.len(), "what comes now comes too late to matter");
        self.assert_few_repeats();
    }

    /// Counts by the events that producers published once.
    fn assert_few_repeats(&self) {
        let again = self.producers.published_again();
        assert!(again.len() < EVENTS / 2, "{} were published again: too few are left to count by", again.len());
        let repeats = repeats(&self.steady.book(), &again) + repeats(&self.flaky.book(), &again);
        assert!(repeats <= self.repeats_max, "{repeats} repeats, and {} are allowed", self.repeats_max);
    }

    /// Waits until all is over, and checks that nothing was lost and nothing is left at `url`. What RabbitMQ was moving when it,
    /// or a leader, was killed it counts nowhere for a while, and moves again, for as long as `moved_again_max`.
    async fn finish(mut self, url: &str, moved_again_max: Duration) {
        self.producers.finish().await;
        let every = |count| move |book: &Book| book.event_ids.len() >= count;
        self.steady.until_within(LONG, "every note arrives", every(self.notes.len())).await;
        self.flaky.until_within(DEAD_LETTERED_AGAIN_MAX, "every mention arrives", every(self.mentions.len())).await;
        self.stop_worker().await;
        let began = Instant::now();
        while began.elapsed() < moved_again_max && left_in(url, "hikyaku.").await.is_some() {
            self.start_worker().await;
            self.stop_worker().await;
        }
        assert_nothing_is_left(url, "hikyaku.").await;
        assert_all_arrived(&self.steady, &self.notes);
        assert_all_arrived(&self.flaky, &self.mentions);
        self.assert_few_repeats();
    }
}

fn item(n: usize) -> Item {
    Item { kind: if n.is_multiple_of(FLAKY_ONE_IN) { "mention" } else { "note" }, id: format!("e{n}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20_000_events_none_is_lost_though_broker_and_worker_are_killed_again_and_again() {
    let broker = Broker::start().await;
    let mut trial = Trial::start(&broker.url(), &[broker.url()]).await;
    trial.publish(0..EVENTS);
    for (kill_at, of_broker) in [(3000, true), (5500, false), (8000, true), (10_500, false), (13_000, true)] {
        trial.until_notes(kill_at).await;
        if of_broker {
            broker.kill().await;
            broker.restart().await;
        } else {
            trial.kill_worker().await;
        }
    }
    trial.finish(&broker.url(), DEAD_LETTERED_AGAIN_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20_000_events_none_is_lost_though_leaders_of_a_cluster_are_killed_and_the_worker_too() {
    let cluster = Cluster::start().await;
    let urls: Vec<String> = cluster.nodes().iter().map(Broker::url).collect();
    let mut trial = Trial::start(&cluster.url(), &urls).await;
    for (numbers, leader_of) in [(0..EVENTS / 2, "hikyaku.work"), (EVENTS / 2..EVENTS, "hikyaku.retry")] {
        // Known before, since asking takes seconds.
        let leader = &cluster.nodes()[cluster.leader(leader_of).await];
        let before = trial.notes.len();
        trial.publish(numbers);
        trial.until_notes(before + 2000).await;
        leader.kill().await;
        trial.until_notes(before + 4000).await;
        if leader_of == "hikyaku.retry" {
            trial.kill_worker().await;
        }
        leader.restart().await;
        cluster.whole().await;
    }
    trial.finish(&urls[0], DEAD_LETTERED_AGAIN_MAX).await;
}
