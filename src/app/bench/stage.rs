//! Where a measurement has its queue: a SQLite file in a temporary folder, or queues of its own in RabbitMQ.
//!
//! Those queues begin with a prefix made at random and are deleted when a run is over, also when it was interrupted.

use std::path::Path;

use crate::app::service::broker_options;
use crate::config::{QueueUrl, Settings};
use crate::queue::{BrokerUrl, Queue};

use super::Load;

/// Where the queue of a run is.
pub(super) struct Stage<'a> {
    broker: Option<&'a BrokerUrl>,
    prefix: String,
}

impl<'a> Stage<'a> {
    /// A file.
    pub(super) fn file() -> Self {
        Self { broker: None, prefix: Settings::default().queue.prefix }
    }

    /// Queues of its own at `broker`.
    pub(super) fn broker(broker: &'a BrokerUrl) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self { broker: Some(broker), prefix: format!("hikyaku-bench-{}.", &id[..8]) }
    }

    /// What the names of its queues in RabbitMQ begin with, if it has any.
    pub(super) fn prefix_to_delete(&self) -> Option<&str> {
        self.broker.map(|_| self.prefix.as_str())
    }

    /// The queue of fresh events in RabbitMQ.
    pub(super) fn work_queue(&self) -> String {
        format!("{}work", self.prefix)
    }

    /// The settings of a run in `folder`.
    pub(super) fn settings(&self, folder: &Path, load: &Load) -> anyhow::Result<Settings> {
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse()?;
        settings.queue.url = match self.broker {
            None => QueueUrl::Sqlite(folder.join("queue.db")),
            Some(url) => QueueUrl::RabbitMq(url.clone()),
        };
        settings.queue.prefix.clone_from(&self.prefix);
        settings.queue.single_host = self.broker.is_some();
        settings.queue.prefetch = load.prefetch();
        settings.store.path = folder.join("store.db");
        settings.delivery.concurrency = load.concurrency;
        settings.delivery.slots_per_webhook = load.concurrency;
        Ok(settings)
    }

    /// Deletes what a run made in RabbitMQ.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        if let Some(url) = self.broker {
            let mut settings = Settings::default();
            settings.queue.prefix.clone_from(&self.prefix);
            Queue::remove_rabbitmq(&broker_options(&settings, url)).await?;
        }
        Ok(())
    }
}
