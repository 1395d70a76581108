//! What the suite needs of a backend, and each backend.
//!
//! A backend stands for one store (a file, a broker's queues) that processes open, lose and open again.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hikyaku::clock::{Clock, ManualClock, SharedClock, SystemClock};
use hikyaku::model::Timestamp;
use hikyaku::queue::{Access, BrokerOptions, BrokerUrl, FileOptions, Queue, QueueError, UNACKNOWLEDGED_MAX};
use hikyaku::telemetry::Telemetry;
use tempfile::TempDir;

use crate::support::broker;
use crate::support::patience::soon;

/// When a store's clock begins, where it is held, and when the suite's events were accepted: in the hour before it runs,
/// since a queue need not believe what is older than a year.
pub(super) static BEGIN: LazyLock<Timestamp> = LazyLock::new(|| SystemClock.now().minus(Duration::from_secs(3600)));

/// One empty store and those who open it.
pub(super) trait Backend: Sized + Sync {
    /// Whether several workers may share a store.
    const MANY_WORKERS: bool;
    /// Whether it can look at what waits without taking it.
    const SEES_WHAT_WAITS: bool;

    /// How shortly before a moment a test can still look at the store and be sure that the moment has not come.
    const MOMENT: Duration;

    /// A store whose time stands still until [`Backend::pass`], if the backend lets its time be held.
    async fn new() -> Self;

    /// A store in real time.
    async fn in_real_time() -> Self;

    /// Opens the store as its worker; the one before is gone.
    async fn worker(&self) -> Queue {
        // A child process that another test is starting has copies of our open files, and so of the lock, until its exec.
        let free = async {
            loop {
                match self.open(Access::Worker).await {
                    Err(QueueError::WorkerPresent { .. }) => tokio::task::yield_now().await,
                    opened => break opened.expect("the store can be opened"),
                }
            }
        };
        soon("the worker before lets go of the store", free).await
    }

    /// Opens the store to publish only.
    async fn producer(&self) -> Queue {
        self.open(Access::Producer).await.expect("the store can be opened beside the worker")
    }

    /// Opens the store.
    async fn open(&self, access: Access) -> Result<Queue, QueueError>;

    /// This moment on the store's clock.
    fn now(&self) -> Timestamp;

    /// Lets `time` pass.
    async fn pass(&self, time: Duration);
}

/// The SQLite file.
pub(super) struct Sqlite {
    folder: TempDir,
    clock: SharedClock,
    held: Option<Arc<ManualClock>>,
}

impl Sqlite {
    fn with(clock: SharedClock, held: Option<Arc<ManualClock>>) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), clock, held }
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("queue.db")
    }

    /// Opens the file, which may hold `bytes_max`.
    pub(super) async fn open_up_to(&self, bytes_max: Option<u64>, access: Access) -> Result<Queue, QueueError> {
        let telemetry = Telemetry::shared().expect("metrics");
        let options = FileOptions { path: self.path(), bytes_max };
        Queue::open_sqlite(options, access, Arc::clone(&self.clock), telemetry).await
    }

    /// A connection of someone else to the file.
    pub(super) fn stranger(&self) -> rusqlite::Connection {
        hikyaku::sqlite::open(&self.path()).expect("a connection beside the queue's own")
    }
}

impl Backend for Sqlite {
    const MANY_WORKERS: bool = false;
    const SEES_WHAT_WAITS: bool = true;
    const MOMENT: Duration = Duration::from_millis(1);

    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(*BEGIN, 0.5));
        Self::with(Arc::clone(&clock) as SharedClock, Some(clock))
    }

    async fn in_real_time() -> Self {
        Self::with(SystemClock::shared(), None)
    }

    async fn open(&self, access: Access) -> Result<Queue, QueueError> {
        self.open_up_to(None, access).await
    }

    fn now(&self) -> Timestamp {
        Clock::now(&*self.clock)
    }

    async fn pass(&self, time: Duration) {
        match &self.held {
            Some(clock) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }
}

/// Queues of their own in a RabbitMQ that tests share. Its time is real.
pub(super) struct RabbitMq {
    options: BrokerOptions,
}

impl Backend for RabbitMq {
    const MANY_WORKERS: bool = true;
    const SEES_WHAT_WAITS: bool = false;
    const MOMENT: Duration = Duration::from_millis(1500);

    async fn new() -> Self {
        let url = BrokerUrl::parse(&broker::shared_url().await).expect("a URL");
        let options = BrokerOptions {
            url,
            prefix: broker::own_prefix(),
            event_bytes_max: 2 << 20,
            server: None,
            unacknowledged_max: UNACKNOWLEDGED_MAX,
        };
        Self { options }
    }

    async fn in_real_time() -> Self {
        Self::new().await
    }

    async fn open(&self, access: Access) -> Result<Queue, QueueError> {
        let telemetry = Telemetry::shared().expect("metrics");
        let queue = Queue::open_rabbitmq(self.options.clone(), access, SystemClock::shared(), telemetry).await?;
        // A worker opens even when a busy broker has not answered yet.
        let connected = async {
            while !queue.health().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), connected).await.expect("the broker answers");
        Ok(queue)
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
