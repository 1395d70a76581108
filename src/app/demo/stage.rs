//! Where the demo plays: a temporary folder, and, with `--queue amqp://...`, queues of its own in RabbitMQ.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::app::own_queues::OwnQueues;
use crate::app::service::{Service, open_queue};
use crate::cli::{DemoArgs, Output};
use crate::clock::SystemClock;
use crate::config::{QueueUrl, Settings, StoreUrl};
use crate::model::TokenHash;
use crate::queue::{Access, BrokerError, QueueError};
use crate::telemetry::Telemetry;

/// The demo's retries come soon: a dead receiver is given up after two seconds.
const RETRY_SCHEDULE_MS: [u64; 3] = [300, 600, 1200];
/// How long requests under way may take at the end: longer than the slowest receiver, which answers after 0.7 s.
const GRACE: Duration = Duration::from_secs(2);
/// How long the worker's connections may take once RabbitMQ has been there.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is asked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the demo plays.
pub(super) struct Stage {
    folder: TempDir,
    own: Option<OwnQueues>,
    /// RabbitMQ was not there, so nothing was made in it.
    is_away: AtomicBool,
}

impl Stage {
    /// Makes the folder, and reads `--queue`.
    pub(super) fn new(args: &DemoArgs) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let own = OwnQueues::of("demo", args.queue.as_deref())?;
        Ok(Self { folder, own, is_away: AtomicBool::new(false) })
    }

    /// The settings of the demo's sidecar.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse()?;
        settings.server.admin_token = Some(TokenHash::of("demo-admin-token"));
        settings.queue.url = QueueUrl::Sqlite(self.folder.path().join("queue.db"));
        if let Some(own) = &self.own {
            own.put_into(&mut settings);
        }
        settings.store.url = StoreUrl::Sqlite(self.folder.path().join("store.db"));
        settings.server.shutdown_grace = GRACE;
        // Its receivers fail often and for seconds: whoever left them alone in between would take minutes.
        settings.delivery.breaker_failures = 0;
        settings.delivery.retry_schedule = RETRY_SCHEDULE_MS.map(Duration::from_millis).to_vec();
        Ok(settings)
    }

    /// Sees to it that RabbitMQ is there: a worker would wait for it for as long as it takes.
    pub(super) async fn set_up(&self, output: &mut Output) -> anyhow::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let settings = self.settings()?;
        let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
        let opened = open_queue(&settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await;
        let is_away = matches!(opened, Err(QueueError::Broker(BrokerError::Away { .. })));
        self.is_away.store(is_away, Ordering::Relaxed);
        let queue = opened?;
        queue.close().await;
        output.note(&own.words());
        Ok(())
    }

    /// Waits until the sidecar can use its queue.
    pub(super) async fn until_connected(service: &Service) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let troubles = service.queue.health();
            if troubles.is_empty() {
                return Ok(());
            }
            anyhow::ensure!(began.elapsed() < CONNECT_WAIT_MAX, "{}", troubles.join("; "));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Deletes what the demo made in RabbitMQ; nobody may be using it any more.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        match &self.own {
            Some(own) if !self.is_away.load(Ordering::Relaxed) => own.remove().await,
            _ => Ok(()),
        }
    }
}
