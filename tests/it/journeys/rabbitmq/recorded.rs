//! The history, on RabbitMQ: it is the same.

use std::time::Duration;

use super::{assert_nothing_is_left, home};
use crate::journeys::recorded::{Three, check_killed, flaky_settings};
use crate::support::broker::{own_prefix, shared_url};
use crate::support::journey_receiver::{Behaviour, Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_has_every_attempt_that_came_with_its_number_and_shows_it_by_filter_and_page() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let three = Three::start().await;
    let home = home(&url, &prefix, &three.settings());
    let program = home.serve().await;
    three.check(&home, &program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_its_work_it_has_no_attempt_twice_and_only_the_last_moment_is_missing() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let flaky = Receiver::start(Behaviour::FailFirst(503, Duration::from_millis(20))).await;
    let home = home(&url, &prefix, &flaky_settings(&flaky));
    check_killed(&home, &flaky).await;
    assert_nothing_is_left(&url, &prefix).await;
}
