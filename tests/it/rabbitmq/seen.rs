//! What operators of RabbitMQ see of us.

use hikyaku::queue::Access;

use super::{open, try_open};
use crate::support::broker::Broker;

#[tokio::test(flavor = "multi_thread")]
async fn connections_say_what_they_are_for_and_where_they_come_from() {
    let node = Broker::start().await;
    let _worker = open(&node.url(), "hikyaku.").await;
    let _producer = try_open(&node.url(), "hikyaku.", Access::Producer).await.expect("open");
    let columns = ["-q", "list_connections", "user", "client_properties", "--no-table-headers"];
    let seen = node.control(&columns).await;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 3, "two of a worker, one of a producer: {seen}");
    for what in ["hikyaku publish", "hikyaku consume", "hikyaku produce"] {
        let line = lines.iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {seen}"));
        let version = format!(r#"{{"version","{}"}}"#, env!("CARGO_PKG_VERSION"));
        let pid = format!("pid {})", std::process::id());
        for part in ["guest", r#"{"product","hikyaku"}"#, &version, &pid] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
