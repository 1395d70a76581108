//! Receivers that are down in every way, and come back: only their own webhook waits, it costs few attempts, and all of it is
//! delivered in the end. Time is in the test's hands where an hour has to pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{Options, ParkReason};

use crate::support::patience::within;
use crate::support::receiver::{Answer, Receiver};
use crate::support::world::{HookSetup, Setup, Told, World, nobody, webhook};

/// What a healthy webhook may need on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(20);
/// What a busy machine may need for all that comes due in a minute.
const AT_REST: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Until a recovery is seen (5 min), and until the last parked delivery is due after that (15 min), and some.
const RECOVERY_MAX: Duration = Duration::from_secs(22 * 60);

/// A world in which nothing dies of its schedule, and a healthy webhook's events wait for their slot on a busy machine.
fn patient() -> Setup {
    Setup {
        schedule: [5, 30].into_iter().chain([120; 40]).map(Duration::from_secs).collect(),
        patience: Duration::from_secs(2),
        slots_per_webhook: 8,
        ..Setup::default()
    }
}

/// The bad one, with a deadline that many attempts can pass.
async fn bad_hook(world: &mut World, url: &str) {
    let options = Options { timeout: Some(Duration::from_millis(400)), ..Options::default() };
    world.hook_with("bad", url, HookSetup { user: Some("u2"), options, ..HookSetup::default() }).await;
}

async fn publish_to_bad(world: &mut World, count: usize) {
    for _ in 0..count {
        world.publish(r#"{"type":"note","userId":"u2","body":{}}"#).await;
    }
}

/// A healthy webhook beside the bad one gets 50 events without any time passing.
async fn healthy_is_not_delayed(world: &mut World, healthy: &Receiver) {
    let before = done(world, "healthy");
    for _ in 0..50 {
        world.note().await;
    }
    let delivered = world.steps(before + 50, |told| told.webhook == webhook("healthy") && told.step == Step::Done);
    within(PROMPTLY, "the healthy webhook has all its events", delivered).await;
    healthy.wait_for(before + 50).await;
}

fn done(world: &World, id: &str) -> usize {
    world.told().iter().filter(|told| told.webhook == webhook(id) && told.step == Step::Done).count()
}

fn parked_by(reason: ParkReason) -> impl Fn(&Told) -> bool + use<> {
    move |told| matches!(told.step, Step::Later { wait: Wait::Park(found), .. } if found == reason)
}

/// Waits until nothing is due any more, nor in hand.
async fn rest(world: &World) {
    let at_rest = async {
        while world.queue().depths().await.expect("counted").oldest.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(AT_REST, "all that is due has been taken up", at_rest).await;
}

/// Lets time pass, minute by minute, until the bad webhook has so many deliveries or `limit` has passed; tells how much has.
async fn pass_until_delivered(world: &World, count: usize, limit: Duration) -> Duration {
    let mut passed = Duration::ZERO;
    loop {
        rest(world).await;
        if done(world, "bad") >= count || passed >= limit {
            assert!(done(world, "bad") >= count, "{} of {count} after {passed:?}", done(world, "bad"));
            return passed;
        }
        world.pass(MINUTE);
        passed += MINUTE;
    }
}

async fn pass_an_hour(world: &World) {
    for _ in 0..60 {
        world.pass(MINUTE);
        rest(world).await;
    }
}

/// What a metric of the worker's says.
fn metric(world: &World, name: &str) -> usize {
    let text = world.telemetry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("hikyaku_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a whole number")
}

/// Ends the world with its account: of what was published all is delivered or waits, since no outage here is long enough that
/// anything is given up, and each park was counted by its reason.
async fn finish(world: World) {
    rest(&world).await;
    let given_up = |told: &Told| matches!(told.step, Step::Dead { .. } | Step::Drop(_) | Step::Skip(_));
    assert_eq!(world.told().into_iter().find(given_up).map(|told| told.step), None);
    for reason in ParkReason::ALL {
        let told = world.told().into_iter().filter(parked_by(*reason)).count();
        assert_eq!(metric(&world, &format!("parked_total{{reason=\"{}\"}}", reason.as_str())), told, "{reason:?}");
    }
    assert_eq!(metric(&world, "in_flight"), 0, "slots in use");
    world.finish().await;
}

async fn world_with_healthy(setup: Setup) -> (World, Arc<Receiver>) {
    let mut world = World::start(setup).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("healthy", &healthy.url()).await;
    (world, healthy)
}

#[tokio::test]
async fn a_receiver_that_hangs_for_an_hour_costs_few_attempts_and_gets_everything_when_it_is_well() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let hanging = world.answering(&[Answer::Held(200)]).await;
    bad_hook(&mut world, &hanging.url()).await;

    publish_to_bad(&mut world, 40).await;
    healthy_is_not_delayed(&mut world, &healthy).await;
    pass_an_hour(&world).await;
    assert!(world.told().iter().any(parked_by(ParkReason::BreakerOpen)));
    // Ten open it, what was under way with the tenth ends too, and 12 probes an hour follow the first seven.
    let attempts = hanging.count();
    assert!((10..=45).contains(&attempts), "{attempts} attempts in an hour for 40 deliveries");
    healthy_is_not_delayed(&mut world, &healthy).await;

    hanging.release();
    pass_until_delivered(&world, 40, RECOVERY_MAX).await;
    finish(world).await;
}

#[tokio::test]
async fn receivers_that_are_slow_leave_room_for_the_healthy() {
    let setup = Setup {
        held: false,
        concurrency: 16,
        slots_per_webhook: 16,
        timeout: MINUTE,
        patience: Duration::from_millis(100),
        ..Setup::default()
    };
    let (mut world, healthy) = world_with_healthy(setup).await;
    let slow = world.answering(&[Answer::Held(200)]).await;
    healthy_is_not_delayed(&mut world, &healthy).await;
    for number in 0..3 {
        let user = format!("slow{number}");
        world.hook_with(&user, &slow.url(), HookSetup { user: Some(&user), ..HookSetup::default() }).await;
        for _ in 0..20 {
            world.publish(&format!(r#"{{"type":"note","userId":"{user}","body":{{}}}}"#)).await;
        }
    }
    // A dozen of them has come back, when those under way have shown that they are slow.
    world.steps(48 + 12, parked_by(ParkReason::NoSlot)).await;

    healthy_is_not_delayed(&mut world, &healthy).await;

    assert!(slow.count() <= 12, "half of the worker, and one for each: {}", slow.count());
    slow.wait_for(metric(&world, "in_flight")).await;
    assert_eq!(metric(&world, "in_flight"), slow.count(), "slots in use, all of them of the slow by now");
    slow.release();
    world.steps(60 + 100, |told| told.step == Step::Done).await;
    finish(world).await;
}

#[tokio::test]
async fn a_receiver_that_refuses_connections_gets_everything_when_it_listens_again() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let (address, bound) = nobody();
    bad_hook(&mut world, &format!("http://{address}/")).await;
    publish_to_bad(&mut world, 40).await;
    healthy_is_not_delayed(&mut world, &healthy).await;
    pass_an_hour(&world).await;
    let retries = |told: &Told| matches!(told.step, Step::Later { wait: Wait::Retry, .. });
    let attempts = world.told().iter().filter(|told| retries(told)).count();
    assert!((10..=45).contains(&attempts), "{attempts} attempts in an hour for 40 deliveries");
    healthy_is_not_delayed(&mut world, &healthy).await;

    drop(bound);
    world.receiver_at(address, |_, _| Answer::Status(200)).await;

    pass_until_delivered(&world, 40, RECOVERY_MAX).await;
    finish(world).await;
}

#[tokio::test]
async fn a_receiver_that_fails_and_recovers_again_and_again_gets_everything() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let flapping = world.receiver(|before, _| Answer::Status(if before / 15 % 2 == 0 { 503 } else { 200 })).await;
    bad_hook(&mut world, &flapping.url()).await;

    publish_to_bad(&mut world, 60).await;
    healthy_is_not_delayed(&mut world, &healthy).await;

    pass_until_delivered(&world, 60, 3 * HOUR).await;
    assert!(world.told().iter().any(parked_by(ParkReason::BreakerOpen)));
    finish(world).await;
}

#[tokio::test]
async fn retry_after_with_429_holds_for_the_whole_webhook_and_for_no_other() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let limiting = world.answering(&[Answer::With(429, "retry-after", "600".to_owned()), Answer::Status(200)]).await;
    bad_hook(&mut world, &limiting.url()).await;
    publish_to_bad(&mut world, 1).await;
    limiting.wait_for(1).await;
    rest(&world).await;

    publish_to_bad(&mut world, 20).await;
    world.steps(20, parked_by(ParkReason::RetryAfter)).await;
    healthy_is_not_delayed(&mut world, &healthy).await;
    for _ in 0..9 {
        world.pass(MINUTE);
        rest(&world).await;
    }
    assert_eq!(limiting.count(), 1, "it asked for ten minutes");

    pass_until_delivered(&world, 21, RECOVERY_MAX).await;
    let got = limiting.wait_for(22).await;
    assert!(got[1].at.since(got[0].at) >= Duration::from_secs(600));
    finish(world).await;
}

#[tokio::test]
async fn after_an_hour_of_outage_a_backlog_comes_within_minutes_with_few_parks_and_without_delaying_others() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let answer = move |_: usize, _: &_| Answer::Status(if seen.load(Ordering::Relaxed) { 200 } else { 500 });
    let failing = world.receiver(answer).await;
    bad_hook(&mut world, &failing.url()).await;
    publish_to_bad(&mut world, 300).await;
    rest(&world).await;
    pass_an_hour(&world).await;
    let mut parks = BTreeMap::<_, usize>::new();
    for told in world.told().iter().filter(|told| matches!(told.step, Step::Later { wait: Wait::Park(_), .. })) {
        *parks.entry(told.event.clone()).or_default() += 1;
    }
    let (most, mean) = (parks.values().max().copied(), parks.values().sum::<usize>() as f64 / 300.0);
    // An attempt of its own begins its waits anew: the few that were probes are parked more often than the rest.
    assert!(most <= Some(25) && mean <= 15.0, "in an hour a delivery is parked {mean} times, at most {most:?}");
    let attempts = failing.count();
    assert!(attempts <= 45, "{attempts} attempts in an hour for 300 deliveries");

    is_well.store(true, Ordering::Relaxed);
    world.pass(5 * MINUTE);
    healthy_is_not_delayed(&mut world, &healthy).await;
    pass_until_delivered(&world, 300, RECOVERY_MAX).await;

    healthy_is_not_delayed(&mut world, &healthy).await;
    finish(world).await;
}

#[tokio::test]
async fn a_host_that_answers_none_of_its_webhooks_is_left_alone_and_one_bad_webhook_does_not_make_it_so() {
    let (mut world, healthy) = world_with_healthy(patient()).await;
    let shared = world
        .receiver(|_, got| if got.line.contains("/good") { Answer::Status(200) } else { Answer::HalfHeaders })
        .await;
    bad_hook(&mut world, &format!("{}/bad", shared.url())).await;
    world
        .hook_with("good", &format!("{}/good", shared.url()), HookSetup { user: Some("u3"), ..HookSetup::default() })
        .await;
    publish_to_bad(&mut world, 40).await;
    rest(&world).await;
    pass_an_hour(&world).await;

    for _ in 0..20 {
        world.publish(r#"{"type":"note","userId":"u3","body":{}}"#).await;
    }
    world.steps(20, |told| told.webhook == webhook("good") && told.step == Step::Done).await;
    assert!(!world.told().iter().any(parked_by(ParkReason::HostDown)));

    let (address, _bound) = nobody();
    for number in 0..20 {
        let (id, user) = (format!("down{number}"), format!("down{number}"));
        world
            .hook_with(&id, &format!("http://{address}/{id}"), HookSetup { user: Some(&user), ..HookSetup::default() })
            .await;
        world.publish(&format!(r#"{{"type":"note","userId":"{user}","body":{{}}}}"#)).await;
    }
    rest(&world).await;
    world.pass(Duration::from_secs(6));
    world.steps(1, parked_by(ParkReason::HostDown)).await;
    healthy_is_not_delayed(&mut world, &healthy).await;
    finish(world).await;
}
