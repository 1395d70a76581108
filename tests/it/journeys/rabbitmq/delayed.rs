//! Retries through the buckets: never early, not much too late, and a wave of them holds up nothing that is new.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{LONG, assert_nothing_is_left, home, until_all_is_done};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{declared, event, events};

/// Seconds of the schedule, each give or take a fifth.
const SCHEDULE_S: [u64; 3] = [1, 5, 12];
/// What a busy machine may add to a wait.
const BUSY_MAX: Duration = Duration::from_secs(15);
const EVENTS: usize = 60;
/// The wave: so many events, each for so many webhooks, at one host.
const WAVE_EVENTS: usize = 200;
const WAVE_WEBHOOKS: usize = 25;
const WAVE: usize = WAVE_EVENTS * WAVE_WEBHOOKS;
const CONNECTIONS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_never_early_and_at_most_its_wait_again_too_late() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let receiver = Receiver::start(Behaviour::Answer(503)).await;
    // Nothing but the schedule is to decide when it is tried.
    let schedule = format!("delivery.breaker_failures = 0\ndelivery.retry_schedule_s = {SCHEDULE_S:?}\n");
    let home = home(&url, &prefix, &format!("{schedule}{}", declared("hook", &receiver.url("/"), "note")));
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
    let attempts = SCHEDULE_S.len() + 1;
    receiver.until_within(LONG, "every attempt is made", |book| book.arrived.len() >= attempts * EVENTS).await;
    program.metric_is("hikyaku_dead_letters", EVENTS as f64).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;

    let mut times: HashMap<String, Vec<Instant>> = HashMap::new();
    for arrived in &receiver.book().arrived {
        let times = times.entry(arrived.id().to_owned()).or_default();
        times.push(arrived.at);
        assert_eq!(arrived.attempt(), times.len().to_string(), "attempts come one after the other");
    }
    assert_eq!(times.len(), EVENTS);
    for times in times.values() {
        for (wait, pair) in SCHEDULE_S.iter().zip(times.windows(2)) {
            let (took, wait) = (pair[1].duration_since(pair[0]), Duration::from_secs(*wait));
            assert!(took >= wait.mul_f64(0.8), "{took:?} is early for {wait:?}");
            // The bucket may hold it for its wait again; a busy machine for longer.
            assert!(took <= wait.mul_f64(2.4) + BUSY_MAX, "{took:?} is late for {wait:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_of_5_000_returning_deliveries_is_paced_and_fresh_events_pass_it() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let wave = Receiver::start(Behaviour::FailFirst(503, Duration::from_millis(2))).await;
    let fresh = Receiver::start(Behaviour::Answer(200)).await;
    let waves = (0..WAVE_WEBHOOKS).map(|n| declared(&format!("wave{n}"), &wave.url("/"), "mention"));
    let webhooks = waves.collect::<String>() + &declared("fresh", &fresh.url("/"), "note");
    let limits = format!(
        "delivery.connections_per_host = {CONNECTIONS}\ndelivery.breaker_failures = 0\n\
         delivery.retry_schedule_s = [6, 6, 6]\n"
    );
    let home = home(&url, &prefix, &format!("{limits}{webhooks}"));
    let program = home.serve().await;
    assert_eq!(program.post(events("mention", "w", WAVE_EVENTS)).await.0, 200);
    wave.until_within(LONG, "the first returns", |book| {
        book.arrived.iter().rev().take(100).any(|arrived| arrived.attempt() == "2")
    })
    .await;

    // One fresh event after the other, for as long as the wave lasts.
    let mut latencies = Vec::new();
    while wave.book().answered < 2 * WAVE {
        let published = Instant::now();
        assert_eq!(program.post(event("note", &format!("f{}", latencies.len()))).await.0, 200);
        fresh.until_within(LONG, "the fresh event arrives", |book| book.distinct() > latencies.len()).await;
        latencies.push(published.elapsed());
    }
    latencies.sort();
    let (median, worst) = (latencies[latencies.len() / 2], latencies[latencies.len() - 1]);
    assert!(latencies.len() >= 20, "{} fresh events: there was no wave to pass", latencies.len());
    assert!(median < Duration::from_secs(2) && worst < Duration::from_secs(15), "median {median:?}, worst {worst:?}");

    until_all_is_done(&program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
    let book = wave.book();
    assert_eq!((book.distinct(), book.arrived.len()), (WAVE, 2 * WAVE), "each fails once and succeeds once");
    assert!(book.in_flight_max <= CONNECTIONS, "{} at a time, to one host", book.in_flight_max);
}
