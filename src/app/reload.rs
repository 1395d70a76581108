//! SIGHUP: reads the settings again, and changes what can change while hikyaku runs.
//!
//! All of it is looked at before anything changes: the file as at a start, what of it counts now together with what counts only after
//! a restart, and the webhooks against those of the store. With one mistake anywhere everything stays as it was, and it is told.
//! What the file says and cannot change now is named each time, until hikyaku is started again.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::serve::doubtful_types;
use super::service::Service;
use crate::config::{Changes, Settings};
use crate::telemetry::chain;

/// Reads the settings again.
pub(super) struct Reloader {
    /// Where they are, if `--config` says so.
    file: Option<PathBuf>,
    /// What `--listen` says.
    listen: Option<SocketAddr>,
    /// Those with which hikyaku runs.
    running: Settings,
}

impl Reloader {
    /// Of a hikyaku that runs with `running`, in which `listen` has its place already.
    pub(super) fn new(file: Option<PathBuf>, listen: Option<SocketAddr>, running: Settings) -> Self {
        Self { file, listen, running }
    }

    /// Reads them, has `service` take what it can of them, and tells what came of it.
    pub(super) async fn reload(&mut self, service: &mut Service) {
        match self.try_reload(service).await {
            Ok(Changes { now, at_restart }) => {
                service.telemetry.settings_taken(&now);
                for name in at_restart {
                    service.telemetry.setting_needs_restart(name);
                }
            }
            Err(error) => service.telemetry.settings_not_taken(&chain(error.as_ref())),
        }
    }

    async fn try_reload(&mut self, service: &mut Service) -> anyhow::Result<Changes> {
        let mut read = super::read_settings(self.file.as_deref())?;
        if let Some(listen) = self.listen {
            read.server.listen = listen;
        }
        let changes = self.running.changes(&read);
        let next = self.running.taking(&read);
        for settings in [&read, &next] {
            if let Some(why) = settings.server.is_open() {
                anyhow::bail!("{why}");
            }
        }
        let clashes: Vec<String> = next.check().iter().map(ToString::to_string).collect();
        if !clashes.is_empty() {
            anyhow::bail!(
                "what can change now does not go together with what needs a restart ({}): start hikyaku again. {}",
                changes.at_restart.join(", "),
                clashes.join("; ")
            );
        }
        service.take(&next, &changes).await?;
        if changes.has("webhooks") {
            for (webhook, why) in doubtful_types(&next) {
                service.telemetry.doubtful_type(&webhook, &why);
            }
        }
        self.running = next;
        Ok(changes)
    }
}
