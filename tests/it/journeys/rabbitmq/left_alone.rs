//! A webhook that fails, on RabbitMQ: what waits for it lies in the buckets.

use super::{assert_nothing_is_left, home};
use crate::journeys::left_alone::Pair;
use crate::support::broker::{own_prefix, shared_url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_is_left_alone_seen_by_operators_and_gets_everything_afterwards() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let pair = Pair::start().await;
    let home = home(&url, &prefix, &pair.settings());
    let program = home.serve().await;
    pair.check(&program).await;
    program.stop().await;
    assert_nothing_is_left(&url, &prefix).await;
}
