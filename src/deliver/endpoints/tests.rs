//! How slots are waited for, and how what is shared is kept for the fast, with time in tokio's hands.

use tokio::time::Instant;

use super::*;
use crate::clock::ManualClock;
use crate::decide::{BreakerState, PARK_WAIT_MAX, Pace, Verdict};
use crate::model::{Options, Origin, Outcome, Owner, Secret, Source, Status, Timestamp};
use crate::telemetry::Telemetry;

mod hosts;
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
async fn what_finds_no_slot_at_webhooks_that_are_silent_shares_the_turns_until_they_answer() {
    let World { endpoints, clock } = world(EndpointPolicy { slots_max: 1, ..policy() });
    let [a, b] = ["a", "b"].map(webhook);
    let mut held = Vec::new();
    for webhook in [&a, &b] {
        held.push(endpoints.acquire(webhook).await.expect("free"));
    }
    tokio::time::advance(2 * SECOND).await;
    clock.advance(2 * SECOND);
    for webhook in [&a, &b] {
        let no_slot = endpoints.acquire(webhook).await.expect_err("one at a time");
        let NoSlot::Silent(left_alone) = no_slot else { panic!("{no_slot:?}") };
        assert_eq!(left_alone.reason, ParkReason::NoSlot);
        assert!(left_alone.wait >= 2 * SECOND, "{left_alone:?}");
    }
    shut(&endpoints, &webhook("c")).await;
    turn(&endpoints, &webhook("c"));
    let apart = || turn(&endpoints, &webhook("c"));
    let before = apart();
    assert_eq!(apart().saturating_sub(before), Duration::from_millis(60), "there are three");

    let mut answered = held.remove(0);
    answered.ask_leave().expect("leave");
    answered.ended(&ok(), 2 * SECOND, 0.5);
    let before = apart();
    assert_eq!(apart().saturating_sub(before), Duration::from_millis(40), "one of them is silent no more");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_ten_times_is_left_alone_and_one_delivery_sees_whether_it_is_well() {
    let World { endpoints, clock } = world(policy());
    let a = webhook("a");
    for _ in 0..10 {
        assert_eq!(endpoints.left_alone(&a), None);
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    let (first, second) = (endpoints.left_alone(&a).expect("open"), endpoints.left_alone(&a).expect("open"));
    assert_eq!((first.reason, first.comeback), (ParkReason::BreakerOpen, Comeback::Probe));
    assert!(matches!(second.comeback, Comeback::Turn(_)), "{second:?}");
    assert_eq!(first.wait, Duration::from_millis(4500));
    assert_eq!(endpoints.sight().breakers_open, 1);

    clock.advance(5 * SECOND);
    let mut probe = endpoints.acquire(&a).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    assert_eq!(endpoints.left_alone(&a).expect("one at a time").wait, Duration::ZERO);
    probe.ended(&ok(), Duration::from_millis(5), 0.5);

    assert_eq!(endpoints.left_alone(&a), None);
    assert_eq!(endpoints.sight().breakers_open, 0);
}

/// How long until the turn of one that found no slot.
fn turn_of(no_slot: NoSlot) -> Duration {
    match no_slot {
        NoSlot::Behind(turn) | NoSlot::Silent(LeftAlone { comeback: Comeback::Turn(turn), .. }) => turn,
        NoSlot::Silent(left_alone) => panic!("another one is to see: {left_alone:?}"),
    }
}

/// Has `webhook` fail until it is left alone.
async fn shut(endpoints: &Endpoints, webhook: &Webhook) {
    for _ in 0..10 {
        attempt(endpoints, webhook, &timeout(), 10 * SECOND).await;
    }
    assert_eq!(endpoints.left_alone(webhook).expect("open").comeback, Comeback::Probe);
}

/// When the one that is put off now comes back, behind the others.
fn turn(endpoints: &Endpoints, webhook: &Webhook) -> Duration {
    match endpoints.left_alone(webhook).expect("open").comeback {
        Comeback::Turn(turn) => turn,
        Comeback::Probe => panic!("another one is to see"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_off_comes_back_no_faster_however_many_webhooks_are_left_alone() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let webhooks: Vec<Webhook> = (0..50).map(|number| webhook(&format!("wh{number}"))).collect();
    for webhook in &webhooks {
        shut(&endpoints, webhook).await;
    }
    let mut turns = Vec::new();
    for _ in 0..20 {
        turns.extend(webhooks.iter().map(|webhook| turn(&endpoints, webhook)));
    }
    let within = |seconds: u32| turns.iter().filter(|turn| **turn < seconds * SECOND).count();
    assert_eq!([2, 4, 20].map(within), [100, 200, 1000], "fifty a second");
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_a_turn_behind_what_was_put_off_once_another_one_is_to_see() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let a = webhook("a");
    assert_eq!(endpoints.retry_turn(&a), None, "it is well");
    for _ in 0..10 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    assert_eq!(endpoints.retry_turn(&a), None, "it may be the one that sees");
    assert_eq!(endpoints.left_alone(&a).expect("open").comeback, Comeback::Probe);
    assert_eq!(endpoints.retry_turn(&a), Some(Duration::from_millis(4500)), "while it is left alone");
    (0..400).for_each(|_| {
        turn(&endpoints, &a);
    });
    assert_eq!(endpoints.retry_turn(&a), Some(401 * SECOND / 50));
}

#[tokio::test(start_paused = true)]
async fn who_is_left_alone_no_more_or_is_changed_or_deleted_makes_room_for_the_others() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(webhook);
    for webhook in [&a, &b, &c, &d] {
        shut(&endpoints, webhook).await;
        turn(&endpoints, webhook);
    }
    let apart = |webhook: &Webhook| {
        let before = turn(&endpoints, webhook);
        turn(&endpoints, webhook).saturating_sub(before)
    };
    assert_eq!(apart(&a), Duration::from_millis(80), "there are four");

    clock.advance(5 * SECOND);
    attempt(&endpoints, &b, &ok(), SECOND / 100).await;
    let changed = Webhook { updated_at: Timestamp::from_millis(1), ..c.clone() };
    assert_eq!(endpoints.left_alone(&changed), None);
    attempt(&endpoints, &d, &timeout(), 10 * SECOND).await;
    assert_eq!(endpoints.left_alone(&d).expect("open again").comeback, Comeback::Probe);
    assert_eq!(apart(&d), Duration::from_millis(40), "there are two");

    endpoints.follow(&Arc::new(Snapshot::default()));
    shut(&endpoints, &a).await;
    assert_eq!(apart(&a), Duration::from_millis(20), "there is one");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_for_which_nothing_waits_any_more_takes_no_turns_from_the_others() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let [a, idle, probed] = ["a", "idle", "probed"].map(webhook);
    let for_an_hour = verdict(Outcome::RateLimited, Some(429), Some(3600 * SECOND));
    for webhook in [&a, &idle, &probed] {
        attempt(&endpoints, webhook, &for_an_hour, SECOND).await;
        assert_eq!(endpoints.left_alone(webhook).expect("open").comeback, Comeback::Probe);
    }
    let apart = || {
        let before = turn(&endpoints, &a);
        turn(&endpoints, &a).saturating_sub(before)
    };
    assert_eq!(apart(), Duration::from_millis(20), "of the others none waits for a turn");
    turn(&endpoints, &idle);
    clock.advance(59 * SECOND);
    assert_eq!(apart(), Duration::from_millis(40), "what waits there may come late");
    clock.advance(2 * SECOND);
    assert_eq!(apart(), Duration::from_millis(40), "it is not asked each time");
    clock.advance(8 * SECOND);
    assert_eq!(apart(), Duration::from_millis(20));
    turn(&endpoints, &idle);
    assert_eq!(apart(), Duration::from_millis(40), "one more waits there");
}

#[tokio::test(start_paused = true)]
async fn who_fails_again_after_it_was_well_does_not_wait_behind_what_was_put_off_before() {
    let World { endpoints, clock } = world(policy());
    clock.advance(SECOND);
    let a = webhook("a");
    shut(&endpoints, &a).await;
    for _ in 0..10_000 {
        turn(&endpoints, &a);
    }
    assert_eq!(turn(&endpoints, &a), Duration::from_secs(200));
    clock.advance(5 * SECOND);
    attempt(&endpoints, &a, &ok(), SECOND / 100).await;
    shut(&endpoints, &a).await;
    assert_eq!(turn(&endpoints, &a), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_lets_the_next_one_see() {
    let World { endpoints, clock } = world(policy());
    let a = webhook("a");
    for _ in 0..10 {
        attempt(&endpoints, &a, &timeout(), 10 * SECOND).await;
    }
    clock.advance(5 * SECOND);
    let mut probe = endpoints.acquire(&a).await.expect("a slot");
    probe.ask_leave().expect("its time has come");
    drop(probe);
    assert_eq!(endpoints.left_alone(&a), None);
    assert_eq!(endpoints.each()[0].breaker, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn retry_after_with_429_or_503_speaks_for_the_whole_webhook_and_with_another_status_does_not() {
    for (status, outcome, holds) in
        [(429, Outcome::RateLimited, true), (503, Outcome::ServerError, true), (500, Outcome::ServerError, false)]
    {
        let World { endpoints, clock } = world(policy());
        let a = webhook("a");
        attempt(&endpoints, &a, &verdict(outcome, Some(status), Some(60 * SECOND)), SECOND).await;
        let expected = LeftAlone { reason: ParkReason::RetryAfter, wait: 60 * SECOND, comeback: Comeback::Probe };
        assert_eq!(endpoints.left_alone(&a), holds.then_some(expected), "{status}");
        clock.advance(61 * SECOND);
        assert_eq!(endpoints.left_alone(&a), None);
    }
    let endpoints = world(policy()).endpoints;
    let far = verdict(Outcome::RateLimited, Some(429), Some(Duration::from_secs(1_000_000)));
    attempt(&endpoints, &webhook("a"), &far, SECOND).await;
    assert_eq!(endpoints.left_alone(&webhook("a")).expect("held").wait, Duration::from_secs(3600), "up to the limit");
}

#[tokio::test(start_paused = true)]
async fn refusals_and_our_own_failures_open_no_breaker() {
    let endpoints = world(policy()).endpoints;
    let a = webhook("a");
    let refused = verdict(Outcome::Refused, Some(404), None);
    let ours = verdict(Outcome::OurFault, None, None);
    let forbidden = verdict(Outcome::Forbidden, None, None);
    for verdict in [refused, ours, forbidden] {
        for _ in 0..100 {
            attempt(&endpoints, &a, &verdict, SECOND / 100).await;
        }
        assert_eq!(endpoints.left_alone(&a), None, "{verdict:?}");
    }
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
