//! The sidecar put together: ingest, worker, drainer, health and metrics in one process.
//!
//! Started in the order in which a failure costs least: settings that cannot work (a port in use, a file that is locked) are
//! found before the first message is taken. Stopped so that nothing is refused that could be stored: no more messages are
//! taken, what is in flight is finished, dead letters are handed over, and only then no more events are let in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delivering::{Delivering, Heart};
use super::management;
use super::operating::{self, Known, Watched};
use super::reconcile::reconciler;
use super::standing;
use super::store::{open_history, store_of};
use crate::api::{self, Limited, Limits, Readiness};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{QueueUrl, Settings};
use crate::decide::{self, Credential};
use crate::deliver::{Live, Observer, Parts, Policy};
use crate::ingest::{self, HttpPolicy, Ingest, MisskeyPolicy, Reconciling};
use crate::model::Source;
use crate::outbound::{Client, ClientError};
use crate::queue::{Access, BrokerOptions, BrokerUrl, FileOptions, Prefetch, Queue, QueueError, UNACKNOWLEDGED_MAX};
use crate::record::{
    BodiesPolicy, DeadLetters, Forgotten, History, HistoryPolicy, Latest, Receipts, Retention, Workers,
};
use crate::registry::Registry;
use crate::store::Store;
use crate::telemetry::SharedTelemetry;

/// How long HTTP requests to us may take at the end. With the worker's grace (15 s) and the drainer's end (5 s) this stays
/// below the 30 s that Kubernetes waits by default.
const REQUESTS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What this process does of the work that several can share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    /// Takes events in, and manages webhooks.
    pub(super) ingest: bool,
    /// Delivers.
    pub(super) worker: bool,
}

impl Roles {
    /// What one process alone does.
    pub(super) const ALL: Self = Self { ingest: true, worker: true };
}

/// Bytes of events' bodies that the history takes in a second.
const BODY_BYTES_PER_SECOND: usize = 2 * 1024 * 1024;

/// A running sidecar.
pub(super) struct Service {
    pub(super) ingest: Ingest,
    pub(super) queue: Queue,
    pub(super) registry: Arc<Registry>,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) telemetry: SharedTelemetry,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Where it is measured: the same, unless the settings say otherwise.
    pub(super) metrics_address: SocketAddr,
    readiness: Arc<Readiness>,
    live: Arc<Live>,
    delivering: Option<Delivering>,
    reconciling: Option<Reconciling>,
    /// Who is forgotten, for as long as this is there.
    _forgotten: Arc<Forgotten>,
    servers: JoinSet<()>,
    stop_servers: watch::Sender<bool>,
}

impl Service {
    /// Starts everything; `observer` is told what becomes of each delivery.
    pub(super) async fn start(settings: Settings, observer: Option<Arc<dyn Observer>>) -> anyhow::Result<Self> {
        Self::start_as(Roles::ALL, settings, observer).await
    }

    /// Starts what `roles` has.
    pub(super) async fn start_as(
        roles: Roles,
        settings: Settings,
        observer: Option<Arc<dyn Observer>>,
    ) -> anyhow::Result<Self> {
        let clock = SystemClock::shared();
        let telemetry = standing::telemetry_of(&settings, roles)?;
        let listeners = Listeners::bind(&settings).await?;
        let store = store_of(&settings, &telemetry);
        let registry =
            Registry::open(&store, settings.store.seals.clone(), settings.webhooks.clone(), Arc::clone(&clock))
                .await?
                .watch();
        let retention = Retention { age: settings.dead_letters.retention, count_max: settings.dead_letters.count_max };
        let letters = Arc::new(DeadLetters::in_store(&store, retention, Arc::clone(&clock)).await?);
        let latest = Arc::new(Latest::in_store(&store).await?);
        let workers = Arc::new(Workers::in_store(&store).await?);
        let live = Arc::new(Live::new(Arc::clone(&clock)));
        let access = if roles.worker { Access::Worker } else { Access::Ingest };
        let queue = open_queue(&settings, &settings.queue.url, access, &clock, &telemetry).await?;
        let registry = Arc::new(registry);
        let forgotten = Arc::new(Forgotten::following(Arc::clone(&letters), registry.heard()).await);
        let delivering = if roles.worker {
            let parts = Parts {
                queue: queue.clone(),
                registry: Arc::clone(&registry),
                latest: Arc::clone(&latest),
                history: history(&settings, &store, &clock, &telemetry).await?,
                forgotten: Arc::clone(&forgotten),
                client: client(&settings)?,
                clock: Arc::clone(&clock),
                telemetry: telemetry.clone(),
                observer,
                live: Some(Arc::clone(&live)),
            };
            let heart = Heart { workers: Arc::clone(&workers), name: worker_name() };
            Some(Delivering::start(parts, worker_policy(&settings), &letters, heart).await?)
        } else {
            None
        };
        let (endpoints, drainer) = Delivering::seen(delivering.as_ref(), &clock, &telemetry);
        let readiness = Arc::new(Readiness::new(queue.clone(), Arc::clone(&registry), Arc::clone(&latest), drainer));
        let ingest = remembering_ingest_of(&settings, &store, &queue, &clock, &telemetry).await?;
        let (address, metrics_address) = listeners.addresses()?;
        let known = Known { queue: &queue, registry: &registry, latest: &latest, letters: &letters };
        let watched = Watched { endpoints, workers, readiness: Arc::clone(&readiness), live: Arc::clone(&live) };
        let mut events = operating::router(&settings, &store, &known, watched, &clock, &telemetry);
        if roles.ingest {
            let management = management::router(&settings, &registry, &latest, &forgotten, &clock, &telemetry)?;
            events = events.merge(ways_in(&settings, &ingest)).merge(management);
        }
        let (servers, stop_servers) = listeners.serve(events, api::router(Arc::clone(&readiness), telemetry.clone()));
        let reconciling = if roles.ingest { reconciling(&settings, &ingest, &clock, &telemetry)? } else { None };
        Ok(Self {
            ingest,
            queue,
            registry,
            letters,
            telemetry,
            address,
            metrics_address,
            readiness,
            live,
            delivering,
            reconciling,
            _forgotten: forgotten,
            servers,
            stop_servers,
        })
    }

    /// Ends when the worker does without having been told to.
    pub(super) async fn failed(&mut self) {
        match &mut self.delivering {
            Some(delivering) => delivering.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Stops everything: first what delivers, while readiness says so and events are still stored; then what is listened on.
    pub(super) async fn stop(mut self) {
        self.readiness.stop();
        drop(self.reconciling.take());
        if let Some(delivering) = self.delivering.take() {
            delivering.stop().await;
        }
        self.live.end();
        self.stop_servers.send_replace(true);
        let finish = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(REQUESTS_WAIT_MAX, finish).await.is_err() {
            self.telemetry.lifecycle("some HTTP requests to us were not finished in time; they got no answer");
        }
        self.queue.close().await;
    }
}

/// Where what becomes of deliveries is noted, unless the settings say that it is not.
async fn history(
    settings: &Settings,
    store: &Store,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> anyhow::Result<Option<Arc<History>>> {
    let history = &settings.history;
    if !history.enabled {
        return Ok(None);
    }
    let policy = HistoryPolicy {
        age: history.retention,
        count_max: history.count_max,
        response_bytes_max: history.response_bytes_max,
        bodies: history.bodies.then_some(BodiesPolicy {
            age: history.bodies_retention,
            bytes_max: history.bodies_bytes_max,
            bytes_per_second: BODY_BYTES_PER_SECOND,
        }),
        worker: worker_name(),
    };
    let history = open_history(settings, store, policy, Arc::clone(clock), telemetry.clone()).await?;
    Ok(Some(Arc::new(history)))
}

/// This worker among others: the machine's name and the process.
fn worker_name() -> String {
    format!("{}/{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id())
}

/// What makes requests to receivers.
pub(super) fn client(settings: &Settings) -> Result<Client, ClientError> {
    let delivery = &settings.delivery;
    Client::new(&delivery.user_agent, delivery.timeout, delivery.addresses(), &settings.outbound.outlet())
}

/// Opens the queue at `url`, which is that of `settings` unless a flag names another.
pub(super) async fn open_queue(
    settings: &Settings,
    url: &QueueUrl,
    access: Access,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Result<Queue, QueueError> {
    let (clock, telemetry) = (Arc::clone(clock), telemetry.clone());
    match url {
        QueueUrl::Sqlite(path) => {
            let bytes_max = Some(settings.queue.bytes_max).filter(|bytes_max| *bytes_max > 0);
            let options = FileOptions { path: path.clone(), bytes_max };
            Queue::open_sqlite(options, access, clock, telemetry).await
        }
        QueueUrl::RabbitMq(url) => Queue::open_rabbitmq(broker_options(settings, url), access, clock, telemetry).await,
    }
}

/// How `settings` use RabbitMQ at `url`.
pub(super) fn broker_options(settings: &Settings, url: &BrokerUrl) -> BrokerOptions {
    BrokerOptions {
        url: url.clone(),
        prefix: settings.queue.prefix.clone(),
        event_bytes_max: settings.ingest.event_bytes_max,
        server: server_of(settings),
        unacknowledged_max: UNACKNOWLEDGED_MAX,
    }
}

/// The `server` of events that do not say theirs.
pub(super) fn server_of(settings: &Settings) -> Option<String> {
    settings.misskey.url.as_ref().map(|url| url.origin().ascii_serialization())
}

/// The way in for `settings`.
pub(super) fn ingest_of(
    settings: &Settings,
    queue: &Queue,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Ingest {
    let policy = ingest::Policy { event_bytes_max: settings.ingest.event_bytes_max, server: server_of(settings) };
    Ingest::new(queue.clone(), Arc::clone(clock), telemetry.clone(), policy)
}

/// The same, which takes in once what Misskey sends again, or gave up, whether or not the queue remembers it.
pub(super) async fn remembering_ingest_of(
    settings: &Settings,
    store: &Store,
    queue: &Queue,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> anyhow::Result<Ingest> {
    let ingest = ingest_of(settings, queue, clock, telemetry);
    if queue.remembers() {
        return Ok(ingest);
    }
    Ok(ingest.remembering_in(Arc::new(Receipts::in_store(store, Arc::clone(clock)).await?)))
}

/// What Misskey's webhooks to us carry.
pub(super) fn credentials(settings: &Settings) -> Vec<(Source, Credential)> {
    settings.misskey.ingest.iter().map(|entry| (entry.source.clone(), entry.credential.clone())).collect()
}

/// Every route that events come in by.
fn ways_in(settings: &Settings, ingest: &Ingest) -> Router {
    let http = HttpPolicy { tokens: settings.server.operators(), request_bytes_max: settings.ingest.request_bytes_max };
    let misskey = MisskeyPolicy { credentials: credentials(settings) };
    ingest::router(ingest.clone(), http).merge(ingest::misskey_router(ingest.clone(), misskey))
}

/// Fetches what Misskey gave up, if the settings say as whom.
fn reconciling(
    settings: &Settings,
    ingest: &Ingest,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> anyhow::Result<Option<Reconciling>> {
    let Some(token) = settings.misskey.token.clone() else { return Ok(None) };
    let reconciler = reconciler(settings, token, ingest.clone())?;
    let every = settings.misskey.reconcile_every;
    Ok(Some(Reconciling::start(reconciler, every, Arc::clone(clock), telemetry.clone())))
}

fn worker_policy(settings: &Settings) -> Policy {
    let delivery = &settings.delivery;
    Policy {
        concurrency: delivery.concurrency,
        slots_per_webhook: delivery.slots_per_webhook,
        connections_per_host: delivery.connections_per_host,
        breaker_failures: delivery.breaker_failures,
        patience: delivery.patience,
        prefetch: Prefetch { messages: settings.queue.prefetch, bytes: settings.queue.prefetch_bytes },
        retry: decide::Policy {
            schedule: delivery.retry_schedule.clone(),
            max_age: delivery.max_age,
            retry_after_max: delivery.retry_after_max,
        },
        deactivate_after: delivery.deactivate_after,
        server: server_of(settings),
        grace: settings.server.shutdown_grace,
    }
}

/// The sockets, bound before anything else is started.
pub(super) struct Listeners {
    main: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let bind = async |name: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| {
                format!("{name} = \"{address}\" cannot be listened on; is another program there? Set another address")
            })
        };
        let main = bind("server.listen", settings.server.listen).await?;
        let metrics = match settings.server.metrics_listen {
            Some(address) => Some(bind("server.metrics_listen", address).await?),
            None => None,
        };
        Ok(Self { main, metrics })
    }

    pub(super) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        let main = self.main.local_addr()?;
        let metrics = self.metrics.as_ref().map_or(Ok(main), TcpListener::local_addr)?;
        Ok((main, metrics))
    }

    /// Serves `events` on the main address, and `health` there or on its own.
    pub(super) fn serve(self, events: Router, health: Router) -> (JoinSet<()>, watch::Sender<bool>) {
        let (stop, stopped) = watch::channel(false);
        let mut servers = JoinSet::new();
        let mut serve = |listener: TcpListener, router: Router| {
            let mut stopped = stopped.clone();
            let until = async move {
                let _told_or_gone = stopped.wait_for(|stop| *stop).await;
            };
            servers.spawn(Limited::new(listener, Limits::default()).serve(router, until));
        };
        match self.metrics {
            Some(metrics) => {
                serve(self.main, events);
                serve(metrics, health);
            }
            None => serve(self.main, events.merge(health)),
        }
        (servers, stop)
    }
}
