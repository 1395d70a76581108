//! Several nodes: on to the next when the one we are on is gone, and a cluster that has lost its majority.

use std::collections::HashSet;
use std::time::Duration;

use hikyaku::queue::{Lane, Queue};

use super::{PREFETCH, fresh, next, open, until};
use crate::support::broker::Cluster;

/// How long a publish may wait for an answer where nobody can promise to keep it.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn when_its_node_is_killed_a_worker_goes_on_with_another_and_nothing_is_lost() {
    let cluster = Cluster::start().await;
    let queue = open(&cluster.url(), "hikyaku.").await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    queue.publish(vec![fresh("before")]).await.expect("published");
    let held = next(&mut work, "the event").await;
    cluster.nodes()[0].kill().await;
    until("the loss is noticed", async || !queue.health().is_empty()).await;
    drop(held);
    until("it is on another node", async || queue.health().is_empty()).await;
    until("the queues have leaders", async || queue.publish(vec![fresh("after")]).await.is_ok()).await;
    let mut seen = Vec::new();
    while !(seen.contains(&"before".to_owned()) && seen.contains(&"after".to_owned())) {
        let mut lease = next(&mut work, "both events").await;
        lease.settle(&[]).await.expect("settled");
        seen.push(lease.message.event.id.as_str().to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_that_leads_its_queues_is_killed_a_worker_on_another_goes_on() {
    let cluster = Cluster::start().await;
    // Queues are led from where they are declared.
    let elsewhere = open(&cluster.nodes()[2].url(), "hikyaku.").await;
    elsewhere.close().await;
    let leader = cluster.leader("hikyaku.work").await;
    let ours = &cluster.nodes()[(leader + 1) % 3];
    let queue = open(&ours.url(), "hikyaku.").await;
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    // One who publishes for the first time when the leader has just died: RabbitMQ still takes the dead node for the leader.
    let late = open(&ours.url(), "hikyaku.").await;
    let publish = async |queue: &Queue, id: &str| {
        until("the event is published", async || queue.publish(vec![fresh(id)]).await.is_ok()).await;
    };
    let ids: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
    for id in &ids[..10] {
        publish(&queue, id).await;
    }
    cluster.nodes()[leader].kill().await;
    tokio::join!(publish(&late, "late"), async {
        for id in &ids[10..] {
            publish(&queue, id).await;
        }
    });
    let mut missing: HashSet<&str> = ids.iter().map(String::as_str).chain(["late"]).collect();
    while !missing.is_empty() {
        let mut lease = next(&mut work, "each event").await;
        lease.settle(&[]).await.expect("settled");
        missing.remove(lease.message.event.id.as_str());
    }
    cluster.nodes()[leader].restart().await;
    cluster.whole().await;
    assert!(queue.health().is_empty(), "{:?}", queue.health());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_publish_is_refused_in_bounded_time_and_with_it_everything_comes() {
    let cluster = Cluster::start().await;
    let nodes = cluster.nodes();
    let queue = open(&cluster.url(), "hikyaku.").await;
    queue.publish(vec![fresh("before")]).await.expect("published");
    let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
    let mut held = next(&mut work, "the event").await;
    // The two that we are not on: the connection stays, and the queues stop.
    for node in &nodes[1..] {
        node.kill().await;
    }
    let refused = tokio::time::timeout(REFUSED_WITHIN, queue.publish(vec![fresh("during")])).await;
    refused.expect("refused in bounded time").expect_err("nobody can promise to keep it");
    for node in &nodes[1..] {
        node.restart().await;
    }
    cluster.whole().await;
    until("messages are taken again", async || queue.publish(vec![fresh("after")]).await.is_ok()).await;
    held.settle(&[]).await.expect("settled");
    until("the event behind it comes", async || {
        let mut lease = next(&mut work, "an event").await;
        lease.settle(&[]).await.expect("settled");
        let id = lease.message.event.id.as_str().to_owned();
        assert_ne!(id, "before", "what is held comes to nobody again");
        id == "after"
    })
    .await;
    until("nothing is left", async || queue.depths().await.is_ok_and(|depths| depths.work == 0)).await;
}
