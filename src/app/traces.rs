//! Traces as the settings have them: for `serve`, and for `publish`, whose producer may have begun one.

use std::sync::Arc;

use super::service::worker_name;
use crate::clock::SharedClock;
use crate::config::{QueueUrl, Settings};
use crate::model::TraceContext;
use crate::outbound::ClientError;
use crate::telemetry::SharedTelemetry;
use crate::traces::{Collector, Exporting, Tracer, TracerPolicy};

/// The variable that says which trace a command belongs to (OpenTelemetry, "Environment Variables as Context Propagation Carriers").
const TRACEPARENT: &str = "TRACEPARENT";

/// What begins spans about the queue at `queue`, and what sends them; neither, where the settings name no collector.
///
/// # Errors
/// When no HTTP client can be made.
pub(super) fn start(
    settings: &Settings,
    queue: &QueueUrl,
    clock: &SharedClock,
    telemetry: &SharedTelemetry,
) -> Result<(Tracer, Option<Exporting>), ClientError> {
    let Some(collector) = collector(settings) else { return Ok((Tracer::default(), None)) };
    let traces = &settings.traces;
    let policy = TracerPolicy {
        sample_ratio: traces.sample_ratio,
        service: traces.service_name.clone(),
        instance: worker_name(),
        system: match queue {
            QueueUrl::Sqlite(_) => "sqlite",
            QueueUrl::RabbitMq(_) => "rabbitmq",
        },
        sends_traceparent: traces.send_traceparent,
    };
    let (tracer, exporting) = Tracer::start(policy, collector, Arc::clone(clock), telemetry.clone())?;
    Ok((tracer, Some(exporting)))
}

/// Where spans go, if anywhere.
pub(super) fn collector(settings: &Settings) -> Option<Collector> {
    let traces = &settings.traces;
    Some(Collector {
        url: traces.otlp_url.clone()?,
        headers: traces.headers.clone(),
        timeout: traces.timeout,
        authorities: settings.outbound.authorities.clone(),
    })
}

/// Which trace this process belongs to, if whoever started it says so.
pub(super) fn of_process() -> Option<TraceContext> {
    TraceContext::parse(&std::env::var(TRACEPARENT).ok()?)
}
