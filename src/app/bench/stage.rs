//! Where a run has its queue: a SQLite file in a temporary folder, or queues of its own in RabbitMQ.

use std::net::Ipv4Addr;
use std::path::Path;

use url::Url;

use crate::app::own_queues::OwnQueues;
use crate::config::{QueueUrl, Settings, StoreUrl};
use crate::decide::AllowedNetwork;

use super::Load;

/// The settings of a run in `folder`.
pub(super) fn settings(own: Option<&OwnQueues>, folder: &Path, load: &Load) -> anyhow::Result<Settings> {
    let mut settings = default_settings(own, folder)?;
    settings.queue.prefetch = load.prefetch();
    settings.delivery.concurrency = load.concurrency;
    settings.delivery.slots_per_webhook = load.concurrency;
    settings.delivery.connections_per_host = load.concurrency;
    Ok(settings)
}

/// The settings of a run in `folder` that delivers as the program does when nobody sets anything.
pub(super) fn default_settings(own: Option<&OwnQueues>, folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".parse()?;
    settings.queue.url = QueueUrl::Sqlite(folder.join("queue.db"));
    // What is measured is asked for, however large.
    settings.queue.bytes_max = 0;
    if let Some(own) = own {
        own.put_into(&mut settings);
    }
    settings.store.url = StoreUrl::Sqlite(folder.join("store.db"));
    Ok(settings)
}

/// Has the address guard of `settings` let `receiver` through, and nothing else of this machine.
pub(super) fn allow(settings: &mut Settings, receiver: &Url) {
    let port = receiver.port_or_known_default().unwrap_or_default();
    settings.delivery.allowed_private_networks = vec![AllowedNetwork::one(Ipv4Addr::LOCALHOST.into(), port)];
}
