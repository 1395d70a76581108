//! How slots are waited for, and how what is shared is kept for the fast, with time in tokio's hands.

use tokio::time::Instant;

use super::*;
use crate::clock::ManualClock;
use crate::decide::{BreakerState, PARK_WAIT_MAX, Pace, Verdict};
use crate::model::{Options, Origin, Outcome, Owner, Secret, Source, Status, Timestamp};
use crate::telemetry::Telemetry;

mod foreseen;
mod hosts;
mod left_alone;
mod shared;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> EndpointPolicy {
    EndpointPolicy {
        concurrency: 1000,
        slots_max: 500,
        per_host: 500,
        patience: Duration::from_millis(500),
        waiters_max: 100,
        breaker_failures: 10,
        retry_after_max: Duration::from_secs(3600),
    }
}

struct World {
    endpoints: Endpoints,
    clock: Arc<ManualClock>,
}

fn world(policy: EndpointPolicy) -> World {
    let clock = Arc::new(ManualClock::new(Timestamp::default(), 0.5));
    let telemetry = Telemetry::shared().expect("metrics");
    World { endpoints: Endpoints::new(policy, Arc::clone(&clock) as SharedClock, telemetry), clock }
}

fn endpoints(slots_max: usize, waiters_max: usize) -> Endpoints {
    world(EndpointPolicy { slots_max, waiters_max, ..policy() }).endpoints
}

/// A webhook at a host of its own.
fn webhook(id: &str) -> Webhook {
    webhook_at(id, &format!("http://{id}.example/"))
}

fn webhook_at(id: &str, url: &str) -> Webhook {
    Webhook {
        id: WebhookId::new(id).expect("valid"),
        owner: Owner::System,
        source: Source::default(),
        name: String::new(),
        url: url.parse().expect("a URL"),
        secret: Secret::new(""),
        on: Vec::new(),
        status: Status::Active,
        options: Options::default(),
        origin: Origin::Store,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn verdict(outcome: Outcome, status: Option<u16>, retry_after: Option<Duration>) -> Verdict {
    Verdict { outcome, status, retry_after, words: String::new() }
}

fn ok() -> Verdict {
    verdict(Outcome::Delivered, Some(200), None)
}

fn timeout() -> Verdict {
    verdict(Outcome::Timeout, None, None)
}

/// Takes a slot and leave, and ends with `verdict` after `took`.
async fn attempt(endpoints: &Endpoints, webhook: &Webhook, verdict: &Verdict, took: Duration) {
    let mut turn = endpoints.acquire(webhook).await.expect("a slot");
    turn.ask_leave().expect("leave");
    turn.ended(verdict, took, 0.5);
}

/// Makes `webhook` known as one that answers after `took`.
async fn prove(endpoints: &Endpoints, webhook: &Webhook, took: Duration) {
    for _ in 0..9 {
        attempt(endpoints, webhook, &ok(), took).await;
    }
}

/// How long until the turn of one that found no slot.
fn turn_of(no_slot: NoSlot) -> Duration {
    match no_slot {
        NoSlot::Behind(turn) | NoSlot::Silent(LeftAlone { comeback: Comeback::Turn(turn), .. }) => turn,
        NoSlot::Silent(left_alone) => panic!("another one is to see: {left_alone:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_has_no_more_slots_than_it_is_given_and_another_is_not_affected() {
    let endpoints = endpoints(2, 100);
    let _first = endpoints.acquire(&webhook("a")).await.expect("free");
    let _second = endpoints.acquire(&webhook("a")).await.expect("free");
    assert!(endpoints.acquire(&webhook("a")).await.is_err(), "a third would be more than two");
    assert!(endpoints.acquire(&webhook("b")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_becomes_free_within_the_patience_is_taken() {
    let endpoints = endpoints(1, 100);
    let first = endpoints.acquire(&webhook("a")).await.expect("free");
    let a = webhook("a");
    let freed = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(endpoints.acquire(&a), freed);
    assert!(second.is_ok());
}

#[tokio::test(start_paused = true)]
async fn once_a_webhook_proved_slow_nobody_waits_for_it_in_the_worker() {
    let endpoints = endpoints(1, 100);
    let a = webhook("a");
    prove(&endpoints, &a, 10 * SECOND).await;
    let _held = endpoints.acquire(&a).await.expect("free");
    let began = Instant::now();
    assert!(endpoints.acquire(&a).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO, "told at once");
}

#[tokio::test(start_paused = true)]
async fn those_that_are_put_off_get_turns_one_behind_the_other_at_the_webhooks_pace() {
    let endpoints = endpoints(2, 1);
    let a = webhook("a");
    for _ in 0..100 {
        attempt(&endpoints, &a, &ok(), 4 * SECOND).await;
    }
    let _held = (endpoints.acquire(&a).await.expect("free"), endpoints.acquire(&a).await.expect("free"));
    let mut turns = Vec::new();
    for _ in 0..1000 {
        turns.push(turn_of(endpoints.acquire(&a).await.expect_err("none is free")));
    }
    for (number, turn) in turns.iter().take(400).enumerate() {
        let expected = 2.0 * (number + 1) as f64;
        assert!((turn.as_secs_f64() - expected).abs() < 0.01 * expected + 0.01, "turn {number} after {turn:?}");
    }
    assert!(turns[999] <= PARK_WAIT_MAX + 2 * SECOND, "{:?}", turns[999]);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_from_the_beginning_is_expected_to_be_silent_for_as_long_again() {
    let endpoints = endpoints(50, 1);
    let a = webhook("a");
    let mut held = Vec::new();
    while let Ok(turn) = endpoints.acquire(&a).await {
        held.push(turn);
    }
    assert_eq!(held.len(), 50);
    for silence in [3, 6, 9].map(|seconds| seconds * SECOND) {
        tokio::time::advance(3 * SECOND).await;
        let turn = turn_of(endpoints.acquire(&a).await.expect_err("none is free"));
        assert!(turn >= silence, "{turn:?} after {silence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waited_behind_many_does_not_take_the_whole_wait_for_one_answer() {
    let endpoints = endpoints(1, 100);
    let answer = Duration::from_millis(50);
    let a = webhook("a");
    let serve = async |mut turn: Turn<'_>| {
        tokio::time::sleep(answer).await;
        turn.ask_leave().expect("leave");
        turn.ended(&ok(), answer, 0.5);
    };
    let first = endpoints.acquire(&a).await.expect("free");
    let each = (0..20).map(async |_| match endpoints.acquire(&a).await {
        Ok(turn) => {
            serve(turn).await;
            None
        }
        Err(no_slot) => Some(turn_of(no_slot)),
    });
    let (turns, ()) = tokio::join!(futures_util::future::join_all(each), serve(first));
    let turns: Vec<Duration> = turns.into_iter().flatten().collect();
    assert!(turns.len() >= 5, "more than half a second's worth of them came: {turns:?}");
    for (number, turn) in turns.iter().enumerate() {
        assert!(*turn <= answer * (u32::try_from(number).expect("few") + 2), "number {number}: {turn:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_are_held_to_their_share() {
    let endpoints = endpoints(1, 3);
    let a = webhook("a");
    let _held = endpoints.acquire(&a).await.expect("free");
    let began = Instant::now();
    let waits =
        futures_util::future::join_all((0..10).map(|_| async {
            endpoints.acquire(&a).await.is_err().then(|| began.elapsed()).expect("nothing is free")
        }))
        .await;
    assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 7, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_to_a_fast_webhook_waits_for_its_turns_and_none_of_it_is_put_off() {
    let endpoints = endpoints(500, 2000);
    let a = webhook("a");
    let answer = Duration::from_millis(4);
    let each = (0..2000).map(async |_| {
        let mut turn = endpoints.acquire(&a).await.expect("none is put off");
        turn.ask_leave().expect("leave");
        tokio::time::sleep(answer).await;
        turn.ended(&ok(), answer, 0.5);
    });
    futures_util::future::join_all(each).await;
    let sight = &endpoints.each()[0];
    assert_eq!((sight.in_flight, sight.waiting, sight.parked, sight.attempts), (0, 0, 0, 2000));
    assert_eq!(sight.slots, 500, "and it got all that it could use");
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_hang_leave_half_of_the_worker_to_those_that_answer() {
    let endpoints = world(EndpointPolicy { concurrency: 100, slots_max: 50, ..policy() }).endpoints;
    let healthy = webhook("healthy");
    prove(&endpoints, &healthy, Duration::from_millis(5)).await;
    let mut held = Vec::new();
    for number in 0..60 {
        for _ in 0..50 {
            held.extend(endpoints.acquire(&webhook(&format!("hanging{number}"))).await.ok());
        }
    }
    assert_eq!(held.len(), 75, "half, and one for each of the next until a quarter is left");
    for _ in 0..25 {
        held.push(endpoints.acquire(&healthy).await.expect("room for one that answers"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_webhook_that_stalls_is_counted_among_the_slow_before_its_first_deadline() {
    let endpoints = world(EndpointPolicy { concurrency: 100, slots_max: 100, ..policy() }).endpoints;
    let a = webhook("a");
    prove(&endpoints, &a, Duration::from_millis(5)).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(endpoints.acquire(&a).await.expect("it was fast until now"));
    }
    tokio::time::advance(2 * SECOND).await;
    while let Ok(turn) = endpoints.acquire(&a).await {
        held.push(turn);
    }
    assert_eq!(held.len(), 50, "it has answered none for over a second: half of the worker, no more");
}

#[tokio::test(start_paused = true)]
async fn one_webhook_of_a_host_that_hangs_leaves_connections_for_the_others() {
    let endpoints = world(EndpointPolicy { per_host: 20, ..policy() }).endpoints;
    let healthy = webhook_at("healthy", "https://chat.example/api/1");
    prove(&endpoints, &healthy, Duration::from_millis(5)).await;
    let hanging = webhook_at("hanging", "https://chat.example/api/2");
    let mut held = Vec::new();
    while let Ok(turn) = endpoints.acquire(&hanging).await {
        held.push(turn);
    }
    assert_eq!(held.len(), 10, "half of the host's");
    assert!(
        endpoints.acquire(&webhook_at("next", "https://chat.example/api/3")).await.is_ok(),
        "a chance for a new one"
    );
    for _ in 0..10 {
        held.push(endpoints.acquire(&healthy).await.expect("a connection"));
    }
    assert!(endpoints.acquire(&healthy).await.is_err(), "twenty, and no more");
    assert!(endpoints.acquire(&webhook("elsewhere")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_host_in_full_use_gets_the_connection_that_another_webhook_gives_back() {
    let endpoints = world(EndpointPolicy { per_host: 2, ..policy() }).endpoints;
    let (a, b) = (webhook_at("a", "https://chat.example/1"), webhook_at("b", "https://chat.example/2"));
    prove(&endpoints, &a, Duration::from_millis(5)).await;
    prove(&endpoints, &b, Duration::from_millis(5)).await;
    let held = [endpoints.acquire(&a).await.expect("free"), endpoints.acquire(&a).await.expect("free")];
    let freed = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
    };
    let (turn, ()) = tokio::join!(endpoints.acquire(&b), freed);
    assert!(turn.is_ok());
}

#[tokio::test(start_paused = true)]
async fn those_that_are_put_off_while_nothing_is_answered_get_turns_as_far_apart_as_the_silence_is_long() {
    let endpoints = endpoints(2, 1);
    let a = webhook("a");
    prove(&endpoints, &a, SECOND / 100).await;
    let held = [endpoints.acquire(&a).await.expect("free"), endpoints.acquire(&a).await.expect("free")];
    tokio::time::sleep(8 * SECOND).await;
    let two_turns = || [(); 2].map(|()| turn_of(endpoints.of(&a).state().no_slot(8 * SECOND)));
    let [first, second] = two_turns();
    assert_eq!(second.saturating_sub(first), 4 * SECOND, "two at a time, in eight seconds");
    drop(held);
    let [first, second] = two_turns();
    assert!(second.saturating_sub(first) < SECOND, "what is known again is its answer time");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_nobody_is_left_alone_for_those_that_failed_and_not_for_those_that_are_well() {
    let endpoints = world(policy()).endpoints;
    let refused = verdict(Outcome::Connection, None, None);
    for number in 0..12 {
        let webhook = webhook_at(&format!("wh{number}"), "http://down.example/");
        attempt(&endpoints, &webhook, &refused, SECOND / 100).await;
    }
    let left_alone = endpoints.left_alone(&webhook_at("wh3", "http://down.example/")).expect("it failed itself");
    assert_eq!(left_alone.reason, ParkReason::HostDown);
    assert_eq!(endpoints.hosts_left_alone().len(), 1);
    let well = webhook_at("new", "http://down.example/");
    assert_eq!(endpoints.left_alone(&well), None);
    attempt(&endpoints, &well, &ok(), SECOND / 100).await;
    assert_eq!(endpoints.left_alone(&webhook_at("wh3", "http://down.example/")), None, "it answers again");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_was_deleted_is_forgotten() {
    let endpoints = world(policy()).endpoints;
    for _ in 0..10 {
        attempt(&endpoints, &webhook("a"), &timeout(), 10 * SECOND).await;
    }
    let open = &endpoints.each()[0];
    assert_eq!((open.breaker, open.open_for.is_some()), (BreakerState::Open, true));
    endpoints.follow(&Arc::new(Snapshot::default()));
    assert_eq!((endpoints.each().len(), endpoints.sight().breakers_open), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_changed_begins_afresh_and_what_is_under_way_stays_counted() {
    let endpoints = world(EndpointPolicy { concurrency: 4, slots_max: 4, ..policy() }).endpoints;
    let before = webhook("a");
    for _ in 0..10 {
        attempt(&endpoints, &before, &timeout(), 10 * SECOND).await;
    }
    let _under_way = endpoints.acquire(&before).await.expect("a slot");
    let after = Webhook { updated_at: Timestamp::from_millis(1), ..webhook("a") };
    assert_eq!(endpoints.left_alone(&after), None);
    assert_eq!(endpoints.each().len(), 1);
    let _second = endpoints.acquire(&after).await.expect("a slot");
    assert!(endpoints.acquire(&after).await.is_err(), "two of four are all that the unproven and the slow may have");
}

#[tokio::test(start_paused = true)]
async fn what_everyone_gave_back_is_all_there_again() {
    let endpoints = world(EndpointPolicy { concurrency: 10, slots_max: 10, per_host: 10, ..policy() }).endpoints;
    let names: Vec<Webhook> = (0..5).map(|number| webhook(&format!("wh{number}"))).collect();
    for round in 0..50_u32 {
        let each = names.iter().map(async |webhook| {
            if let Ok(mut turn) = endpoints.acquire(webhook).await
                && turn.ask_leave().is_ok()
            {
                tokio::time::sleep(SECOND / 10).await;
                if round % 3 == 0 { drop(turn) } else { turn.ended(&ok(), SECOND * (round % 4), 0.5) }
            }
        });
        futures_util::future::join_all(each).await;
    }
    assert_eq!(endpoints.worker().share.used(), 0);
    assert!(endpoints.each().iter().all(|sight| sight.in_flight == 0 && sight.waiting == 0));
    assert_eq!(endpoints.crowded.load(std::sync::atomic::Ordering::Relaxed), 0);
    let fast = webhook("fast");
    prove(&endpoints, &fast, Duration::from_millis(1)).await;
    let all: Vec<_> = futures_util::future::join_all((0..10).map(|_| endpoints.acquire(&fast))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(endpoints.each().iter().filter(|sight| sight.pace == Pace::Fast).count(), 6);
}
