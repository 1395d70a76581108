//! What happens to the process: it starts and stops, its settings and limits are odd, it hangs.

use std::time::Duration;

use super::{LogLevel, Telemetry};
use crate::model::WebhookId;

impl Telemetry {
    /// Something of note in the life of the process.
    pub fn lifecycle(&self, words: &str) {
        tracing::info!("{words}");
    }

    /// Who started the process wants to be told how it is, and cannot be.
    pub fn nobody_watches(&self, why: &str) {
        tracing::warn!("nobody is told that hikyaku is ready, or lives: {why}");
    }

    /// The delivery loop has not turned for `silent`; whoever watches over the process will end it.
    pub fn delivery_stuck(&self, silent: Duration) {
        self.metrics.parts.troubles.inc();
        let silent_s = silent.as_secs_f64();
        tracing::error!(
            silent_s,
            "the delivery loop does not answer; unless it does soon, the watchdog (systemd: WatchdogSec) ends this process, and what \
             was in flight is sent again at the next start. If the machine is merely busy, raise WatchdogSec"
        );
    }

    /// The delivery loop turns again.
    pub fn delivery_goes_on(&self, silent: Duration) {
        let silent_s = silent.as_secs_f64();
        tracing::info!(silent_s, "over: the delivery loop does not answer");
    }

    /// The system gives us fewer file descriptors than the settings can need.
    pub fn few_file_descriptors(&self, given: u64, needed: u64) {
        tracing::warn!(
            given,
            needed,
            "fewer file descriptors than delivery.concurrency can need; deliveries beyond them are parked. Raise the limit \
             (systemd: LimitNOFILE), or lower the concurrency"
        );
    }

    /// A webhook of the settings file asks for an event type that it may never get; `why`, in words.
    pub fn doubtful_type(&self, webhook: &WebhookId, why: &str) {
        tracing::warn!(%webhook, "a webhook of the settings file may wait in vain: on: {why}");
    }

    /// The settings were read again, and `names` of them changed.
    pub fn settings_taken(&self, names: &[&str]) {
        match names {
            [] => tracing::info!("the settings were read again; of those that can change while hikyaku runs, none has"),
            names => tracing::info!("the settings were read again; changed: {}", names.join(", ")),
        }
    }

    /// The setting `name` has changed in the settings, and not for this process.
    pub fn setting_needs_restart(&self, name: &str) {
        tracing::warn!(
            "the setting {name} has changed and needs a restart; until then hikyaku goes on with what it had"
        );
    }

    /// The settings were read again, and nothing has changed.
    pub fn settings_not_taken(&self, why: &str) {
        let why = why.replace('\n', "; ");
        tracing::error!(
            "the settings were read again and cannot be used; hikyaku goes on with those that it had: {why}"
        );
    }

    /// `by` has changed the least important lines that are written.
    pub fn log_level_changed(&self, by: &str, from: LogLevel, to: LogLevel) {
        let (from, to) = (from.as_str(), to.as_str());
        tracing::warn!("{by} has set the log's level from {from} to {to}, until the next start");
    }
}
