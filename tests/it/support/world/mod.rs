//! A whole world in one process: queue, store, worker, drainer and receivers, with time in the test's hands or not.
//!
//! The world keeps a book of its own: which deliveries each published event must come to, by its own small rule, and what
//! the worker told of each. [`World::finish`] checks it against what lies in the queue, in the store and at the receivers.

mod book;
mod conservation;
mod setup;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::{ManualClock, SharedClock, SystemClock};
use hikyaku::decide::{self, AddressPolicy, AllowedNetwork, Step};
use hikyaku::deliver::{Drainer, Observer, Parts, Policy, Worker};
use hikyaku::model::{Delivery, Event, EventId, Timestamp, WebhookId};
use hikyaku::outbound::Client;
use hikyaku::queue::{Access, FileOptions, Prefetch, Queue};
use hikyaku::record::{DeadLetter, DeadLetters, Forgotten, History, HistoryPolicy, HistoryReader, Latest, Retention};
use hikyaku::registry::{Registry, Seals};
use hikyaku::store::Store;
use hikyaku::telemetry::{SharedTelemetry, Telemetry};
use hikyaku::traces::Tracer;
use tempfile::TempDir;
use tokio::sync::watch;

use self::book::Hook;
pub(crate) use self::setup::{HookSetup, Setup, USER};
use super::patience::soon;
use super::receiver::{Answer, Got, Receiver};

/// When held time begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_774_960_496_789);

/// What the worker told of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) event: EventId,
    pub(crate) webhook: WebhookId,
    pub(crate) step: Step,
}

/// Hears the worker.
#[derive(Debug, Default)]
struct Ear(watch::Sender<Vec<Told>>);

impl Observer for Ear {
    fn settled(&self, event: &Event, delivery: &Delivery, step: &Step) {
        let told = Told { event: event.id.clone(), webhook: delivery.webhook.clone(), step: step.clone() };
        self.0.send_modify(|all| all.push(told));
    }
}

/// The processes' common ground and the process that runs.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) clock: SharedClock,
    manual: Option<Arc<ManualClock>>,
    folder: TempDir,
    pub(crate) telemetry: SharedTelemetry,
    pub(crate) registry: Arc<Registry>,
    pub(crate) letters: Arc<DeadLetters>,
    pub(crate) latest: Arc<Latest>,
    running: Option<Running>,
    ear: Arc<Ear>,
    hooks: Vec<Hook>,
    /// Each delivery there must be.
    book: BTreeSet<(EventId, WebhookId)>,
    receivers: Vec<Arc<Receiver>>,
    /// Deliveries that came to receivers of another kind.
    elsewhere: BTreeSet<String>,
    next_event: usize,
}

struct Running {
    queue: Queue,
    worker: Worker,
    drainer: Drainer,
}

impl World {
    /// A world in which time is held and everything else is plain.
    pub(crate) async fn plain() -> Self {
        Self::start(Setup::default()).await
    }

    /// A running world.
    pub(crate) async fn start(setup: Setup) -> Self {
        let manual = setup.held.then(|| Arc::new(ManualClock::new(BEGIN, 0.5)));
        let clock = manual.clone().map_or_else(SystemClock::shared, |clock| clock as SharedClock);
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store.db");
        let retention = Retention { age: Duration::from_secs(90 * 86400), count_max: 1_000_000 };
        let registry = Registry::open(&Store::Sqlite(store.clone()), Seals::default(), Vec::new(), Arc::clone(&clock))
            .await
            .expect("a registry");
        let letters = DeadLetters::open(&store, retention, Arc::clone(&clock)).await.expect("dead letters");
        let mut world = Self {
            setup,
            manual,
            folder,
            telemetry: Telemetry::shared().expect("metrics"),
            registry: Arc::new(registry),
            letters: Arc::new(letters),
            latest: Arc::new(Latest::open(&store).await.expect("latest attempts")),
            running: None,
            ear: Arc::default(),
            hooks: Vec::new(),
            book: BTreeSet::new(),
            receivers: Vec::new(),
            elsewhere: BTreeSet::new(),
            next_event: 0,
            clock,
        };
        world.start_process().await;
        world
    }

    /// Starts queue, worker and drainer.
    pub(crate) async fn start_process(&mut self) {
        let path = self.folder.path().join("queue.db");
        let queue =
            Queue::open_sqlite(file(path), Access::Worker, Arc::clone(&self.clock), self.telemetry.clone()).await;
        let queue = queue.expect("the queue can be opened");
        let parts = Parts {
            queue: queue.clone(),
            registry: Arc::clone(&self.registry),
            latest: Arc::clone(&self.latest),
            history: Some(Arc::new(self.history())),
            forgotten: Arc::new(Forgotten::following(Arc::clone(&self.letters), self.registry.heard()).await),
            client: self.client(),
            clock: Arc::clone(&self.clock),
            telemetry: self.telemetry.clone(),
            tracer: Tracer::default(),
            observer: Some(Arc::clone(&self.ear) as Arc<dyn Observer>),
            live: None,
        };
        let worker = Worker::start(parts, self.policy()).await.expect("the worker starts");
        let drainer =
            Drainer::start(&queue, Arc::clone(&self.letters), self.telemetry.clone(), Tracer::default()).await;
        self.running = Some(Running { queue, worker, drainer: drainer.expect("the drainer starts") });
    }

    fn client(&self) -> Client {
        let allowed = self.setup.allowed.iter().map(|network| AllowedNetwork::parse(network).expect("a network"));
        let addresses = AddressPolicy::new(allowed.collect());
        Client::asking(&self.setup.names, "Misskey-Hooks", self.setup.timeout, addresses, &self.setup.outlet)
            .expect("a client")
    }

    fn policy(&self) -> Policy {
        let setup = &self.setup;
        Policy {
            concurrency: setup.concurrency,
            slots_per_webhook: setup.slots_per_webhook,
            connections_per_host: setup.connections_per_host,
            breaker_failures: setup.breaker_failures,
            patience: setup.patience,
            foresight: setup.foresight,
            prefetch: Prefetch { messages: setup.prefetch, bytes: 64 << 20 },
            retry: decide::Policy {
                schedule: setup.schedule.clone(),
                max_age: setup.max_age,
                retry_after_max: setup.retry_after_max,
            },
            deactivate_after: setup.deactivate_after,
            server: Some("https://misskey.example".to_owned()),
            grace: setup.grace,
        }
    }

    fn history(&self) -> History {
        let age = Duration::from_secs(7 * 86400);
        let worker = "a world".to_owned();
        let policy = HistoryPolicy { age, count_max: 1_000_000, response_bytes_max: 2048, bodies: None, worker };
        History::open(
            &self.history_path(),
            &self.history_path(),
            policy,
            Arc::clone(&self.clock),
            self.telemetry.clone(),
        )
        .expect("opens")
    }

    /// Reads the history.
    pub(crate) fn history_reader(&self) -> HistoryReader {
        HistoryReader::of(&self.history_path())
    }

    /// A connection of someone else to the history.
    pub(crate) fn history_file(&self) -> rusqlite::Connection {
        hikyaku::sqlite::open(&self.history_path()).expect("a connection beside the history's own")
    }

    fn history_path(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    /// Stops the process as `serve` does, and tells how long that took.
    pub(crate) async fn stop_process(&mut self) -> Duration {
        let began = std::time::Instant::now();
        let running = self.running.take().expect("it runs");
        soon("the worker stops", running.worker.stop()).await;
        soon("the drainer stops", running.drainer.stop()).await;
        running.queue.stop_consuming();
        began.elapsed()
    }

    /// The queue of the running process.
    pub(crate) fn queue(&self) -> &Queue {
        &self.running.as_ref().expect("it runs").queue
    }

    /// Moves held time on.
    pub(crate) fn pass(&self, time: Duration) {
        self.manual.as_ref().expect("time is held").advance(time);
    }

    /// A connection of someone else to the store.
    pub(crate) fn store(&self) -> rusqlite::Connection {
        hikyaku::sqlite::open(&self.store_path()).expect("a connection beside the store's own")
    }

    /// A connection of someone else to the queue's file.
    pub(crate) fn queue_file(&self) -> rusqlite::Connection {
        hikyaku::sqlite::open(&self.folder.path().join("queue.db")).expect("a connection beside the queue's own")
    }

    fn store_path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// A receiver that answers as `script` says.
    pub(crate) async fn receiver(
        &mut self,
        script: impl Fn(usize, &Got) -> Answer + Send + Sync + 'static,
    ) -> Arc<Receiver> {
        self.receiver_at((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// The same, at that address.
    pub(crate) async fn receiver_at(
        &mut self,
        address: SocketAddr,
        script: impl Fn(usize, &Got) -> Answer + Send + Sync + 'static,
    ) -> Arc<Receiver> {
        let receiver = Arc::new(Receiver::start_at(address, Arc::clone(&self.clock), script).await);
        self.receivers.push(Arc::clone(&receiver));
        receiver
    }

    /// Counts what a receiver that was there before the world has got.
    pub(crate) fn knows(&mut self, receiver: &Arc<Receiver>) {
        self.receivers.push(Arc::clone(receiver));
    }

    /// Counts deliveries that a receiver of another kind has got.
    pub(crate) fn came_elsewhere(&mut self, ids: impl IntoIterator<Item = String>) {
        self.elsewhere.extend(ids);
    }

    /// A receiver that gives these answers in turn, the last for ever.
    pub(crate) async fn answering(&mut self, answers: &[Answer]) -> Arc<Receiver> {
        let answers = answers.to_vec();
        self.receiver(move |before, _| answers[before.min(answers.len() - 1)].clone()).await
    }

    /// Everything told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.ear.0.borrow().clone()
    }

    /// Waits until the worker has told `steps` steps of the event's delivery to that webhook, and tells the last.
    #[track_caller]
    pub(crate) fn step(&self, event: &EventId, id: &str, steps: usize) -> impl Future<Output = Step> + use<> {
        let (event, id) = (event.clone(), webhook(id));
        let mut told = self.ear.0.subscribe();
        let of_it = move |all: &[Told]| -> Option<Step> {
            let mut own = all.iter().filter(|told| told.event == event && told.webhook == id);
            own.nth(steps - 1).map(|told| told.step.clone())
        };
        soon("the worker tells a step of a delivery", async move {
            let all = told.wait_for(|all| of_it(all).is_some()).await.expect("the ear is there");
            of_it(&all).expect("just seen")
        })
    }

    /// Waits until so many steps that `fits` were told.
    #[track_caller]
    pub(crate) fn steps(&self, count: usize, fits: impl Fn(&Told) -> bool) -> impl Future<Output = ()> {
        let mut told = self.ear.0.subscribe();
        soon("the worker tells steps", async move {
            let enough = |all: &Vec<Told>| all.iter().filter(|told| fits(told)).count() >= count;
            told.wait_for(enough).await.expect("the ear is there");
        })
    }

    /// Waits until no fresh event is left in the queue.
    pub(crate) async fn all_taken(&self) {
        soon("the worker takes every fresh event and settles it", async {
            while self.queue().depths().await.expect("counted").work > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the store has so many dead letters and the queue none, and tells them, newest first.
    pub(crate) async fn letters(&self, count: u64) -> Vec<DeadLetter> {
        soon("the store has the dead letters", async {
            loop {
                let depths = self.queue().depths().await.expect("counted");
                if self.letters.total() == count && depths.dead == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.letters.read(&hikyaku::record::Filter::default(), 1000, None).await.expect("read").letters
    }
}

/// A webhook's id.
pub(crate) fn webhook(id: &str) -> WebhookId {
    WebhookId::new(id).expect("valid")
}

/// An address on loopback where nobody listens, and nobody else can while the socket lives.
pub(crate) fn nobody() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    (socket.local_addr().expect("bound"), socket)
}

/// The queue in the file at `path`, as large as the disk lets it be.
fn file(path: PathBuf) -> FileOptions {
    FileOptions { path, bytes_max: None }
}
