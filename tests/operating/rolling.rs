//! A rolling restart under load, as an upgrade is: one process after the other is told to end, finishes what it has in hand,
//! and is started again, while a producer goes on and keeps what it is not told to be stored.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::servers::broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::database;
use crate::support::program::{Home, PATIENCE, Program, TOKEN, declared, event, until};

/// How long attempts in flight get to end: later than that after it was taken in, nothing may arrive.
const GRACE: Duration = Duration::from_secs(10);
/// How long a receiver takes to answer, so that there is always something in flight.
const ANSWER_AFTER: Duration = Duration::from_millis(100);
/// Between two events.
const EVENT_EVERY: Duration = Duration::from_millis(5);
/// Events beyond which the load ends, whatever happens.
const EVENTS_MAX: usize = 20_000;
/// How many events must have arrived before the next process is told to end.
const ARRIVALS_BETWEEN: usize = 200;

/// When each event was taken in, by its id.
type Taken = Arc<Mutex<HashMap<String, Instant>>>;

/// A producer that goes on until it is told to stop.
struct Producer {
    taken: Taken,
    producing: JoinHandle<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Producer {
    fn start(address: String) -> Self {
        let taken = Taken::default();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let producing = tokio::spawn(produce(address, Arc::clone(&taken), stopped));
        Self { taken, producing, stop }
    }

    /// Produces no more, once everything is taken in: the ids, and when that was.
    async fn stop(self) -> HashMap<String, Instant> {
        self.stop.send_replace(true);
        self.producing.await.expect("it produced");
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

/// Publishes event after event. What is not answered with 200 is kept, and published again.
async fn produce(address: String, taken: Taken, stopped: tokio::sync::watch::Receiver<bool>) {
    let http = http();
    let mut kept: VecDeque<String> = VecDeque::new();
    for number in 0..EVENTS_MAX {
        if *stopped.borrow() {
            break;
        }
        kept.push_back(format!("e{number}"));
        publish(&http, &address, &mut kept, &taken).await;
        tokio::time::sleep(EVENT_EVERY).await;
    }
    let began = Instant::now();
    while !kept.is_empty() {
        assert!(began.elapsed() < PATIENCE, "the producer kept {kept:?}: they were not taken in within {PATIENCE:?}");
        tokio::time::sleep(EVENT_EVERY).await;
        publish(&http, &address, &mut kept, &taken).await;
    }
}

async fn publish(http: &reqwest::Client, address: &str, kept: &mut VecDeque<String>, taken: &Taken) {
    while let Some(id) = kept.pop_front() {
        let body = event("note", &id);
        let sent = http.post(format!("http://{address}/v1/events")).bearer_auth(TOKEN).body(body).send().await;
        if !sent.is_ok_and(|answer| answer.status() == 200) {
            kept.push_front(id);
            return;
        }
        taken.lock().unwrap().insert(id, Instant::now());
    }
}

#[expect(clippy::disallowed_methods, reason = "a producer, who is not us")]
fn http() -> reqwest::Client {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("a client")
}

/// Tells `program` to end as an upgrade does, and starts it again by `args`.
async fn restarted(home: &Home, program: Program, args: &[&str]) -> Program {
    program.signal("TERM").await;
    let began = Instant::now();
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "it said:\n{said}");
    assert!(said.contains("SIGTERM: finishing") && said.contains("stopped"), "it said:\n{said}");
    assert!(!said.contains("ERROR"), "it said:\n{said}");
    assert!(began.elapsed() < GRACE + Duration::from_secs(10), "the end took {:?}", began.elapsed());
    let program = home.serve_by(args).await;
    until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    program
}

/// Starts the processes of `args`, the first of which takes events in, restarts each under load, and counts.
async fn rolled(home: &Home, receiver: &Receiver, ingest: &str, args: &[&[&str]]) {
    let mut programs = Vec::new();
    for args in args {
        programs.push(home.serve_by(args).await);
    }
    let producer = Producer::start(ingest.to_owned());
    // The first one last: workers of the new version can read what an old ingest writes, and not the other way round.
    for place in (0..args.len()).rev() {
        let arrived = receiver.book().distinct();
        receiver.until_distinct(arrived + ARRIVALS_BETWEEN).await;
        let program = programs.remove(place);
        programs.insert(place, restarted(home, program, args[place]).await);
    }
    let arrived = receiver.book().distinct();
    receiver.until_distinct(arrived + ARRIVALS_BETWEEN).await;
    let taken = producer.stop().await;
    receiver.until_distinct(taken.len()).await;
    for program in programs {
        program.stop().await;
    }
    let book = receiver.book();
    assert_eq!(book.distinct(), taken.len(), "as many deliveries as events");
    assert_eq!(book.repeats(), 0, "nothing arrives twice");
    assert_eq!(book.arrived.len(), book.answered, "no request is broken off");
    let late = |arrived: &crate::support::journey_receiver::Arrived| {
        let at = taken.get(&arrived.event_id()).unwrap_or_else(|| panic!("{} was never taken in", arrived.event_id()));
        arrived.at.saturating_duration_since(*at)
    };
    let latest = book.arrived.iter().map(late).max().expect("something arrived");
    assert!(latest < GRACE, "one arrived {latest:?} after it was taken in");
}

/// An address that was free a moment ago.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// Settings with a webhook at `receiver`.
fn settings(receiver: &Receiver, more: &str) -> String {
    let grace = format!("server.shutdown_grace_s = {}\n", GRACE.as_secs());
    format!("{grace}{more}{}", declared("hook", &receiver.url("/"), "note"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_and_an_ingest_on_rabbitmq_are_restarted_under_load_and_nothing_is_lost_twice_or_late() {
    let receiver = Receiver::start(Behaviour::Slow(ANSWER_AFTER)).await;
    let (node, store, ingest) = (broker().await, database(), free_address());
    let queue = format!("queue.url = \"{}\"\nqueue.prefix = \"rolled.\"\nstore.url = \"{store}\"\n", node.url());
    let home = Home::new(&settings(&receiver, &queue));
    let worker: &[&str] = &["serve", "--role", "worker"];
    rolled(&home, &receiver, &ingest, &[&["serve", "--role", "ingest", "--listen", &ingest], worker, worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_and_an_ingest_on_a_file_are_restarted_under_load_and_nothing_is_lost_twice_or_late() {
    let receiver = Receiver::start(Behaviour::Slow(ANSWER_AFTER)).await;
    let ingest = free_address();
    let home = Home::new(&settings(&receiver, ""));
    let worker: &[&str] = &["serve", "--role", "worker"];
    rolled(&home, &receiver, &ingest, &[&["serve", "--role", "ingest", "--listen", &ingest], worker]).await;
}
