//! A rate limit on RabbitMQ: what waits for its turn lies in the buckets.

use super::{assert_nothing_is_left, home};
use crate::journeys::limited::Pair;
use crate::support::broker::{own_prefix, shared_url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_webhook_gets_all_of_a_wave_no_faster_than_its_limit_and_another_gets_it_at_once() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let home = home(&url, &prefix, "");
    let pair = Pair::start(&home).await;
    let program = home.serve().await;
    pair.check(&program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
}
