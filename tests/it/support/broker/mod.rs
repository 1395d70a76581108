//! Throw-away RabbitMQ nodes, never the system's: one ([`Broker`]), or three as a cluster ([`Cluster`]).
//!
//! ```text
//! let node = Broker::start().await;             let cluster = Cluster::start().await;
//! node.url()                                    cluster.url()                       all nodes, for failover
//! node.kill() stop() freeze() thaw() restart()  cluster.nodes()[1].kill() ...       each is a Broker
//! node.control(&["list_queues"])                cluster.leader("hikyaku.work")      the place of the leader's node
//!                                               cluster.whole()                     all back, each queue on all of them
//! ```
//!
//! Nodes live in a folder of their own below the system's temporary one, with their own cookie, port mapper and ports. A
//! guardian process clears all of it away when the value is dropped, and when the test process ends in any other way.
//! Kill one node of a cluster, and wait for `whole()` after its restart, before you kill another: else queues may have
//! lost their majority. Nodes that are all down are started at once (`join_all` of `restart`): each waits for the others.
//!
//! `HIKYAKU_TEST_AMQP_URL` names a broker that is there instead, for tests that do nothing to the broker itself
//! ([`shared_url`]); `HIKYAKU_TEST_RABBITMQ_ROOT` another system's RabbitMQ to start (see `home`).

mod authority;
mod home;
mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use authority::{Authority, Issued};
use home::Home;
pub(crate) use node::Broker;

/// What every node has: little need of disk, and 3.10's limit of a message's size, where 4.x would have 16 MiB.
const SETTINGS: &str = "disk_free_limit.absolute = 50MB\nmax_message_size = 134217728\n";
/// How long a cluster may take to agree on something, on a machine with other work.
const AGREE_WAIT_MAX: Duration = Duration::from_secs(120);

static SHARED: OnceCell<Broker> = OnceCell::const_new();
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// The URL of a broker that tests share: the one that `HIKYAKU_TEST_AMQP_URL` names, else one of our own.
pub(crate) async fn shared_url() -> String {
    match std::env::var("HIKYAKU_TEST_AMQP_URL") {
        Ok(url) => url,
        Err(_) => SHARED.get_or_init(Broker::start).await.url(),
    }
}

/// A prefix that no other test has.
pub(crate) fn own_prefix() -> String {
    format!("t{}-{}.", std::process::id(), PREFIXES.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// Starts a node and waits until it can be used.
    pub(crate) async fn start() -> Self {
        Self::start_with(SETTINGS, Vec::new()).await
    }

    /// Starts a node with `settings`, which are lines of rabbitmq.conf, and `variables`.
    pub(crate) async fn start_with(settings: &str, variables: Vec<(String, String)>) -> Self {
        Self::launch(Arc::new(Home::new(variables)), 0, settings).await
    }

    /// Starts a node that speaks TLS too (see [`Broker::tls_url`]), with a certificate for localhost of `authority`, and
    /// wants one of the client.
    pub(crate) async fn start_with_tls(authority: &Authority) -> Self {
        let home = Home::new(Vec::new());
        let issued = authority.issue("localhost");
        let mut settings = format!("{SETTINGS}listeners.ssl.1 = 127.0.0.1:{}\n", home.tls_port());
        let files =
            [("cacertfile", &authority.certificate), ("certfile", &issued.certificate), ("keyfile", &issued.key)];
        for (setting, file) in files {
            std::fs::copy(file, home.path(setting)).expect("copied");
            settings += &format!("ssl_options.{setting} = {}\n", home.path_inside(setting).display());
        }
        settings += "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n";
        let node = Self::launch(Arc::new(home), 0, &settings).await;
        node.listens_for_tls().await;
        node
    }
}

/// Three nodes of our own that are one broker.
pub(crate) struct Cluster {
    nodes: Vec<Broker>,
}

impl Cluster {
    /// Starts them and waits until they are one.
    pub(crate) async fn start() -> Self {
        let home = Arc::new(Home::new(Vec::new()));
        let first = Broker::launch(Arc::clone(&home), 0, SETTINGS).await;
        let others = join_all([1, 2].map(|place| {
            let seeds = [0, place].map(|place| node::name(&home, place));
            let settings = format!(
                "{SETTINGS}\
                 cluster_formation.peer_discovery_backend = classic_config\n\
                 cluster_formation.classic_config.nodes.1 = {}\ncluster_formation.classic_config.nodes.2 = {}\n",
                seeds[0], seeds[1]
            );
            let home = Arc::clone(&home);
            async move { Broker::launch(home, place, &settings).await }
        }))
        .await;
        let cluster = Self { nodes: std::iter::once(first).chain(others).collect() };
        cluster.whole().await;
        cluster
    }

    /// Where all of them are, the first node first.
    pub(crate) fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Broker::address).collect();
        format!("amqp://guest:guest@{}", addresses.join(","))
    }

    /// Each of them.
    pub(crate) fn nodes(&self) -> &[Broker] {
        &self.nodes
    }

    /// The place in [`Cluster::nodes`] of the node that leads `queue`.
    pub(crate) async fn leader(&self, queue: &str) -> usize {
        let until = Instant::now() + AGREE_WAIT_MAX;
        loop {
            let args = ["-q", "list_queues", "name", "leader", "--no-table-headers"];
            let said = self.ask_any("rabbitmqctl", &args).await;
            let leader = said.lines().find_map(|line| line.split_once('\t').filter(|(name, _)| *name == queue));
            let place = leader.and_then(|(_, leader)| self.nodes.iter().position(|node| node.name() == leader.trim()));
            if let Some(place) = place {
                return place;
            }
            assert!(Instant::now() < until, "`{queue}` had no leader within {AGREE_WAIT_MAX:?}: {said}");
        }
    }

    /// Waits until all nodes are there, and every queue can bear the loss of any one of them.
    pub(crate) async fn whole(&self) {
        let until = Instant::now() + AGREE_WAIT_MAX;
        let limit_s = AGREE_WAIT_MAX.as_secs().to_string();
        self.nodes[0].control(&["await_online_nodes", "3", "--timeout", &limit_s]).await;
        for node in &self.nodes {
            let args = ["-q", "check_if_node_is_quorum_critical"];
            while let Err(words) = node.ask("rabbitmq-diagnostics", &args).await {
                assert!(Instant::now() < until, "the cluster was not whole within {AGREE_WAIT_MAX:?}: {words}");
            }
        }
    }

    /// What the first node that answers says.
    async fn ask_any(&self, program: &str, args: &[&str]) -> String {
        let mut refusals = Vec::new();
        for node in &self.nodes {
            match node.ask(program, args).await {
                Ok(said) => return said,
                Err(words) => refusals.push(words),
            }
        }
        panic!("no node answers: {refusals:?}")
    }
}
