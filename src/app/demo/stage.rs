//! Where the demo plays: a temporary folder, and, with `--queue amqp://...`, queues of its own in RabbitMQ.
//!
//! Those queues have a prefix made at random, so that a demo never meets a queue that someone uses, and are deleted at the
//! end, also when it was interrupted. A demo that is killed leaves them behind: they begin with `hikyaku.demo-`, which a
//! user whose permissions are those that hikyaku needs (`^hikyaku\.`) may declare and delete.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::app::commands::not_a_queue;
use crate::app::service::{Service, broker_options, open_queue};
use crate::cli::{CliError, DemoArgs, Output};
use crate::clock::SystemClock;
use crate::config::{QueueUrl, Settings};
use crate::model::check_secret;
use crate::queue::{Access, BrokerError, BrokerOptions, Queue, QueueError};
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
    broker: Option<BrokerOptions>,
    /// RabbitMQ was not there, so nothing was made in it.
    is_away: AtomicBool,
}

impl Stage {
    /// Makes the folder, and reads `--queue`.
    pub(super) fn new(args: &DemoArgs) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let broker = match &args.queue {
            None => None,
            Some(url) => match QueueUrl::parse(url).map_err(|what| not_a_queue(url, &what))? {
                QueueUrl::RabbitMq(broker) => {
                    let id = uuid::Uuid::new_v4().simple().to_string();
                    let mut settings = Settings::default();
                    settings.queue.prefix = format!("hikyaku.demo-{}.", &id[..8]);
                    Some(broker_options(&settings, &broker))
                }
                QueueUrl::Sqlite(_) => {
                    let words = "--queue is for RabbitMQ, amqp://...; without it the demo has a file of its own";
                    return Err(CliError::Usage(words.to_owned()).into());
                }
            },
        };
        Ok(Self { folder, broker, is_away: AtomicBool::new(false) })
    }

    /// The settings of the demo's sidecar.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse()?;
        settings.server.admin_token = Some(check_secret("demo-admin-token")?);
        settings.queue.url = QueueUrl::Sqlite(self.folder.path().join("queue.db"));
        if let Some(broker) = &self.broker {
            settings.queue.url = QueueUrl::RabbitMq(broker.url.clone());
            settings.queue.prefix.clone_from(&broker.prefix);
            settings.queue.single_host = true;
        }
        settings.store.path = self.folder.path().join("store.db");
        settings.server.shutdown_grace = GRACE;
        settings.delivery.retry_schedule = RETRY_SCHEDULE_MS.map(Duration::from_millis).to_vec();
        Ok(settings)
    }

    /// Sees to it that RabbitMQ is there: a worker would wait for it for as long as it takes.
    pub(super) async fn set_up(&self, output: &mut Output) -> anyhow::Result<()> {
        let Some(broker) = &self.broker else { return Ok(()) };
        let settings = self.settings()?;
        let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
        let opened = open_queue(&settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await;
        let is_away = matches!(opened, Err(QueueError::Broker(BrokerError::Away { .. })));
        self.is_away.store(is_away, Ordering::Relaxed);
        let queue = opened?;
        queue.close().await;
        output.note(&format!("the queues of this demo begin with {}, and are deleted at its end", broker.prefix));
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
        let Some(broker) = self.broker.as_ref().filter(|_| !self.is_away.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let what = || format!("the demo's queues and exchanges, which begin with {}, cannot be deleted", broker.prefix);
        Queue::remove_rabbitmq(broker).await.with_context(what)
    }
}
