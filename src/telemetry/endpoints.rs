//! What is told of endpoints: webhooks and hosts that are left alone, and how many there are.

use std::time::Duration;

use super::{Telemetry, to_i64};
use crate::model::WebhookId;

/// How a worker's endpoints stand, for the gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointGauges {
    /// Webhooks that are left alone.
    pub breakers_open: usize,
    /// Hosts that are left alone.
    pub hosts_left_alone: usize,
    /// Webhooks whose answers are slow.
    pub slow: usize,
    /// Deliveries that wait in the worker for a slot.
    pub waiting: usize,
}

impl Telemetry {
    /// A webhook is left alone for `wait`; then one delivery tries it.
    pub fn breaker_opened(&self, webhook: &WebhookId, wait: Duration) {
        self.metrics.endpoints.breakers_opened.inc();
        if let Some(silenced) = self.breaker_lines.allow() {
            let wait_ms = wait.as_millis();
            tracing::info!(%webhook, wait_ms, silenced, "webhook left alone after failures; its deliveries wait");
        }
    }

    /// A webhook answers again.
    pub fn breaker_closed(&self, webhook: &WebhookId) {
        if let Some(silenced) = self.breaker_lines.allow() {
            tracing::info!(%webhook, silenced, "webhook answers again; its deliveries go on");
        }
    }

    /// A host that answered none of several webhooks is left alone for `wait`.
    pub fn host_left_alone(&self, host: &str, wait: Duration) {
        if let Some(silenced) = self.breaker_lines.allow() {
            let wait_ms = wait.as_millis();
            tracing::info!(host, wait_ms, silenced, "host left alone: it answered none of several webhooks");
        }
    }

    /// Such a host answers again.
    pub fn host_answers_again(&self, host: &str) {
        if let Some(silenced) = self.breaker_lines.allow() {
            tracing::info!(host, silenced, "host answers again");
        }
    }

    /// How the endpoints of this worker stand.
    pub fn endpoints_sampled(&self, gauges: EndpointGauges) {
        let metrics = &self.metrics.endpoints;
        let set = |gauge: &prometheus::IntGauge, count: usize| gauge.set(to_i64(count as u64));
        set(&metrics.breakers_open, gauges.breakers_open);
        set(&metrics.hosts_left_alone, gauges.hosts_left_alone);
        set(&metrics.slow, gauges.slow);
        set(&metrics.waiting, gauges.waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_endpoints_is_in_its_own_gauge() {
        let telemetry = Telemetry::shared().expect("metrics");
        telemetry.endpoints_sampled(EndpointGauges { breakers_open: 1, hosts_left_alone: 2, slow: 3, waiting: 4 });
        let text = telemetry.render();
        for line in ["breakers_open 1", "hosts_left_alone 2", "webhooks_slow 3", "slot_waiters 4"] {
            assert!(text.contains(&format!("\nhikyaku_{line}\n")), "{line}: {text}");
        }
    }
}
