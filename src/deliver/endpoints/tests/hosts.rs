//! What of a host holds for its webhooks, and what is remembered of webhooks and hosts.

use super::left_alone::shut;
use super::*;

const REFUSED: Outcome = Outcome::Connection;

/// Has twelve webhooks of `url` come to `outcome`, without any answer.
async fn twelve(endpoints: &Endpoints, url: &str, outcome: Outcome) {
    for number in 0..12 {
        let webhook = webhook_at(&format!("wh{number}"), url);
        attempt(endpoints, &webhook, &verdict(outcome, None, None), SECOND / 100).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_left_alone_meanwhile_gets_no_request_of_one_that_had_a_slot_already() {
    let endpoints = world(policy()).endpoints;
    let early = webhook_at("wh0", "http://down.example/");
    attempt(&endpoints, &early, &verdict(REFUSED, None, None), SECOND / 100).await;
    let mut turn = endpoints.acquire(&early).await.expect("a slot");
    twelve(&endpoints, "http://down.example/", REFUSED).await;
    assert_eq!(turn.ask_leave().expect_err("the host is left alone").reason, ParkReason::HostDown);
    drop(turn);
    let before = endpoints.each().iter().map(|sight| sight.parked).sum::<u64>();
    assert_eq!(endpoints.left_alone(&early).expect("still").reason, ParkReason::HostDown);
    let parked = endpoints.each().iter().map(|sight| sight.parked).sum::<u64>();
    assert_eq!((before, parked), (1, 2), "each is counted");
}

#[tokio::test(start_paused = true)]
async fn what_we_do_not_send_says_nothing_of_a_host() {
    for outcome in [Outcome::OurFault, Outcome::Forbidden, Outcome::Invalid] {
        let endpoints = world(policy()).endpoints;
        twelve(&endpoints, "http://chat.example/", outcome).await;
        assert_eq!(endpoints.hosts_left_alone().len(), 0, "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn ports_of_one_name_are_hosts_of_their_own() {
    let endpoints = world(policy()).endpoints;
    twelve(&endpoints, "http://chat.example:8001/", REFUSED).await;
    let other = webhook_at("other", "http://chat.example:8002/");
    attempt(&endpoints, &other, &verdict(REFUSED, None, None), SECOND / 100).await;
    assert_eq!(endpoints.left_alone(&other), None);
    assert_eq!(endpoints.hosts_left_alone()[0].host, "http://chat.example:8001");
}

#[tokio::test(start_paused = true)]
async fn after_a_host_has_answered_several_must_fail_again_before_it_is_left_alone() {
    let endpoints = world(EndpointPolicy { breaker_failures: 4, ..policy() }).endpoints;
    twelve_then_well(&endpoints).await;
    let one = webhook_at("wh0", "http://down.example/");
    for _ in 0..3 {
        attempt(&endpoints, &one, &verdict(REFUSED, None, None), SECOND / 100).await;
    }
    let two = webhook_at("wh1", "http://down.example/");
    for _ in 0..3 {
        attempt(&endpoints, &two, &verdict(REFUSED, None, None), SECOND / 100).await;
    }
    assert_eq!(endpoints.hosts_left_alone().len(), 0, "two webhooks do not speak for it");
}

/// A host that was left alone, and then answered one of its webhooks.
async fn twelve_then_well(endpoints: &Endpoints) {
    for number in 0..6 {
        let webhook = webhook_at(&format!("wh{number}"), "http://down.example/");
        attempt(endpoints, &webhook, &verdict(REFUSED, None, None), SECOND / 100).await;
    }
    assert_eq!(endpoints.hosts_left_alone().len(), 1);
    attempt(endpoints, &webhook_at("well", "http://down.example/"), &ok(), SECOND / 100).await;
    assert_eq!(endpoints.hosts_left_alone().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_no_time_is_a_failure_like_others() {
    let endpoints = world(policy()).endpoints;
    let a = webhook("a");
    let at_once = verdict(Outcome::RateLimited, Some(429), Some(Duration::ZERO));
    attempt(&endpoints, &a, &at_once, SECOND / 100).await;
    assert_eq!(endpoints.left_alone(&a), None);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_another_address_begins_afresh_though_nobody_says_that_it_was_changed() {
    let endpoints = world(policy()).endpoints;
    shut(&endpoints, &webhook("a")).await;
    assert_eq!(endpoints.left_alone(&webhook_at("a", "http://elsewhere.example/")), None);
}

#[tokio::test(start_paused = true)]
async fn of_very_many_webhooks_and_hosts_those_that_fail_or_are_in_use_are_remembered_and_no_more_than_the_limit() {
    let endpoints = world(EndpointPolicy { breaker_failures: 4, per_host: 1, ..policy() }).endpoints;
    let failing = webhook("failing");
    for _ in 0..4 {
        attempt(&endpoints, &failing, &timeout(), 10 * SECOND).await;
    }
    for number in 0..6 {
        let down = webhook_at(&format!("down{number}"), "http://down.example/");
        attempt(&endpoints, &down, &verdict(REFUSED, None, None), SECOND / 100).await;
    }
    let used = webhook("used");
    let _turn = endpoints.acquire(&used).await.expect("a slot");
    for number in 0..2 * IDLE_REMEMBERED_MAX {
        assert_eq!(endpoints.left_alone(&webhook(&format!("idle{number}"))), None);
    }
    let known = endpoints.each();
    assert!(known.len() <= IDLE_REMEMBERED_MAX, "{}", known.len());
    assert!(endpoints.known().hosts.len() <= IDLE_REMEMBERED_MAX);
    assert_eq!(known.iter().filter(|sight| sight.in_flight > 0).count(), 1);
    assert!(endpoints.left_alone(&failing).is_some());
    let another = webhook_at("another", "http://used.example/");
    assert!(endpoints.acquire(&another).await.is_err(), "the one connection to that host is in use");
    endpoints.follow(&Arc::new(Snapshot::default()));
    for number in 0..2 * IDLE_REMEMBERED_MAX {
        assert_eq!(endpoints.left_alone(&webhook(&format!("later{number}"))), None);
    }
    assert_eq!(endpoints.hosts_left_alone().len(), 1, "though none of its webhooks is there any more");
}
