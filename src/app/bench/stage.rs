//! Where a run has its queue: a SQLite file in a temporary folder, or queues of its own in RabbitMQ.

use std::path::Path;

use crate::app::own_queues::OwnQueues;
use crate::config::{QueueUrl, Settings};

use super::Load;

/// The settings of a run in `folder`.
pub(super) fn settings(own: Option<&OwnQueues>, folder: &Path, load: &Load) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".parse()?;
    settings.queue.url = QueueUrl::Sqlite(folder.join("queue.db"));
    // What is measured is asked for, however large.
    settings.queue.bytes_max = 0;
    settings.queue.prefetch = load.prefetch();
    if let Some(own) = own {
        own.put_into(&mut settings);
    }
    settings.store.path = folder.join("store.db");
    settings.delivery.concurrency = load.concurrency;
    settings.delivery.slots_per_webhook = load.concurrency;
    Ok(settings)
}
