//! The sidecar put together: ingest, worker, drainer, health and metrics in one process.
//!
//! Started in the order in which a failure costs least: settings that cannot work (a port in use, a file that is locked) are
//! found before the first message is taken. Stopped so that nothing is refused that could be stored: no more messages are
//! taken, what is in flight is finished, dead letters are handed over, and only then no more events are let in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::delivering::{Delivering, Heart};
use super::front::Front;
use super::kept::{Kept, history_retention, letters_retention};
use super::listeners::{Listeners, Serving};
use super::operating::Sight;
use super::standing;
use super::store::{history_reader, open_history};
use super::supervisor::Watched;
use super::traces;
use crate::api::{self, Readiness};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Changes, QueueUrl, Settings};
use crate::decide::{self, Credential};
use crate::deliver::{Live, Observer, Parts, Policy};
use crate::ingest::{self, Ingest, Reconciling};
use crate::model::Source;
use crate::outbound::{Client, ClientError};
use crate::queue::{Access, BrokerOptions, BrokerUrl, FileOptions, Prefetch, Queue, QueueError, UNACKNOWLEDGED_MAX};
use crate::record::{BodiesPolicy, DeadLetters, History, HistoryPolicy, Receipts, Workers};
use crate::registry::Registry;
use crate::store::Store;
use crate::telemetry::{LogSwitch, SharedTelemetry};
use crate::traces::Exporting;

/// How long HTTP requests to us may take at the end. With the worker's grace (15 s), the drainer's end (5 s) and the
/// last spans (3 s) this stays below the 30 s that Kubernetes waits by default.
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
    history: Option<Arc<History>>,
    reconciling: Option<Reconciling>,
    front: Front,
    serving: Serving,
    exporting: Option<Exporting>,
}

impl Service {
    /// Starts everything; `observer` is told what becomes of each delivery.
    pub(super) async fn start(settings: Settings, observer: Option<Arc<dyn Observer>>) -> anyhow::Result<Self> {
        Self::start_as(Roles::ALL, settings, observer, LogSwitch::default()).await
    }

    /// Starts what `roles` has; `log` changes the level of the process's log.
    pub(super) async fn start_as(
        roles: Roles,
        settings: Settings,
        observer: Option<Arc<dyn Observer>>,
        log: LogSwitch,
    ) -> anyhow::Result<Self> {
        let clock = SystemClock::shared();
        let telemetry = standing::telemetry_of(&settings, roles)?;
        let listeners = Listeners::bind(&settings).await?;
        let Kept { store, registry, letters, latest, workers, forgotten, queue } =
            Kept::open(roles, &settings, &clock, &telemetry).await?;
        let (tracer, exporting) = traces::start(&settings, &settings.queue.url, &clock, &telemetry)?;
        let live = Arc::new(Live::new(Arc::clone(&clock)));
        let history = if roles.worker { history(&settings, &store, &clock, &telemetry).await? } else { None };
        let mut delivering = None;
        if roles.worker {
            let parts = Parts {
                queue: queue.clone(),
                registry: Arc::clone(&registry),
                latest: Arc::clone(&latest),
                history: history.clone(),
                forgotten: Arc::clone(&forgotten),
                client: client(&settings)?,
                clock: Arc::clone(&clock),
                telemetry: telemetry.clone(),
                tracer: tracer.clone(),
                observer,
                live: Some(Arc::clone(&live)),
            };
            delivering = Some(Delivering::start(parts, worker_policy(&settings), &letters, heart(&workers)).await?);
        }
        let (endpoints, drainer) = Delivering::seen(delivering.as_ref(), &clock, &telemetry);
        let readiness = Readiness::new(queue.clone(), Arc::clone(&registry), Arc::clone(&latest), drainer);
        let readiness = Arc::new(readiness.writing(history.clone()));
        let ingest = remembering_ingest_of(&settings, &store, &queue, &clock, &telemetry).await?.traced_by(tracer);
        let (address, metrics_address) = listeners.addresses()?;
        let front = Front {
            roles,
            store,
            ingest: ingest.clone(),
            queue: queue.clone(),
            registry: Arc::clone(&registry),
            latest,
            letters: Arc::clone(&letters),
            forgotten,
            sight: Sight { endpoints, workers, readiness: Arc::clone(&readiness), live: Arc::clone(&live), log },
            clock,
            telemetry: telemetry.clone(),
        };
        let serving = listeners.serve(front.routes(&settings)?, api::router(Arc::clone(&readiness), telemetry.clone()));
        let mut service = Self {
            ingest,
            queue,
            registry,
            letters,
            telemetry,
            address,
            metrics_address,
            readiness,
            live,
            history,
            delivering,
            reconciling: None,
            front,
            serving,
            exporting,
        };
        service.reconcile(&settings)?;
        Ok(service)
    }

    /// Takes of `settings` what `changes` says, all or nothing.
    ///
    /// # Errors
    /// Why it cannot; everything is as it was.
    pub(super) async fn take(&mut self, settings: &Settings, changes: &Changes) -> anyhow::Result<()> {
        let routes = self.front.routes(settings)?;
        if changes.has("misskey") {
            // Whether it can be made is known before anything changes.
            self.front.reconciler(settings)?;
        }
        if changes.has("webhooks") {
            self.registry.declare(settings.webhooks.clone()).await?;
        }
        self.serving.exchange(routes);
        if changes.has("misskey") {
            self.reconcile(settings)?;
        }
        self.letters.keep(letters_retention(settings));
        if let Some(history) = &self.history {
            history.keep(history_retention(settings));
        }
        if changes.has("log") {
            self.front.sight.log.set(settings.log.level);
        }
        Ok(())
    }

    /// Fetches from now on what Misskey gave up, as `settings` say.
    fn reconcile(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let reconciler = self.front.reconciler(settings)?;
        let (every, clock) = (settings.misskey.reconcile_every, Arc::clone(&self.front.clock));
        // The earlier one ends first.
        drop(self.reconciling.take());
        self.reconciling =
            reconciler.map(|reconciler| Reconciling::start(reconciler, every, clock, self.telemetry.clone()));
        Ok(())
    }

    /// What systemd watches over.
    pub(super) fn watched(&self) -> Watched {
        Watched {
            readiness: Arc::clone(&self.readiness),
            pulse: self.delivering.as_ref().map(Delivering::pulse),
            telemetry: self.telemetry.clone(),
        }
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
        if tokio::time::timeout(REQUESTS_WAIT_MAX, self.serving.stop()).await.is_err() {
            self.telemetry.lifecycle("some HTTP requests to us were not finished in time; they got no answer");
        }
        self.queue.close().await;
        if let Some(exporting) = self.exporting {
            exporting.stop().await;
        }
    }
}

/// Where what becomes of deliveries is noted. When the settings say that it is not, one of before goes by its age.
async fn history(
    settings: &Settings,
    store: &Store,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> anyhow::Result<Option<Arc<History>>> {
    let history = &settings.history;
    if !history.enabled && !history_reader(settings, store).is_there().await {
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
    let written = open_history(settings, store, policy, Arc::clone(clock), telemetry.clone()).await?;
    Ok(Some(Arc::new(if history.enabled { written } else { written.only_pruning() })))
}

/// What tells `workers` that this one is there.
fn heart(workers: &Arc<Workers>) -> Heart {
    Heart { workers: Arc::clone(workers), name: worker_name() }
}

/// This worker among others: the machine's name and the process.
pub(super) fn worker_name() -> String {
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

fn worker_policy(settings: &Settings) -> Policy {
    let delivery = &settings.delivery;
    Policy {
        concurrency: delivery.concurrency,
        slots_per_webhook: delivery.slots_per_webhook,
        connections_per_host: delivery.connections_per_host,
        breaker_failures: delivery.breaker_failures,
        patience: delivery.patience,
        foresight: delivery.foresight,
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
